/** The rows of the audit trail in D1: written with their change or not at all, bounded, kept for 90 days, blanked after an erasure. */
import { env } from 'cloudflare:workers';
import { beforeEach, describe, expect, it } from 'vitest';
import type { AuditEntry, AuditRow } from '../../src/domain/audit.ts';
import { DAY_MS, HOUR_MS } from '../../src/domain/limits.ts';
import { newAuditRow } from '../../src/operations/audit-trail.ts';
import { blankErasedAudit, deleteOldAudit, writeAudit, writeAuditRows } from '../../src/storage/audit.ts';
import { deleteClient, insertClient, rotateSecret } from '../../src/storage/clients.ts';
import { deleteCustomer, insertCustomer } from '../../src/storage/customers.ts';
import { openDatabase } from '../../src/storage/database.ts';
import { dropDeadLetter, insertDeadLetters } from '../../src/storage/dead-letters.ts';
import {
  addEdDsaKeys,
  findKeyRing,
  replaceSealed,
  retireEdDsaKeys,
  rotateKeys,
} from '../../src/storage/signing-keys.ts';
import { deleteSubscription } from '../../src/storage/subscriptions.ts';
import { flushTrail } from '../support/audit.ts';
import { runCron } from '../support/cron.ts';
import { newCustomer, newSubscription, type TestCustomer } from '../support/world.ts';

const db = openDatabase(env.DB);

beforeEach(async () => {
  await flushTrail();
  await env.DB.prepare('DELETE FROM audit').run();
});

function row(entry: Partial<AuditEntry> = {}, at = Date.now()): AuditRow {
  return newAuditRow({ event: 'client-created', actor: 'operator', outcome: 'done', ...entry }, at);
}

/** A row that D1 refuses. */
const bad = (entry: Partial<AuditEntry> = {}) => ({ ...row(entry), count: 0 });

interface Stored {
  readonly id: string;
  readonly customer_id: string | null;
  readonly address: string | null;
  readonly caller_request_id: string | null;
}

async function stored(): Promise<Stored[]> {
  return (await env.DB.prepare('SELECT * FROM audit ORDER BY id').all<Stored>()).results;
}

/** What D1 has of a customer, besides the trail. */
async function configuration({ id }: TestCustomer): Promise<string> {
  const tables = ['clients', 'client_secrets', 'signing_keys', 'subscriptions', 'dead_letters'];
  const queries = tables.map((table) =>
    env.DB.prepare(`SELECT * FROM ${table} WHERE customer_id = ?`).bind(id),
  );
  const customer = env.DB.prepare('SELECT * FROM customers WHERE id = ?').bind(id);
  return JSON.stringify((await env.DB.batch([customer, ...queries])).map(({ results }) => results));
}

const NO_CUSTOMER = '0b8f2a52-6a0c-4b7e-9d6e-0f3d8a6b1c47';
const secret = () => ({ id: crypto.randomUUID(), secretHash: 'a'.repeat(64) });

const RS256_AGAIN = 'letting RS256 sign again';

/** Every change that has a row: for the customer, with the row. */
const CHANGES: Record<string, (customer: TestCustomer, audit: AuditRow) => Promise<unknown>> = {
  'making a customer': async (_, audit) =>
    await insertCustomer(db, { id: NO_CUSTOMER, name: 'n', createdAt: 1 }, [aKey(NO_CUSTOMER)], audit),
  'erasing a customer': ({ id }, audit) => deleteCustomer(db, id, 1, audit),
  'making a client': ({ id }, audit) =>
    insertClient(
      db,
      { customerId: id, clientId: 'c2', name: 'n', scope: 's', createdAt: 1 },
      secret(),
      9,
      audit,
    ),
  'deleting a client': ({ id, clientId }, audit) => deleteClient(db, id, clientId, audit),
  'rotating a secret': ({ id, clientId }, audit) => rotateSecret(db, id, clientId, secret(), 5, 5, 9, audit),
  'rotating signing keys': async ({ id }, audit) => {
    const ring = (await findKeyRing(db, id)) ?? { current: '' };
    return await rotateKeys(db, id, ring, {}, Date.now(), audit);
  },
  'letting EdDSA sign': ({ id }, audit) => addEdDsaKeys(db, id, eddsaKeysOf(id), audit),
  [RS256_AGAIN]: ({ id }, audit) => retireEdDsaKeys(db, id, Date.now(), audit),
  'resealing a signing key': async ({ id }, audit) => {
    const found = await env.DB.prepare(
      'SELECT kid, sealed_private_key AS sealed FROM signing_keys WHERE customer_id = ?',
    )
      .bind(id)
      .first<{ kid: string; sealed: string }>();
    const key = { customerId: id, kid: found?.kid ?? '', sealedPrivateKey: found?.sealed ?? '' };
    return await replaceSealed(db, [{ key, resealed: 'another text' }], audit);
  },
  'dropping a dead letter': async ({ id }, audit) => {
    const letter = (await env.DB.prepare('SELECT id FROM dead_letters WHERE customer_id = ?')
      .bind(id)
      .first()) as {
      id: string;
    };
    return await dropDeadLetter(db, letter.id, audit);
  },
  'deleting a subscription': async ({ id }, audit) => {
    const one = (await env.DB.prepare('SELECT id FROM subscriptions WHERE customer_id = ?')
      .bind(id)
      .first()) as {
      id: string;
    };
    return await deleteSubscription(db, id, one.id, 1, audit);
  },
};

