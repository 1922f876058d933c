/** Dead letters in D1 (contract 10.2): kept 30 days, at most 100,000. What one producer sends drops no letter of another customer. */
import { asc, count, eq, type SQL, sql } from 'drizzle-orm';
import type { AuditRow } from '../domain/audit.ts';
import { DEAD_LETTERS_MAX, DEAD_LETTERS_MAX_REFUSED } from '../domain/limits.ts';
import { insertAudit } from './audit.ts';
import type { Database } from './database.ts';
import { deadLetters } from './schema.ts';

/** A letter of the operator's list. `body` is JSON text; times are in ms. */
export interface DeadLetter {
  readonly id: string;
  readonly queue: string;
  readonly reason: string;
  readonly body: string;
  readonly acceptedAt: number;
  readonly createdAt: number;
  /** The customer that the event names. It may not exist; then a stored letter has `null`. */
  readonly customerId: string | null;
  /** The event was refused. Otherwise it was accepted, and is lost unless it is replayed. */
  readonly refused: boolean;
}

/** Bytes of the letters in one statement, as JSON: a bound text may have 2 MB. A letter takes up to 130 KB. */
const STATEMENT_MAX_BYTES = 1_500_000;
/** Letters that one statement deletes. D1 may take 30 s for a statement. */
const BITE = 5000;
/** An invocation may ask D1 1,000 times. The next run, five minutes later, goes on. */
const BITES_PER_RUN = 100;

/**
 * Stores all letters or none. The id makes a repeat harmless: a letter that is stored already stays as it is. A letter that names no
 * customer of the service belongs to nobody, and its event counts as refused.
 */
export async function insertDeadLetters(db: Database, letters: readonly DeadLetter[]): Promise<void> {
  const isCustomer = sql`EXISTS (SELECT 1 FROM customers WHERE customers.id = value ->> 'customerId')`;
  const [first, ...rest] = statementTexts(letters).map((text) =>
    db
      .insert(deadLetters)
      .select(
        sql`SELECT value ->> 'id', value ->> 'queue', value ->> 'reason', value ->> 'body',
              value ->> 'acceptedAt', value ->> 'createdAt', iif(${isCustomer}, value ->> 'customerId', NULL),
              iif(${isCustomer}, value ->> 'refused', 1)
            FROM json_each(${text}) WHERE true`,
      )
      .onConflictDoNothing(),
  );
  if (first !== undefined) await db.batch([first, ...rest]);
}

/** Letters as JSON arrays, each short enough for a statement. */
function statementTexts(letters: readonly DeadLetter[]): string[] {
  const portions: string[][] = [];
  let room = 0;
  for (const letter of letters) {
    const text = JSON.stringify(letter);
    const bytes = new TextEncoder().encode(text).byteLength + 1;
    if (bytes > room) {
      portions.push([]);
      room = STATEMENT_MAX_BYTES;
    }
    portions.at(-1)?.push(text);
    room -= bytes;
  }
  return portions.map((texts) => `[${texts.join()}]`);
}

export async function listDeadLetters(
  db: Database,
  limit: number,
  offset: number,
): Promise<{ total: number; letters: DeadLetter[] }> {
  const [letters, totals] = await db.batch([
    db
      .select()
      .from(deadLetters)
      .orderBy(asc(deadLetters.createdAt), asc(deadLetters.id))
      .limit(limit)
      .offset(offset),
    db.select({ total: count() }).from(deadLetters),
  ]);
  return { total: totals[0]?.total ?? 0, letters };
}

export async function findDeadLetter(db: Database, id: string): Promise<DeadLetter | undefined> {
  return (await db.select().from(deadLetters).where(eq(deadLetters.id, id)).limit(1))[0];
}

/** Takes a letter off the list. */
export async function removeDeadLetter(db: Database, id: string): Promise<void> {
  await db.delete(deadLetters).where(eq(deadLetters.id, id));
}

/** Drops a letter, with the audit row of it. @returns false when there is no such letter */
export async function dropDeadLetter(db: Database, id: string, audit: AuditRow): Promise<boolean> {
  const [, removed] = await db.batch([
    insertAudit(db, audit, sql`EXISTS (SELECT 1 FROM ${deadLetters} WHERE id = ${id})`),
    db.delete(deadLetters).where(eq(deadLetters.id, id)).returning({ id: deadLetters.id }),
  ]);
  return removed.length > 0;
}

/** Letters that were dropped although they were not old. */
interface Dropped {
  /** Of refused events, because their customer has too many. */
  ofOneCustomer: number;
  /** Because the list is full. */
  beyondAll: number;
}

/** Letters of one customer, or of nobody, for events that were refused, or accepted. */
interface Group {
  readonly customerId: string | null;
  readonly refused: boolean;
  readonly total: number;
}

/**
 * Deletes the letters that are older than `before` (ms). Then, for each customer, the oldest letters of refused events beyond
 * `DEAD_LETTERS_MAX_REFUSED`; nobody counts as a customer. Then what is beyond `DEAD_LETTERS_MAX`: letters of refused events first,
 * and of these the oldest of those who have the most. A run deletes a bounded number, and reads no body. Two runs at once delete no
 * more than one: a statement says which letters stay, not how many go.
 * @param dropped counts up with each statement: what is dropped is known when a later statement fails, too
 */
