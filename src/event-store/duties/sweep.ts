/** The sweep deletes deliveries and jobs that are past their time, in bites; the next alarm goes on with the rest. */
import { hourOf } from '../../domain/figures.ts';
import { eventIdFloor } from '../../domain/ids.ts';
import { EVENT_ID_MAX_FUTURE_MS, FIGURES_WINDOW_MS } from '../../domain/limits.ts';
import { expiresAt } from '../../domain/retention.ts';
import type { Duty } from '../alarm.ts';
import type { StoreDatabase } from '../database.ts';
import type { Deliveries } from '../deliveries/deliveries.ts';
import type { Exports } from '../jobs/exports.ts';
import type { Redeliveries } from '../jobs/redeliveries.ts';
import { SWEEP_INTERVAL_MS, SWEEP_MAX_PACKS, SWEEP_MAX_ROWS, SWEEP_MAX_SEGMENTS } from '../tuning.ts';

export class Sweep implements Duty {
  readonly name = 'sweep';
  readonly #database: StoreDatabase;
  readonly #deliveries: Deliveries;
  readonly #exports: Exports;
  readonly #redeliveries: Redeliveries;
  readonly #retentionMs: () => number;
  /** The event id after which the next bite goes on; empty when rows were swept to the end. */
  #cursor = '';
  #hasMoreSegments = false;
  /** When the last complete sweep was, ms. */
  #sweptAt = 0;

  constructor(
    database: StoreDatabase,
    deliveries: Deliveries,
    exports: Exports,
    redeliveries: Redeliveries,
    retentionMs: () => number,
  ) {
    this.#database = database;
    this.#deliveries = deliveries;
    this.#exports = exports;
    this.#redeliveries = redeliveries;
    this.#retentionMs = retentionMs;
  }

  dueAt(now: number): number | undefined {
    const oldest = this.#deliveries.oldestAcceptance();
    const times = [this.#exports.nextExpiry(), this.#redeliveries.nextExpiry()];
    if (oldest !== undefined) {
      times.push(
        this.#isUnfinished()
          ? now
          : Math.max(oldest + this.#retentionMs(), this.#sweptAt + SWEEP_INTERVAL_MS),
      );
    }
    const known = times.filter((time) => time !== undefined);
    return known.length === 0 ? undefined : Math.min(...known);
  }

  work(now: number): void {
    if (this.#isUnfinished() || now >= this.#sweptAt + SWEEP_INTERVAL_MS) this.#sweepDeliveries(now);
    this.#exports.sweep(now);
    this.#redeliveries.sweep(now);
  }

  #sweepDeliveries(now: number): void {
    const retentionMs = this.#retentionMs();
    // An id may be up to five minutes ahead of its acceptance; no younger delivery can have expired.
    const youngest = eventIdFloor(now - retentionMs + EVENT_ID_MAX_FUTURE_MS);
    // All of the bite or nothing of it, or the counts would speak of other rows than there are.
    const { cursor, hasMoreSegments } = this.#database.transaction(() => {
      const bite = this.#deliveries.rows.ages.between(this.#cursor, youngest, SWEEP_MAX_ROWS);
      const expired = bite.filter((age) => (expiresAt(age, retentionMs) ?? Number.POSITIVE_INFINITY) <= now);
      if (expired.length > 0) {
        const ids = expired.map((age) => age.eventId);
        this.#deliveries.rows.delete(ids);
        this.#exports.forgetEvents(ids);
      }
      const packs = this.#deliveries.packs.deleteExpired({ now, retentionMs }, SWEEP_MAX_PACKS);
      this.#exports.forgetEvents(packs.eventIds);
      const from = hourOf(now) - FIGURES_WINDOW_MS;
      const before = this.#deliveries.counting.keepBefore(youngest, SWEEP_MAX_SEGMENTS, from, now);
      const hasMore = this.#deliveries.deletePacked(now - retentionMs, before, SWEEP_MAX_SEGMENTS);
      return {
        cursor: bite.length === SWEEP_MAX_ROWS ? (bite.at(-1)?.eventId ?? '') : '',
        hasMoreSegments: hasMore || packs.more,
      };
    });
    this.#cursor = cursor;
    this.#hasMoreSegments = hasMoreSegments;
    if (!this.#isUnfinished()) this.#sweptAt = now;
  }

  #isUnfinished(): boolean {
    return this.#hasMoreSegments || this.#cursor !== '';
  }
}
