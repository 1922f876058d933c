/**
 * Subscriptions in D1, for the API and for maintenance. Every query of the API names its customer. The event path reads them in
 * `recipients.ts`.
 */
import {
  and,
  asc,
  count,
  eq,
  getTableColumns,
  gte,
  inArray,
  isNotNull,
  isNull,
  lt,
  ne,
  type SQL,
  sql,
} from 'drizzle-orm';
import type { AuditRow } from '../domain/audit.ts';
import { worstSteps } from '../domain/filter/filter.ts';
import {
  FILTERS_MAX_BYTES_PER_CUSTOMER,
  FILTERS_MAX_STEPS_PER_CUSTOMER,
  TOMBSTONES_MAX_PER_CUSTOMER,
} from '../domain/limits.ts';
import type { Shards } from '../domain/shards.ts';
import type { Subscription } from '../domain/subscription.ts';
import type { SubscriptionChange } from '../domain/subscription-body.ts';
import { insertAudit } from './audit.ts';
import { type Database, isDuplicate } from './database.ts';
import { customers, shownState, subscriptions } from './schema.ts';
import { tombstone } from './tombstone.ts';

type InsertSubscriptionResult =
  | 'created'
  | 'no customer'
  | 'duplicate title'
  | 'too many'
  | 'too many deleted'
  | FiltersDoNotFit;

/** The limit of contract 4 that the customer's filters would exceed together. */
type FiltersDoNotFit = 'filters too slow' | 'filters too large';

const living = isNull(subscriptions.deletedAt);

/** Tombstones that one run of maintenance forgets: 10,000 keep D1 busy for about 75 ms. */
const TOMBSTONES_BITE = 10_000;

const { dayAccepted, dayDelivered, dayFailed, waiting, oldestWaitingAt, ...others } =
  getTableColumns(subscriptions);
/** A subscription as the rest of the service knows it. */
const columns = { ...others, health: shownState };
/** What its event store said at the last daily visit. */
const lastVisit = { dayAccepted, dayDelivered, dayFailed, waiting, oldestWaitingAt };

/**
 * Creates a subscription, unless its customer does not exist, its title is taken, the customer has too many, or deleted too
 * many, or the customer's filters take too long or are too large together.
 */
export async function insertSubscription(
  db: Database,
  subscription: Subscription,
  maxSubscriptions: number,
): Promise<InsertSubscriptionResult> {
  const {
    id,
    customerId,
    title,
    endpoint,
    events,
    enabled,
    filter,
    filterSteps,
    proof,
    version,
    createdAt,
    updatedAt,
  } = subscription;
  const size = { steps: filterSteps ?? 0, bytes: bytesOf(filter) };
  try {
    const created = await db
      .insert(subscriptions)
      .select(
        sql`SELECT ${id}, ${customerId}, ${title}, ${endpoint}, ${JSON.stringify(events)}, ${enabled ? 1 : 0},
              ${version}, ${createdAt}, ${updatedAt}, NULL, NULL, ${filter === null ? null : JSON.stringify(filter)}, 'healthy', 0,
              ${filterSteps}, ${proof}, NULL, 0, 0, 0, 0, 0, NULL, NULL
            WHERE EXISTS (SELECT 1 FROM ${customers} WHERE id = ${customerId})
              AND (SELECT count(*) FROM ${subscriptions}
                   WHERE customer_id = ${customerId} AND deleted_at IS NULL) < ${maxSubscriptions}
              AND ${mayLeaveTombstone(customerId)}
              AND ${filterFits(customerId, id, size)}`,
      )
      .returning({ id: subscriptions.id });
    if (created.length > 0) return 'created';
  } catch (error) {
    if (isDuplicate(error, 'subscriptions.customer_id, subscriptions.title')) return 'duplicate title';
    throw error;
  }
  const found = await db.select({ id: customers.id }).from(customers).where(eq(customers.id, customerId));
  if (found.length === 0) return 'no customer';
  if ((await countSubscriptions(db, customerId)) >= maxSubscriptions) return 'too many';
  const [may] = await db.all<{ leave: number }>(sql`SELECT ${mayLeaveTombstone(customerId)} AS leave`);
  if (may?.leave === 0) return 'too many deleted';
  return await whyFilterDoesNotFit(db, customerId, id, size);
}

