/**
 * The same listener as a Worker. A Durable Object keeps each event under its `jti`, so that a repeat changes nothing: the memory of a
 * Worker is shared by nobody and ends at any time. Your own work begins where `take` has stored the event.
 */
import { DurableObject } from 'cloudflare:workers';
import { onWorkers } from '@identity-webhooks/listener';

interface Env {
  /** URL of the customer's keys: `{BASE_URL}/{CID}/login/jwk`. */
  JWKS_URL: string;
  /** `{BASE_URL}/{CID}/webhooks` */
  ISSUER: string;
  /** The endpoint, exactly as the subscription has it; several are separated by spaces. */
  ENDPOINT: string;
  INBOX: DurableObjectNamespace<Inbox>;
}

/** The service keeps no event longer than 28 days, so a repeat comes within that time. */
const KEPT_MS = 28 * 24 * 60 * 60 * 1000;
const SWEPT_EVERY_MS = 24 * 60 * 60 * 1000;
const SWEPT_AT_ONCE = 10_000;

/** Takes a few hundred events a second. If you expect more, choose one of several by the `jti`. */
export class Inbox extends DurableObject<Env> {
  readonly #sql: SqlStorage;

  constructor(state: DurableObjectState, env: Env) {
    super(state, env);
    this.#sql = state.storage.sql;
    this.#sql.exec(
      'CREATE TABLE IF NOT EXISTS inbox (jti TEXT PRIMARY KEY, taken_at INTEGER NOT NULL, events TEXT NOT NULL)',
    );
    this.#sql.exec('CREATE INDEX IF NOT EXISTS inbox_by_time ON inbox (taken_at)');
  }

  /** @returns whether the event is new; once this has returned, the event is stored */
  async take(jti: string, events: string): Promise<boolean> {
    const insert = 'INSERT OR IGNORE INTO inbox (jti, taken_at, events) VALUES (?, ?, ?)';
    const isNew = this.#sql.exec(insert, jti, Date.now(), events).rowsWritten > 0;
    if ((await this.ctx.storage.getAlarm()) === null) await this.#sweepLater();
    return isNew;
  }

  /** Deletes what no repeat can ask for any more. */
  override async alarm(): Promise<void> {
    const old = 'SELECT jti FROM inbox WHERE taken_at < ? LIMIT ?';
    this.#sql.exec(`DELETE FROM inbox WHERE jti IN (${old})`, Date.now() - KEPT_MS, SWEPT_AT_ONCE);
    await this.#sweepLater();
  }

  async #sweepLater(): Promise<void> {
    await this.ctx.storage.setAlarm(Date.now() + SWEPT_EVERY_MS);
  }
}

export default onWorkers((env: Env) => ({
  jwksUrl: env.JWKS_URL,
  issuer: env.ISSUER,
  audience: env.ENDPOINT.split(' '),
  onEvent: async ({ jti, events }) => {
    const isNew = await env.INBOX.getByName('inbox').take(jti, JSON.stringify(events));
    if (isNew) console.log(`verified ${jti}`);
  },
  onRefused: ({ message }) => console.log(`refused: ${message}`),
  onFailed: (error) => console.error('failed', error),
}));
