/**
 * Durable Objects: one thread each, storage in SQLite, one alarm. The code of src runs in them unchanged. An object that gets
 * no call for a while leaves memory; its storage stays.
 */

import { countBilledRows } from './billed-rows.ts';
import { type Actor, type Clock, runAs } from './clock.ts';
import { currentInvocation } from './invocation.ts';
import { count, type Meters } from './meters.ts';
import { OBJECT_IDLE_MS, type Times } from './platform.ts';
import { between } from './queue.ts';
import { objectsOf, Sqlite, type Value } from './sqlite.ts';

/** An object of src: its calls by name, and its alarm. */
type Instance = Record<string, (...values: unknown[]) => unknown>;

export interface ObjectParts {
  readonly clock: Clock;
  readonly meters: Meters;
  readonly random: () => number;
  readonly times: Times;
  create(state: unknown): Instance;
  /** Sees each answer that a call gave. */
  onAnswer(name: string, answer: unknown): void;
  /** Sees how many calls and alarms an object has got in a second. */
  onCall?(second: number, calls: number): void;
}

class Thread implements Actor {
  isAlive = true;
  busyUntil = 0;
}

export class ModelObject {
  readonly name: string;
  sqlite: Sqlite;
  readonly #parts: ObjectParts;
  readonly #thread = new Thread();
  #instance: Instance | undefined;
  #usedAt = 0;
  #freeAt = 0;
  #alarmAt: number | null = null;
  #second = { at: 0, calls: 0 };

  constructor(name: string, parts: ObjectParts, copyOf: Uint8Array | undefined) {
    this.name = name;
    this.#parts = parts;
    this.sqlite = new Sqlite(copyOf);
    countBilledRows(this.sqlite.database, (rows) => {
      this.sqlite.billed += rows;
    });
  }

  get alarmAt(): number | null {
    return this.#alarmAt;
  }

  /** Loads the object. An event store makes its tables at the first call that needs them. */
  wake(): void {
    this.#living()['total']?.();
  }

