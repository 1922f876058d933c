/**
 * A Durable Object as the platform promises it, over a SQLite database in memory. The event store in it is the real one.
 *
 * What is written in one turn is committed at its end, with the alarm, and nothing leaves the object before: answers and
 * queue messages wait for the commit. So an object that is reset in the middle of a turn has done nothing, and each of its
 * callers sees an error. Faults: a reset that rolls back, an eviction, a write that is refused once, a full database.
 */
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import type { Env } from '../../src/env.ts';
import { EventStore } from '../../src/event-store/event-store.ts';
import { migrate } from '../../src/event-store/schema.ts';
import type { Time } from './time.ts';

export class ObjectReset extends Error {}
class Refused extends Error {}

/** One life of an object in memory. What it does after its end has no effect. */
interface Awake {
  isAlive: boolean;
  readonly store: EventStore;
}

type Send = (bodies: readonly unknown[]) => Promise<void>;

/** A platform that failed to run an alarm repeats it after this long, ms. */
const ALARM_REPEATED_MS = 2000;

/** An empty event store, so that no life has to run the migrations again. */
const EMPTY = (() => {
  const database = new DatabaseSync(':memory:');
  const exec = (query: string, ...values: SQLInputValue[]) => {
    if (values.length > 0) database.prepare(query).run(...values);
    else if (/^SELECT/.test(query)) return { one: () => database.prepare(query).get() };
    else database.exec(query);
    return undefined;
  };
  migrate({
    sql: { exec },
    transactionSync: (work: () => void) => work(),
  } as unknown as DurableObjectStorage);
  return database.serialize();
})();

/** A database with the statements that were prepared for it. */
interface Prepared {
  readonly database: DatabaseSync;
  readonly statements: Map<string, StatementSync>;
}

/** Databases of lives that ended, empty again: opening one and preparing its statements takes longer than a short life. */
const POOL: Prepared[] = [];

function openDatabase(): Prepared {
  const pooled = POOL.pop();
  if (pooled !== undefined) return pooled;
  const database = new DatabaseSync(':memory:');
  database.deserialize(EMPTY);
  return { database, statements: new Map() };
}

export class SimulatedObject {
  readonly #time: Time;
  readonly #env: Env;
  readonly #send: Send;
  readonly #prepared = openDatabase();
  readonly #database = this.#prepared.database;
  readonly #statements = this.#prepared.statements;
  #awake: Awake | undefined;
  #alarm: number | null = null;
  #alarmBefore: number | null = null;
  #isTurnOpen = false;
  #isClosed = false;
  #wasErased = false;
  #rollsBack = false;
  #refuseAfter: number | undefined;
  #isAsked = false;
  #fullUntil = 0;
  /** Calls and alarms under way. */
  busy = 0;
  /** Rises with each turn that wrote something. */
  written = 0;
  /** When a write was last refused, ms. */
  refusedAt = Number.NEGATIVE_INFINITY;
  /** Called with each write that was refused. */
  onRefused: () => void = () => undefined;

  constructor(time: Time, env: Env, send: Send) {
    this.#time = time;
    this.#env = env;
    this.#send = send;
  }

  get alarm(): number | null {
    return this.#alarm;
  }

  /** The store as it is now, for what the world looks at without time passing. */
  get store(): EventStore {
    return this.#wake().store;
  }

  /** Makes one call. @throws ObjectReset if the object was reset before its answer left */
  async call<T>(work: (store: EventStore) => T | Promise<T>): Promise<T> {
    await this.#time.hop();
    this.busy++;
    try {
      const awake = this.#wake();
      const answer = await this.#outcome(async () => await work(awake.store));
      await this.#time.hop();
      if (!awake.isAlive) throw new ObjectReset('the object was reset');
      if ('error' in answer) throw answer.error;
      return answer.value;
    } finally {
      this.busy--;
    }
  }

  /** Rings the alarm. @param isExtra rings although none is set, as a platform that rings twice */
  async ring(isExtra = false): Promise<void> {
    if (!isExtra) this.#alarm = null;
    try {
      await this.call((store) => store.alarm());
    } catch {
      this.#alarm ??= this.#time.now + ALARM_REPEATED_MS;
    }
  }

  /** The platform loses the alarm. */
  loseAlarm(): void {
    this.#alarm = null;
  }

