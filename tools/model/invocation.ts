/**
 * One invocation of the Worker: a thread, six connections, and limits of time, processor time and subrequests. An invocation
 * that dies stops where it waits; its messages that are not acknowledged return to their queue.
 */
import { type Actor, type Clock, currentActor } from './clock.ts';
import { count, type Meters } from './meters.ts';
import { CONNECTIONS_MAX } from './platform.ts';

export type Death = 'cpu' | 'wall time' | 'killed';

export class Invocation implements Actor {
  isAlive = true;
  busyUntil: number;
  cpuMs = 0;
  subrequests = 0;
  readonly waiting: Promise<unknown>[] = [];
  /** Called once when the invocation dies. */
  onDeath: (death: Death) => void = () => undefined;
  readonly #clock: Clock;
  readonly #meters: Meters;
  readonly #limits: { readonly cpuMs: number; readonly subrequests: number };
  #bytes = 0;
  #connections = 0;
  readonly #queued: (() => void)[] = [];

  constructor(
    clock: Clock,
    meters: Meters,
    limits: { readonly cpuMs: number; readonly subrequests: number },
  ) {
    this.#clock = clock;
    this.#meters = meters;
    this.#limits = limits;
    this.busyUntil = clock.now;
  }

  /** Uses processor time: the thread is busy for so long. */
  work(ms: number): void {
    this.cpuMs += ms;
    this.#meters.cpuMs += ms;
    this.#meters.cpuMsMax = Math.max(this.#meters.cpuMsMax, this.cpuMs);
    this.busyUntil = Math.max(this.busyUntil, this.#clock.now) + ms;
    if (this.cpuMs > this.#limits.cpuMs) this.die('cpu');
  }

  die(death: Death): void {
    if (!this.isAlive) return;
    this.isAlive = false;
    count(this.#meters.killed, death);
    this.#clock.at(this.busyUntil, () => this.onDeath(death));
  }

  /** Ends an invocation that did its work. */
  end(): void {
    this.isAlive = false;
  }

  /** @throws Error with the platform's words once there were too many */
  subrequest(): void {
    this.subrequests++;
    this.#meters.subrequestsMax = Math.max(this.#meters.subrequestsMax, this.subrequests);
    if (this.subrequests > this.#limits.subrequests) {
      throw new Error('Too many subrequests by single Worker invocation.');
    }
  }

  /** Calls `use` when a connection is free; `release` frees it. @returns what gives up a place in the line */
  connect(use: () => void): () => void {
    if (this.#connections < CONNECTIONS_MAX) {
      this.#connections++;
      use();
      return () => undefined;
    }
    this.#meters.queuedForConnection++;
    this.#queued.push(use);
    return () => {
      const at = this.#queued.indexOf(use);
      if (at >= 0) this.#queued.splice(at, 1);
    };
  }

  release(): void {
    const next = this.#queued.shift();
    if (next === undefined) this.#connections--;
    else next();
  }

  /** Notes bytes that the invocation holds from now on, or (negative) no more. */
  hold(bytes: number): void {
    this.#bytes += bytes;
    this.#meters.bytesMax = Math.max(this.#meters.bytesMax, this.#bytes);
  }
}

/** The invocation whose code runs now; `undefined` in an object, or outside. */
export function currentInvocation(): Invocation | undefined {
  const actor = currentActor();
  return actor instanceof Invocation ? actor : undefined;
}