function aKey(customerId: string) {
  const kid = crypto.randomUUID().replaceAll('-', '').padEnd(40, '0');
  return {
    kid,
    customerId,
    algorithm: 'RS256' as const,
    role: 'current' as const,
    publicJwk: { kty: 'RSA' },
    sealedPrivateKey: 's',
    createdAt: 1,
    currentSince: Date.now(),
  };
}

function eddsaKeysOf(customerId: string) {
  const algorithm = 'EdDSA' as const;
  return {
    current: { ...aKey(customerId), algorithm },
    next: { ...aKey(customerId), algorithm, role: 'next' as const, currentSince: null },
  };
}

async function newWorld(change?: string): Promise<TestCustomer> {
  await env.DB.prepare('DELETE FROM customers WHERE id = ?').bind(NO_CUSTOMER).run();
  const customer = await newCustomer();
  await newSubscription(customer);
  if (change === RS256_AGAIN) await addEdDsaKeys(db, customer.id, eddsaKeysOf(customer.id), row());
  const letter = {
    id: crypto.randomUUID(),
    queue: 'q',
    reason: 'r',
    body: '{}',
    acceptedAt: 1,
    createdAt: Date.now(),
  };
  await insertDeadLetters(db, [{ ...letter, customerId: customer.id, refused: true }]);
  await flushTrail();
  await env.DB.prepare('DELETE FROM audit').run();
  return customer;
}

describe('a change and its row', () => {
  it.each(Object.entries(CHANGES))('%s writes its row with the change', async (name, change) => {
    const customer = await newWorld(name);
    const audit = row({ customerId: customer.id });
    const before = await configuration(customer);
    await change(customer, audit);
    expect((await stored()).map(({ id }) => id)).toEqual([audit.id]);
    if (change !== CHANGES['making a customer']) expect(await configuration(customer)).not.toBe(before);
  });

  it.each(Object.entries(CHANGES))('%s changes nothing when its row is refused', async (name, change) => {
    const customer = await newWorld(name);
    const before = await configuration(customer);
    await expect(change(customer, bad({ customerId: customer.id }))).rejects.toThrow();
    expect(await configuration(customer)).toBe(before);
    expect(await stored()).toEqual([]);
    expect(await env.DB.prepare('SELECT 1 FROM customers WHERE id = ?').bind(NO_CUSTOMER).first()).toBeNull();
  });

  it('a change that is refused or finds nothing writes no row', async () => {
    const { id, clientId } = await newWorld();
    const ring = { current: 'f'.repeat(40) };
    const results = [
      await insertCustomer(db, { id, name: 'n', createdAt: 1 }, [aKey(id)], row()),
      await deleteCustomer(db, NO_CUSTOMER, 1, row()),
      await insertClient(
        db,
        { customerId: id, clientId, name: 'n', scope: 's', createdAt: 1 },
        secret(),
        9,
        row(),
      ),
      await insertClient(
        db,
        { customerId: id, clientId: 'c2', name: 'n', scope: 's', createdAt: 1 },
        secret(),
        1,
        row(),
      ),
      await deleteClient(db, id, 'unknown', row()),
      await rotateSecret(db, id, clientId, secret(), 5, 6, 1, row()),
      await rotateSecret(db, id, 'unknown', secret(), 5, 6, 9, row()),
      await rotateKeys(db, id, ring, {}, 5, row()),
      await rotateKeys(db, NO_CUSTOMER, { ...ring, reserve: 'e'.repeat(40) }, {}, 5, row()),
      await addEdDsaKeys(db, NO_CUSTOMER, eddsaKeysOf(NO_CUSTOMER), row()),
      await retireEdDsaKeys(db, id, 5, row()),
      await dropDeadLetter(db, NO_CUSTOMER, row()),
      await deleteSubscription(db, id, NO_CUSTOMER, 1, row()),
    ];
    expect(results).toEqual([
      'exists',
      false,
      'duplicate',
      'too many',
      false,
      'too many',
      'no client',
      false,
      false,
      false,
      false,
      false,
      undefined,
    ]);
    expect(await stored()).toEqual([]);
  });

  it('rows that are written twice are stored once', async () => {
    const rows = [row(), row({ event: 'token-issued', actor: 'client', customerId: NO_CUSTOMER })];
    await writeAuditRows(db, rows, Date.now());
    await writeAuditRows(db, rows, Date.now());
    expect((await stored()).map(({ id }) => id).sort()).toEqual(rows.map(({ id }) => id).sort());
  });
});

