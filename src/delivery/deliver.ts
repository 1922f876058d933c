/**
 * # Delivering: from "these events are for this subscription" to "it is written down what came of it"
 *
 * Every request to a listener is made here, by a queue consumer; event stores decide, but never fetch. There are
 * two ways in. `deliverFirst` takes events straight from the queue: admit, sign, post, settle, so that a healthy
 * delivery costs one row, written once. `deliverDispatched` takes what an alarm handed back: begin, post, settle.
 *
 * Both answer for each event or message whether it is *finished*: settled, or known to be nobody's work any more.
 * Only what is finished is acknowledged; the queue message is the durable copy until then. All else may die at any
 * point: at worst a listener gets the same SET, with the same `jti`, once more.
 */
import pLimit, { type LimitFunction } from 'p-limit';
import type { Outcome } from '../domain/attempt.ts';
import type { HealthState } from '../domain/endpoint-health.ts';
import type { IdentityEvent } from '../domain/event.ts';
import { INVOCATION_BUDGET_MS } from '../domain/leases.ts';
import { refOf, type Subscription, type SubscriptionRef } from '../domain/subscription.ts';
import type { Admission, Beginning, HealthNote, Settlement } from '../event-store/rpc.ts';
import { describeError, logWarn } from '../log.ts';
import type { Dispatch } from '../outbound/queues.ts';
import { logSettled } from './attempt-log.ts';
import { Settler, type SettlingStore } from './reporter.ts';
import type { Route } from './route.ts';
import {
  ADMIT_MAX_EVENTS,
  ASK_AGAIN_MS,
  FETCHES_PER_INVOCATION,
  FETCHES_PER_SUBSCRIPTION,
  FETCHES_UNHEALTHY,
  ROUTES_AT_ONCE,
} from './tuning.ts';

/** The part of an event store a delivery needs. */
export interface DeliveryStore extends SettlingStore {
  admit(ref: SubscriptionRef, eventIds: readonly string[]): Promise<Admission[]>;
  begin(ref: SubscriptionRef, token: string, eventIds: readonly string[]): Promise<Beginning[]>;
  /** Whether first attempts may start: neither disabled nor deleted, and the endpoint healthy. */
  mayStart(): boolean | Promise<boolean>;
}

/** What delivering needs of the rest of the service. */
export interface DeliveryPorts {
  store(subscriptionId: string): DeliveryStore;
  /** Signs the SET of an event for a subscription with the customer's key `kid`. */
  sign(event: IdentityEvent, subscription: Subscription, kid: string): Promise<string>;
  /** Makes one request; never throws. */
  post(endpoint: string, set: string): Promise<Outcome>;
  /** Tells the rest of the service how an endpoint fares now. */
  noteHealth(subscriptionId: string, health: HealthNote): Promise<void>;
  readonly now: () => number;
  readonly debug: boolean;
}

/** What became of one event for one subscription. */
export type Finish =
  | { readonly finished: true }
  /** To be delivered again by the queue, after `retryAfterMs` where that is known. */
  | { readonly finished: false; readonly retryAfterMs?: number };

const FINISHED: Finish = { finished: true };
const AGAIN: Finish = { finished: false };
/** Nothing was done: to an invocation with time, at once. */
const PUT_BACK: Finish = { finished: false, retryAfterMs: 0 };

/** One invocation of a consumer: its connection slots and its time. */
export class Delivering {
  readonly #ports: DeliveryPorts;
  readonly #slots: LimitFunction = pLimit(FETCHES_PER_INVOCATION);
  readonly #unhealthySlots: LimitFunction = pLimit(FETCHES_UNHEALTHY);
  readonly #routes: LimitFunction = pLimit(ROUTES_AT_ONCE);
  readonly #perSubscription = new Map<string, LimitFunction>();
  /** Health of endpoints as told to the rest of the service. */
  readonly #known = new Map<string, HealthState>();
  readonly #lastStart: number;

  constructor(ports: DeliveryPorts) {
    this.#ports = ports;
    this.#lastStart = ports.now() + INVOCATION_BUDGET_MS;
  }

