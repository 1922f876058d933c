/**
 * Subscriptions as the event path reads them: those of all customers of a batch at once, each with its customer, without what
 * only the API shows. Filters are read apart, because an isolate keeps most of them compiled.
 */
import { and, eq, isNull, lte, ne, or, type Placeholder, type SQL, sql } from 'drizzle-orm';
import type { ShownState } from '../domain/proof.ts';
import type { SigningKeyName } from '../domain/signing-algorithm.ts';
import type { Recipient } from '../domain/subscription.ts';
import { type Database, preparedOnce } from './database.ts';
import { customers, shownState, signingKeys, subscriptions } from './schema.ts';
import { eddsaKeys, isCurrentEdDsa, signingKeyOf } from './signing-keys.ts';

const living = isNull(subscriptions.deletedAt);

/** The columns that the event path reads. */
const recipient = {
  id: subscriptions.id,
  customerId: subscriptions.customerId,
  endpoint: subscriptions.endpoint,
  events: subscriptions.events,
  enabled: subscriptions.enabled,
  filterSteps: subscriptions.filterSteps,
  health: shownState,
  healthSince: subscriptions.healthSince,
  proof: subscriptions.proof,
  shards: subscriptions.shards,
  storeTenths: subscriptions.storeTenths,
  version: subscriptions.version,
};

function isOneOf(ids: readonly string[]): SQL {
  return sql`${subscriptions.id} IN (SELECT value FROM json_each(${JSON.stringify(ids)}))`;
}

/** What the event path must know of a customer: its subscriptions, and which key signs. */
export interface Audience {
  readonly customerId: string;
  /** The key that signs. */
  readonly key: SigningKeyName;
  readonly subscriptions: readonly Recipient[];
}

/** An audience as D1 has it. */
export interface ReadAudience extends Audience {
  /** Another text after each change of the subscriptions. */
  readonly revision: string;
}

/** An audience whose subscriptions are those of the revision that the caller knows. */
export type KnownAudience = Omit<ReadAudience, 'subscriptions'> & { readonly isUnchanged: true };

/** Consumers ask this for nearly every batch, and to build it takes as long as half of their other work on a batch of one event. */
const askAudiences = preparedOnce((db) => {
  const isKnown = sql`EXISTS (SELECT 1 FROM json_each(${sql.placeholder('known')}) AS known
    WHERE known.key = ${customers.id} AND known.value = ${customers.audience})`;
  // With a null in place of the customer, the index has no row to read.
  const which = sql`${subscriptions.customerId} = CASE WHEN ${isKnown} THEN NULL ELSE ${customers.id} END`;
  return selectAudiences(db, sql.placeholder('customerIds'), which).prepare();
});

/**
 * The audiences of all customers of a batch at `now` (ms), in one query.
 * @param known the revisions that the caller has: their subscriptions need not be read
 * @returns by customer id; customers that do not exist are missing
 */
export async function findAudiences(
  db: Database,
  customerIds: readonly string[],
  known: ReadonlyMap<string, string>,
  now: number,
): Promise<Map<string, ReadAudience | KnownAudience>> {
  const rows = await askAudiences(db).all({
    customerIds: JSON.stringify(customerIds),
    known: JSON.stringify(Object.fromEntries(known)),
  });
  return new Map(
    [...audiencesOf(rows, now)].map(([customerId, audience]): [string, ReadAudience | KnownAudience] => {
      if (known.get(customerId) !== audience.revision) return [customerId, audience];
      const { key, revision } = audience;
      return [customerId, { customerId, key, revision, isUnchanged: true }];
    }),
  );
}

/** The same for some subscriptions of the customers alone: slices name theirs. */
export async function findAudiencesOf(
  db: Database,
  customerIds: readonly string[],
  subscriptionIds: readonly string[],
  now: number,
): Promise<Map<string, Audience>> {
  const ofCustomer = eq(subscriptions.customerId, customers.id);
  const rows = await selectAudiences(
    db,
    JSON.stringify(customerIds),
    and(ofCustomer, isOneOf(subscriptionIds)),
  );
  return audiencesOf(rows, now);
}

