/**
 * Remembers who asked for a copy of their data, and says when a copy is due.
 *
 * A button in the profile sets an attribute, another button sets a second one to cancel. An event says which attribute changed, not to
 * what, so what counts is the latest of a user's events. Events may come again and in any order: each has a place in time (when it
 * happened and, within a second, its id), and an event that is not later than the latest one changes nothing. That makes a repeat
 * harmless without a list of ids, also a repeat that comes after the copy was sent.
 *
 * Everything is in one SQLite file, which one process uses, so the wait goes on through a restart of the listener.
 */
import { DatabaseSync } from 'node:sqlite';

/** What a user did, as a token says it. Times are in seconds since 1970. */
export interface Act {
  readonly kind: 'asked' | 'canceled' | 'deleted';
  /** `globalSub`: names the profile among all applications. */
  readonly user: string;
  readonly at: number;
  /** Id of the event. */
  readonly eventId: string;
}

/** A copy that a user gets. */
export interface Copy {
  readonly user: string;
  /** Id of the event that asked for it: the same however often the copy is tried. */
  readonly requestId: string;
}

/**
 * | | |
 * |---|---|
 * | `waits` | a copy is due after the delay |
 * | `waits already` | the user asked twice: there will be one copy, at the time of the first |
 * | `canceled` | no copy is due for this user |
 * | `known` | the event is not later than what is known: a repeat, or late |
 */
export type Taken = 'waits' | 'waits already' | 'canceled' | 'known';

/** The service keeps no event longer than 28 days, so a repeat comes within that time, s. */
const KEPT_SECONDS = 28 * 24 * 60 * 60;
const AT_ONCE = 100;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS users (
    user TEXT PRIMARY KEY,
    at INTEGER NOT NULL, event_id TEXT NOT NULL, -- the latest event
    request_id TEXT, due_at INTEGER,             -- both while a copy waits
    taken_at INTEGER NOT NULL,
    CHECK ((request_id IS NULL) = (due_at IS NULL))) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS users_due ON users (due_at) WHERE due_at IS NOT NULL;
  CREATE INDEX IF NOT EXISTS users_at_rest ON users (taken_at) WHERE due_at IS NULL;`;

export class CopyRequests {
  readonly #db: DatabaseSync;
  readonly #delaySeconds: number;

  /** @param file of the database; `:memory:` for none */
  constructor(file: string, delaySeconds: number) {
    this.#delaySeconds = delaySeconds;
    this.#db = new DatabaseSync(file);
    this.#db.exec(SCHEMA);
  }

  /**
   * Takes what a user did. It is stored when this returns. May be called again with the same act.
   * @param now s
   */
  take({ kind, user, at, eventId }: Act, now: number): Taken {
    const known = this.#db.prepare('SELECT at, event_id, request_id FROM users WHERE user = ?').get(user);
    if (known !== undefined) {
      const knownAt = Number(known['at']);
      if (at < knownAt || (at === knownAt && eventId <= String(known['event_id']))) return 'known';
    }
    const waits = typeof known?.['request_id'] === 'string';
    const set = `INSERT INTO users (user, at, event_id, request_id, due_at, taken_at) VALUES (?, ?, ?, ?, ?, ?)
      ON CONFLICT (user) DO UPDATE SET at = excluded.at, event_id = excluded.event_id, taken_at = excluded.taken_at`;
    const replace = `${set}, request_id = excluded.request_id, due_at = excluded.due_at`;
    if (kind !== 'asked') {
      this.#db.prepare(replace).run(user, at, eventId, null, null, now);
      return 'canceled';
    }
    const due = at + this.#delaySeconds;
    this.#db.prepare(waits ? set : replace).run(user, at, eventId, eventId, due, now);
    return waits ? 'waits already' : 'waits';
  }

  /**
   * The copies whose time has come, the longest due first; 100 at most. Forgets users about whom no repeat can come any more.
   * @param now s
   */
  due(now: number): Copy[] {
    const old = 'SELECT user FROM users WHERE due_at IS NULL AND taken_at < ? LIMIT ?';
    this.#db.prepare(`DELETE FROM users WHERE user IN (${old})`).run(now - KEPT_SECONDS, AT_ONCE);
    const select = 'SELECT user, request_id FROM users WHERE due_at <= ? ORDER BY due_at LIMIT ?';
    return this.#db
      .prepare(select)
      .all(now, AT_ONCE)
      .map((row) => ({ user: String(row['user']), requestId: String(row['request_id']) }));
  }

  /** Call it after the copy was sent: a process that dies before sends it again, under the same request id. */
  markSent({ user, requestId }: Copy): void {
    const done = 'UPDATE users SET request_id = NULL, due_at = NULL WHERE user = ? AND request_id = ?';
    this.#db.prepare(done).run(user, requestId);
  }

  close(): void {
    this.#db.close();
  }
}
