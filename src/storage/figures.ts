/**
 * Figures in D1: what each event store said at its daily visit, and sums over all customers. They are copies, for the operator (contract
 * 10.2). No question here reads all subscriptions.
 */
import { and, asc, count, desc, eq, gte, isNotNull, isNull, type SQL, sql } from 'drizzle-orm';
import type { Database } from './database.ts';
import { customers, deadLetters, subscriptions, totals } from './schema.ts';

/** What a store said of the last day, and of what waits. */
interface Day {
  readonly accepted: number;
  readonly delivered: number;
  readonly failed: number;
  readonly waiting: number;
  readonly oldestWaitingAt?: number;
}

const living = isNull(subscriptions.deletedAt);
/** The conditions of the indexes of migration 0018. They are literal: the planner must see that a condition is that of an index. */
const isEnabled = sql`${subscriptions.enabled} = 1`;
const isInTrouble = sql`${subscriptions.health} <> 'healthy'`;
const isFilled = sql`${subscriptions.storeTenths} > 0`;
const isUnverified = sql`${subscriptions.proof} IS NOT NULL AND ${subscriptions.proof} IS NOT ${subscriptions.proven}`;

/** Notes what a store said. A repeat changes nothing. */
export async function noteDay(db: Database, id: string, day: Day): Promise<void> {
  const { accepted, delivered, failed, waiting, oldestWaitingAt = null } = day;
  await db
    .update(subscriptions)
    .set({
      dayAccepted: accepted,
      dayDelivered: delivered,
      dayFailed: failed,
      waiting,
      oldestWaitingAt,
    })
    .where(and(eq(subscriptions.id, id), living));
}

/** Sums over everything that is there. */
export interface OperatorFigures {
  readonly customers: number;
  readonly subscriptions: number;
  readonly disabled: number;
  readonly unverified: number;
  readonly slow: number;
  readonly failing: number;
  /** Of the last day, as the stores said at their daily visits. */
  readonly accepted: number;
  readonly delivered: number;
  readonly failed: number;
  readonly waiting: number;
  /** When the delivery that has waited longest was accepted, ms; null: none waits. */
  readonly oldestWaitingAt: number | null;
  readonly deadLetters: number;
  /** How full the fullest event store is, in tenths. */
  readonly fullestTenths: number;
  /** Event stores that are half full, and four fifths. */
  readonly halfFull: number;
  readonly nearlyFull: number;
}

const HALF_TENTHS = 5;
const NEARLY_TENTHS = 8;

/** All figures of the operator, in one batch. */
export async function readOperatorFigures(db: Database): Promise<OperatorFigures> {
  const { oldestWaitingAt, storeTenths } = subscriptions;
  const [[sums], [oldest], [fullest], [filled], [letters]] = await db.batch([
    db.select().from(totals),
    db
      .select({ oldestWaitingAt })
      .from(subscriptions)
      .where(and(living, isNotNull(oldestWaitingAt)))
      .orderBy(asc(oldestWaitingAt))
      .limit(1),
    db
      .select({ storeTenths })
      .from(subscriptions)
      .where(and(living, isFilled))
      .orderBy(desc(storeTenths))
      .limit(1),
    db
      .select({ half: count(), nearly: sql<number>`coalesce(sum(${storeTenths} >= ${NEARLY_TENTHS}), 0)` })
      .from(subscriptions)
      .where(and(living, isFilled, gte(storeTenths, HALF_TENTHS))),
    db.select({ total: count() }).from(deadLetters),
  ]);
  if (sums === undefined) throw new Error('the totals are gone');
  const { one: _, ...known } = sums;
  return {
    ...known,
    oldestWaitingAt: oldest?.oldestWaitingAt ?? null,
    deadLetters: letters?.total ?? 0,
    fullestTenths: fullest?.storeTenths ?? 0,
    halfFull: filled?.half ?? 0,
    nearlyFull: filled?.nearly ?? 0,
  };
}

/** The states of endpoints of which there is a list. */
export const TROUBLES = ['failing', 'slow', 'unverified'] as const;
export type Trouble = (typeof TROUBLES)[number];

/** An endpoint in trouble, with its subscription and its customer. */
export interface TroubledEndpoint {
  readonly customerId: string;
  readonly customerName: string;
  readonly subscriptionId: string;
  readonly title: string;
  readonly endpoint: string;
  /** Since when, ms. */
  readonly since: number;
}

/** Endpoints of enabled subscriptions in a state, the oldest trouble first. */
export async function listTroubledEndpoints(
  db: Database,
  state: Trouble,
  limit: number,
  offset: number,
): Promise<{ total: number; endpoints: TroubledEndpoint[] }> {
  const { id, health, healthSince, title, endpoint, customerId, createdAt } = subscriptions;
  const inState: SQL | undefined =
    state === 'unverified' ? isUnverified : and(isInTrouble, eq(health, state), sql`NOT (${isUnverified})`);
  const [endpoints, [sums]] = await db.batch([
    db
      .select({
        customerId,
        customerName: customers.name,
        subscriptionId: id,
        title,
        endpoint,
        since: sql<number>`iif(${healthSince} = 0, ${createdAt}, ${healthSince})`,
      })
      .from(subscriptions)
      .innerJoin(customers, eq(customers.id, customerId))
      .where(and(living, isEnabled, inState))
      .orderBy(asc(healthSince), asc(id))
      .limit(limit)
      .offset(offset),
    db.select({ total: totals[state] }).from(totals),
  ]);
  return { total: sums?.total ?? 0, endpoints };
}
