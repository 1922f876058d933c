/** Whose event store this is: the one row of table `store`, kept in memory as well. */
import type { SubscriptionRef } from '../domain/subscription.ts';

type Row = {
  customer_id: string;
  subscription_id: string;
  version: number;
  enabled: number;
  endpoint: string;
  deleted_at: number | null;
  redelivered_at: number | null;
};

export class Identity {
  readonly #sql: SqlStorage;
  #ref: SubscriptionRef | undefined;
  #deletedAt: number | null = null;
  #redeliveredAt: number | null = null;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    const row = sql.exec<Row>('SELECT * FROM store').toArray()[0];
    if (row === undefined) return;
    this.#ref = {
      customerId: row.customer_id,
      subscriptionId: row.subscription_id,
      version: row.version,
      enabled: row.enabled === 1,
      endpoint: row.endpoint,
    };
    this.#deletedAt = row.deleted_at;
    this.#redeliveredAt = row.redelivered_at;
  }

  /** The newest version of the subscription seen; none before the first call that brings one. */
  get ref(): SubscriptionRef | undefined {
    return this.#ref;
  }

  /** When the subscription was deleted, ms. */
  get deletedAt(): number | null {
    return this.#deletedAt;
  }

  /** When a redelivery was last accepted, ms. */
  get redeliveredAt(): number | null {
    return this.#redeliveredAt;
  }

  get enabled(): boolean {
    return this.#ref?.enabled ?? true;
  }

  /**
   * Takes over a newer version of the subscription: a change that died half-way heals at the next call.
   * @returns whether there was one
   * @throws Error for another subscription: an id was mixed up
   */
  adopt(ref: SubscriptionRef): boolean {
    if (this.#ref !== undefined && this.#ref.subscriptionId !== ref.subscriptionId) {
      throw new Error('event store asked for another subscription');
    }
    if (this.#deletedAt !== null || (this.#ref !== undefined && ref.version <= this.#ref.version))
      return false;
    this.#ref = ref;
    this.#save();
    return true;
  }

  /** Marks the store as that of a deleted subscription. */
  markDeleted(ref: SubscriptionRef, now: number): void {
    this.#ref = { ...ref, enabled: false };
    this.#deletedAt = now;
    this.#save();
  }

  markRedelivered(now: number): void {
    this.#redeliveredAt = now;
    this.#save();
  }

  #save(): void {
    if (this.#ref === undefined) return;
    this.#sql.exec(
      `INSERT OR REPLACE INTO store
         (one, customer_id, subscription_id, version, enabled, endpoint, deleted_at, redelivered_at)
       VALUES (1, ?, ?, ?, ?, ?, ?, ?)`,
      this.#ref.customerId,
      this.#ref.subscriptionId,
      this.#ref.version,
      this.#ref.enabled ? 1 : 0,
      this.#ref.endpoint,
      this.#deletedAt,
      this.#redeliveredAt,
    );
  }
}