/** Whether the customer has fewer tombstones than it may leave. It reads no more of them than that. */
function mayLeaveTombstone(customerId: string): SQL {
  return sql`(SELECT count(*) FROM (SELECT 1 FROM ${subscriptions} WHERE customer_id = ${customerId}
              AND deleted_at IS NOT NULL LIMIT ${TOMBSTONES_MAX_PER_CUSTOMER})) < ${TOMBSTONES_MAX_PER_CUSTOMER}`;
}

export async function findSubscription(
  db: Database,
  customerId: string,
  id: string,
): Promise<Subscription | undefined> {
  return (await subscriptionQuery(db, customerId, id))[0];
}

/** Finds a living subscription of the customer. */
export function subscriptionQuery(db: Database, customerId: string, id: string) {
  return db
    .select(columns)
    .from(subscriptions)
    .where(and(eq(subscriptions.customerId, customerId), eq(subscriptions.id, id), living))
    .limit(1);
}

/** Finds the id of the customer's living subscription that has the title. */
export function titleQuery(db: Database, customerId: string, title: string) {
  return db
    .select({ id: subscriptions.id })
    .from(subscriptions)
    .where(and(eq(subscriptions.customerId, customerId), eq(subscriptions.title, title), living))
    .limit(1);
}

/** What a filter adds to the sums of its customer (contract 4). */
interface FilterSize {
  /** Of its JSON, in UTF-8. */
  readonly bytes: number;
  readonly steps: number;
}

/**
 * The sizes of the filters of a customer's living subscriptions: that of `id`, and all others together. Filters whose steps
 * are not known yet are `uncounted`.
 */
export async function filtersOfCustomer(db: Database, customerId: string, id = ''): Promise<FilterSums> {
  return filterSumsOf(await filterSumsQuery(db, customerId, id));
}

interface FilterSums {
  readonly own: FilterSize;
  readonly others: FilterSize;
  readonly uncounted: number;
}

type FilterSumsRow = Awaited<ReturnType<typeof filterSumsQuery>>[number];

/** What `filtersOfCustomer` asks. Its only row is for `filterSumsOf`. */
export function filterSumsQuery(db: Database, customerId: string, id = '') {
  const bytes = sql`length(CAST(${subscriptions.filter} AS BLOB))`;
  const sumOf = (of: SQL, what: SQL | typeof subscriptions.filterSteps) =>
    sql<number>`coalesce(sum(CASE WHEN ${of} THEN ${what} END), 0)`;
  return db
    .select({
      ownBytes: sumOf(eq(subscriptions.id, id), bytes),
      ownSteps: sumOf(eq(subscriptions.id, id), subscriptions.filterSteps),
      bytes: sumOf(ne(subscriptions.id, id), bytes),
      steps: sumOf(ne(subscriptions.id, id), subscriptions.filterSteps),
      uncounted: sql<number>`coalesce(sum(${subscriptions.filterSteps} IS NULL), 0)`,
    })
    .from(subscriptions)
    .where(and(eq(subscriptions.customerId, customerId), living));
}

export function filterSumsOf([row]: readonly FilterSumsRow[]): FilterSums {
  const found = row ?? { ownBytes: 0, ownSteps: 0, bytes: 0, steps: 0, uncounted: 0 };
  return {
    own: { bytes: found.ownBytes, steps: found.ownSteps },
    others: { bytes: found.bytes, steps: found.steps },
    uncounted: found.uncounted,
  };
}

export function bytesOf(filter: Subscription['filter']): number {
  return filter === null ? 0 : new TextEncoder().encode(JSON.stringify(filter)).length;
}

/**
 * Whether the customer's filters stay within their limits with a filter of this size in the place of that of `id`. One that
 * is not larger than what it replaces fits always: a customer over a limit can come down in parts.
 */
function filterFits(customerId: string, id: string, { steps, bytes }: FilterSize): SQL {
  if (steps === 0) return sql`1`; // no filter
  const others = sql`FROM subscriptions AS other
                     WHERE other.customer_id = ${customerId} AND other.deleted_at IS NULL AND other.id <> ${id}`;
  const own = sql`FROM subscriptions AS own WHERE own.id = ${id}`;
  return sql`((SELECT coalesce(sum(other.filter_steps), 0) ${others}) <= ${FILTERS_MAX_STEPS_PER_CUSTOMER - steps}
              OR (SELECT own.filter_steps ${own}) >= ${steps})
             AND ((SELECT coalesce(sum(length(CAST(other.filter AS BLOB))), 0) ${others})
                  <= ${FILTERS_MAX_BYTES_PER_CUSTOMER - bytes}
                  OR (SELECT length(CAST(own.filter AS BLOB)) ${own}) >= ${bytes})`;
}

