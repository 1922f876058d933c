/**
 * The schedule of one event store: what the alarm does, and when it rings next.
 *
 * Three duties: *dispatch* hands what is due to `webhook-deliveries`; *sweep* deletes what is past its time; *merge*
 * makes few large segments of many small ones. All work in bounded bites and leave the rest to the next alarm.
 */
import { type Delivery, disable, dispatch, giveUpHeld, hold, isHoldable } from '../../domain/delivery.ts';
import type { HealthState } from '../../domain/endpoint-health.ts';
import { eventIdFloor } from '../../domain/ids.ts';
import { EVENT_ID_MAX_FUTURE_MS } from '../../domain/limits.ts';
import { expiresAt } from '../../domain/retention.ts';
import type { SubscriptionRef } from '../../domain/subscription.ts';
import { packDispatch, type Sender, sendAll } from '../../outbound/queues.ts';
import type { Deliveries } from '../deliveries/deliveries.ts';
import {
  DELIVERIES_BITE,
  DISPATCH_MAX_PER_ALARM,
  DRAIN_STEP_MS,
  MERGE_BACKOFF_MS,
  MERGE_STEP_MS,
  SEND_BACKOFF_FIRST_MS,
  SEND_BACKOFF_MAX_MS,
  SWEEP_INTERVAL_MS,
  SWEEP_MAX_ROWS,
  SWEEP_MAX_SEGMENTS,
  UNHEALTHY_UNDER_WAY_MAX,
} from '../tuning.ts';

/** What a dispatch depends on besides what is due. */
export interface DispatchTerms {
  readonly health: HealthState;
  readonly retentionMs: number;
}

/** Lives as long as the object is in memory; what must survive stands in the rows. */
export class Schedule {
  readonly #deliveries: Deliveries;
  readonly #queue: Sender;
  #sendFailures = 0;
  /** Enough is on its way: what is due waits until then. */
  #dispatchAfter = 0;
  /** Where a sweep that found too much goes on, and when the last complete one was. */
  #sweepCursor = '';
  #sweepsMore = false;
  #sweptAt = 0;
  #mergeAfter = 0;

  constructor(deliveries: Deliveries, queue: Sender) {
    this.#deliveries = deliveries;
    this.#queue = queue;
  }

