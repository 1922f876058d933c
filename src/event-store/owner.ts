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
  proof: number | null;
  tests_whole_at: number;
  fill_warned_at: number;
  shard: number;
  shards: number;
};

/** The row as it is kept in memory. */
interface Kept {
  readonly ref: Known | undefined;
  readonly deletedAt: number | null;
  readonly redeliveredAt: number | null;
  readonly testsWholeAt: number;
  readonly fillWarnedAt: number;
}

type Known = Omit<SubscriptionRef, 'news'> & { readonly proof: number | null };

const NOTHING: Kept = {
  ref: undefined,
  deletedAt: null,
  redeliveredAt: null,
  testsWholeAt: 0,
  fillWarnedAt: 0,
};

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
  get ref(): Known | undefined {
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

  /** When the allowance of test notifications is whole again, ms (contract 3.7). */
  get testsWholeAt(): number {
    return this.#row.testsWholeAt;
  }

  /** When the operator was last warned that the store fills up, ms; 0: never. */
  get fillWarnedAt(): number {
    return this.#row.fillWarnedAt;
  }

  /** How many shards new events of the subscription have. */
  get shards(): number {
    return this.ref?.shard?.of ?? 1;
  }

  /** Whether this is the store that every subscription has. */
  get isHome(): boolean {
    return numberOf(this.ref) === 0;
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
    if (known !== undefined && numberOf(known) !== numberOf(ref)) {
      throw new Error('event store asked for another shard');
    }
    const proof = ref.proof ?? null;
    // A caller of version 0.1.0 may have brought this version without its proof.
    const isNewer = known === undefined || ref.version > known.version;
    const completes = ref.version === known?.version && known.proof === null && proof !== null;
    const { news: _, ...kept } = ref;
    if (isNewer || completes) this.#save({ ...this.#row, ref: { ...kept, proof } });
    return isNewer || completes;
  }

  /** A caller's version when it is newer than the store's, else the store's. */
  newestOf(ref: SubscriptionRef | undefined): SubscriptionRef | undefined {
    return ref !== undefined && ref.version > (this.ref?.version ?? 0) ? ref : this.ref;
  }

  /** The proof that the endpoint of a caller's version needs; null: none (contract 10.8). */
  proofOf(ref: SubscriptionRef): number | null {
    return ref.version === this.ref?.version ? this.ref.proof : (ref.proof ?? null);
  }

  /** Marks the store as that of a deleted subscription, in a database that was just emptied. */
  markDeleted(ref: SubscriptionRef, now: number): void {
    this.#save({ ...NOTHING, ref: { ...ref, enabled: false, proof: null }, deletedAt: now });
  }

  markRedelivered(now: number): void {
    this.#save({ ...this.#row, redeliveredAt: now });
  }

  markTested(wholeAt: number): void {
    this.#save({ ...this.#row, testsWholeAt: wholeAt });
  }

  markFillWarned(now: number): void {
    this.#save({ ...this.#row, fillWarnedAt: now });
  }

  get #row(): Kept {
    this.#kept ??= this.#load();
    return this.#kept;
  }

  #load(): Kept {
    const row = this.#database.first<Row>('SELECT * FROM store');
    if (row === undefined) return NOTHING;
    return {
      ref: {
        customerId: row.customer_id,
        subscriptionId: row.subscription_id,
        version: row.version,
        enabled: row.enabled === 1,
        endpoint: row.endpoint,
        proof: row.proof,
        ...(row.shards === 1 && row.shard === 0 ? {} : { shard: { number: row.shard, of: row.shards } }),
      },
      deletedAt: row.deleted_at,
      redeliveredAt: row.redelivered_at,
      testsWholeAt: row.tests_whole_at,
      fillWarnedAt: row.fill_warned_at,
    };
  }

  #save(kept: Kept): void {
    const { ref, deletedAt, redeliveredAt, testsWholeAt, fillWarnedAt } = kept;
    if (ref === undefined) return;
    this.#database.run(
      `INSERT OR REPLACE INTO store
         (one, customer_id, subscription_id, version, enabled, endpoint, deleted_at, redelivered_at, proof, tests_whole_at,
          fill_warned_at, shard, shards)
       VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      ref.customerId,
      ref.subscriptionId,
      ref.version,
      ref.enabled ? 1 : 0,
      ref.endpoint,
      deletedAt,
      redeliveredAt,
      ref.proof,
      testsWholeAt,
      fillWarnedAt,
      numberOf(ref),
      ref.shard?.of ?? 1,
    );
    this.#kept = kept;
  }
}

/** 0 is home. */
function numberOf(ref: Pick<SubscriptionRef, 'shard'> | undefined): number {
  return ref?.shard?.number ?? 0;
}