/** The limit that a filter was refused for. */
async function whyFilterDoesNotFit(
  db: Database,
  customerId: string,
  id: string,
  { bytes }: FilterSize,
): Promise<FiltersDoNotFit> {
  const { own, others } = await filtersOfCustomer(db, customerId, id);
  const isTooLarge = others.bytes + bytes > FILTERS_MAX_BYTES_PER_CUSTOMER && bytes > own.bytes;
  return isTooLarge ? 'filters too large' : 'filters too slow';
}

/** Living subscriptions of a customer whose filters have no count of steps yet. */
export async function findUncounted(db: Database, customerId: string): Promise<Subscription[]> {
  return await db
    .select(columns)
    .from(subscriptions)
    .where(and(eq(subscriptions.customerId, customerId), isNull(subscriptions.filterSteps), living));
}

/** Notes the steps of a filter, unless the subscription has changed: then they are those of another filter. */
export async function noteFilterSteps(
  db: Database,
  id: string,
  version: number,
  steps: number,
): Promise<void> {
  await db
    .update(subscriptions)
    .set({ filterSteps: steps })
    .where(and(eq(subscriptions.id, id), eq(subscriptions.version, version)));
}

export type UpdateSubscriptionResult =
  | { readonly result: 'updated'; readonly subscription: Subscription }
  | { readonly result: 'not found' | 'duplicate title' | FiltersDoNotFit };

/**
 * Changes the given members in one statement. Two changes at once are merged, and each adds one to the version. The steps of a
 * new filter are noted once more in the same transaction: the database forgets the steps of a filter that is replaced by one
 * with as many, since code that does not know steps may have replaced it (migration 0007).
 * @param needsProof whether another endpoint must be verified (contract 10.8)
 */
export async function updateSubscription(
  db: Database,
  customerId: string,
  id: string,
  change: SubscriptionChange,
  now: number,
  needsProof: boolean,
): Promise<UpdateSubscriptionResult> {
  const { title, endpoint, events, enabled, filter } = change;
  const size = { steps: worstSteps(filter ?? null), bytes: bytesOf(filter ?? null) };
  try {
    const [rows] = await db.batch([
      db
        .update(subscriptions)
        .set({
          ...(title === undefined ? {} : { title }),
          ...(endpoint === undefined ? {} : { endpoint, ...healthOf(endpoint, now, needsProof) }),
          ...(events === undefined ? {} : { events }),
          ...(enabled === undefined ? {} : { enabled }),
          ...(filter === undefined ? {} : { filter, filterSteps: size.steps }),
          updatedAt: now,
          version: sql`${subscriptions.version} + 1`,
        })
        .where(
          and(
            eq(subscriptions.customerId, customerId),
            eq(subscriptions.id, id),
            living,
            filterFits(customerId, id, size),
          ),
        )
        .returning(columns),
      ...(filter === undefined || filter === null ? [] : [noteStepsOf(db, id, filter, size.steps)]),
    ]);
    if (rows[0] !== undefined) return { result: 'updated', subscription: rows[0] };
    const exists = (await findSubscription(db, customerId, id)) !== undefined;
    if (!exists || size.steps === 0) return { result: 'not found' };
    return { result: await whyFilterDoesNotFit(db, customerId, id, size) };
  } catch (error) {
    if (isDuplicate(error, 'subscriptions.customer_id, subscriptions.title'))
      return { result: 'duplicate title' };
    throw error;
  }
}

/** Steps depend on nothing but the filter, so a repeat and a later change do no harm. */
function noteStepsOf(db: Database, id: string, filter: NonNullable<Subscription['filter']>, steps: number) {
  return db
    .update(subscriptions)
    .set({ filterSteps: steps })
    .where(
      and(eq(subscriptions.id, id), isNull(subscriptions.filterSteps), eq(subscriptions.filter, filter)),
    );
}

