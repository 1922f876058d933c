/** Names of hosts, as limits and queue messages have them. */
import { describe, expect, it } from 'vitest';
import { hostOf } from '../../src/host-limit/client.ts';
import { Dispatch, packDispatch } from '../../src/outbound/queues.ts';

describe('the name of a host', () => {
  it.each([
    ['the longest name of DNS with a port', `${'a'.repeat(61)}.`.repeat(4).slice(0, 248)],
    ['a name that is longer than DNS permits', `${'a'.repeat(60)}.`.repeat(30)],
  ])('a dispatch for %s is a message that its consumer accepts', (_, name) => {
    const host = hostOf(`https://${name}.test:65535/hooks`);
    const [message] = packDispatch({
      customerId: crypto.randomUUID(),
      subscriptionId: crypto.randomUUID(),
      token: crypto.randomUUID(),
      eventIds: ['01a2251f-42a8-75e0-bfef-0837a5cec1b4'],
      places: { id: crypto.randomUUID(), host },
    });
    expect(Dispatch.safeParse(message).success).toBe(true);
  });
});