  /** The object loses its memory, and its callers lose their answers. What was committed stays. */
  evict(): void {
    if (this.#awake !== undefined) this.#awake.isAlive = false;
    this.#awake = undefined;
  }

  /** The turn that comes next is rolled back. */
  rollBackNextTurn(): void {
    this.#rollsBack = true;
  }

  /** Asks the store something for the world itself: no write of that is refused. */
  ask<Answer>(question: () => Answer): Answer {
    this.#isAsked = true;
    try {
      return question();
    } finally {
      this.#isAsked = false;
    }
  }

  /** A write is refused once, after this many others. */
  refuseWrite(after: number): void {
    this.#refuseAfter = after;
  }

  /** No write is taken for this long. */
  fill(ms: number): void {
    this.#fullUntil = this.#time.now + ms;
  }

  endFaults(): void {
    this.#rollsBack = false;
    this.#refuseAfter = undefined;
    this.#fullUntil = 0;
  }

  get isFull(): boolean {
    return this.#fullUntil > this.#time.now;
  }

  /** Rows as they are, for the world alone. */
  rows<Row>(query: string, ...values: string[]): Row[] {
    return this.#statement(query).all(...values) as Row[];
  }

  /** The object is not used any more. Its database is, unless its tables were dropped. */
  close(): void {
    this.evict();
    if (this.#isTurnOpen) this.#database.exec('ROLLBACK');
    this.#isClosed = true;
    if (this.#wasErased) {
      this.#database.close();
      return;
    }
    const tables = this.rows<{ name: string }>("SELECT name FROM sqlite_master WHERE type = 'table'");
    for (const { name } of tables) if (name !== 'migrations') this.#statement(`DELETE FROM ${name}`).run();
    POOL.push(this.#prepared);
  }

  async #outcome<T>(work: () => Promise<T>): Promise<{ value: T } | { error: unknown }> {
    try {
      return { value: await work() };
    } catch (error) {
      return { error };
    }
  }

  #wake(): Awake {
    if (this.#awake !== undefined) return this.#awake;
    const life = { isAlive: true };
    const store = new EventStore(this.#state(life), this.#environment(life));
    const awake = Object.assign(life, { store });
    this.#awake = awake;
    return awake;
  }

  #environment(life: { isAlive: boolean }): Env {
    const sendBatch = async (messages: Iterable<MessageSendRequest<unknown>>) => {
      // What the object sends waits for what it wrote.
      await this.#time.hop();
      if (!life.isAlive) throw new ObjectReset('the object was reset');
      await this.#send([...messages].map(({ body }) => body));
      await this.#time.hop();
    };
    const queue = { sendBatch } as unknown as Queue<unknown>;
    return { ...this.#env, DELIVERIES: queue, UNHEALTHY: queue };
  }

  #state(life: { isAlive: boolean }): DurableObjectState {
    const touch = () => {
      if (!life.isAlive) throw new ObjectReset('the object was reset');
      this.#openTurn();
    };
    const storage = {
      sql: {
        exec: (query: string, ...values: SQLInputValue[]) => {
          touch();
          return this.#exec(query, values);
        },
        databaseSize: 0,
      },
      transactionSync: <T>(work: () => T): T => {
        touch();
        return this.#transaction(work);
      },
      getAlarm: async () => this.#alarm,
      setAlarm: async (at: number) => {
        touch();
        this.#alarm = at;
      },
      deleteAlarm: async () => {
        touch();
        this.#alarm = null;
      },
      deleteAll: async () => {
        touch();
        this.#deleteAll();
      },
    };
    const waitUntil = () => undefined;
    return { storage, waitUntil } as unknown as DurableObjectState;
  }

  #openTurn(): void {
    if (this.#isTurnOpen) return;
    this.#isTurnOpen = true;
    this.#alarmBefore = this.#alarm;
    this.#database.exec('BEGIN');
    void this.#time.hop().then(() => this.#closeTurn());
  }

  #closeTurn(): void {
    if (this.#isClosed) return;
    this.#isTurnOpen = false;
    if (!this.#rollsBack) {
      this.#database.exec('COMMIT');
      return;
    }
    this.#rollsBack = false;
    this.#database.exec('ROLLBACK');
    this.#alarm = this.#alarmBefore;
    this.evict();
  }

  #transaction<T>(work: () => T): T {
    this.#database.exec('SAVEPOINT work');
    try {
      const answer = work();
      this.#database.exec('RELEASE work');
      return answer;
    } catch (error) {
      this.#database.exec('ROLLBACK TO work; RELEASE work');
      throw error;
    }
  }

  #exec(query: string, values: readonly SQLInputValue[]) {
    const isWrite = /^\s*(INSERT|UPDATE|DELETE|WITH)\b/.test(query);
    if (isWrite) {
      this.#mayRefuse();
      this.written++;
    }
    // Only the migrations have several statements in one text, and they have no values.
    if (/^\s*(CREATE|ALTER)\b/.test(query)) {
      this.#database.exec(query);
      return rowsOf([]);
    }
    const statement = this.#statement(query);
    if (!isWrite) return rowsOf(statement.all(...values));
    statement.run(...values);
    return rowsOf([]);
  }

  #statement(query: string): StatementSync {
    let statement = this.#statements.get(query);
    if (statement === undefined) {
      statement = this.#database.prepare(query);
      this.#statements.set(query, statement);
    }
    return statement;
  }

  #mayRefuse(): void {
    if (this.#isAsked) return;
    if (this.isFull) {
      this.refusedAt = this.#time.now;
      this.onRefused();
      throw new Refused('database or disk is full: SQLITE_FULL');
    }
    if (this.#refuseAfter === undefined) return;
    if (this.#refuseAfter-- > 0) return;
    this.#refuseAfter = undefined;
    this.refusedAt = this.#time.now;
    this.onRefused();
    throw new Refused('constraint failed: SQLITE_CONSTRAINT');
  }

  #deleteAll(): void {
    this.#alarm = null;
    this.#wasErased = true;
    this.written++;
    const all = this.rows<{ type: string; name: string }>(
      "SELECT type, name FROM sqlite_master WHERE type IN ('table', 'view', 'trigger') AND name NOT LIKE 'sqlite_%'",
    );
    for (const kind of ['trigger', 'view', 'table']) {
      for (const { type, name } of all) if (type === kind) this.#database.exec(`DROP ${kind} "${name}"`);
    }
  }
}

/** What `sql.exec` of the platform answers, as far as the event store uses it. */
function rowsOf(rows: unknown[]) {
  return { toArray: () => rows, one: () => rows[0] };
}
