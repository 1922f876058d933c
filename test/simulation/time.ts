/**
 * Time as the simulation makes it. The clock stands still until `advance` moves it, from timer to timer, and between two
 * timers everything runs that needs no time. So a life of weeks takes milliseconds, and a seed always gives the same life.
 *
 * The service reads the time by `Date.now()` and waits by `setTimeout` alone. While a life runs, both are ours.
 */
import { createHash } from 'node:crypto';
import type { Random } from '../support/random.ts';

interface Timer {
  readonly id: number;
  readonly at: number;
  readonly run: () => void;
}

const SILENT = ['log', 'info', 'warn', 'error'] as const;

export class Time {
  #now = 1_800_000_000_000;
  #timers: Timer[] = [];
  #sequence = 0;
  #hops = 0;

  get now(): number {
    return this.#now;
  }

  /** Resolves after this long. */
  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.after(ms, resolve));
  }

  /** Runs something after this long. @returns the id with which `cancel` prevents it */
  after(ms: number, run: () => void): number {
    const id = ++this.#sequence;
    this.#timers.push({ id, at: this.#now + Math.max(0, ms), run });
    return id;
  }

  cancel(id: number): void {
    this.#timers = this.#timers.filter((timer) => timer.id !== id);
  }

  /**
   * The end of a turn: resolves when everything that needs no time was done. What arrives at an object or a consumer from
   * outside arrives by a hop, so no two turns run into each other, as in the platform's own event loop.
   */
  hop(): Promise<void> {
    this.#hops++;
    return new Promise((resolve) => {
      setImmediate(() => {
        this.#hops--;
        resolve();
      });
    });
  }

  /** Resolves when nothing moves any more without time. */
  async rest(): Promise<void> {
    do await new Promise((resolve) => setImmediate(resolve));
    while (this.#hops > 0);
  }

  async advance(ms: number): Promise<void> {
    await this.#advanceTo(this.#now + ms, () => false);
  }

  /** Moves the clock from timer to timer until `isDone`, for this long at most. */
  async until(isDone: () => boolean, mostMs: number): Promise<void> {
    await this.rest();
    if (!isDone()) await this.#advanceTo(this.#now + mostMs, isDone);
  }

  async #advanceTo(end: number, isDone: () => boolean): Promise<void> {
    for (;;) {
      await this.rest();
      if (isDone()) return;
      const next = this.#next();
      if (next === undefined || next.at > end) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.#now = Math.max(this.#now, next.at);
      next.run();
    }
    this.#now = end;
    await this.rest();
  }

  #next(): Timer | undefined {
    let next: Timer | undefined;
    for (const timer of this.#timers) if (next === undefined || timer.at < next.at) next = timer;
    return next;
  }

  /**
   * Puts this clock in the place of the real one, chance of the seed in the place of real chance, and silence in the place
   * of the log, which is full of faults that were made on purpose. @returns what undoes it
   */
  install(random: Random): () => void {
    const before = [
      replace(Date, 'now', () => this.#now),
      replace(globalThis, 'setTimeout', (run: () => void, ms = 0) => this.after(ms, run)),
      replace(globalThis, 'clearTimeout', (id: number | null) => {
        if (id !== null) this.cancel(id);
      }),
      replace(globalThis, 'scheduler', { wait: (ms: number) => this.sleep(ms) }),
      replace(crypto, 'randomUUID', () => uuidOf(random)),
      // The runtime computes digests beside the event loop, in real time. Here they take none.
      replace(
        crypto.subtle,
        'digest',
        async (_: string, data: Uint8Array) =>
          Uint8Array.from(createHash('sha256').update(data).digest()).buffer,
      ),
      ...SILENT.map((level) => replace(console, level, () => undefined)),
    ];
    return () => {
      for (const undo of before) undo();
    };
  }
}

export function uuidOf(random: Random): string {
  const hex = Array.from({ length: 32 }, () => random.whole(0, 15).toString(16)).join('');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`;
}

function replace(target: object, name: string, value: unknown): () => void {
  const before = Object.getOwnPropertyDescriptor(target, name);
  Object.defineProperty(target, name, { configurable: true, writable: true, value });
  return () => {
    if (before === undefined) Reflect.deleteProperty(target, name);
    else Object.defineProperty(target, name, before);
  };
}