export async function trimDeadLetters(
  db: Database,
  before: number,
  dropped: Dropped = { ofOneCustomer: 0, beyondAll: 0 },
): Promise<Dropped> {
  const trimming = new Trimming(db);
  await trimming.drop(Number.POSITIVE_INFINITY, sql`created_at < ${before}`);
  const groups = await groupsOf(db);
  const accepted = groups.filter(({ refused }) => !refused);
  const tooMany = groups.filter(({ refused }) => refused);
  trimming.onDropped = (count) => {
    dropped.ofOneCustomer += count;
  };
  await trimming.dropDownTo(tooMany, DEAD_LETTERS_MAX_REFUSED);
  const refused = tooMany.map((one) => ({ ...one, total: Math.min(one.total, DEAD_LETTERS_MAX_REFUSED) }));
  trimming.onDropped = (count) => {
    dropped.beyondAll += count;
  };
  await trimming.dropBeyond(refused, Math.max(0, DEAD_LETTERS_MAX - sum(accepted)));
  await trimming.dropBeyond(accepted, DEAD_LETTERS_MAX);
  return dropped;
}

const largestFirst = (groups: readonly Group[]) => groups.toSorted((a, b) => b.total - a.total);
const sum = (groups: readonly Group[]) => groups.reduce((all, { total }) => all + total, 0);

async function groupsOf(db: Database): Promise<Group[]> {
  const { refused, customerId } = deadLetters;
  return await db
    .select({ refused, customerId, total: count() })
    .from(deadLetters)
    .groupBy(refused, customerId);
}

/**
 * The most that each may keep when all together may keep `room`: who has less keeps all, and the others get equal parts. A part is a
 * whole number, so `more` of them may keep one more.
 */
function shareOf(groups: readonly Group[], room: number): { readonly share: number; readonly more: number } {
  const totals = groups.map(({ total }) => total).sort((a, b) => a - b);
  let left = room;
  for (const [index, total] of totals.entries()) {
    const others = totals.length - index;
    const share = Math.floor(left / others);
    if (total > share) return { share, more: left - share * others };
    left -= total;
  }
  return { share: Number.POSITIVE_INFINITY, more: 0 };
}

/** Groups that one statement can look through: a large one is alone. Nobody is alone, too, because the statement names customers. */
function portionsOf(groups: readonly Group[]): Group[][] {
  const portions: Group[][] = [];
  let room = 0;
  for (const group of groups) {
    if (group.total > room || group.customerId === null) {
      portions.push([]);
      room = BITE;
    }
    portions.at(-1)?.push(group);
    room -= group.customerId === null ? BITE : group.total;
  }
  return portions;
}

/** Deletes letters in bites, at most so many in a run. */
class Trimming {
  readonly #db: Database;
  #bites = BITES_PER_RUN;
  onDropped: (count: number) => void = () => undefined;

  constructor(db: Database) {
    this.#db = db;
  }

  /** Deletes what groups of one kind have beyond `room` together: each that has more than its share loses its oldest. */
  async dropBeyond(groups: readonly Group[], room: number): Promise<void> {
    const { share, more } = shareOf(groups, room);
    const larger = largestFirst(groups.filter(({ total }) => total > share));
    const last = larger.length - more;
    await this.dropDownTo(larger.slice(0, last), share);
    await this.dropDownTo(larger.slice(last), share + 1);
  }

  /**
   * Deletes the oldest letters of each group of one kind that has more than `kept`, the largest groups first. There may be
   * thousands of groups, so a statement takes as many small ones as it can.
   */
  async dropDownTo(groups: readonly Group[], kept: number): Promise<void> {
    for (const some of portionsOf(largestFirst(groups.filter(({ total }) => total > kept)))) {
      await this.#dropOldest(some, kept);
    }
  }

  async #dropOldest(groups: readonly Group[], kept: number): Promise<void> {
    const [first, ...others] = groups;
    if (first === undefined || this.#bites === 0) return;
    const { refused, customerId } = first;
    const most = sum(groups) - kept * groups.length;
    const ofKind = sql`refused = ${refused ? 1 : 0}`;
    if (others.length === 0) {
      const ofGroup = sql`${ofKind} AND customer_id IS ${customerId}`;
      await this.drop(most, sql`${ofGroup} AND ${await this.#notNewest(kept, ofGroup)}`);
      return;
    }
    const customers = JSON.stringify(groups.map((one) => one.customerId));
    const ranked = sql`(SELECT id, created_at,
        row_number() OVER (PARTITION BY customer_id ORDER BY created_at DESC, id DESC) AS rank
      FROM dead_letters WHERE ${ofKind} AND customer_id IN (SELECT value FROM json_each(${customers})))`;
    await this.drop(most, sql`rank > ${kept}`, ranked);
  }

  /** Says which letters are not among the newest `kept`. It names the newest one that goes, so that another run deletes no more. */
  async #notNewest(kept: number, where: SQL): Promise<SQL> {
    const [cut] = await this.#db.all<{ createdAt: number; id: string }>(
      sql`SELECT created_at AS createdAt, id FROM dead_letters WHERE ${where}
          ORDER BY created_at DESC, id DESC LIMIT 1 OFFSET ${kept}`,
    );
    return cut === undefined ? sql`false` : sql`(created_at, id) <= (${cut.createdAt}, ${cut.id})`;
  }

  /** Deletes the oldest letters of a kind, at most `most`. */
  async drop(most: number, where: SQL, from: SQL = sql`dead_letters`): Promise<void> {
    let dropped = 0;
    while (dropped < most && this.#bites > 0) {
      this.#bites--;
      const limit = Math.min(BITE, most - dropped);
      const { meta } = await this.#db.delete(deadLetters).where(
        sql`${deadLetters.id} IN (
          SELECT id FROM ${from} WHERE ${where} ORDER BY created_at, id LIMIT ${limit})`,
      );
      dropped += meta.changes;
      this.onDropped(meta.changes);
      if (meta.changes < limit) break;
    }
  }
}
