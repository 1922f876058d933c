/** Tokens of packed events are stored without their signatures; what is shown is what was sent all the same. */
import { env } from 'cloudflare:workers';
import { describe, expect, it, vi } from 'vitest';
import { readConfig } from '../../src/config.ts';
import { withSignatures } from '../../src/delivery/sign-again.ts';
import { openDatabase } from '../../src/storage/database.ts';
import { aSet, awaitingRetry } from '../support/delivery-fixtures.ts';
import { anEvent, asOperator, call, consumeBatch, newCustomer, newSubscription } from '../support/world.ts';

const kidOf = (set: string) => (JSON.parse(atob(set.split('.')[0] ?? '')) as { kid: string }).kid;

describe('the payload of an event', () => {
  it('is the token as it was sent, byte for byte, by whichever of all keys it was signed', async () => {
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

  it('has an empty signature when its key is gone, and the log says so', async () => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => undefined);
    const set = aSet('event', 'a key that nobody has').replace(/[^.]*$/, '');
    const deliveries = [{ ...awaitingRetry(), set }, awaitingRetry()];
    expect(await withSignatures(readConfig(env), openDatabase(env.DB), deliveries)).toEqual(deliveries);
    expect(warn.mock.calls.flat().join()).toContain('a key that nobody has');
    warn.mockRestore();
  });
});
