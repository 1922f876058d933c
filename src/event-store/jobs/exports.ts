/**
 * Exports of failed events (contract 7): tables `exports`, `export_parts` and `exported`. A job writes a file of its own,
 * bite by bite; the alarm drives it.
 *
 * A bite writes its part of the file, its marks and the cursor in one transaction, so a job that dies goes on where it was.
 * Each event is marked in `exported` when its line is written; a job that does not complete takes its marks back. The file
 * holds text, not references: nothing that happens to an event later changes it.
 */
import type { Delivery } from '../../domain/delivery.ts';
import { describeDelivery } from '../../domain/delivery-view.ts';
import { DAY_MS, EXPORT_LIFE_MS } from '../../domain/limits.ts';
import { windowStart } from '../../domain/retention.ts';
import type { Duty } from '../alarm.ts';
import type { StoreDatabase } from '../database.ts';
import type { Deliveries } from '../deliveries/deliveries.ts';
import { byEventId } from '../deliveries/near-ids.ts';
import type { DeliveryRow } from '../deliveries/rows.ts';
import type { ExportJob, ExportState, StartedExport } from '../rpc.ts';
import { EXPORT_EVENTS_PER_ALARM, EXPORT_PART_EVENTS, EXPORT_PART_MAX_BYTES } from '../tuning.ts';
import { Jobs } from './job.ts';

type Row = {
  id: string;
  state: ExportState;
  created_at: number;
  updated_at: number;
  /** The last event id written; empty at first. */
  cursor: string;
  parts: number;
};

/** Of several stores home says when a file ends. It may have ended its part later than the others, so they keep theirs longer. */
const PART_LIFE_MS = EXPORT_LIFE_MS + DAY_MS;
/** Events whose marks one statement deletes. */
const FORGOTTEN_AT_ONCE = 1000;

export class Exports implements Duty {
  readonly name = 'export';
  readonly #database: StoreDatabase;
  readonly #jobs: Jobs<Row>;
  readonly #deliveries: Deliveries;
  readonly #userAgent: () => string;
  readonly #isFull: () => boolean;

  /**
   * @param userAgent what requests are sent with: a line shows it
   * @param isFull whether the store has no room for a file (contract 10.9)
   * @param isHome whether this is the store that every subscription has
   */
  constructor(
    database: StoreDatabase,
    deliveries: Deliveries,
    userAgent: () => string,
    isFull: () => boolean,
    isHome: () => boolean,
  ) {
    this.#database = database;
    this.#isFull = isFull;
    this.#jobs = new Jobs(database, 'exports', () => (isHome() ? EXPORT_LIFE_MS : PART_LIFE_MS));
    this.#deliveries = deliveries;
    this.#userAgent = userAgent;
  }

  /**
   * Begins a job, unless one is active or one completed less than `intervalMs` ago. The oldest canceled or failed job makes
   * room for it. A completed one never does, because its file would go too: the new job waits for the end of its life.
   */
  start(id: string, now: number, intervalMs: number): StartedExport {
    if (this.#jobs.active() !== undefined) return { answer: 'active' };
    const last = this.#jobs.select("WHERE state = 'completed' ORDER BY updated_at DESC LIMIT 1")[0];
    const waitMs = (last?.updated_at ?? Number.NEGATIVE_INFINITY) + intervalMs - now;
    if (waitMs > 0) return { answer: 'too soon', waitMs };
    this.sweep(now);
    if (!this.#jobs.makeRoom(['canceled', 'failed'])) {
      return { answer: 'too soon', waitMs: (this.nextExpiry() ?? now) - now, because: 'too many kept' };
    }
    return { answer: 'started', job: this.#begin(id, now) };
  }

  /**
   * Begins this store's part of a job that the home store began. Another job that is active here was left over. A completed part stays: its
   * lines belong to a file that home still has.
   */
  join(id: string, now: number): ExportJob {
    const known = this.#jobs.find(id);
    if (known !== undefined) return jobOf(known);
    const active = this.#jobs.active();
    if (active !== undefined) this.#abandon(active.id, 'canceled', now);
    this.sweep(now);
    this.#jobs.makeRoom(['canceled', 'failed']);
    return this.#begin(id, now);
  }

  #begin(id: string, now: number): ExportJob {
    this.#database.run(
      `INSERT INTO exports (id, state, created_at, updated_at, cursor, parts) VALUES (?, 'processing', ?, ?, '', 0)`,
      id,
      now,
      now,
    );
    return { id, state: 'processing', createdAt: now, updatedAt: now, parts: 0 };
  }

