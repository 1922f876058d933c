/**
 * Bulk redelivery (contract 10.3): a job that asks again for every delivery that had failed in a span when it began.
 *
 * What it rests on: the cursor and the deliveries of a step are written in one transaction, so a job that dies goes on
 * where it was; a delivery that fails once more is younger than the job and is not taken again. The counts are kept by
 * a trigger (schema.ts). The pace is the backlog's (backlog.ts).
 */
import { redeliver } from '../../domain/delivery.ts';
import { REDELIVERY_LIFE_MS } from '../../domain/limits.ts';
import type { Deliveries } from '../deliveries/deliveries.ts';
import type { RedeliveryJob, RedeliveryState, Span } from '../rpc.ts';

type Row = {
  id: string;
  state: RedeliveryState;
  created_at: number;
  updated_at: number;
  since: number;
  until: number;
  /** The last event id taken; null: there are no more. */
  cursor: string | null;
  total: number;
  redelivered: number;
  succeeded: number;
  failed: number;
};

export class Redeliveries {
  readonly #storage: DurableObjectStorage;
  readonly #deliveries: Deliveries;
  /** Whether a job may be active; false only when it is known that none is. */
  #mayBeActive = true;

  constructor(storage: DurableObjectStorage, deliveries: Deliveries) {
    this.#storage = storage;
    this.#deliveries = deliveries;
  }

  /** Begins a job; `undefined` while one is active. */
  start(id: string, span: Span, now: number, retentionMs: number): RedeliveryJob | undefined {
    if (this.#active() !== undefined) return undefined;
    const total = this.#deliveries.countFailedIn({
      ...span,
      after: '',
      failedBefore: now,
      now,
      retentionMs,
    });
    this.#exec(
      `INSERT INTO redeliveries
         (id, state, created_at, updated_at, since, until, cursor, total, redelivered, succeeded, failed)
       VALUES (?, 'processing', ?, ?, ?, ?, '', ?, 0, 0, 0)`,
      id,
      now,
      now,
      span.since,
      span.until,
      total,
    );
    this.#mayBeActive = true;
    this.complete(now);
    return this.find(id);
  }

  /** Jobs that are kept, oldest first. */
  list(): RedeliveryJob[] {
    return this.#rows('ORDER BY created_at, id').map(fromRow);
  }

  find(id: string): RedeliveryJob | undefined {
    return this.#rows('WHERE id = ?', id).map(fromRow)[0];
  }

  /** Ends an active job; what it asked for already goes on. @returns the state it is in now; `undefined`: no such job */
  cancel(id: string, now: number): RedeliveryState | undefined {
    const job = this.find(id);
    if (job?.state !== 'processing') return job?.state;
    this.#end(id, 'canceled', now);
    return 'canceled';
  }

  /** The subscription was disabled. */
  cancelActive(now: number): void {
    const job = this.#active();
    if (job !== undefined) this.#end(job.id, 'canceled', now);
  }

  /** Whether an active job has deliveries left to ask for. */
  hasMore(): boolean {
    return (this.#active()?.cursor ?? null) !== null;
  }

  /** Asks again for the next deliveries of the active job. @returns their ids */
  next(limit: number, now: number, retentionMs: number): string[] {
    const job = this.#active();
    if (job === undefined || job.cursor === null || limit <= 0) return [];
    const { since, until, cursor } = job;
    const bite = this.#deliveries.failedIn({
      since,
      until,
      after: cursor,
      failedBefore: job.created_at,
      now,
      retentionMs,
      limit,
    });
    const taken: string[] = [];
    for (const delivery of bite) {
      const again = redeliver(delivery, now, job.id);
      if (again === undefined) continue;
      this.#deliveries.put(again);
      taken.push(delivery.eventId);
    }
    // What failed in the very millisecond in which the job began, after it was counted, is taken too.
    this.#exec(
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

  /** Completes the active job once everything it asked for has come to an end. */
  complete(now: number): void {
    const job = this.#active();
    if (job === undefined) return;
    const isExhausted = job.cursor === null || job.total === 0;
    if (isExhausted && job.succeeded + job.failed >= job.redelivered) this.#end(job.id, 'completed', now);
  }

  /** Forgets jobs past their time. */
  sweep(now: number): void {
    this.#exec(
      "DELETE FROM redeliveries WHERE state <> 'processing' AND updated_at <= ?",
      now - REDELIVERY_LIFE_MS,
    );
  }

  /** When the oldest finished job ends, ms. */
  earliestEnd(): number | undefined {
    const oldest = this.#rows("WHERE state <> 'processing' ORDER BY updated_at LIMIT 1")[0];
    return oldest === undefined ? undefined : oldest.updated_at + REDELIVERY_LIFE_MS;
  }

  #end(id: string, state: 'completed' | 'canceled', now: number): void {
    this.#exec(
      'UPDATE redeliveries SET state = ?, cursor = NULL, updated_at = ? WHERE id = ?',
      state,
      now,
      id,
    );
  }

  /** Asked with every call of the event path: a store without a job answers from memory. */
  #active(): Row | undefined {
    if (!this.#mayBeActive) return undefined;
    const active = this.#rows("WHERE state = 'processing'")[0];
    this.#mayBeActive = active !== undefined;
    return active;
  }

  #rows(where: string, ...values: SqlStorageValue[]): Row[] {
    return this.#storage.sql.exec<Row>(`SELECT * FROM redeliveries ${where}`, ...values).toArray();
  }

  #exec(query: string, ...values: SqlStorageValue[]): void {
    this.#storage.sql.exec(query, ...values);
  }
}

function fromRow(row: Row): RedeliveryJob {
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