describe('the cost of an entry', () => {
  it('an entry about tokens costs four rows written, however many tokens it stands for', async () => {
    const entry = {
      event: 'token-issued',
      actor: 'client',
      outcome: 'done',
      customerId: NO_CUSTOMER,
    } as const;
    const { environment, written } = countingRowsWritten();
    await writeAuditRows(openDatabase(environment.DB), [newAuditRow(entry, Date.now(), 5000)], Date.now());
    expect(written()).toBe(4);
  });
});

/** The environment of the tests with a D1 that counts the rows that its batches write. */
function countingRowsWritten() {
  let written = 0;
  const DB = new Proxy(env.DB, {
    get(target, name) {
      if (name !== 'batch') return (Reflect.get(target, name) as () => unknown).bind(target);
      return async (statements: D1PreparedStatement[]) => {
        const results = await target.batch(statements);
        for (const { meta } of results) written += meta.rows_written;
        return results;
      };
    },
  });
  return { environment: { ...env, DB }, written: () => written };
}

describe('the bounds of the trail', () => {
  const refusal = (customerId: string | undefined, at: number) =>
    row({ event: 'token-refused', actor: 'stranger', outcome: 'not judged', customerId }, at);
  const many = (count: number, customerId: () => string | undefined, at: number) =>
    Array.from({ length: count }, () => refusal(customerId(), at));

  it('an hour has at most 20 refusals of one customer, and others still have theirs', async () => {
    const now = Date.now();
    await writeAuditRows(
      db,
      many(150, () => NO_CUSTOMER, now),
      now,
    );
    expect(await stored()).toHaveLength(20);
    await writeAuditRows(db, [refusal(crypto.randomUUID(), now)], now);
    expect(await stored()).toHaveLength(21);
    const later = now + HOUR_MS + 1;
    await writeAuditRows(db, [refusal(NO_CUSTOMER, later)], later);
    expect(await stored()).toHaveLength(22);
  });

  it('an hour has at most 100 refusals without a customer, and they do not displace those of customers', async () => {
    const now = Date.now();
    for (let batch = 0; batch < 10; batch++) {
      await writeAuditRows(
        db,
        many(60, () => undefined, now),
        now,
      );
    }
    expect(await stored()).toHaveLength(100);
    const rows = [...many(60, () => undefined, now), refusal(NO_CUSTOMER, now)];
    await writeAuditRows(db, rows, now);
    expect((await stored()).filter((one) => one.customer_id === NO_CUSTOMER)).toHaveLength(1);
  });

  it('fifty customers with all refusals that they may have leave room for another one', async () => {
    const now = Date.now();
    for (let nth = 0; nth < 50; nth++) {
      const customerId = crypto.randomUUID();
      await writeAuditRows(
        db,
        many(40, () => customerId, now),
        now,
      );
    }
    expect(await stored()).toHaveLength(1000);
    await writeAuditRows(db, [refusal(NO_CUSTOMER, now)], now);
    expect((await stored()).filter((one) => one.customer_id === NO_CUSTOMER)).toHaveLength(1);
  });

  it('the last room of an hour is for a refusal that names a customer', async () => {
    const now = Date.now();
    await writeAuditRows(
      db,
      many(1499, () => crypto.randomUUID(), now),
      now,
    );
    await writeAuditRows(db, [refusal(undefined, now), refusal(NO_CUSTOMER, now)], now);
    expect(await stored()).toHaveLength(1500);
    expect((await stored()).filter((one) => one.customer_id === NO_CUSTOMER)).toHaveLength(1);
  });

  it('refusals of an hour ago take no room of this hour', async () => {
    const now = Date.now();
    const past = now - HOUR_MS - 60_000;
    for (let batch = 0; batch < 15; batch++) {
      await writeAuditRows(
        db,
        many(100, () => crypto.randomUUID(), past),
        past,
      );
    }
    expect(await stored()).toHaveLength(1500);
    await writeAuditRows(db, [refusal(undefined, now), refusal(NO_CUSTOMER, now)], now);
    expect(await stored()).toHaveLength(1502);
  });

  it('an hour has at most 1,500 refusals in all, and they do not displace other events', async () => {
    const now = Date.now();
    for (let batch = 0; batch < 16; batch++) {
      await writeAuditRows(
        db,
        many(100, () => crypto.randomUUID(), now),
        now,
      );
    }
    await writeAuditRows(db, [refusal(undefined, now)], now);
    expect(await stored()).toHaveLength(1500);
    await writeAuditRows(db, [row({ event: 'token-issued', actor: 'client' }, now)], now);
    await writeAudit(db, row({}, now));
    expect(await stored()).toHaveLength(1502);
  });
});

