/** One event store driven by a test. The test looks at its dispatches and makes the attempts itself, without a queue. */
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import type { Outcome } from '../../src/domain/attempt.ts';
import type { DeliveryFacts } from '../../src/domain/delivery.ts';
import { newEventIds } from '../../src/domain/ids.ts';
import type { SubscriptionRef } from '../../src/domain/subscription.ts';
import type { EventStore } from '../../src/event-store/event-store.ts';
import type { StoredReport } from '../../src/event-store/rpc.ts';
import { type HeldClock, holdClock } from './clock.ts';
import { aSet } from './delivery-fixtures.ts';
import { eventStoreStub } from './event-store.ts';
import { hostLimitStub } from './host-limit.ts';
import { reportOf } from './reports.ts';

export const ok: Outcome = { kind: 'success', response: { statusCode: 200, headers: {} } };
export const lost: Outcome = { kind: 'unreachable', message: 'connection lost' };
export const timedOut: Outcome = { kind: 'timed_out', message: 'no answer within 1 s' };

/** No consumer returns the places that the store gets, so its host has all of them at each ring. The limit has tests of its own. */
async function grantEverything({ customerId, endpoint }: SubscriptionRef): Promise<void> {
  // The first ring finds no object that could be evicted.
  await evictDurableObject(hostLimitStub(customerId, endpoint)).catch(() => undefined);
  const successes = { id: 'bench', want: 0, left: 0, succeeded: 5000, failedStarts: [], leaseMs: 1 };
  await hostLimitStub(customerId, endpoint).visit(successes);
}

export class Bench {
  readonly clock: HeldClock = holdClock();
  /** The version of the subscription that the calls bring. */
  ref: SubscriptionRef;
  readonly store: DurableObjectStub<EventStore>;

  constructor(changes: Partial<SubscriptionRef> = {}) {
    const subscriptionId = crypto.randomUUID();
    this.ref = {
      customerId: crypto.randomUUID(),
      subscriptionId,
      version: 1,
      enabled: true,
      endpoint: 'https://listener.example/',
      ...changes,
    };
    this.store = eventStoreStub(subscriptionId);
  }

  ids(count: number): string[] {
    return newEventIds(this.clock.now(), count, crypto.getRandomValues(new Uint8Array(16)));
  }

  facts(eventId: string): DeliveryFacts {
    const { endpoint } = this.ref;
    return { eventId, acceptedAt: this.clock.now(), endpoint, set: aSet(eventId) };
  }

  /** Stores events without an attempt, as a consumer does with deferred events. */
  async held(count: number): Promise<string[]> {
    const ids = this.ids(count);
    await this.store.settle(
      this.ref,
      ids.map((id) => reportOf(this.facts(id))),
    );
    return ids;
  }

  /** The same with SETs that cannot be packed, so that each has a row of its own. */
  async heldInRows(count: number): Promise<string[]> {
    const ids = this.ids(count);
    await this.store.settle(
      this.ref,
      ids.map((id) => reportOf({ ...this.facts(id), set: `set of ${id}` })),
    );
    return ids;
  }

  /** Stores a test notification. @returns its id, and what the store made of it */
  async test(): Promise<{ id: string; stored: StoredReport | undefined }> {
    const [id = ''] = this.ids(1);
    const { settled } = await this.store.settle(this.ref, [reportOf({ ...this.facts(id), neverHeld: true })]);
    return { id, stored: settled[0] };
  }

  /** The subscription changes. @returns the version before */
  async patch(change: Partial<SubscriptionRef>): Promise<SubscriptionRef> {
    const before = this.ref;
    this.ref = { ...before, version: before.version + 1, ...change };
    await this.store.adopt(this.ref);
    return before;
  }

  async settle(eventId: string, outcome: Outcome, attempt = 1, durationMs = 5): Promise<void> {
    const result = { attempt, startedAt: this.clock.now(), durationMs, outcome };
    await this.store.settle(this.ref, [reportOf({ ...this.facts(eventId), result })]);
  }

  /** Settles the first attempts of events together. */
  async settleAll(eventIds: readonly string[], outcome: Outcome): Promise<void> {
    const result = { attempt: 1, startedAt: this.clock.now(), durationMs: 5, outcome };
    await this.store.settle(
      this.ref,
      eventIds.map((id) => reportOf({ ...this.facts(id), result })),
    );
  }

  /** Makes the endpoint failing by five failed events. They then wait for their retries. @returns their ids */
  async fail(): Promise<string[]> {
    const ids = this.ids(5);
    for (const id of ids) await this.settle(id, lost);
    return ids;
  }

  /** Takes away what waits for a retry, as if its schedule had ended long ago. */
  async endRetries(): Promise<void> {
    await runInDurableObject(this.store, (_, { storage }) => {
      storage.sql.exec("DELETE FROM first_retries; DELETE FROM deliveries WHERE state = 'awaiting-retry'");
    });
    // The store remembers outlines of what waits.
    await evictDurableObject(this.store);
  }

  /** Rings the alarm. @returns the ids of the events that it dispatched */
  async ring(): Promise<string[]> {
    const before = await this.tokens();
    await this.grantPlaces();
    await runDurableObjectAlarm(this.store);
    const after = await this.tokens();
    return [...after.keys()].filter((id) => before.get(id) !== after.get(id));
  }

  /** The host of the endpoint gives a place to each delivery of the next alarm. */
  async grantPlaces(): Promise<void> {
    await grantEverything(this.ref);
  }

  /** Moves the clock to the time of the alarm, unless that has passed, and rings it. */
  async ringNext(): Promise<string[]> {
    const at = await this.alarm();
    if (at === null) throw new Error('no alarm is set');
    if (at > this.clock.now()) this.clock.advance(at - this.clock.now());
    return await this.ring();
  }

  async alarm(): Promise<number | null> {
    return await runInDurableObject(this.store, (_, state) => state.storage.getAlarm());
  }

  /** The lease tokens of all dispatched events, by event id. */
  async tokens(): Promise<Map<string, string>> {
    return await runInDurableObject(
      this.store,
      (_, state) =>
        new Map(
          state.storage.sql
            .exec<{ id: string; token: string }>(
              `SELECT event_id AS id, lease_token AS token FROM deliveries WHERE lease_token IS NOT NULL
             UNION ALL SELECT event_id, lease_token FROM first_retries WHERE lease_token IS NOT NULL`,
            )
            .toArray()
            .map(({ id, token }) => [id, token]),
        ),
    );
  }

  /** Begins an attempt of each dispatched event and settles it with this outcome. */
  async attempt(ids: readonly string[], outcome: Outcome): Promise<void> {
    const tokens = await this.tokens();
    for (const id of ids) {
      const [begun] = await this.store.begin(this.ref, tokens.get(id) ?? '', [id], { signs: true });
      if (begun !== undefined) await this.settle(id, outcome, begun.attempt);
    }
  }

  async state(eventId: string) {
    const delivery = await this.store.read(eventId);
    return delivery && { state: delivery.state, attempts: delivery.attempts, hold: delivery.hold };
  }
}
