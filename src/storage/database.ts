/** The drizzle handle on D1, one for each binding. It uses no session of D1, so every query reads the primary. */
import type { BatchItem } from 'drizzle-orm/batch';
import { type DrizzleD1Database, drizzle } from 'drizzle-orm/d1';
import { Outage } from '../domain/errors.ts';

export type Database = DrizzleD1Database;

const handles = new WeakMap<D1Database, Database>();

/** @returns a handle whose queries reject with `Outage` (as the cause of drizzle's error) while D1 is away */
export function openDatabase(binding: D1Database): Database {
  let handle = handles.get(binding);
  if (handle === undefined) {
    handle = drizzle(namingOutages(binding));
    handles.set(binding, handle);
  }
  return handle;
}

/**
 * A query that is built once for each handle. What it takes differs from call to call, so it has `sql.placeholder` for that.
 */
export function preparedOnce<Prepared>(build: (db: Database) => Prepared): (db: Database) => Prepared {
  const built = new WeakMap<Database, Prepared>();
  return (db) => {
    const known = built.get(db);
    if (known !== undefined) return known;
    const prepared = build(db);
    built.set(db, prepared);
    return prepared;
  };
}

type Query = BatchItem<'sqlite'>;

type AnswerTo<Asked> = Asked extends Query ? Asked['_']['result'] : undefined;

/**
 * Sends several queries to D1 in one round trip: a caller may be far from it. One that is `undefined` is not sent. D1 answers a batch by
 * the names of the columns, so a query must not select two columns with one name, as of two tables.
 * @returns their answers, under the same names
 */
export async function readTogether<Queries extends Readonly<Record<string, Query | undefined>>>(
  db: Database,
  queries: Queries,
): Promise<{ [Name in keyof Queries]: AnswerTo<Queries[Name]> }> {
  const asked = Object.entries(queries).flatMap(([name, query]) =>
    query === undefined ? [] : [{ name, query }],
  );
  const [first, ...rest] = asked.map(({ query }) => query);
  const answers: readonly unknown[] = first === undefined ? [] : await db.batch([first, ...rest]);
  // The one cast: a batch answers in the order of its queries.
  return Object.fromEntries(asked.map(({ name }, index) => [name, answers[index]])) as {
    [Name in keyof Queries]: AnswerTo<Queries[Name]>;
  };
}

/** Whether D1 refused a row because of its unique index or primary key over these columns. */
export function isDuplicate(error: unknown, columns: string): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (cause.message.includes(`UNIQUE constraint failed: ${columns}`)) return true;
  }
  return false;
}

type Member = (...values: unknown[]) => unknown;

/** The platform's own statement behind each wrapped one: `batch` accepts no other. */
const originals = new WeakMap<object, object>();

/** The binding, or a statement of it, with every failure that means "D1 is away" turned into an `Outage`. */
function namingOutages<Target extends object>(target: Target): Target {
  const wrapped = new Proxy(target, {
    get: (_, name) => {
      const member = Reflect.get(target, name, target) as unknown;
      return typeof member === 'function' ? guarded(target, member as Member) : member;
    },
  });
  originals.set(wrapped, target);
  return wrapped;
}

function guarded(target: object, member: Member): Member {
  return (...values) => {
    try {
      const answer = member.apply(target, values.map(unwrapped));
      if (answer instanceof Promise) return answer.catch(rethrow);
      // `prepare` and `bind` answer with a statement, whose own methods do the work.
      return typeof answer === 'object' && answer !== null ? namingOutages(answer) : answer;
    } catch (error) {
      return rethrow(error);
    }
  };
}

function unwrapped(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(unwrapped);
  return typeof value === 'object' && value !== null ? (originals.get(value) ?? value) : value;
}

function rethrow(error: unknown): never {
  throw isAway(error) ? new Outage('database', error) : error;
}

/** SQLite's codes for a query that is wrong or that a constraint refused. D1 puts the code at the end of its message. */
const REFUSED = [
  'SQLITE_CONSTRAINT',
  'SQLITE_ERROR',
  'SQLITE_MISMATCH',
  'SQLITE_RANGE',
  'SQLITE_TOOBIG',
  'constraint failed',
];

/** D1's errors have no code. Their messages begin with D1's name, and end with SQLite's code if SQLite made the error. */
function isAway(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { message } = error;
  return (
    (message.startsWith('D1_ERROR') || message.includes('Network connection lost')) &&
    !REFUSED.some((code) => message.includes(code))
  );
}
