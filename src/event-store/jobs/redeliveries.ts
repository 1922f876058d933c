/**
 * Bulk redelivery (contract 10.3): table `redeliveries`. A job redelivers every delivery that had failed in a span when the job
 * began.
 *
 * A bite writes its deliveries and the cursor in one transaction, so a job that dies goes on where it was. A delivery that
 * fails once more failed after the job began, and is not taken again. A trigger keeps the counts (schema.ts). The pace is the
 * backlog's (endpoint/backlog.ts).
 */
import { redeliver } from '../../domain/delivery.ts';
import { REDELIVERY_LIFE_MS } from '../../domain/limits.ts';
import type { Duty } from '../alarm.ts';
import type { StoreDatabase } from '../database.ts';
import type { Rows } from '../deliveries/rows.ts';
import type { RedeliveryJob, RedeliveryState, Span } from '../rpc.ts';
import { Jobs } from './job.ts';

type Row = {
  id: string;
  state: RedeliveryState;
  created_at: number;
  updated_at: number;
  since: number;
  until: number;
  /** The last event id taken; null when there are no more. */
  cursor: string | null;
  total: number;
  redelivered: number;
  succeeded: number;
  failed: number;
};

export class Redeliveries implements Duty {
  readonly name = 'redelivery';
  readonly #database: StoreDatabase;
  readonly #deliveries: Rows;
  readonly #jobs: Jobs<Row>;
  readonly #retentionMs: () => number;
  readonly #given: () => readonly number[];
  /** False only when it is known that no job is active: each call of the event path asks. */
  #mayBeActive = true;

  /** @param given the proofs that were given (contract 10.8) */
  constructor(
    database: StoreDatabase,
    deliveries: Rows,
    retentionMs: () => number,
    given: () => readonly number[],
  ) {
    this.#database = database;
    this.#deliveries = deliveries;
    this.#jobs = new Jobs(database, 'redeliveries', REDELIVERY_LIFE_MS);
    this.#retentionMs = retentionMs;
    this.#given = given;
    database.whenRolledBack(() => {
      this.#mayBeActive = true;
    });
  }

  /** Begins a job; `undefined` while one is active. The oldest job that ended makes room for it. */
  start(id: string, span: Span, now: number): RedeliveryJob | undefined {
    if (this.#active() !== undefined) return undefined;
    this.#jobs.makeRoom(['completed', 'canceled']);
    const failed = {
      ...span,
      after: '',
      failedBefore: now,
      now,
      retentionMs: this.#retentionMs(),
      given: this.#given(),
    };
    this.#database.run(
      `INSERT INTO redeliveries
         (id, state, created_at, updated_at, since, until, cursor, total, redelivered, succeeded, failed)
       VALUES (?, 'processing', ?, ?, ?, ?, '', ?, 0, 0, 0)`,
      id,
      now,
      now,
      span.since,
      span.until,
      this.#deliveries.countFailedIn(failed),
    );
    this.#mayBeActive = true;
    this.complete(now);
    const job = this.#jobs.find(id);
    return job && jobOf(job);
  }

  /** Jobs that are kept, oldest first. @param id only this one */
  list(id?: string): RedeliveryJob[] {
    return this.#jobs.list(id).map(jobOf);
  }

  /** Ends an active job; deliveries it has released already go on. @returns its state now; `undefined`: no such job */
  cancel(id: string, now: number): RedeliveryState | undefined {
    const job = this.#jobs.find(id);
    if (job?.state !== 'processing') return job?.state;
    this.#end(id, 'canceled', now);
    return 'canceled';
  }

  /** The subscription was disabled. */
  cancelActive(now: number): void {
    const job = this.#active();
    if (job !== undefined) this.#end(job.id, 'canceled', now);
  }

  /** Whether an active job has deliveries left to release. */
  hasMore(): boolean {
    return (this.#active()?.cursor ?? null) !== null;
  }

  /** Begins a new run for the next deliveries of the active job. @returns their ids */
  redeliverNext(limit: number, now: number): string[] {
    const job = this.#active();
    if (job === undefined || job.cursor === null || limit <= 0) return [];
    const { since, until, cursor: after, created_at: failedBefore } = job;
    const retentionMs = this.#retentionMs();
    const query = { since, until, after, failedBefore, now, retentionMs, given: this.#given() };
    const bite = this.#deliveries.failedIn(query, limit);
    const taken: string[] = [];
    for (const delivery of bite) {
      const again = redeliver(delivery, now, job.id);
      if (again === undefined) continue;
      this.#deliveries.put(again);
      taken.push(delivery.eventId);
    }
    // A delivery may fail in the very millisecond in which the job began, after it was counted: the total grows then.
    this.#database.run(
      `UPDATE redeliveries SET cursor = ?, redelivered = redelivered + ?, total = max(total, redelivered + ?),
         updated_at = ? WHERE id = ?`,
      bite.length < limit ? null : (bite.at(-1)?.eventId ?? null),
      taken.length,
      taken.length,
      now,
      job.id,
    );
    return taken;
  }

  /** Completes the active job once every delivery it released has become final. */
  complete(now: number): void {
    const job = this.#active();
    if (job === undefined) return;
    const isExhausted = job.cursor === null || job.total === 0;
    if (isExhausted && job.succeeded + job.failed >= job.redelivered) this.#end(job.id, 'completed', now);
  }

  // --- Duties -----------------------------------------------------------------------------------------

  /** Never due by itself: the reports that make deliveries final complete the job. Each ring of the alarm makes sure. */
  dueAt(): undefined {
    return undefined;
  }

  work(now: number): void {
    this.complete(now);
  }

  /** Forgets jobs past their time. */
  sweep(now: number): void {
    for (const { id } of this.#jobs.expired(now)) this.#jobs.forget(id);
  }

  /** When `sweep` has something to forget, ms. */
  nextExpiry(): number | undefined {
    return this.#jobs.nextExpiry();
  }

  #end(id: string, state: 'completed' | 'canceled', now: number): void {
    this.#database.run(
      'UPDATE redeliveries SET state = ?, cursor = NULL, updated_at = ? WHERE id = ?',
      state,
      now,
      id,
    );
  }

  #active(): Row | undefined {
    if (!this.#mayBeActive) return undefined;
    const active = this.#jobs.active();
    this.#mayBeActive = active !== undefined;
    return active;
  }
}

function jobOf(row: Row): RedeliveryJob {
  const { id, state, total, redelivered, succeeded, failed } = row;
  return {
    id,
    state,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    total,
    redelivered,
    succeeded,
    failed,
  };
}
