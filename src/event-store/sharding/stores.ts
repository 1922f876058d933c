/** The event stores of one subscription. They are opened when they are called, and each call says which of them it is for. */
import { type Shards, shardOf, storesOf } from '../../domain/shards.ts';
import type { SubscriptionRef } from '../../domain/subscription.ts';
import { describeError, logWarn } from '../../log.ts';
import type { EventStoreRpc } from '../rpc.ts';

/** The number of the store that every subscription has. */
export const HOME = 0;

/** The name of a store's object. It never changes: the object would be another one. */
export function storeName(subscriptionId: string, number: number): string {
  return number === HOME ? subscriptionId : `${subscriptionId}/${number}`;
}

export class Stores {
  readonly subscriptionId: string;
  readonly shards: Shards;
  readonly #open: (number: number) => EventStoreRpc;
  readonly #opened = new Map<number, EventStoreRpc>();

  constructor(subscriptionId: string, shards: Shards, open: (number: number) => EventStoreRpc) {
    this.subscriptionId = subscriptionId;
    this.shards = shards;
    this.#open = open;
  }

  get home(): EventStoreRpc {
    return this.get(HOME);
  }

  get(number: number): EventStoreRpc {
    const opened = this.#opened.get(number) ?? this.#open(number);
    this.#opened.set(number, opened);
    return opened;
  }

  /** The stores that may have events, home first. */
  get used(): EventStoreRpc[] {
    return this.first(storesOf(this.shards));
  }

  /** Every store that the subscription ever had, home first. */
  get ever(): EventStoreRpc[] {
    return this.first(Math.max(this.shards.most, storesOf(this.shards)));
  }

  first(count: number): EventStoreRpc[] {
    return Array.from({ length: count }, (_, number) => this.get(number));
  }

  numberOf(eventId: string): number {
    return shardOf(eventId, this.shards);
  }

  /** The caller's version of the subscription, for one store. */
  refFor(ref: SubscriptionRef, number: number): SubscriptionRef {
    return { ...ref, shard: { number, of: this.shards.epochs.at(-1)?.n ?? 1 } };
  }

  /** Makes the same call of every store that may have events. @throws what the first of them threw */
  async all<Answer>(call: (store: EventStoreRpc, number: number) => Promise<Answer>): Promise<Answer[]> {
    return await Promise.all(this.used.map(call));
  }

  /** Logs that a store did not do its part. The caller goes on: the part is made up for later. */
  logAway(call: string, error: unknown): void {
    logWarn('delivery call failed', {
      call,
      subscriptionId: this.subscriptionId,
      error: describeError(error),
    });
  }
}