  /** Jobs that are kept, oldest first. @param id only this one */
  list(id?: string): ExportJob[] {
    return this.#jobs.list(id).map(jobOf);
  }

  /** One part of a file: lines, each ended by a line feed. */
  part(id: string, part: number): string | undefined {
    const query = 'SELECT lines FROM export_parts WHERE export_id = ? AND part = ?';
    return this.#database.first<{ lines: string }>(query, id, part)?.lines;
  }

  /**
   * Cancels an active job; its events can be exported by another.
   * @param isBroken another part of the job failed or was canceled: this one is canceled even if it is completed
   * @returns its state now; `undefined`: no such job
   */
  cancel(id: string, now: number, isBroken = false): ExportState | undefined {
    const job = this.#jobs.find(id);
    const mayCancel = job?.state === 'processing' || (isBroken && job?.state === 'completed');
    if (!mayCancel) return job?.state;
    this.#abandon(id, 'canceled', now);
    return 'canceled';
  }

  /** How many failed deliveries accepted after a time are in a completed export. */
  countExported(acceptedAfter: number): number {
    const counted = this.#database.first<{ n: number }>(
      `SELECT (SELECT count(*) FROM exported_failures WHERE accepted_at > ?1)
         + (SELECT count(*) FROM exported_packed_failures WHERE accepted_at > ?1) AS n`,
      acceptedAfter,
    );
    return counted?.n ?? 0;
  }

  // --- Duties -----------------------------------------------------------------------------------------

  dueAt(now: number): number | undefined {
    return this.#isEarly || this.#jobs.active() === undefined ? undefined : now;
  }

  /** Does one alarm's share of the active job. A fault fails the job, and gives its events back. */
  work(now: number): void {
    const job = this.#jobs.active();
    if (job === undefined || this.#isEarly) return;
    try {
      for (let done = 0; done < EXPORT_EVENTS_PER_ALARM; ) {
        if (this.#isFull()) throw new Error('event store full');
        const { looked, more } = this.#database.transaction(() => this.#bite(job, now));
        if (!more) return;
        done += looked;
      }
    } catch (error) {
      this.#abandon(job.id, 'failed', now);
      throw error;
    }
  }

  /** Forgets jobs past their time, with their files. */
  sweep(now: number): void {
    for (const { id } of this.#jobs.expired(now)) {
      this.#database.run('DELETE FROM export_parts WHERE export_id = ?', id);
      this.#jobs.forget(id);
    }
  }

  /** When `sweep` has something to forget, ms. */
  nextExpiry(): number | undefined {
    return this.#jobs.nextExpiry();
  }

  /** These events were deleted: their marks go with them. */
  forgetEvents(eventIds: readonly string[]): void {
    if (eventIds.length === 0 || this.#database.first('SELECT 1 FROM exported LIMIT 1') === undefined) return;
    // A value that a statement takes has a limit of 2 MB.
    for (let start = 0; start < eventIds.length; start += FORGOTTEN_AT_ONCE) {
      this.#database.run(
        'DELETE FROM exported WHERE event_id IN (SELECT value FROM json_each(?))',
        JSON.stringify(eventIds.slice(start, start + FORGOTTEN_AT_ONCE)),
      );
    }
  }

  // --- Inside -----------------------------------------------------------------------------------------

  /** What failed when the subscription was disabled is found once the alarm has rewritten it. */
  get #isEarly(): boolean {
    return this.#deliveries.rows.disabled.mark !== undefined;
  }

  /** Writes one part. @returns how many events it looked at, and whether there may be more */
  #bite(job: Row, now: number): { looked: number; more: boolean } {
    const { failed, isPacked, upTo, looked } = this.#unexported(job);
    const lines = fittingLines(failed, this.#userAgent());
    const written = failed.slice(0, lines.length);
    const last = written.at(-1);
    if (last !== undefined) {
      this.#writePart(job, written, lines, isPacked);
      job.parts++;
    }
    const more = upTo !== undefined || written.length < failed.length;
    if (written.length < failed.length || upTo === undefined) job.cursor = last?.eventId ?? job.cursor;
    else job.cursor = upTo;
    this.#database.run(
      'UPDATE exports SET state = ?, updated_at = ?, cursor = ?, parts = ? WHERE id = ?',
      more ? 'processing' : 'completed',
      now,
      job.cursor,
      job.parts,
      job.id,
    );
    return { looked, more };
  }

  /** The next failed deliveries of the last seven days that no export has, in order of event id: those that have rows, and packed ones. */
  #unexported({ cursor, created_at }: Row): Bite {
    const since = windowStart(created_at);
    const rows = this.#database.rows<DeliveryRow>(
      'SELECT * FROM unexported_failures WHERE event_id > ? AND accepted_at >= ? ORDER BY event_id LIMIT ?',
      cursor,
      since,
      EXPORT_PART_EVENTS,
    );
    const packed = this.#deliveries.packs.failures(cursor, EXPORT_PART_EVENTS);
    // Of two sources, what lies behind the end of the shorter look is not known yet.
    const ends = [rows.at(-1)?.event_id, packed.at(-1)?.eventId];
    const full = [rows.length, packed.length].flatMap((length, index) =>
      length === EXPORT_PART_EVENTS ? (ends[index] ?? []) : [],
    );
    const upTo = full.sort()[0];
    const isNear = (eventId: string) => upTo === undefined || eventId <= upTo;
    const recent = packed.filter(({ eventId, acceptedAt }) => isNear(eventId) && acceptedAt >= since);
    const isPacked = new Set(this.#withoutExported(recent.map(({ eventId }) => eventId)));
    const failed = [
      ...this.#deliveries.rows.whole(rows.filter(({ event_id }) => isNear(event_id))),
      ...this.#deliveries.packs.find([...isPacked]),
    ].sort(byEventId);
    return { failed, isPacked, upTo, looked: rows.length + packed.length };
  }

  /** Those of these events that no export has. */
  #withoutExported(eventIds: readonly string[]): string[] {
    if (eventIds.length === 0) return [];
    const rows = this.#database.rows<{ id: string }>(
      `SELECT value AS id FROM json_each(?) WHERE NOT EXISTS (SELECT 1 FROM exported WHERE exported.event_id = value)`,
      JSON.stringify(eventIds),
    );
    return rows.map(({ id }) => id);
  }

  #writePart(
    job: Row,
    written: readonly Delivery[],
    lines: readonly string[],
    isPacked: ReadonlySet<string>,
  ): void {
    this.#database.run(
      'INSERT INTO export_parts (export_id, part, lines) VALUES (?, ?, ?)',
      job.id,
      job.parts,
      lines.join(''),
    );
    this.#database.run(
      `INSERT INTO exported (event_id, export_id, packed_at)
       SELECT value ->> 0, ?, value ->> 1 FROM json_each(?)`,
      job.id,
      JSON.stringify(
        written.map(({ eventId, acceptedAt }) => [eventId, isPacked.has(eventId) ? acceptedAt : null]),
      ),
    );
  }

  #abandon(id: string, state: 'canceled' | 'failed', now: number): void {
    this.#database.transaction(() => {
      this.#database.run('DELETE FROM export_parts WHERE export_id = ?', id);
      this.#database.run('DELETE FROM exported WHERE export_id = ?', id);
      this.#database.run(
        'UPDATE exports SET state = ?, updated_at = ?, parts = 0 WHERE id = ?',
        state,
        now,
        id,
      );
    });
  }
}

/** What one part may take in. */
interface Bite {
  readonly failed: readonly Delivery[];
  /** Those of them that are packed. */
  readonly isPacked: ReadonlySet<string>;
  /** The event id up to which the bite looked; `undefined`: to the end. */
  readonly upTo: string | undefined;
  /** How many events it looked at. */
  readonly looked: number;
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

function jobOf(row: Row): ExportJob {
  const { id, state, created_at, updated_at, parts } = row;
  return { id, state, createdAt: created_at, updatedAt: updated_at, parts };
}
