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

/** The row as it is kept in memory. */
interface Kept {
  readonly ref: SubscriptionRef | undefined;
  readonly deletedAt: number | null;
  readonly redeliveredAt: number | null;
}

export class Owner {
  readonly #database: StoreDatabase;
  #kept: Kept | undefined;

  constructor(database: StoreDatabase) {
    this.#database = database;
    database.whenRolledBack(() => {
      this.#kept = undefined;
    });
  }

  /** The newest version of the subscription that a call brought; none before the first call. */
  get ref(): SubscriptionRef | undefined {
    return this.#row.ref;
  }

  /** When the subscription was deleted, ms. */
  get deletedAt(): number | null {
    return this.#row.deletedAt;
  }

  /** When a redelivery was last accepted, ms. */
  get redeliveredAt(): number | null {
    return this.#row.redeliveredAt;
  }

  get enabled(): boolean {
    return this.ref?.enabled ?? true;
  }

  /**
   * Adopts a newer version of the subscription: a change that died half-way heals at the next call.
   * @returns whether the version was newer
   * @throws Error for another subscription: somebody mixed up an id
   */
  adopt(ref: SubscriptionRef): boolean {
    const known = this.ref;
    if (known !== undefined && known.subscriptionId !== ref.subscriptionId) {
      throw new Error('event store asked for another subscription');
    }
    if (known !== undefined && ref.version <= known.version) return false;
    this.#save({ ...this.#row, ref });
    return true;
  }

  /** Marks the store as that of a deleted subscription, in a database that was just emptied. */
  markDeleted(ref: SubscriptionRef, now: number): void {
    this.#save({ ref: { ...ref, enabled: false }, deletedAt: now, redeliveredAt: null });
  }

  markRedelivered(now: number): void {
    this.#save({ ...this.#row, redeliveredAt: now });
  }

  get #row(): Kept {
    this.#kept ??= this.#load();
    return this.#kept;
  }

  #load(): Kept {
    const row = this.#database.first<Row>('SELECT * FROM store');
    if (row === undefined) return { ref: undefined, deletedAt: null, redeliveredAt: null };
    return {
      ref: {
        customerId: row.customer_id,
        subscriptionId: row.subscription_id,
        version: row.version,
        enabled: row.enabled === 1,
        endpoint: row.endpoint,
      },
      deletedAt: row.deleted_at,
      redeliveredAt: row.redelivered_at,
    };
  }

  #save(kept: Kept): void {
    const { ref, deletedAt, redeliveredAt } = kept;
    if (ref === undefined) return;
    this.#database.run(
      `INSERT OR REPLACE INTO store
         (one, customer_id, subscription_id, version, enabled, endpoint, deleted_at, redelivered_at)
       VALUES (1, ?, ?, ?, ?, ?, ?, ?)`,
      ref.customerId,
      ref.subscriptionId,
      ref.version,
      ref.enabled ? 1 : 0,
      ref.endpoint,
      deletedAt,
      redeliveredAt,
    );
    this.#kept = kept;
  }
}
