/**
 * Bulk redelivery (contract 10.3): table `redeliveries`. A job redelivers every delivery that had failed in a span when the job
 * began.
 *
 * A bite writes its deliveries and the cursor in one transaction, so a job that dies goes on where it was. A delivery that
 * fails once more failed after the job began, and is not taken again. A trigger keeps the counts (schema.ts). The pace is the
 * backlog's (endpoint/backlog.ts).
 */
import { redeliver } from '../../domain/delivery.ts';
import { eventIdFloor } from '../../domain/ids.ts';
import { EVENT_ID_MAX_FUTURE_MS, EVENT_ID_MAX_PAST_MS, REDELIVERY_LIFE_MS } from '../../domain/limits.ts';
import { expiresAt } from '../../domain/retention.ts';
import type { Duty } from '../alarm.ts';
import type { StoreDatabase } from '../database.ts';
import type { Deliveries } from '../deliveries/deliveries.ts';
import type { Failure } from '../deliveries/rows.ts';
import type { RedeliveryJob, RedeliveryPreview, RedeliveryState, Span, SpanEnd } from '../rpc.ts';
import { REDELIVERY_LOOK_MAX } from '../tuning.ts';
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
  /** The last event id counted; null when all are, and in a row of an earlier version. */
  uncounted_after: string | null;
  total: number;
  redelivered: number;
  succeeded: number;
  failed: number;
};

export class Redeliveries implements Duty {
  readonly name = 'redelivery';
  readonly #database: StoreDatabase;
  readonly #deliveries: Deliveries;
  readonly #jobs: Jobs<Row>;
  readonly #retentionMs: () => number;
  readonly #given: () => readonly number[];
  readonly #isFull: () => boolean;
  /** False only when it is known that no job is active: each call of the event path asks. */
  #mayBeActive = true;

  /**
   * @param given the proofs that were given (contract 10.8)
   * @param isFull whether the store has no room for more rows (contract 10.9)
   */
  constructor(
    database: StoreDatabase,
    deliveries: Deliveries,
    retentionMs: () => number,
    given: () => readonly number[],
    isFull: () => boolean,
  ) {
    this.#database = database;
    this.#deliveries = deliveries;
    this.#jobs = new Jobs(database, 'redeliveries', () => REDELIVERY_LIFE_MS);
    this.#retentionMs = retentionMs;
    this.#given = given;
    this.#isFull = isFull;
    database.whenRolledBack(() => {
      this.#mayBeActive = true;
    });
  }

  /** Begins a job; `undefined` while one is active. The oldest job that ended makes room for it. */
  start(id: string, span: Span, now: number): RedeliveryJob | undefined {
    if (this.#active() !== undefined) return undefined;
    this.#jobs.makeRoom(['completed', 'canceled']);
    this.#database.run(
      `INSERT INTO redeliveries
         (id, state, created_at, updated_at, since, until, cursor, uncounted_after, total, redelivered, succeeded, failed)
       VALUES (?, 'processing', ?, ?, ?, ?, '', '', 0, 0, 0, 0)`,
      id,
      now,
      now,
      span.since,
      span.until,
    );
    this.#mayBeActive = true;
    this.work(now);
    const job = this.#jobs.find(id);
    return job && jobOf(job);
  }

  /** Begins this store's part of a job that the home store began. Another job that is active here was left over. */
  join(id: string, span: Span, now: number): RedeliveryJob | undefined {
    const known = this.#jobs.find(id);
    if (known !== undefined) return jobOf(known);
    this.cancelActive(now);
    return this.start(id, span, now);
  }

