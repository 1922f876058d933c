/** Whose event store this is: table `store`, one row, kept in memory as well. */
import type { SubscriptionRef } from '../domain/subscription.ts';
import type { StoreDatabase } from './database.ts';

type Row = {
  customer_id: string;
  subscription_id: string;
  version: number;
  enabled: number;
  endpoint: string;
  deleted_at: number | null;
  redelivered_at: number | null;
};

export class Owner {
  readonly #database: StoreDatabase;
  #ref: SubscriptionRef | undefined;
  #deletedAt: number | null = null;
  #redeliveredAt: number | null = null;

  constructor(database: StoreDatabase) {
    this.#database = database;
    this.#load();
    database.whenRolledBack(() => this.#load());
  }

  /** The newest version of the subscription that a call brought; none before the first call. */
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
   * Adopts a newer version of the subscription: a change that died half-way heals at the next call.
   * @returns whether the version was newer
   * @throws Error for another subscription: somebody mixed up an id
   */
  adopt(ref: SubscriptionRef): boolean {
    if (this.#ref !== undefined && this.#ref.subscriptionId !== ref.subscriptionId) {
      throw new Error('event store asked for another subscription');
    }
    if (this.#ref !== undefined && ref.version <= this.#ref.version) return false;
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

  #load(): void {
    const row = this.#database.first<Row>('SELECT * FROM store');
    this.#ref = row && {
      customerId: row.customer_id,
      subscriptionId: row.subscription_id,
      version: row.version,
      enabled: row.enabled === 1,
      endpoint: row.endpoint,
    };
    this.#deletedAt = row?.deleted_at ?? null;
    this.#redeliveredAt = row?.redelivered_at ?? null;
  }

  #save(): void {
    if (this.#ref === undefined) return;
    this.#database.run(
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