  /**
   * First attempts of one subscription's events, a portion at a time: each is admitted, attempted and settled before
   * the next is touched, so that neither signatures nor tokens pile up. Once the time is over, what was admitted
   * goes to the store without an attempt; what was not is put back untouched. Never rejects.
   * @returns per event id whether it is finished
   */
  deliverFirst({ subscription, kid, events }: Route): Promise<Map<string, Finish>> {
    return this.#routes(async () => {
      const finishes = new Map<string, Finish>();
      const unique = firstOfEachId(events);
      for (let start = 0; start < unique.length; start += ADMIT_MAX_EVENTS) {
        const portion = unique.slice(start, start + ADMIT_MAX_EVENTS);
        const done = this.#isOver()
          ? portion.map((event): [string, Finish] => [event.id, PUT_BACK])
          : await this.#portion(portion, subscription, kid);
        for (const [eventId, finish] of done) finishes.set(eventId, finish);
      }
      return finishes;
    });
  }

  async #portion(
    events: readonly IdentityEvent[],
    subscription: Subscription,
    kid: string,
  ): Promise<[string, Finish][]> {
    const ref = refOf(subscription);
    const store = this.#ports.store(subscription.id);
    let admissions: Admission[];
    try {
      const ids = events.map((event) => event.id);
      admissions = await store.admit(ref, ids);
    } catch (error) {
      logFailedCall('admit', ref, error);
      return events.map((event) => [event.id, AGAIN]);
    }
    const work = admissions.filter(({ answer }) => answer === 'new' || answer === 'held').length;
    const settler = this.#settler(store, subscription, work);
    const mayStart = this.#gate(store, settler);
    return await Promise.all(
      events.map(async (event, index): Promise<[string, Finish]> => {
        const admission = admissions[index];
        if (admission === undefined) return [event.id, AGAIN];
        switch (admission.answer) {
          case 'done':
            return [event.id, FINISHED];
          case 'busy':
            return [event.id, { finished: false, retryAfterMs: admission.retryAfterMs }];
          case 'new':
          case 'held':
            return [
              event.id,
              await this.#first(
                event,
                subscription,
                kid,
                admission.answer === 'held' ? undefined : mayStart,
                settler,
              ),
            ];
        }
      }),
    );
  }

  /**
   * Attempts an alarm dispatched. Never rejects.
   * @returns whether the message is finished. An attempt that began has spent its token, so that delivering the
   *   message again would do nothing: if its result is lost the store makes it again when the lease lapses.
   */
  async deliverDispatched(subscription: Subscription, dispatch: Dispatch): Promise<Finish> {
    const ref = refOf(subscription);
    const store = this.#ports.store(subscription.id);
    const settler = this.#settler(store, subscription, dispatch.eventIds.length);
    const isUnhealthy = dispatch.unhealthy === true;
    const finishes = await Promise.all(
      dispatch.eventIds.map(async (eventId): Promise<Finish> => {
        const made = await this.#inSlot(
          subscription.id,
          () => this.#begun(store, ref, dispatch.token, eventId),
          isUnhealthy,
        );
        if ('finished' in made) {
          settler.giveUpOne();
          return made;
        }
        await this.#settle(settler, made, ref);
        return FINISHED;
      }),
    );
    return finishes.find((finish) => !finish.finished) ?? FINISHED;
  }

  async #first(
    event: IdentityEvent,
    subscription: Subscription,
    kid: string,
    /** Asked just before the request; absent for what is held. */
    mayStart: (() => Promise<boolean>) | undefined,
    settler: Settler,
  ): Promise<Finish> {
    const ref = refOf(subscription);
    let settlement: Settlement;
    try {
      // Signed in the slot, just before the request: a slot's time is never spent on the signatures of others.
      settlement = await this.#inSlot(subscription.id, async () => {
        const set = await this.#ports.sign(event, subscription, kid);
        const facts = {
          eventId: event.id,
          acceptedAt: event.acceptedAt,
          endpoint: subscription.endpoint,
          set,
        };
        // Held, out of time, or disabled meanwhile: stored without an attempt, and the store knows what follows.
        if (mayStart === undefined || this.#isOver() || !(await mayStart())) return facts;
        return { ...facts, result: await this.#attempt(facts.endpoint, set, 1) };
      });
    } catch (error) {
      settler.giveUpOne();
      logFailedCall('sign', ref, error);
      return AGAIN;
    }
    return await this.#settle(settler, settlement, ref);
  }

  /** Begins one dispatched attempt and makes it; a `Finish` when there is nothing to settle. */
  async #begun(
    store: DeliveryStore,
    ref: SubscriptionRef,
    token: string,
    eventId: string,
  ): Promise<Settlement | Finish> {
    // The token stays good: the queue brings the message again, to an invocation with time.
    if (this.#isOver()) return PUT_BACK;
    let beginning: Beginning | undefined;
    try {
      beginning = (await store.begin(ref, token, [eventId]))[0];
    } catch (error) {
      logFailedCall('begin', ref, error);
      return AGAIN;
    }
    if (beginning === undefined) return FINISHED;
    const { attempt, ...facts } = beginning;
    return { ...facts, result: await this.#attempt(facts.endpoint, facts.set, attempt) };
  }

  /**
   * Whether attempts of an admitted portion may still start. Not once a result told that the endpoint is not healthy:
   * the rest is then spilled to the store (contract 10.4). The store is asked again when it has said nothing for a
   * second, because events that wait for a slot must not outlive the subscription's being disabled (contract 3.6).
   */
  #gate(store: DeliveryStore, settler: Settler): () => Promise<boolean> {
    let askedAt = this.#ports.now();
    let answer = Promise.resolve(true);
    return () => {
      if (settler.health !== undefined && settler.health.state !== 'healthy') return Promise.resolve(false);
      if (this.#ports.now() - askedAt > ASK_AGAIN_MS) {
        askedAt = this.#ports.now();
        answer = Promise.resolve(store.mayStart()).catch(() => true);
      }
      return answer;
    };
  }

  /** The settler of a subscription's results; what it hears of the endpoint goes on, where that is news. */
  #settler(store: DeliveryStore, subscription: Subscription, expected: number): Settler {
    return new Settler(store, refOf(subscription), expected, (ref, pairs, health) => {
      logSettled(ref, pairs, this.#ports.debug);
      const known = this.#known.get(ref.subscriptionId) ?? subscription.health;
      if (health.state === known) return;
      this.#known.set(ref.subscriptionId, health.state);
      this.#ports.noteHealth(ref.subscriptionId, health).catch((error: unknown) => {
        // The next settle finds it out of date, and says so again.
        logFailedCall('noteHealth', ref, error);
      });
    });
  }

  /** Whether no attempt may start any more in this invocation. */
  #isOver(): boolean {
    return this.#ports.now() > this.#lastStart;
  }

  async #attempt(endpoint: string, set: string, attempt: number) {
    const startedAt = this.#ports.now();
    const outcome = await this.#ports.post(endpoint, set);
    return { attempt, startedAt, durationMs: Math.max(0, this.#ports.now() - startedAt), outcome };
  }

  async #settle(settler: Settler, settlement: Settlement, ref: SubscriptionRef): Promise<Finish> {
    try {
      await settler.add(settlement);
      return FINISHED;
    } catch (error) {
      logFailedCall('settle', ref, error);
      return AGAIN;
    }
  }

  /** Runs a task in one of the invocation's slots, one of its subscription's, and one of its lane's. */
  #inSlot<T>(subscriptionId: string, task: () => Promise<T>, isUnhealthy = false): Promise<T> {
    let own = this.#perSubscription.get(subscriptionId);
    if (own === undefined) {
      own = pLimit(FETCHES_PER_SUBSCRIPTION);
      this.#perSubscription.set(subscriptionId, own);
    }
    if (!isUnhealthy) return own(() => this.#slots(task));
    return own(() => this.#unhealthySlots(() => this.#slots(task)));
  }
}

/** Events without repeats; of several under one id the first counts (contract 10.1). */
function firstOfEachId(events: readonly IdentityEvent[]): IdentityEvent[] {
  const first = new Map<string, IdentityEvent>();
  for (const event of events) if (!first.has(event.id)) first.set(event.id, event);
  return [...first.values()];
}

function logFailedCall(call: string, ref: SubscriptionRef, error: unknown): void {
  logWarn('delivery call failed', {
    call,
    customerId: ref.customerId,
    subscriptionId: ref.subscriptionId,
    error: describeError(error),
  });
}