  /** A call as an invocation makes it. */
  async call(name: string, values: readonly unknown[]): Promise<unknown> {
    const { clock, random, times, meters } = this.#parts;
    const caller = currentInvocation();
    caller?.subrequest();
    meters.units.objectRequests++;
    count(meters.calls, name);
    const bytes = name === 'settle' ? heldBy(values) : 0;
    const sentAt = Math.max(clock.now, caller?.busyUntil ?? 0);
    const networkMs = between(times.objectNetwork, random) / 2;
    const reply = await new Promise<{ answer?: unknown; error?: unknown }>((resolve) => {
      clock.at(sentAt + networkMs, () => {
        this.#serve(name, values).then((result) => {
          clock.at(Math.max(clock.now, result.at) + networkMs, () => resolve(result), caller);
        });
      });
    });
    if ('error' in reply) throw reply.error;
    caller?.hold(heldBy([reply.answer]) - bytes);
    this.#parts.onAnswer(this.name, reply.answer);
    return reply.answer;
  }

  /** Runs one call when the thread is free. */
  #serve(
    name: string,
    values: readonly unknown[],
  ): Promise<{ at: number; answer?: unknown; error?: unknown }> {
    const { clock, times, meters } = this.#parts;
    this.#countCall();
    const from = Math.max(clock.now, this.#freeAt);
    this.#freeAt = from + times.objectCall;
    return new Promise((resolve) => {
      clock.at(from, () => {
        const before = this.sqlite.changed;
        const { returned } = this.sqlite;
        const done = (result: { answer?: unknown; error?: unknown }) => resolve({ at: endAt, ...result });
        let answer: Promise<unknown>;
        try {
          answer = Promise.resolve(runAs(this.#thread, () => this.#living()[name]?.(...values)));
        } catch (error) {
          answer = Promise.reject(error);
        }
        const rows = this.sqlite.changed - before;
        meters.units.objectRowsWritten += this.sqlite.billed;
        this.sqlite.billed = 0;
        meters.units.objectRowsRead += this.sqlite.returned - returned;
        const rowMs = rows * times.objectRow;
        this.#freeAt += rowMs;
        meters.objectMs += times.objectCall + rowMs;
        const endAt = from + times.objectCall + rowMs;
        answer.then(
          (value) => done({ answer: value }),
          (error: unknown) => done({ error }),
        );
      });
    });
  }

  #countCall(): void {
    const at = Math.floor(this.#parts.clock.now / 1000);
    if (this.#second.at !== at) this.#second = { at, calls: 0 };
    this.#parts.onCall?.(at, ++this.#second.calls);
  }

  #living(): Instance {
    const { clock } = this.#parts;
    if (clock.now - this.#usedAt > OBJECT_IDLE_MS) this.#instance = undefined;
    this.#usedAt = clock.now;
    this.#instance ??= this.#parts.create(this.#state());
    return this.#instance;
  }

  #setAlarm(at: number | null): void {
    const { clock, meters } = this.#parts;
    this.#alarmAt = at;
    if (at === null) return;
    meters.units.objectRowsWritten++;
    clock.at(at, () => {
      if (this.#alarmAt !== at) return;
      this.#alarmAt = null;
      meters.units.alarms++;
      meters.units.objectRequests++;
      this.#serve('alarm', []);
    });
  }

  #state() {
    const storage = {
      sql: {
        exec: (text: string, ...values: unknown[]) => cursorOf(this.sqlite.query(text, values)),
        get databaseSize() {
          return 0;
        },
      },
      transactionSync: <Answer>(work: () => Answer) => this.sqlite.transaction(work),
      getAlarm: async () => this.#alarmAt,
      setAlarm: async (at: number | Date) => this.#setAlarm(Number(at)),
      deleteAlarm: async () => this.#setAlarm(null),
      deleteAll: async () => {
        this.sqlite.close();
        this.sqlite = new Sqlite();
        this.#setAlarm(null);
      },
    };
    Object.defineProperty(storage.sql, 'databaseSize', { get: () => this.bytes });
    return {
      id: { name: this.name, toString: () => this.name },
      storage,
      waitUntil: (promise: Promise<unknown>) => void promise.catch(() => undefined),
      blockConcurrencyWhile: <Answer>(work: () => Promise<Answer>) => work(),
    };
  }

  /** Bytes that its database takes. */
  get bytes(): number {
    return this.sqlite.bytes;
  }
}

function cursorOf({
  columns,
  rows,
  changes,
}: {
  columns: readonly string[];
  rows: Value[][];
  changes: number;
}) {
  const objects = objectsOf(columns, rows);
  return {
    columnNames: columns,
    rowsRead: rows.length,
    rowsWritten: changes,
    toArray: () => objects,
    one: () => {
      if (objects.length !== 1) throw new Error(`expected one row, there are ${objects.length}`);
      return objects[0];
    },
    raw: () => rows[Symbol.iterator](),
    [Symbol.iterator]: () => objects[Symbol.iterator](),
  };
}

/** Bytes of the SETs in the values of a call, or in its answer. */
function heldBy(values: readonly unknown[]): number {
  return values.flat().reduce<number>((sum, value) => {
    const set = typeof value === 'object' && value !== null ? Reflect.get(value, 'set') : undefined;
    return sum + (typeof set === 'string' ? set.length : 0);
  }, 0);
}

/** The binding of a class: its objects by name. */
export class Namespace {
  readonly objects = new Map<string, ModelObject>();
  readonly #parts: ObjectParts;
  readonly #copyOf: Uint8Array | undefined;

  constructor(parts: ObjectParts, copyOf?: Uint8Array) {
    this.#parts = parts;
    this.#copyOf = copyOf;
  }

  idFromName(name: string) {
    return { name, toString: () => name };
  }

  get({ name }: { name: string }): object {
    let object = this.objects.get(name);
    if (object === undefined) {
      object = new ModelObject(name, this.#parts, this.#copyOf);
      this.objects.set(name, object);
    }
    const target = object;
    return new Proxy(target, {
      get: (_, member) =>
        member === 'then' ? undefined : (...values: unknown[]) => target.call(String(member), values),
    });
  }

  /** Where objects live makes no difference here. */
  jurisdiction(): this {
    return this;
  }

  getByName(name: string): object {
    return this.get({ name });
  }
}
