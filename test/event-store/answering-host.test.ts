/** A host that was silent begins to answer: what waits for its places must not wait for a turn in the line that is over. */
import { runDurableObjectAlarm } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import { hostLimitStub } from '../support/host-limit.ts';
import { Bench, lost, ok } from '../support/store-bench.ts';

/** Hundreds of deliveries that are due at once, of which the first ones were sent. */
async function dueAtOnce() {
  const bench = new Bench({ endpoint: 'https://silent.example/' });
  await bench.held(300);
  bench.clock.advance(1);
  await runDurableObjectAlarm(bench.store);
  const sent = [...(await bench.tokens()).keys()];
  expect(sent).toHaveLength(5);
  return { bench, sent };
}

describe('a host that begins to answer', () => {
  it('the store asks the host for places again within a second of the first success', async () => {
    const { bench, sent } = await dueAtOnce();
    await bench.attempt(sent, ok);
    const consumer = {
      id: 'consumer',
      want: 0,
      left: 0,
      succeeded: sent.length,
      failedStarts: [],
      leaseMs: 1,
    };
    await hostLimitStub(bench.ref.customerId, bench.ref.endpoint).visit(consumer);
    expect(await bench.alarm()).toBeLessThanOrEqual(bench.clock.now() + 1000);
    bench.clock.advance(1000);
    await runDurableObjectAlarm(bench.store);
    expect((await bench.tokens()).size).toBeGreaterThanOrEqual(5);
  });

  it('a host that goes on failing is asked when its turn comes', async () => {
    const { bench, sent } = await dueAtOnce();
    const turn = (await bench.alarm()) ?? 0;
    await bench.attempt(sent.slice(0, 2), lost);
    expect(await bench.alarm()).toBeGreaterThan(bench.clock.now() + 1000);
    expect(turn).toBeGreaterThan(bench.clock.now() + 1000);
  });
});