/** @param customerIds as JSON */
function selectAudiences(db: Database, customerIds: string | Placeholder, which: SQL | undefined) {
  return db
    .select({
      customerId: customers.id,
      kid: signingKeys.kid,
      eddsaKid: eddsaKeys.kid,
      eddsaSince: eddsaKeys.currentSince,
      revision: customers.audience,
      subscription: recipient,
    })
    .from(customers)
    .innerJoin(signingKeys, and(eq(signingKeys.customerId, customers.id), eq(signingKeys.role, 'current')))
    .leftJoin(eddsaKeys, isCurrentEdDsa(sql`${customers.id}`))
    .leftJoin(subscriptions, and(which, living))
    .where(sql`${customers.id} IN (SELECT value FROM json_each(${customerIds}))`);
}

function audiencesOf(
  rows: Awaited<ReturnType<typeof selectAudiences>>,
  now: number,
): Map<string, ReadAudience> {
  const audiences = new Map<string, ReadAudience & { subscriptions: Recipient[] }>();
  for (const { customerId, revision, subscription, ...keys } of rows) {
    let audience = audiences.get(customerId);
    if (audience === undefined) {
      audience = { customerId, key: signingKeyOf(keys, now), revision, subscriptions: [] };
      audiences.set(customerId, audience);
    }
    if (subscription !== null) audience.subscriptions.push(subscription);
  }
  return audiences;
}

/** Filters by subscription id, in one query; subscriptions without one are missing. */
export async function findFilters(db: Database, ids: readonly string[]) {
  const rows = await db
    .select({ id: subscriptions.id, version: subscriptions.version, filter: subscriptions.filter })
    .from(subscriptions)
    .where(isOneOf(ids));
  return new Map(
    rows.flatMap(({ id, version, filter }) => (filter === null ? [] : [[id, { version, filter }] as const])),
  );
}

export type SubscriptionStatus = Recipient & { readonly deletedAt: number | null };

/** Subscriptions by id in one query, tombstones included; unknown ids are missing. */
export async function findSubscriptionsById(
  db: Database,
  ids: readonly string[],
): Promise<Map<string, SubscriptionStatus>> {
  const rows = await db
    .select({ ...recipient, deletedAt: subscriptions.deletedAt })
    .from(subscriptions)
    .where(isOneOf(ids));
  return new Map(rows.map((row) => [row.id, row]));
}

/** Notes how full an event store is, in tenths. A repeat changes nothing. */
export async function noteStoreTenths(db: Database, id: string, tenths: number): Promise<void> {
  await db
    .update(subscriptions)
    .set({ storeTenths: tenths })
    .where(and(eq(subscriptions.id, id), ne(subscriptions.storeTenths, tenths), living));
}

/**
 * Notes the health of an endpoint. `since` (ms) makes a repeat harmless: older news than the row's changes nothing. A
 * `since` of 0 says that the endpoint has always been healthy; it is always noted. A proof that the endpoint gave is noted once,
 * and only when it is the proof that the present endpoint needs. Nothing is noted of an endpoint that is not verified: D1 knows
 * that it needs a proof.
 */
export async function noteHealth(
  db: Database,
  id: string,
  { state, since, proof }: { readonly state: ShownState; readonly since: number; readonly proof?: number },
): Promise<void> {
  if (state === 'unverified') return;
  const isNewProof =
    proof === undefined
      ? undefined
      : and(eq(subscriptions.proof, proof), sql`${subscriptions.proven} IS NOT ${proof}`);
  await db
    .update(subscriptions)
    .set({
      health: state,
      healthSince: since,
      ...(proof === undefined
        ? {}
        : {
            proven: sql`CASE WHEN ${subscriptions.proof} = ${proof} THEN ${proof} ELSE ${subscriptions.proven} END`,
          }),
    })
    .where(
      and(
        eq(subscriptions.id, id),
        since === 0 ? undefined : or(lte(subscriptions.healthSince, since), isNewProof),
        living,
      ),
    );
}
