/** Times that were stored before times were checked: every list answers all the same. */
import { runDurableObjectAlarm } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import { newEventIds } from '../../src/domain/ids.ts';
import { ok } from '../support/delivery-fixtures.ts';
import { eventStoreStub } from '../support/event-store.ts';
import { refTo, reportOf } from '../support/reports.ts';
import { newCustomer, newSubscription } from '../support/world.ts';

describe('an event whose stored times are beyond all dates', () => {
  it('the lists, the event, its history, the summary and exports show the last moment there is', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer);
    const endpoint = 'https://listener.example/';
    const ref = refTo(subscription);
    const ids = newEventIds(Date.now(), 2, crypto.getRandomValues(new Uint8Array(16)));
    const facts = (eventId = '') => ({ eventId, acceptedAt: 9e15, endpoint, set: 'header.claims.signature' });
    const moved = { kind: 'http_error', response: { statusCode: 301, headers: {} } } as const;
    const resultOf = (outcome: typeof ok | typeof moved) => ({
      attempt: 1,
      startedAt: Date.now(),
      durationMs: 1,
      outcome,
    });
    await eventStoreStub(subscription.id).settle(ref, [
      reportOf({ ...facts(ids[0]), result: resultOf(ok) }),
      reportOf({ ...facts(ids[1]), result: resultOf(moved) }),
    ]);
    const path = `/subscriptions/${subscription.id}`;
    const events = await customer.call('GET', `${path}/events`);
    expect(events.status).toBe(200);
    expect(events.body._embedded.events.map((event: { createdAt: string }) => event.createdAt)).toEqual(
      ids.map(() => '9999-12-31T23:59:59.999Z'),
    );
    for (const id of ids)
      for (const part of ['', '/history'])
        expect((await customer.call('GET', `${path}/events/${id}${part}`)).status).toBe(200);
    expect((await customer.call('GET', `${path}/summary`)).status).toBe(200);
    expect((await customer.call('POST', `${path}/exports`)).status).toBe(202);
    await runDurableObjectAlarm(eventStoreStub(subscription.id));
    const exported = (await customer.call('GET', `${path}/exports`)).body._embedded.exports[0];
    expect(exported.state).toBe('completed');
    expect((await customer.call('POST', `${path}/redeliveries`)).status).toBe(202);
    expect((await customer.call('GET', `${path}/redeliveries`)).status).toBe(200);
  });
});
