/** Tokens of packed events are stored without signatures. The API still shows each token exactly as it was sent. */
import { env } from 'cloudflare:workers';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { newEventIds } from '../../src/domain/ids.ts';
import { keyIdOf } from '../../src/domain/security-event-token.ts';
import { withSignatures } from '../../src/operations/show-deliveries.ts';
import { createAddressCheck } from '../../src/outbound/address-check.ts';
import { createServices } from '../../src/services.ts';
import { aSet, awaitingRetry, ok } from '../support/delivery-fixtures.ts';
import { reportOf } from '../support/reports.ts';
import {
  anEvent,
  asOperator,
  call,
  consumeBatch,
  newCustomer,
  newSubscription,
  storeOf,
} from '../support/world.ts';

const kidOf = (set: string) => (JSON.parse(atob(set.split('.')[0] ?? '')) as { kid: string }).kid;

describe('the payload of an event', () => {
  it('the payload of an event is the token as it was sent, whichever key signed it', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer);
    const rounds = 5;
    for (let round = 0; round < rounds; round++) {
      const attributes = round % 2 === 0 ? undefined : ['namé.ünï', '"quoted\\"', '\u2028', '😀'];
      const event = attributes === undefined ? anEvent() : anEvent({ type: 'entityUpdated', attributes });
      await consumeBatch('events', [{ body: { ...event, customerId: customer.id } }]);
      await asOperator('POST', `/customers/${customer.id}/signing-keys/rotate`);
    }
    const sent = (await subscription.listener.calls()).map(({ body }) => body);
    expect(sent).toHaveLength(rounds);
    const { body: jwks } = await call('GET', `/${customer.id}/login/jwk`);
    expect(new Set(sent.map(kidOf)).size).toBe(rounds);
    expect(jwks.keys.map(({ kid }: { kid: string }) => kid)).toEqual(expect.arrayContaining(sent.map(kidOf)));

    const listed = await subscription.events();
    const payloads = listed.map(({ request }) => request.payload as string);
    expect(payloads.toSorted()).toEqual(sent.toSorted());
    for (const { id, request } of listed) {
      expect(await subscription.event(id)).toMatchObject({ request });
      expect(request.headers['Content-Length']).toBe(String(request.payload.length));
    }
  });

  it('a page of events that takes too long to sign ends early, with a next link', async () => {
    const subscription = await newSubscription(await newCustomer());
    const now = Date.now();
    const ids = newEventIds(now, 900, crypto.getRandomValues(new Uint8Array(16)));
    const { endpoint } = subscription.listener;
    const result = { attempt: 1, startedAt: now, durationMs: 1, outcome: ok };
    await storeOf(subscription).settle(
      {
        customerId: subscription.customer.id,
        subscriptionId: subscription.id,
        version: 1,
        enabled: true,
        endpoint,
      },
      ids.map((eventId) => reportOf({ eventId, acceptedAt: now, endpoint, set: aSet(eventId), result })),
    );
    vi.spyOn(console, 'warn').mockImplementation(() => undefined);
    // Each reading of the clock is five seconds later than the one before.
    let readings = 0;
    const clock = vi.spyOn(Date, 'now').mockImplementation(() => now + 5000 * readings++);
    const pages: string[][] = [];
    for (let path: string | undefined = `/subscriptions/${subscription.id}/events`; path !== undefined; ) {
      readings = 0;
      const { body } = await subscription.customer.call('GET', path);
      expect(body.total).toBe(ids.length);
      pages.push(body._embedded.events.map(({ id }: { id: string }) => id));
      const next = body._links.next?.href as string | undefined;
      path = next?.slice(next.indexOf('/subscriptions'));
    }
    clock.mockRestore();
    expect(pages.length).toBeGreaterThan(1);
    expect(pages.flat()).toEqual(ids);
    vi.restoreAllMocks();
  });

  it('a payload has an empty signature when its key is gone, and the log says so', async () => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => undefined);
    const set = aSet('event', 'a key that nobody has').replace(/[^.]*$/, '');
    const deliveries = [{ ...awaitingRetry(), set }, awaitingRetry()];
    const { signer } = createServices(env, createAddressCheck());
    expect(await withSignatures(signer, deliveries)).toEqual(deliveries);
    expect(warn.mock.calls.flat().join()).toContain('a key that nobody has');
    warn.mockRestore();
  });

  it('the log names only the keys that are missing, not those that signed again', async () => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => undefined);
    onTestFinished(() => warn.mockRestore());
    const unsigned = (kid: string) => ({ ...awaitingRetry(), set: aSet('event', kid).replace(/[^.]*$/, '') });
    const signer = {
      open: async () => undefined,
      signAgain: async (set: string) => (keyIdOf(set) === 'good' ? `${set}signature` : set),
    };
    const shown = await withSignatures(signer, [unsigned('good'), unsigned('gone')]);
    expect(shown.map(({ set }) => set.endsWith('.'))).toEqual([false, true]);
    expect(warn.mock.calls.map(([line]) => JSON.parse(String(line)))).toMatchObject([
      { events: 1, kids: 'gone' },
    ]);
  });
});