/**
 * Another endpoint begins healthy, because nothing is known of it yet, and needs a proof of its own while endpoints are verified.
 * The same endpoint keeps its health and its proof.
 */
function healthOf(endpoint: string, now: number, needsProof: boolean) {
  const { health, healthSince, proof, version } = subscriptions;
  const unlessSame = (column: typeof health | typeof healthSince | typeof proof, fresh: SQL) =>
    sql<never>`CASE WHEN ${subscriptions.endpoint} = ${endpoint} THEN ${column} ELSE ${fresh} END`;
  return {
    health: unlessSame(health, sql`'healthy'`),
    healthSince: unlessSame(healthSince, sql`${now}`),
    proof: unlessSame(proof, needsProof ? sql`${version} + 1` : sql`NULL`),
  };
}

/**
 * Deletes a subscription, with the audit row of it, and leaves a tombstone. The caller erases its event store next.
 * @returns the tombstone; `undefined` when the customer has no such subscription
 */
export async function deleteSubscription(
  db: Database,
  customerId: string,
  id: string,
  now: number,
  audit: AuditRow,
): Promise<Subscription | undefined> {
  const which = and(eq(subscriptions.customerId, customerId), eq(subscriptions.id, id), living);
  const [, rows] = await db.batch([
    insertAudit(db, audit, sql`EXISTS (SELECT 1 FROM ${subscriptions} WHERE ${which})`),
    db.update(subscriptions).set(tombstone(now)).where(which).returning(columns),
  ]);
  return rows[0];
}

/**
 * Gives a subscription other shards, with the audit row of it, unless they have changed meanwhile.
 * @param before the shards as the caller has read them
 * @returns the subscription; `undefined` when it is gone, or its shards are others by now
 */
export async function updateShards(
  db: Database,
  { customerId, id, shards: before }: Subscription,
  shards: Shards | null,
  audit: AuditRow,
): Promise<Subscription | undefined> {
  const which = and(
    eq(subscriptions.customerId, customerId),
    eq(subscriptions.id, id),
    living,
    sql`${subscriptions.shards} IS ${before === null ? null : JSON.stringify(before)}`,
  );
  const [, rows] = await db.batch([
    insertAudit(db, audit, sql`EXISTS (SELECT 1 FROM ${subscriptions} WHERE ${which})`),
    db
      .update(subscriptions)
      .set({ shards, version: sql`${subscriptions.version} + 1` })
      .where(which)
      .returning(columns),
  ]);
  return rows[0];
}

/**
 * Raises the versions of all subscriptions of a customer by `by`, and changes nothing else.
 * @returns the subscriptions with their new versions
 */
export async function raiseVersions(
  db: Database,
  customerId: string,
  by: number,
  audit: AuditRow,
): Promise<Subscription[]> {
  const [rows] = await db.batch([
    db
      .update(subscriptions)
      .set({ version: sql`${subscriptions.version} + ${by}` })
      .where(and(eq(subscriptions.customerId, customerId), living))
      .returning(columns),
    insertAudit(db, audit),
  ]);
  return rows;
}

/** Subscriptions of a customer, oldest first; all of them without `page`. */
export async function listSubscriptions(
  db: Database,
  customerId: string,
  page?: { readonly limit: number; readonly offset: number },
): Promise<Subscription[]> {
  const query = db
    .select(columns)
    .from(subscriptions)
    .where(and(eq(subscriptions.customerId, customerId), living))
    .orderBy(asc(subscriptions.createdAt), asc(subscriptions.id))
    .$dynamic();
  return page === undefined ? await query : await query.limit(page.limit).offset(page.offset);
}

/** A subscription without what it asks for: a filter may have 64 KiB. */
export type SubscriptionName = Pick<Subscription, 'id' | 'title' | 'shards'>;

/** A subscription with the state of its endpoint, as D1 knows it. */
export type SubscriptionState = Pick<
  Subscription,
  'id' | 'title' | 'enabled' | 'health' | 'healthSince' | 'shards' | 'createdAt'
>;

/**
 * The next subscriptions of a customer, oldest first.
 * @param after the id of a subscription of the customer, which may have been deleted meanwhile
 * @returns `undefined` when the customer has no such subscription, and no tombstone of it
 */
