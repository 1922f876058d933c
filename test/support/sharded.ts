/** The event stores of a subscription with shards, in the runtime: called like one, and each by itself. */
import { runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import type { Outcome } from '../../src/domain/attempt.ts';
import { newEventIds } from '../../src/domain/ids.ts';
import { type Shards, shardOf } from '../../src/domain/shards.ts';
import type { EndpointNews, SubscriptionRef } from '../../src/domain/subscription.ts';
import { openStores } from '../../src/event-store/client.ts';
import type { EventStore } from '../../src/event-store/event-store.ts';
import type { EventStoreRpc } from '../../src/event-store/rpc.ts';
import { storeName } from '../../src/event-store/sharding/stores.ts';
import { holdClock } from './clock.ts';
import { aSet } from './delivery-fixtures.ts';
import { eventStoreStub } from './event-store.ts';
import { hostLimitStub } from './host-limit.ts';
import { reportOf } from './reports.ts';

export class Sharded {
  readonly clock = holdClock();
  readonly id = crypto.randomUUID();
  shards: Shards;
  ref: SubscriptionRef = {
    customerId: crypto.randomUUID(),
    subscriptionId: this.id,
    version: 1,
    enabled: true,
    endpoint: 'https://listener.example/',
  };

  constructor(shards: Shards) {
    this.shards = shards;
  }

  /** As a consumer, or a call of the API, has it. */
  get store(): EventStoreRpc {
    return openStores(env.EVENT_STORE, this, {});
  }

  one(number: number): DurableObjectStub<EventStore> {
    return eventStoreStub(storeName(this.id, number));
  }

  /** The version of the subscription for one store. */
  refFor(number: number, news?: EndpointNews): SubscriptionRef {
    const of = this.shards.epochs.at(-1)?.n ?? 1;
    return { ...this.ref, shard: { number, of }, ...(news === undefined ? {} : { news }) };
  }

  /** Ids of successive moments, oldest first. @param stepMs between two of them */
  ids(count: number, from = this.clock.now(), stepMs = 100): string[] {
    return Array.from({ length: count }, (_, index) => this.idAt(from + index * stepMs));
  }

  idAt(time: number): string {
    return newEventIds(time, 1, crypto.getRandomValues(new Uint8Array(16)))[0] ?? '';
  }

  /** An id of a shard, of now or a little earlier. */
  idOf(shard: number): string {
    for (let time = this.clock.now(); ; time -= 100) {
      const id = this.idAt(time);
      if (shardOf(id, this.shards) === shard) return id;
    }
  }

  facts(eventId: string, acceptedAt = this.clock.now()) {
    return { eventId, acceptedAt, endpoint: this.ref.endpoint, set: aSet(eventId) };
  }

  async settle(ids: readonly string[], outcome: Outcome, attempt = 1) {
    const result = { attempt, startedAt: this.clock.now(), durationMs: 5, outcome };
    return await this.store.settle(
      this.ref,
      ids.map((id) => reportOf({ ...this.facts(id), result })),
    );
  }

  async hold(ids: readonly string[]) {
    return await this.store.settle(
      this.ref,
      ids.map((id) => reportOf(this.facts(id))),
    );
  }

  /** The ids that each store has. */
  async idsByStore(count: number): Promise<string[][]> {
    return await Promise.all(
      Array.from({ length: count }, async (_, number) =>
        (await this.one(number).list({ limit: 1000 })).map(({ eventId }) => eventId),
      ),
    );
  }

  /** Rings the alarms of the first stores; the host of the endpoint has room. */
  async ring(count: number): Promise<void> {
    const visit = { id: 'bench', want: 0, left: 0, succeeded: 5000, failedStarts: [], leaseMs: 1 };
    await hostLimitStub(this.ref.customerId, this.ref.endpoint).visit(visit);
    for (let number = 0; number < count; number++) await runDurableObjectAlarm(this.one(number));
  }

  async rows<Row extends Record<string, SqlStorageValue>>(number: number, query: string): Promise<Row[]> {
    return await runInDurableObject(this.one(number), (_, state) =>
      state.storage.sql.exec<Row>(query).toArray(),
    );
  }

  /** Makes deliveries that have failed for good, with redelivery or export in mind. */
  async failForGood(ids: readonly string[]): Promise<void> {
    await this.hold(ids);
    this.ref = { ...this.ref, version: this.ref.version + 1, enabled: false };
    await this.store.adopt(this.ref);
    await this.ring(3);
    this.ref = { ...this.ref, version: this.ref.version + 1, enabled: true };
    await this.store.adopt(this.ref);
  }
}
