/**
 * Older pages of histories: table `history_pages`. A row holds the newest entries of a history. Full pages of older entries go
 * here, which a delivery reaches only after dozens of redeliveries. Only so many pages are kept. So neither a row, nor a write, nor a
 * history grows without bound (contract 5.3).
 */
import type { Delivery, HistoryEntry } from '../../domain/delivery.ts';
import type { StoreDatabase } from '../database.ts';
import { HISTORY_PAGE_ENTRIES, HISTORY_PAGES_MAX } from '../tuning.ts';

export class HistoryPages {
  readonly #database: StoreDatabase;

  constructor(database: StoreDatabase) {
    this.#database = database;
  }

  /** The older entries of a history, oldest first. */
  of(eventId: string): HistoryEntry[] {
    const pages = this.#database.rows<{ entries: string }>(
      'SELECT entries FROM history_pages WHERE event_id = ? ORDER BY page',
      eventId,
    );
    return pages.flatMap((page) => JSON.parse(page.entries) as HistoryEntry[]);
  }

  /** Stores a page when it is full, and forgets the oldest when there are too many. @returns the entries that stay in the row */
  trim({ history, eventId }: Delivery): readonly HistoryEntry[] {
    if (history.length < 2 * HISTORY_PAGE_ENTRIES) return history;
    this.#database.run(
      `INSERT INTO history_pages (event_id, page, entries)
       VALUES (?, (SELECT coalesce(max(page) + 1, 0) FROM history_pages WHERE event_id = ?), ?)`,
      eventId,
      eventId,
      JSON.stringify(history.slice(0, HISTORY_PAGE_ENTRIES)),
    );
    this.#database.run(
      `DELETE FROM history_pages WHERE event_id = ?
         AND page <= (SELECT max(page) FROM history_pages WHERE event_id = ?) - ?`,
      eventId,
      eventId,
      HISTORY_PAGES_MAX,
    );
    return history.slice(HISTORY_PAGE_ENTRIES);
  }

  /** @param eventIds a JSON array */
  delete(eventIds: string): void {
    this.#database.run(
      'DELETE FROM history_pages WHERE event_id IN (SELECT value FROM json_each(?))',
      eventIds,
    );
  }
}
