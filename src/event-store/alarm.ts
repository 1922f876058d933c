/**
 * The alarm of an event store: a table of duties.
 *
 * An object has one alarm. When it rings, each duty does one bounded bite of what is due, in the order of the table. Then the
 * alarm is set to the earliest time at which a duty must be called again. That time is always computed from the rows, never
 * remembered beside them, so whatever was changed last is what the alarm goes by.
 *
 * A duty that throws is paused by itself, and the longer the more often it throws in a row (pauses.ts). The other duties go on.
 */
import { logError } from '../log.ts';
import type { Pauses } from './pauses.ts';
import { ALARM_MAX_AHEAD_MS, SCHEDULE_UNREADABLE_MS } from './tuning.ts';

export interface Duty {
  readonly name: string;
  /** Somebody waits for this duty: it is called once though it pauses. */
  readonly isUrgent?: boolean;
  /** Its last call only prepared its work, which shows nothing: if it has failed before that, it counts as failing still. */
  readonly isPreparing?: boolean;
  /** When this duty must be called next, ms; `undefined` when it has nothing to do. */
  dueAt(now: number): number | undefined;
  /** Does one bounded bite of what is due, or nothing when nothing is due. What is left is due at once. @throws to pause */
  work(now: number): void | Promise<void>;
}

export class Alarm {
  readonly #storage: DurableObjectStorage;
  readonly #duties: readonly Duty[];
  readonly #names: () => { customerId: string | undefined; subscriptionId: string | undefined };
  readonly #pauses: Pauses;
  readonly #writes: () => number;
  /** What `#writes` said when the alarm was armed last; `undefined`: it was not since the object woke. */
  #armedAfter: number | undefined;

  /**
   * @param names whose store this is, for the log
   * @param writes how many statements have written so far
   */
  constructor(
    storage: DurableObjectStorage,
    duties: readonly Duty[],
    pauses: Pauses,
    names: () => { customerId: string | undefined; subscriptionId: string | undefined },
    writes: () => number,
  ) {
    this.#storage = storage;
    this.#duties = duties;
    this.#pauses = pauses;
    this.#names = names;
    this.#writes = writes;
  }

  /** Calls every duty that is not paused. Never throws. */
  async ring(now: number): Promise<void> {
    for (const duty of this.#duties) {
      if (this.#pausedUntil(duty) <= now) await this.#runDuty(duty, now);
    }
  }

  /**
   * Sets the alarm for the earliest duty. Setting it is a row written, so an alarm that rings early enough already is left
   * alone: when it finds nothing due it only sets the next.
   */
  async arm(now: number): Promise<void> {
    const writes = this.#writes();
    this.#armedAfter = undefined;
    const next = this.#nextAt(now);
    if (next !== undefined) {
      const armed = await this.#storage.getAlarm();
      if (armed === null || armed > next) await this.#storage.setAlarm(next);
    }
    this.#armedAfter = writes;
  }

  /**
   * Arms the alarm, unless nothing was written since it was armed. For a call that asks much more often than it changes anything: the
   * duties read half a dozen rows for their times.
   */
  async armAfterWrites(now: number): Promise<void> {
    if (this.#armedAfter !== this.#writes()) await this.arm(now);
  }

  async #runDuty(duty: Duty, now: number): Promise<void> {
    try {
      await duty.work(now);
      if (duty.isPreparing !== true) this.#pauses.end(duty.name);
    } catch (error) {
      this.#pauses.begin(duty.name, Date.now());
      logError('duty failed', error, { ...this.#names(), duty: duty.name });
    }
  }

  #nextAt(now: number): number | undefined {
    const times = this.#duties.flatMap((duty) => {
      const due = this.#dueAt(duty, now);
      return due === undefined ? [] : [Math.max(due, this.#pausedUntil(duty))];
    });
    return times.length === 0
      ? undefined
      : Math.min(Math.max(now, Math.min(...times)), now + ALARM_MAX_AHEAD_MS);
  }

  #pausedUntil(duty: Duty): number {
    return duty.isUrgent === true ? 0 : this.#pauses.until(duty.name);
  }

  /** A duty whose time cannot be read must not stop the alarm: it is called later. */
  #dueAt(duty: Duty, now: number): number | undefined {
    try {
      return duty.dueAt(now);
    } catch (error) {
      logError('schedule not readable', error, { ...this.#names(), duty: duty.name });
      return now + SCHEDULE_UNREADABLE_MS;
    }
  }
}
