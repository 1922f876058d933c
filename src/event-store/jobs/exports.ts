/**
 * Exports of failed events (contract 7): a job that writes a file of its own, bite by bite, driven by the alarm.
 *
 * What it rests on: the cursor, the part and the marks of a bite are written in one transaction, so a job that dies
 * goes on where it was. Each event is marked in `exported` when its line is written; a job that does not complete
 * takes its marks back. The file holds text, not references: whatever happens to an event later does not change it.
 */
import type { Delivery } from '../../domain/delivery.ts';
import { describeDelivery } from '../../domain/delivery-view.ts';
import { EXPORT_LIFE_MS, SUMMARY_WINDOW_MS } from '../../domain/limits.ts';
import type { Deliveries } from '../deliveries/deliveries.ts';
import type { ExportJob, ExportState, StartedExport } from '../rpc.ts';
import { EXPORT_EVENTS_PER_ALARM, EXPORT_PART_EVENTS, EXPORT_PART_MAX_BYTES } from '../tuning.ts';

type Row = {
  id: string;
  state: ExportState;
  created_at: number;
  updated_at: number;
  cursor: string;
  parts: number;
};

export class Exports {
  readonly #storage: DurableObjectStorage;
  readonly #deliveries: Deliveries;

  constructor(storage: DurableObjectStorage, deliveries: Deliveries) {
    this.#storage = storage;
    this.#deliveries = deliveries;
  }

  /** Begins a job, unless one is active or one completed less than `intervalMs` ago. */
  start(id: string, now: number, intervalMs: number): StartedExport {
    if (this.#active() !== undefined) return { answer: 'active' };
    const last = this.#rows("WHERE state = 'completed' ORDER BY updated_at DESC LIMIT 1")[0];
    const waitMs = (last?.updated_at ?? Number.NEGATIVE_INFINITY) + intervalMs - now;
    if (waitMs > 0) return { answer: 'too soon', waitMs };
    this.#exec(
      `INSERT INTO exports (id, state, created_at, updated_at, cursor, parts) VALUES (?, 'processing', ?, ?, '', 0)`,
      id,
      now,
      now,
    );
    return { answer: 'started', job: { id, state: 'processing', createdAt: now, updatedAt: now, parts: 0 } };
  }

  /** Jobs that are kept, oldest first. */
  list(): ExportJob[] {
    return this.#rows('ORDER BY created_at, id').map(fromRow);
  }

  find(id: string): ExportJob | undefined {
    return this.#rows('WHERE id = ?', id).map(fromRow)[0];
  }

  /** One part of a file: lines, each ended by a line feed. */
  part(id: string, part: number): string | undefined {
    const query = 'SELECT lines FROM export_parts WHERE export_id = ? AND part = ?';
    return this.#storage.sql.exec<{ lines: string }>(query, id, part).toArray()[0]?.lines;
  }

  /** Cancels an active job and releases its events. @returns the state it is in now; `undefined`: no such job */
  cancel(id: string, now: number): ExportState | undefined {
    const job = this.find(id);
    if (job?.state !== 'processing') return job?.state;
    this.#release(id, 'canceled', now);
    return 'canceled';
  }

  /** Whether a job waits for the alarm. */
  isActive(): boolean {
    return this.#active() !== undefined;
  }

  /** Does one alarm's share of the active job; a fault of the job fails it, and releases its events. */
  work(now: number, userAgent: string): void {
    const job = this.#active();
    if (job === undefined) return;
    try {
      for (let done = 0; done < EXPORT_EVENTS_PER_ALARM; ) {
        const { events, more } = this.#storage.transactionSync(() => this.#bite(job, now, userAgent));
        if (!more) return;
        done += events;
      }
    } catch (error) {
      this.#release(job.id, 'failed', now);
      throw error;
    }
  }

  /** Forgets jobs past their time, with their files. */
  sweep(now: number): void {
    for (const { id } of this.#rows(
      "WHERE state <> 'processing' AND updated_at <= ?",
      now - EXPORT_LIFE_MS,
    )) {
      this.#exec('DELETE FROM export_parts WHERE export_id = ?', id);
      this.#exec('DELETE FROM exports WHERE id = ?', id);
    }
  }

  /** When the oldest finished job ends, ms. */
  earliestEnd(): number | undefined {
    const oldest = this.#rows("WHERE state <> 'processing' ORDER BY updated_at LIMIT 1")[0];
    return oldest === undefined ? undefined : oldest.updated_at + EXPORT_LIFE_MS;
  }

  /** Writes one part. @returns how many events went into it, and whether there may be more */
  #bite(job: Row, now: number, userAgent: string): { events: number; more: boolean } {
    const failed = this.#deliveries.unexported(
      job.cursor,
      job.created_at - SUMMARY_WINDOW_MS,
      EXPORT_PART_EVENTS,
    );
    const lines = fittingLines(failed, userAgent);
    const written = failed.slice(0, lines.length);
    const last = written.at(-1);
    if (last !== undefined) {
      const part = job.parts;
      this.#exec(
        'INSERT INTO export_parts (export_id, part, lines) VALUES (?, ?, ?)',
        job.id,
        part,
        lines.join(''),
      );
      this.#deliveries.markExported(
        written.map(({ eventId }) => eventId),
        job.id,
      );
      job.cursor = last.eventId;
      job.parts = part + 1;
    }
    const more = failed.length === EXPORT_PART_EVENTS || written.length < failed.length;
    this.#exec(
      'UPDATE exports SET state = ?, updated_at = ?, cursor = ?, parts = ? WHERE id = ?',
      more ? 'processing' : 'completed',
      now,
      job.cursor,
      job.parts,
      job.id,
    );
    return { events: written.length, more };
  }

  #release(id: string, state: 'canceled' | 'failed', now: number): void {
    this.#storage.transactionSync(() => {
      this.#exec('DELETE FROM export_parts WHERE export_id = ?', id);
      this.#exec('DELETE FROM exported WHERE export_id = ?', id);
      this.#exec('UPDATE exports SET state = ?, updated_at = ?, parts = 0 WHERE id = ?', state, now, id);
    });
  }

  #active(): Row | undefined {
    return this.#rows("WHERE state = 'processing'")[0];
  }

  #rows(where: string, ...values: SqlStorageValue[]): Row[] {
    return this.#storage.sql.exec<Row>(`SELECT * FROM exports ${where}`, ...values).toArray();
  }

  #exec(query: string, ...values: SqlStorageValue[]): void {
    this.#storage.sql.exec(query, ...values);
  }
}

/** Lines of the first events that fit a row together, each ended by a line feed; always one at least. */
function fittingLines(deliveries: readonly Delivery[], userAgent: string): string[] {
  const lines: string[] = [];
  let bytes = 0;
  for (const delivery of deliveries) {
    const line = `${JSON.stringify(describeDelivery(delivery, userAgent))}\n`;
    bytes += new TextEncoder().encode(line).length;
    if (lines.length > 0 && bytes > EXPORT_PART_MAX_BYTES) break;
    lines.push(line);
  }
  return lines;
}

function fromRow(row: Row): ExportJob {
  return {
    id: row.id,
    state: row.state,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    parts: row.parts,
  };
}