  /**
   * What a job of this span would take of the next failures; `undefined` while one is active. It goes through as many as one step of a
   * job, and writes nothing.
   * @param after the event id up to which the look before this one went
   */
  preview(span: Span, after: string | undefined, now: number): RedeliveryPreview | undefined {
    if (this.#active() !== undefined) return undefined;
    const { failures, upTo } = this.#around(span, after, now);
    const given = new Set(this.#given());
    const job = { ...span, created_at: now };
    const spanned = failures.filter((failure) => this.#isInSpan(failure, job, now));
    const kept = spanned.filter(({ isKept }) => isKept === 1);
    const wanted = kept.filter(({ proof }) => proof === null || given.has(proof));
    const [oldest, newest] = ends(wanted);
    return {
      total: wanted.length,
      ...(oldest === undefined ? {} : { oldest }),
      ...(newest === undefined ? {} : { newest }),
      notKept: spanned.length - kept.length,
      notVerified: kept.length - wanted.length,
      ...(upTo === undefined ? {} : { upTo }),
      isEarly: this.#isEarly,
    };
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

  /**
   * Whether an active job has deliveries left to release, as far as it knows. Packed ones get rows, which take ten times as much: in a full
   * store they wait until the sweep has made room.
   */
  hasMore(): boolean {
    const job = this.#active();
    if (job !== undefined && this.#deliveries.packs.hasFailed() && this.#isFull()) return false;
    return job !== undefined && job.cursor !== null && job.uncounted_after === null && !this.#isEarly;
  }

  /**
   * Begins a new run for the next deliveries of the active job. It looks at a bounded number of failures, so it may find none
   * although there are more.
   * @returns their ids
   */
  redeliverNext(limit: number, now: number): string[] {
    const job = this.#active();
    if (job === undefined || job.cursor === null || limit <= 0 || !this.hasMore()) return [];
    const { wanted, next } = this.#look(job, job.cursor, limit, now);
    const taken = [...this.#deliveries.findAll(wanted).values()].flatMap(
      (delivery) => redeliver(delivery, now, job.id) ?? [],
    );
    this.#deliveries.put(taken);
    // A delivery may fail in the very millisecond in which the job began, after it was counted: the total grows then.
    this.#database.run(
      `UPDATE redeliveries SET cursor = ?, redelivered = redelivered + ?, total = max(total, redelivered + ?),
         updated_at = ? WHERE id = ?`,
      next,
      taken.length,
      taken.length,
      now,
      job.id,
    );
    return taken.map(({ eventId }) => eventId);
  }

  /** Completes the active job once every delivery it released has become final. */
  complete(now: number): void {
    const job = this.#active();
    if (job === undefined || job.uncounted_after !== null || this.#isEarly) return;
    const isExhausted = job.cursor === null || job.total === 0;
    if (isExhausted && job.succeeded + job.failed >= job.redelivered) this.#end(job.id, 'completed', now);
  }

  // --- Duties -----------------------------------------------------------------------------------------

  /** Due by itself only while a job counts: later the reports that make deliveries final complete it. Each ring makes sure. */
  dueAt(now: number): number | undefined {
    return this.#isEarly || (this.#active()?.uncounted_after ?? null) === null ? undefined : now;
  }

  work(now: number): void {
    this.#database.transaction(() => this.#count(now));
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

  /** Counts the next failures that the active job will take. */
  #count(now: number): void {
    const job = this.#active();
    if (job === undefined || job.uncounted_after === null || this.#isEarly) return;
    const { wanted, next } = this.#look(job, job.uncounted_after, REDELIVERY_LOOK_MAX, now);
    this.#database.run(
      'UPDATE redeliveries SET total = total + ?, uncounted_after = ?, updated_at = ? WHERE id = ?',
      wanted.length,
      next,
      now,
      job.id,
    );
  }

  /** Looks at the failures after an event id. @returns the first that the job takes, and where to go on; null: nowhere */
  #look(job: Row, after: string, limit: number, now: number): { wanted: string[]; next: string | null } {
    const given = new Set(this.#given());
    const wanted: string[] = [];
    let next = after;
    for (let looked = 0; looked < REDELIVERY_LOOK_MAX && wanted.length < limit; ) {
      const chunk = Math.min(limit, REDELIVERY_LOOK_MAX);
      const failures = this.#deliveries.failures(next, chunk);
      for (const failure of failures) {
        if (wanted.length === limit) return { wanted, next };
        if (this.#isWanted(failure, job, given, now)) wanted.push(failure.eventId);
        next = failure.eventId;
      }
      if (failures.length < chunk) return { wanted, next: null };
      looked += chunk;
    }
    return { wanted, next };
  }

  /**
   * The next failures whose ids may belong to a span: first those near it, then those whose ids are up to a day older than their
   * acceptance. So the failures of the last minutes are found first, though thousands failed earlier that day.
   * @returns `upTo`: where the next look goes on; absent: there is nothing more
   */
  #around(span: Span, after: string | undefined, now: number): { failures: Failure[]; upTo?: string } {
    const near = eventIdFloor(span.since - EVENT_ID_MAX_FUTURE_MS);
    const regions = [
      { from: near, to: eventIdFloor(Math.min(span.until, now) + EVENT_ID_MAX_FUTURE_MS + 1) },
      { from: eventIdFloor(span.since - EVENT_ID_MAX_PAST_MS - 1), to: near },
    ];
    const failures: Failure[] = [];
    // A look before this one went up to `after`, in the second region if that is below the first.
    for (const { from, to } of after === undefined || after >= near ? regions : regions.slice(1)) {
      const start = after !== undefined && after >= from && after < to ? after : from;
      const limit = REDELIVERY_LOOK_MAX - failures.length;
      if (limit === 0) return { failures, upTo: start };
      const found = this.#deliveries.failures(start, limit);
      failures.push(...found.filter(({ eventId }) => eventId <= to));
      const last = found.at(-1)?.eventId ?? to;
      if (found.length === limit && last < to) return { failures, upTo: last };
    }
    return { failures };
  }

  /** Whether the job takes a failure: one in its span, with its SET, that waits for no proof. */
  #isWanted(failure: Failure, job: Row, given: ReadonlySet<number>, now: number): boolean {
    const { proof, isKept } = failure;
    return isKept === 1 && this.#isInSpan(failure, job, now) && (proof === null || given.has(proof));
  }

  /** Whether a failure is of the span of a job, from before it began, and kept still. */
  #isInSpan(failure: Failure, job: Pick<Row, 'since' | 'until' | 'created_at'>, now: number): boolean {
    const { acceptedAt, updatedAt } = failure;
    const expiry = expiresAt({ state: 'failure', acceptedAt, updatedAt }, this.#retentionMs()) ?? now;
    const isOfSpan = acceptedAt >= job.since && acceptedAt <= job.until && updatedAt <= job.created_at;
    return isOfSpan && expiry > now;
  }

  #end(id: string, state: 'completed' | 'canceled', now: number): void {
    this.#database.run(
      'UPDATE redeliveries SET state = ?, cursor = NULL, updated_at = ? WHERE id = ?',
      state,
      now,
      id,
    );
  }

  /** What failed when the subscription was disabled is found once the alarm has rewritten it. */
  get #isEarly(): boolean {
    return this.#deliveries.rows.disabled.mark !== undefined;
  }

  #active(): Row | undefined {
    if (!this.#mayBeActive) return undefined;
    const active = this.#jobs.active();
    this.#mayBeActive = active !== undefined;
    return active;
  }
}

/** The first and the last of these to be accepted. */
function ends(failures: readonly Failure[]): [oldest?: SpanEnd, newest?: SpanEnd] {
  let [oldest, newest] = [failures[0], failures[0]];
  for (const failure of failures) {
    if (oldest === undefined || failure.acceptedAt < oldest.acceptedAt) oldest = failure;
    if (newest === undefined || failure.acceptedAt >= newest.acceptedAt) newest = failure;
  }
  return oldest === undefined || newest === undefined ? [] : [endOf(oldest), endOf(newest)];
}

function endOf({ eventId, acceptedAt }: Failure): SpanEnd {
  return { eventId, acceptedAt };
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
    span: { since: row.since, until: row.until },
  };
}
