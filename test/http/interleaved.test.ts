/** Calls that meet another call half-way: the second one must not decide by what the first one has changed. */
import { env } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import type { SubscriptionRef } from '../../src/domain/subscription.ts';
import { changeSubscription } from '../../src/operations/change-subscription.ts';
import { openDatabase } from '../../src/storage/database.ts';
import { findSubscription } from '../../src/storage/subscriptions.ts';
import { newCustomer, newSubscription } from '../support/world.ts';

const config = { verifyEndpoints: false };
const signer = { take: async () => undefined, sign: async () => '' };
const unused = {
  settle: async () => {
    throw new Error('not asked');
  },
  read: async () => undefined,
};

describe('a PATCH that meets another PATCH', () => {
  it.each([
    ['endpoint', { endpoint: 'http://127.0.0.1:9/other' }],
    ['enabled', { enabled: false }],
  ])(
    'a change of %s reaches the event store though another call changed it meanwhile',
    async (_, meanwhile) => {
      const customer = await newCustomer();
      const { id, listener } = await newSubscription(customer);
      const db = openDatabase(env.DB);
      const before = await findSubscription(db, customer.id, id);
      if (before === undefined) throw new Error('the subscription is gone');
      // The body of the first call is still arriving while the second call is answered.
      expect((await customer.call('PATCH', `/subscriptions/${id}`, meanwhile)).status).toBe(200);
      const adopted: SubscriptionRef[] = [];
      const eventStore = () => ({
        adopt: async (ref: SubscriptionRef) => {
          adopted.push(ref);
          return undefined;
        },
        ...unused,
      });
      const change = { endpoint: listener.endpoint, enabled: true };
      await changeSubscription({ config, db, signer, eventStore }, before, change, Date.now());
      expect(adopted).toMatchObject([{ version: 3, ...change }]);
    },
  );

  it('a change that alters neither endpoint nor enabled is not passed to the event store', async () => {
    const customer = await newCustomer();
    const { id } = await newSubscription(customer);
    const db = openDatabase(env.DB);
    const before = await findSubscription(db, customer.id, id);
    if (before === undefined) throw new Error('the subscription is gone');
    let adoptions = 0;
    const eventStore = () => ({
      adopt: async () => {
        adoptions++;
        return undefined;
      },
      ...unused,
    });
    const title = `renamed ${id}`;
    const needs = { config, db, signer, eventStore };
    const { result } = await changeSubscription(needs, before, { title }, Date.now());
    expect({ result, adoptions }).toEqual({ result: 'updated', adoptions: 0 });
  });
});