  /**
   * Hands due deliveries to the queue. The lease is written first: if the send fails they are due again after a
   * growing wait; if we die in between, when the lease lapses. Of an endpoint that is not healthy only a few are on
   * their way at once. In a disabled store what is due becomes `failure`.
   * @returns how many were held for their endpoint
   * @throws what the queue throws, after the deliveries were made due again
   */
  async dispatchDue(ref: SubscriptionRef, now: number, terms: DispatchTerms): Promise<number> {
    const isUnhealthy = terms.health !== 'healthy';
    const outgoing = new Outgoing(this.#deliveries, (delivery, token) =>
      decide(delivery, ref, token, now, terms),
    );
    // Tests and redeliveries first, up to as many again: they are not to wait for all others (contract 10.4).
    let room = DISPATCH_MAX_PER_ALARM;
    if (isUnhealthy) {
      const most = 2 * UNHEALTHY_UNDER_WAY_MAX;
      const first = Math.min(most - this.#deliveries.underWay(now, most), DELIVERIES_BITE);
      if (first > 0) outgoing.take(this.#deliveries.due(now, first, true));
      room = UNHEALTHY_UNDER_WAY_MAX - this.#deliveries.underWay(now, UNHEALTHY_UNDER_WAY_MAX);
    }
    for (let looked = 0; room > 0 && looked < DISPATCH_MAX_PER_ALARM; ) {
      const limit = Math.min(room, DELIVERIES_BITE);
      const due = this.#deliveries.due(now, limit);
      room -= outgoing.take(due);
      looked += due.length;
      if (due.length < limit) break;
    }
    if (room <= 0 && isUnhealthy) this.#dispatchAfter = now + DRAIN_STEP_MS;
    await this.#send(ref, outgoing.tokens, isUnhealthy);
    return outgoing.held;
  }

  async #send(
    ref: SubscriptionRef,
    tokens: ReadonlyMap<string, readonly string[]>,
    isUnhealthy: boolean,
  ): Promise<void> {
    const { customerId, subscriptionId } = ref;
    const messages = [...tokens].flatMap(([token, eventIds]) =>
      packDispatch({
        customerId,
        subscriptionId,
        token,
        eventIds: [...eventIds],
        ...(isUnhealthy ? { unhealthy: true as const } : {}),
      }),
    );
    if (messages.length === 0) return;
    try {
      await sendAll(this.#queue, messages);
      this.#sendFailures = 0;
    } catch (error) {
      this.#dueAgain([...tokens.values()].flat());
      throw error;
    }
  }

  /** Deletes expired deliveries, one bite; the rest at the next call. */
  sweep(now: number, retentionMs: number): void {
    if (now < this.#sweptAt + SWEEP_INTERVAL_MS && !this.#isSweeping()) return;
    // An id may be up to five minutes ahead of its acceptance; nothing younger can have expired.
    const youngest = eventIdFloor(now - retentionMs + EVENT_ID_MAX_FUTURE_MS);
    const bite = this.#deliveries.ages(this.#sweepCursor, youngest, SWEEP_MAX_ROWS);
    const expired = bite.filter((age) => (expiresAt(age, retentionMs) ?? Number.POSITIVE_INFINITY) <= now);
    if (expired.length > 0) this.#deliveries.delete(expired.map((age) => age.eventId));
    this.#sweepCursor = bite.length === SWEEP_MAX_ROWS ? (bite.at(-1)?.eventId ?? '') : '';
    this.#sweepsMore = this.#deliveries.deletePacked(now - retentionMs, youngest, SWEEP_MAX_SEGMENTS);
    if (!this.#isSweeping()) this.#sweptAt = now;
  }

  /** Merges small segments, a bite. */
  merge(now: number): void {
    if (now < Math.max(this.#deliveries.mergeDue() ?? Number.POSITIVE_INFINITY, this.#mergeAfter)) return;
    this.#mergeAfter = now + MERGE_BACKOFF_MS; // should it fail
    this.#deliveries.merge(now);
    this.#mergeAfter = now + MERGE_STEP_MS;
  }

  #isSweeping(): boolean {
    return this.#sweepsMore || this.#sweepCursor !== '';
  }

  /** When the alarm must ring next, ms; `undefined` when nothing is stored. */
  nextAlarm(now: number, retentionMs: number): number | undefined {
    const oldest = this.#deliveries.oldestAcceptance();
    if (oldest === undefined) return undefined;
    const times = [
      this.#isSweeping() ? now : Math.max(oldest + retentionMs, this.#sweptAt + SWEEP_INTERVAL_MS),
    ];
    const due = this.#deliveries.earliestDue();
    if (due !== undefined) times.push(Math.max(due, this.#dispatchAfter));
    const mergeDue = this.#deliveries.mergeDue();
    if (mergeDue !== undefined) times.push(Math.max(mergeDue, this.#mergeAfter));
    return Math.min(...times);
  }

  #dueAgain(eventIds: readonly string[]): void {
    const wait = Math.min(SEND_BACKOFF_FIRST_MS * 2 ** this.#sendFailures, SEND_BACKOFF_MAX_MS);
    this.#sendFailures = Math.min(this.#sendFailures + 1, 10);
    const dueAt = Date.now() + wait;
    for (const eventId of eventIds) {
      const delivery = this.#deliveries.find(eventId);
      // Anything that moved on meanwhile keeps what it has.
      if (delivery?.leaseToken != null && delivery.dueAt !== null)
        this.#deliveries.put({ ...delivery, dueAt });
    }
  }
}

/** What one alarm writes and then hands to the queue: ids by lease token. */
class Outgoing {
  readonly tokens = new Map<string, string[]>();
  held = 0;
  readonly #deliveries: Deliveries;
  readonly #decide: (delivery: Delivery, freshToken: string) => Delivery | undefined;
  readonly #fresh = crypto.randomUUID();

  constructor(
    deliveries: Deliveries,
    decide: (delivery: Delivery, freshToken: string) => Delivery | undefined,
  ) {
    this.#deliveries = deliveries;
    this.#decide = decide;
  }

  /** @returns how many of them go out */
  take(due: readonly Delivery[]): number {
    let sent = 0;
    for (const delivery of due) {
      const next = this.#decide(delivery, this.#fresh);
      if (next === undefined) continue;
      this.#deliveries.put(next);
      if (next.hold === 'held') this.held++;
      if (next.leaseToken === null) continue;
      sent++;
      const sharing = this.tokens.get(next.leaseToken);
      if (sharing === undefined) this.tokens.set(next.leaseToken, [next.eventId]);
      else sharing.push(next.eventId);
    }
    return sent;
  }
}

/** What becomes of a delivery that is due; `undefined` when nothing does. */
function decide(
  delivery: Delivery,
  ref: SubscriptionRef,
  freshToken: string,
  now: number,
  { health, retentionMs }: DispatchTerms,
): Delivery | undefined {
  if (!ref.enabled) return disable(delivery, now);
  if (health === 'failing') {
    if (delivery.hold === 'held') return giveUpHeld(delivery, now);
    if (isHoldable(delivery) && delivery.endpoint === ref.endpoint) return hold(delivery, now + retentionMs);
  }
  return dispatch(delivery, freshToken, now);
}
