/** Several queries in one round trip to D1. */
import { env } from 'cloudflare:workers';
import { eq } from 'drizzle-orm';
import { describe, expect, it } from 'vitest';
import { credentialQuery } from '../../src/storage/clients.ts';
import { openDatabase, readTogether } from '../../src/storage/database.ts';
import { clientSecrets, customers } from '../../src/storage/schema.ts';
import { currentKeysQuery } from '../../src/storage/signing-keys.ts';
import { filterSumsQuery, subscriptionQuery, titleQuery } from '../../src/storage/subscriptions.ts';
import { newCustomer, newSubscription } from '../support/world.ts';

const db = openDatabase(env.DB);

describe('queries that are sent together', () => {
  it('each query of a batch has the answer that it has alone', async () => {
    const customer = await newCustomer();
    const { id } = await newSubscription(customer, { title: 'a title' });
    const ofCustomer = eq(clientSecrets.customerId, customer.id);
    await db.update(clientSecrets).set({ expiresAt: 9_000_000_000_000 }).where(ofCustomer);
    const [secret] = await db.select().from(clientSecrets).where(ofCustomer);
    const queries = {
      credential: credentialQuery(db, secret?.id ?? ''),
      subscription: subscriptionQuery(db, customer.id, id),
      title: titleQuery(db, customer.id, 'a title'),
      sums: filterSumsQuery(db, customer.id, id),
      key: currentKeysQuery(db, customer.id),
    };
    const together = await readTogether(db, queries);
    for (const [name, query] of Object.entries(queries)) {
      const alone = await query;
      expect(alone).toHaveLength(1);
      expect(together[name as keyof typeof queries], name).toEqual(alone);
    }
  });

  it('a query that is left out has no answer, and without any query nothing is sent', async () => {
    const found = db.select().from(customers).where(eq(customers.id, 'nobody'));
    expect(await readTogether(db, { one: undefined, other: found })).toEqual({ other: [] });
    const nowhere = openDatabase({} as D1Database);
    expect(await readTogether(nowhere, { one: undefined })).toEqual({});
  });
});
