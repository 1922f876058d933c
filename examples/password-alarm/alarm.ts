/**
 * Raises an alarm when many passwords of one application change within a short time.
 *
 * Each change is kept under its `jti`, so a token that comes again counts nothing. A change counts at the time at which it happened,
 * not at that at which its token arrived: a token that waited for a retry still falls into its own window, and many late tokens that
 * arrive together raise no alarm by that. One flurry raises one alarm, which grows while the flurry goes on.
 *
 * Everything is in one SQLite file: a listener that is restarted goes on counting, and an alarm that was raised and not yet sent is
 * sent after the restart.
 */
import { DatabaseSync } from 'node:sqlite';

export interface Rule {
  /** So many changes raise an alarm, 2 or more. */
  readonly changes: number;
  /** Seconds: the last of them follows the first in less time than this. */
  readonly within: number;
}

/** A password was changed. Times are in seconds since 1970, as in a token. */
export interface Change {
  readonly jti: string;
  readonly application: string;
  readonly at: number;
}

export interface Alarm {
  readonly id: number;
  readonly application: string;
  /** When the first and the last change of the flurry happened, s. */
  readonly first: number;
  readonly last: number;
}

/** `late`: the change is so old that an alarm would help nobody. It is not kept. */
export type Noted = 'counted' | 'repeat' | 'late';

/** Changes are kept so long, s. */
const KEPT_SECONDS = 24 * 60 * 60;
const SWEPT_AT_ONCE = 1000;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS changes (jti TEXT PRIMARY KEY, application TEXT NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS changes_of_application ON changes (application, at);
  CREATE INDEX IF NOT EXISTS changes_by_time ON changes (at);
  CREATE TABLE IF NOT EXISTS alarms (
    id INTEGER PRIMARY KEY, application TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    sent INTEGER NOT NULL DEFAULT 0 CHECK (sent IN (0, 1)));
  CREATE INDEX IF NOT EXISTS alarms_of_application ON alarms (application, last);
  CREATE INDEX IF NOT EXISTS alarms_to_send ON alarms (id) WHERE sent = 0;`;

export class PasswordAlarm {
  readonly #db: DatabaseSync;
  readonly #rule: Rule;

  /** @param file of the database; `:memory:` for none */
  constructor(file: string, rule: Rule) {
    this.#rule = rule;
    this.#db = new DatabaseSync(file);
    this.#db.exec(SCHEMA);
  }

  /**
   * Notes a change, and raises an alarm if there are enough. Both are stored when this returns. May be called again with the
   * same change.
   * @param now s
   */
  note(change: Change, now: number): Noted {
    if (change.at < now - KEPT_SECONDS) return 'late';
    return this.#inTransaction(() => {
      const insert = 'INSERT OR IGNORE INTO changes (jti, application, at) VALUES (?, ?, ?)';
      const { changes } = this.#db.prepare(insert).run(change.jti, change.application, change.at);
      if (changes === 0) return 'repeat';
      const window = this.#windowAround(change);
      if (window !== undefined) this.#raise(change.application, window.first, window.last);
      this.#sweep(now - KEPT_SECONDS);
      return 'counted';
    });
  }

  /** Alarms that were raised and not sent, oldest first; 100 at most. */
  unsent(): Alarm[] {
    const select = 'SELECT id, application, first, last FROM alarms WHERE sent = 0 ORDER BY id LIMIT 100';
    return this.#db
      .prepare(select)
      .all()
      .map((row) => ({
        id: Number(row['id']),
        application: String(row['application']),
        first: Number(row['first']),
        last: Number(row['last']),
      }));
  }

  /** Call it after the alarm was sent: a process that dies before sends it again. */
  markSent({ id }: Alarm): void {
    this.#db.prepare('UPDATE alarms SET sent = 1 WHERE id = ?').run(id);
  }

  close(): void {
    this.#db.close();
  }

  /** The first window with enough changes that a new change is in. Reads twice as many changes as raise an alarm at most. */
  #windowAround({ application, at }: Change): { readonly first: number; readonly last: number } | undefined {
    const { changes, within } = this.#rule;
    const before = 'SELECT at FROM changes WHERE application = ? AND at <= ? ORDER BY at DESC LIMIT ?';
    const after = 'SELECT at FROM changes WHERE application = ? AND at > ? ORDER BY at LIMIT ?';
    const times = [
      ...this.#db.prepare(before).all(application, at, changes).reverse(),
      ...this.#db.prepare(after).all(application, at, changes - 1),
    ].map((row) => Number(row['at']));
    for (const [index, first] of times.entries()) {
      const last = times[index + changes - 1];
      if (last !== undefined && last - first < within) return { first, last };
    }
    return undefined;
  }

  /** A window that overlaps an alarm, or is less than a window away from it, is of the same flurry. */
  #raise(application: string, first: number, last: number): void {
    const { within } = this.#rule;
    const grow = `UPDATE alarms SET first = min(first, ?), last = max(last, ?) WHERE id = (
      SELECT id FROM alarms WHERE application = ? AND last > ? AND first < ? ORDER BY last LIMIT 1)`;
    const { changes } = this.#db.prepare(grow).run(first, last, application, first - within, last + within);
    if (changes > 0) return;
    const insert = 'INSERT INTO alarms (application, first, last) VALUES (?, ?, ?)';
    this.#db.prepare(insert).run(application, first, last);
  }

  #sweep(before: number): void {
    const old = 'SELECT jti FROM changes WHERE at < ? LIMIT ?';
    this.#db.prepare(`DELETE FROM changes WHERE jti IN (${old})`).run(before, SWEPT_AT_ONCE);
    this.#db.prepare('DELETE FROM alarms WHERE sent = 1 AND last < ?').run(before - this.#rule.within);
  }

  #inTransaction<T>(work: () => T): T {
    this.#db.exec('BEGIN IMMEDIATE');
    try {
      const result = work();
      this.#db.exec('COMMIT');
      return result;
    } catch (error) {
      this.#db.exec('ROLLBACK');
      throw error;
    }
  }
}