export async function listSubscriptionNames(
  db: Database,
  customerId: string,
  limit: number,
  after?: string,
): Promise<SubscriptionName[] | undefined> {
  const { id, title, shards, createdAt } = subscriptions;
  const rest = await restAfter(db, customerId, after);
  if (rest === 'unknown') return undefined;
  return await db
    .select({ id, title, shards })
    .from(subscriptions)
    .where(and(eq(subscriptions.customerId, customerId), living, rest))
    .orderBy(asc(createdAt), asc(id))
    .limit(limit);
}

/** As `listSubscriptionNames`, with the states of the endpoints. */
export async function listSubscriptionStates(
  db: Database,
  customerId: string,
  limit: number,
  after?: string,
): Promise<SubscriptionState[] | undefined> {
  const { id, title, enabled, healthSince, shards, createdAt } = subscriptions;
  const rest = await restAfter(db, customerId, after);
  if (rest === 'unknown') return undefined;
  return await db
    .select({ id, title, enabled, health: shownState, healthSince, shards, createdAt })
    .from(subscriptions)
    .where(and(eq(subscriptions.customerId, customerId), living, rest))
    .orderBy(asc(createdAt), asc(id))
    .limit(limit);
}

/** The subscriptions that were created after one; `undefined`: all. */
async function restAfter(
  db: Database,
  customerId: string,
  after: string | undefined,
): Promise<SQL | 'unknown' | undefined> {
  if (after === undefined) return undefined;
  const { id, createdAt } = subscriptions;
  const [last] = await db
    .select({ createdAt })
    .from(subscriptions)
    .where(and(eq(subscriptions.customerId, customerId), eq(id, after)));
  return last === undefined ? 'unknown' : sql`(${createdAt}, ${id}) > (${last.createdAt}, ${after})`;
}

export async function countSubscriptions(db: Database, customerId: string): Promise<number> {
  const rows = await db
    .select({ total: count() })
    .from(subscriptions)
    .where(and(eq(subscriptions.customerId, customerId), living));
  return rows[0]?.total ?? 0;
}

// --- Maintenance ----------------------------------------------------------------------------------

/**
 * Deleted subscriptions whose event store has not confirmed its erasure, in random order, so that a store that keeps
 * failing does not block the others. With `customerId`, only those of one customer.
 */
export async function findUnerased(
  db: Database,
  limit: number,
  customerId?: string,
): Promise<Subscription[]> {
  return await db
    .select(columns)
    .from(subscriptions)
    .where(
      and(
        isNotNull(subscriptions.deletedAt),
        isNull(subscriptions.erasedAt),
        customerId === undefined ? undefined : eq(subscriptions.customerId, customerId),
      ),
    )
    .orderBy(sql`random()`)
    .limit(limit);
}

/** All stores of a deleted subscription are erased. Migration 0023 refuses the mark while the row names shards. */
export async function markErased(db: Database, id: string, now: number): Promise<void> {
  await db
    .update(subscriptions)
    .set({ erasedAt: now, shards: null })
    .where(and(eq(subscriptions.id, id), isNotNull(subscriptions.deletedAt)));
}

/**
 * Deletes tombstones of subscriptions that were deleted before `before` (ms) and whose event store is erased, the oldest first. It
 * deletes one bite of them: every delivery needs D1's one thread.
 */
export async function deleteTombstones(db: Database, before: number): Promise<void> {
  const oldest = db
    .select({ id: subscriptions.id })
    .from(subscriptions)
    .where(and(isNotNull(subscriptions.erasedAt), lt(subscriptions.deletedAt, before)))
    .orderBy(asc(subscriptions.deletedAt))
    .limit(TOMBSTONES_BITE);
  await db.delete(subscriptions).where(inArray(subscriptions.id, oldest));
}

/** A subscription with what its event store said at the last daily visit. */
export type VisitedSubscription = Subscription &
  Pick<typeof subscriptions.$inferSelect, keyof typeof lastVisit>;

/** Living subscriptions with ids from `from` to before `to`. Ids are random, so equal ranges hold about as many. */
export async function findRange(db: Database, from: string, to: string): Promise<VisitedSubscription[]> {
  return await db
    .select({ ...columns, ...lastVisit })
    .from(subscriptions)
    .where(and(gte(subscriptions.id, from), lt(subscriptions.id, to), living));
}
