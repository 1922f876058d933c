import { runInDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import { createAddressCheck } from '../../src/outbound/address-check.ts';
import type { Lookup } from '../../src/outbound/dns-over-https.ts';
import { eventStoreStub } from '../support/event-store.ts';
import { until } from '../support/until.ts';
import { TestListener } from '../support/world.ts';

describe('a look-up that two invocations share', () => {
  it('an invocation gets the answer of a look-up that another invocation began', async () => {
    const listener = new TestListener();
    await listener.script({ manner: 'hang' }, {});
    let asked = 0;
    const check = createAddressCheck(async (): Promise<Lookup> => {
      asked++;
      // A real request: it belongs to the invocation that makes it.
      await (await fetch(listener.endpoint, { method: 'POST', body: '{}' })).text();
      return { kind: 'addresses', addresses: ['8.8.8.8'] };
    });
    // Objects stand for invocations: each has its own requests and timers.
    const inAnInvocation = () =>
      runInDurableObject(eventStoreStub(crypto.randomUUID()), () => check('listener.example.com'));
    const first = inAnInvocation();
    await until(async () => (await listener.calls()).length === 1, 'the first look-up');
    const second = inAnInvocation();
    await listener.release();
    expect((await first).kind).toBe('public');
    expect((await second).kind).toBe('public');
    expect(asked).toBe(2);
  });
});