describe('the maintenance of the trail', () => {
  it('rows are deleted after 90 days, and younger ones stay', async () => {
    const now = Date.now();
    await writeAudit(db, row({}, now - 90 * DAY_MS - 1));
    const young = [row({}, now - 90 * DAY_MS), row({}, now)];
    for (const one of young) await writeAudit(db, one);
    await runCron(env, now);
    expect((await stored()).map(({ id }) => id)).toEqual(young.map(({ id }) => id));
  });

  it('one run deletes at most 10,000 old rows, the oldest first, and the next run deletes the others', async () => {
    await env.DB.prepare(
      `INSERT INTO audit SELECT printf('00000000-%04x-7000-8000-000000000000', n), n, 'client-created', 'operator',
          NULL, NULL, NULL, NULL, NULL, NULL, 'done', 1
        FROM (WITH RECURSIVE count(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM count WHERE n < 10099) SELECT n FROM count)`,
    ).run();
    await deleteOldAudit(db, Date.now());
    expect((await stored()).map(({ id }) => id.slice(9, 13))[0]).toBe((10_000).toString(16));
    await deleteOldAudit(db, Date.now());
    expect(await stored()).toEqual([]);
  });

  it('the trail of an erased customer keeps ids and events, but no address and no text of its callers', async () => {
    const [erased, other] = [await newCustomer(), await newCustomer()];
    await flushTrail();
    await env.DB.prepare('DELETE FROM audit').run();
    const now = Date.now();
    const left = { address: '198.51.100.1', callerRequestId: 'from-them', requestId: 'ours' };
    for (const { id } of [erased, other]) {
      await writeAudit(
        db,
        row({ event: 'token-issued', actor: 'client', customerId: id, ...left }, now - DAY_MS),
      );
      await writeAudit(db, row({ event: 'token-refused', actor: 'stranger', customerId: id, ...left }, now));
    }
    await deleteCustomer(
      db,
      erased.id,
      now,
      row({ event: 'customer-erased', customerId: erased.id, ...left }, now),
    );
    await runCron(env, now);
    const rowsOf = async (id: string) => (await stored()).filter((one) => one.customer_id === id);
    const kept = (await rowsOf(erased.id)).map((one) => [one.address, one.caller_request_id]);
    const ofTheOperator = [left.address, left.callerRequestId];
    expect(kept).toHaveLength(3);
    expect(kept.filter(([address]) => address !== null)).toEqual([ofTheOperator]);
    expect(kept.filter(([, callerRequestId]) => callerRequestId !== null)).toEqual([ofTheOperator]);
    expect((await rowsOf(other.id)).map(({ address }) => address)).toEqual([left.address, left.address]);
    await writeAudit(
      db,
      row({ event: 'token-issued', actor: 'client', customerId: erased.id, ...left }, now),
    );
    await blankErasedAudit(db, now + 1000);
    expect((await rowsOf(erased.id)).filter(({ address }) => address !== null)).toHaveLength(1);
  });

  it('the trail of an erased customer is blanked although a new customer has taken its id before the cron came', async () => {
    const customer = await newCustomer();
    await flushTrail();
    await env.DB.prepare('DELETE FROM audit').run();
    const now = Date.now();
    const left = { address: '198.51.100.1', callerRequestId: 'from-them', requestId: 'ours' };
    await writeAudit(
      db,
      row({ event: 'token-issued', actor: 'client', customerId: customer.id, ...left }, now - DAY_MS),
    );
    await deleteCustomer(
      db,
      customer.id,
      now,
      row({ event: 'customer-erased', customerId: customer.id }, now),
    );
    await env.DB.prepare('INSERT INTO customers (id, name, created_at) VALUES (?, ?, ?)')
      .bind(customer.id, 'Next', now + 61_000)
      .run();
    await writeAudit(
      db,
      row({ event: 'token-issued', actor: 'client', customerId: customer.id, ...left }, now + 62_000),
    );
    await blankErasedAudit(db, now + 120_000);
    const addresses = (await stored()).map(({ address }) => address);
    // Of the old customer, of the erasure, and of the new customer.
    expect(addresses).toEqual([null, null, left.address]);
  });
});
