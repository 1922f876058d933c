/**
 * Virtual time. Nothing here waits: the clock runs the earliest thing that is due, lets every promise that it settled run to
 * its end, and moves on to the next one. While it is installed, the globals by which src reads the time and waits are its own.
 *
 * An actor runs code: an invocation, or an object. Each timer belongs to the actor that set it. The timers of a
 * dead actor never fire, so its code stops where it waited; those of an actor whose thread is busy fire when it is free.
 *
 * The clock knows nothing of work that Node does on another thread, and would run on without it. So a digest is made at once,
 * and the other methods of `crypto.subtle` throw: the model replaces what uses them.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { createHash } from 'node:crypto';

export interface Actor {
  readonly isAlive: boolean;
  /** Its thread works until then, ms. */
  readonly busyUntil: number;
}

interface Entry {
  readonly seq: number;
  /** `undefined`: canceled. An entry waits for its time all the same, and must not keep what it would have used. */
  work: (() => void) | undefined;
  actor: Actor | undefined;
  time: number;
}

const current = new AsyncLocalStorage<Actor | undefined>();

/** The actor whose code runs now. */
export function currentActor(): Actor | undefined {
  return current.getStore();
}

/** Runs code as an actor; the promises that it waits for go on as the same actor. */
export function runAs<Answer>(actor: Actor | undefined, work: () => Answer): Answer {
  return current.run(actor, work);
}

/** Steps that one turn of Node's loop takes. Promises run to their end after each of them. */
const STEPS_PER_TURN = 64;

export class Clock {
  now: number;
  /** Things that happened. */
  steps = 0;
  readonly startedAt: number;
  readonly #heap: Entry[] = [];
  #seq = 0;

  constructor(startedAt = Date.UTC(2026, 10, 24, 12)) {
    this.now = startedAt;
    this.startedAt = startedAt;
  }

  /** Calls `work` at a time, as the actor given. @returns what cancels it */
  at(time: number, work: () => void, actor: Actor | undefined = undefined): () => void {
    const entry: Entry = { seq: this.#seq++, work, actor, time: Math.max(time, this.now) };
    this.#push(entry);
    return () => {
      entry.work = undefined;
      entry.actor = undefined;
    };
  }

  /** A promise that an actor awaits: settled at a time, when the actor's thread is free; never when it is dead. */
  wait(ms: number, actor = currentActor()): Promise<void> {
    const from = Math.max(this.now, actor?.busyUntil ?? 0);
    return new Promise((resolve) => this.at(from + ms, resolve, actor));
  }

  /** Runs until `isOver` says so, or the time given, or until nothing is due any more. */
  run(isOver: () => boolean, until: number): Promise<void> {
    return new Promise((resolve, reject) => {
      let isDone = false;
      const step = () => {
        if (isDone) return;
        try {
          isDone = isOver() || !this.#step(until);
        } catch (error) {
          isDone = true;
          reject(error);
        }
        if (isDone) resolve();
      };
      const turn = () => {
        if (isDone) return;
        for (let left = STEPS_PER_TURN; left > 0; left--) setImmediate(step);
        setImmediate(turn);
      };
      turn();
    });
  }

  #step(until: number): boolean {
    for (;;) {
      const entry = this.#heap[0];
      if (entry === undefined) return false;
      if (entry.time > until) {
        this.now = until;
        return false;
      }
      this.#pop();
      if (entry.work === undefined || entry.actor?.isAlive === false) continue;
      this.now = entry.time;
      if (entry.actor !== undefined && entry.actor.busyUntil > this.now) {
        entry.time = entry.actor.busyUntil;
        this.#push(entry);
        continue;
      }
      this.steps++;
      runAs(entry.actor, entry.work);
      return true;
    }
  }

  #push(entry: Entry): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(entry);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const other = heap[parent];
      if (other === undefined || !isBefore(entry, other)) break;
      heap[at] = other;
      at = parent;
    }
    heap[at] = entry;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      const left = heap[child];
      if (left === undefined) break;
      const right = heap[child + 1];
      let least = left;
      if (right !== undefined && isBefore(right, left)) {
        least = right;
        child++;
      }
      if (!isBefore(least, last)) break;
      heap[at] = least;
      at = child;
    }
    heap[at] = last;
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.time < b.time || (a.time === b.time && a.seq < b.seq);
}

/** Replaces globals; @returns what restores them */
export function install(clock: Clock, random: () => number, others: Record<string, unknown>): () => void {
  const timers = new Map<number, () => void>();
  let lastTimer = 0;
  const bytes = <View extends Uint8Array>(view: View): View => {
    for (let index = 0; index < view.length; index++) view[index] = Math.floor(random() * 256);
    return view;
  };
  const replaced: [object, Record<string, unknown>][] = [
    [Date, { now: () => Math.floor(clock.now) }],
    [Math, { random }],
    [performance, { now: () => clock.now - clock.startedAt }],
    [crypto, { getRandomValues: bytes, randomUUID: () => uuidOf(bytes(new Uint8Array(16))) }],
    [crypto.subtle, { ...Object.fromEntries(ON_THREADS.map(refused)), digest }],
    [AbortSignal, { timeout: (ms: number) => timeoutSignal(clock, ms) }],
    [
      globalThis,
      {
        setTimeout: (work: (...values: unknown[]) => void, ms = 0, ...values: unknown[]) => {
          const id = ++lastTimer;
          const actor = currentActor();
          const from = Math.max(clock.now, actor?.busyUntil ?? 0);
          const fire = () => {
            timers.delete(id);
            work(...values);
          };
          timers.set(id, clock.at(from + ms, fire, actor));
          return id;
        },
        clearTimeout: (id: number | null) => {
          timers.get(id ?? 0)?.();
          timers.delete(id ?? 0);
        },
        scheduler: { wait: (ms: number) => clock.wait(ms) },
        ...others,
      },
    ],
  ];
  const restores = replaced.map(([target, values]) => replace(target, values));
  return () => {
    for (const restore of restores) restore();
  };
}

const ON_THREADS = ['decrypt', 'encrypt', 'exportKey', 'generateKey', 'importKey', 'sign', 'verify'] as const;

function refused(name: string): [string, () => Promise<never>] {
  return [
    name,
    async () => {
      throw new Error(`crypto.subtle.${name} does not run in virtual time`);
    },
  ];
}

/** Of SHA-256, the only digest that src takes. */
async function digest(algorithm: 'SHA-256', data: Uint8Array): Promise<ArrayBuffer> {
  const bytes = createHash(algorithm.replace('-', '').toLowerCase()).update(data).digest();
  return new Uint8Array(bytes).buffer;
}

function replace(target: object, values: Record<string, unknown>): () => void {
  const before = Object.keys(values).map(
    (name) => [name, Object.getOwnPropertyDescriptor(target, name)] as const,
  );
  for (const [name, value] of Object.entries(values)) {
    Object.defineProperty(target, name, { value, configurable: true, writable: true });
  }
  return () => {
    for (const [name, descriptor] of before) {
      if (descriptor === undefined) Reflect.deleteProperty(target, name);
      else Object.defineProperty(target, name, descriptor);
    }
  };
}

function timeoutSignal(clock: Clock, ms: number): AbortSignal {
  const abort = new AbortController();
  const reason = new DOMException('The operation was aborted due to timeout', 'TimeoutError');
  clock.wait(ms).then(() => abort.abort(reason));
  return abort.signal;
}

function uuidOf(bytes: Uint8Array): string {
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = Buffer.from(bytes).toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
