/**
 * # Delivering: from "this subscription receives these events" to "the store knows the result"
 *
 * Every request to a listener is made here, by a queue consumer; event stores decide, but never fetch. There are two ways in.
 * `deliverFirst` takes events straight from the queue: admit, sign, post, settle. A healthy delivery is so written once, already
 * final. `deliverDispatched` takes what an alarm dispatched: begin, post, settle.
 *
 * Both answer with a disposition. A message is acknowledged only when everything of it is done: stored, or nobody's work any
 * more. Until then the queue message is the durable copy. A consumer may die at any point: at worst a listener gets the same
 * SET, with the same `jti`, once more.
 */
import pLimit, { type LimitFunction } from 'p-limit';
import type { Outcome } from '../domain/attempt.ts';
import type { AttemptResult } from '../domain/delivery.ts';
import type { HealthState } from '../domain/endpoint-health.ts';
import type { IdentityEvent } from '../domain/event.ts';
import { INVOCATION_BUDGET_MS } from '../domain/leases.ts';
import { refOf, type Subscription, type SubscriptionRef } from '../domain/subscription.ts';
import type {
  Admission,
  AttemptedReport,
  AttemptReport,
  EventStoreRpc,
  HealthNote,
  StartedAttempt,
} from '../event-store/rpc.ts';
import { describeError, logWarn } from '../log.ts';
import type { Dispatch } from '../outbound/queues.ts';
import { logStored } from './attempt-log.ts';
import { type Disposition, DONE, RETRY, RETRY_AT_ONCE } from './disposition.ts';
import { Reporter } from './reporter.ts';
import type { Route } from './route.ts';
import { Slots } from './slots.ts';
import { ADMIT_MAX_EVENTS, ASK_AGAIN_MS, ROUTES_AT_ONCE } from './tuning.ts';

/** The calls of an event store that delivering needs. */
type DeliveryStore = Pick<EventStoreRpc, 'admit' | 'begin' | 'settle' | 'mayStart'>;

/** What delivering needs of the rest of the service. */
export interface DeliveryPorts {
  store(subscriptionId: string): DeliveryStore;
  /** Signs the SET of an event for a subscription with the customer's key `kid`. */
  sign(event: IdentityEvent, subscription: Subscription, kid: string): Promise<string>;
  /** Makes one request; never throws. */
  post(endpoint: string, set: string): Promise<Outcome>;
  /** Notes the health of an endpoint in the database, where the list of subscriptions shows it. */
  noteHealth(subscriptionId: string, health: HealthNote): Promise<void>;
  readonly now: () => number;
  readonly debug: boolean;
}

/** The events of one subscription that are admitted together, and what working on them takes. */
interface Portion {
  readonly subscription: Subscription;
  readonly ref: SubscriptionRef;
  readonly kid: string;
  readonly store: DeliveryStore;
  readonly reporter: Reporter;
  readonly gate: Gate;
}

/** One invocation of a consumer: its connection slots and its time. */
export class ConsumerInvocation {
  readonly #ports: DeliveryPorts;
  readonly #slots = new Slots();
  readonly #routes: LimitFunction = pLimit(ROUTES_AT_ONCE);
  /** Health of endpoints as this invocation noted it. */
  readonly #noted = new Map<string, HealthState>();
  readonly #lastStart: number;

  constructor(ports: DeliveryPorts) {
    this.#ports = ports;
    this.#lastStart = ports.now() + INVOCATION_BUDGET_MS;
  }

  /**
   * Makes the first attempts of one subscription's events, a portion at a time. Each portion is admitted, attempted and settled
   * before the next is touched, so that neither signatures nor tokens pile up. Once the time is over, admitted events go to the
   * store without an attempt, and the others are returned to the queue untouched. Never rejects.
   * @returns a disposition for each event id
   */
  deliverFirst({ subscription, kid, events }: Route): Promise<Map<string, Disposition>> {
    return this.#routes(async () => {
      const dispositions = new Map<string, Disposition>();
      const unique = firstOfEachId(events);
      for (let start = 0; start < unique.length; start += ADMIT_MAX_EVENTS) {
        const some = unique.slice(start, start + ADMIT_MAX_EVENTS);
        const each = this.#isOver()
          ? some.map(() => RETRY_AT_ONCE)
          : await this.#deliverPortion(some, subscription, kid);
        for (const [index, event] of some.entries()) dispositions.set(event.id, each[index] ?? RETRY);
      }
      return dispositions;
    });
  }

  /**
   * Makes attempts that an alarm dispatched. Never rejects.
   * @returns `done` unless nothing was begun for lack of time, or the store was away. An attempt that began has spent its
   *   token, so delivering the message again would do nothing: if its result is lost, the store makes it again when the lease
   *   lapses.
   */
  async deliverDispatched(subscription: Subscription, dispatch: Dispatch): Promise<Disposition> {
    const store = this.#ports.store(subscription.id);
    const reporter = this.#reporter(store, subscription, dispatch.eventIds.length);
    const each = await Promise.all(
      dispatch.eventIds.map((eventId) =>
        this.#deliverBegun(store, reporter, subscription, dispatch, eventId),
      ),
    );
    return each.find(({ kind }) => kind !== 'done') ?? DONE;
  }

  // --- First attempts -----------------------------------------------------------------------------------

  async #deliverPortion(
    events: readonly IdentityEvent[],
    subscription: Subscription,
    kid: string,
  ): Promise<Disposition[]> {
    const ref = refOf(subscription);
    const store = this.#ports.store(subscription.id);
    let admissions: Admission[];
    try {
      admissions = await store.admit(
        ref,
        events.map(({ id }) => id),
      );
    } catch (error) {
      logFailedCall('admit', ref, error);
      return events.map(() => RETRY);
    }
    const work = admissions.filter(({ answer }) => answer === 'new' || answer === 'held').length;
    const reporter = this.#reporter(store, subscription, work);
    const gate = new Gate(store, reporter, this.#ports.now);
    const portion: Portion = { subscription, ref, kid, store, reporter, gate };
    return await Promise.all(
      events.map((event, index) => this.#deliverOne(portion, event, admissions[index])),
    );
  }

  async #deliverOne(
    portion: Portion,
    event: IdentityEvent,
    admission: Admission | undefined,
  ): Promise<Disposition> {
    switch (admission?.answer) {
      case undefined:
        return RETRY;
      case 'done':
        return DONE;
      case 'busy':
        return { kind: 'retry-after', waitMs: admission.retryAfterMs };
      case 'new':
        return await this.#attemptFirst(portion, event, () => portion.gate.isOpen());
      case 'held':
        return await this.#attemptFirst(portion, event, async () => false);
    }
  }

  /**
   * Signs one event, and makes its first attempt unless it must be deferred.
   * @param mayStart asked just before the request
   */
  async #attemptFirst(
    { subscription, ref, kid, reporter }: Portion,
    event: IdentityEvent,
    mayStart: () => Promise<boolean>,
  ): Promise<Disposition> {
    let report: AttemptReport;
    try {
      // The event is signed in its slot, just before the request: no slot waits for the signatures of other events.
      report = await this.#slots.run(subscription.id, false, async (): Promise<AttemptReport> => {
        const set = await this.#ports.sign(event, subscription, kid);
        const { endpoint } = subscription;
        const facts = { eventId: event.id, acceptedAt: event.acceptedAt, endpoint, set };
        if (this.#isOver() || !(await mayStart())) return { ...facts, kind: 'deferred' };
        return { ...facts, kind: 'attempted', result: await this.#attempt(endpoint, set, 1) };
      });
    } catch (error) {
      reporter.expectOneLess();
      logFailedCall('sign', ref, error);
      return RETRY;
    }
    return await this.#report(reporter, report, ref);
  }

  // --- Dispatched attempts ------------------------------------------------------------------------------

  async #deliverBegun(
    store: DeliveryStore,
    reporter: Reporter,
    subscription: Subscription,
    dispatch: Dispatch,
    eventId: string,
  ): Promise<Disposition> {
    const ref = refOf(subscription);
    const made = await this.#slots.run(subscription.id, dispatch.unhealthy === true, () =>
      this.#beginAndAttempt(store, ref, dispatch.token, eventId),
    );
    if (made.kind === 'attempted') {
      await this.#report(reporter, made, ref);
      return DONE;
    }
    reporter.expectOneLess();
    return made;
  }

  /** Begins one dispatched attempt and makes it. @returns a disposition when there is nothing to report */
  async #beginAndAttempt(
    store: DeliveryStore,
    ref: SubscriptionRef,
    token: string,
    eventId: string,
  ): Promise<AttemptedReport | Disposition> {
    // The token stays good: the queue brings the message again, to an invocation with time.
    if (this.#isOver()) return RETRY_AT_ONCE;
    let started: StartedAttempt | undefined;
    try {
      started = (await store.begin(ref, token, [eventId]))[0];
    } catch (error) {
      logFailedCall('begin', ref, error);
      return RETRY;
    }
    if (started === undefined) return DONE;
    const { attempt, ...facts } = started;
    return { ...facts, kind: 'attempted', result: await this.#attempt(facts.endpoint, facts.set, attempt) };
  }

  // --- Both ---------------------------------------------------------------------------------------------

  async #attempt(endpoint: string, set: string, attempt: number): Promise<AttemptResult> {
    const startedAt = this.#ports.now();
    const outcome = await this.#ports.post(endpoint, set);
    return { attempt, startedAt, durationMs: Math.max(0, this.#ports.now() - startedAt), outcome };
  }

  async #report(reporter: Reporter, report: AttemptReport, ref: SubscriptionRef): Promise<Disposition> {
    try {
      await reporter.report(report);
      return DONE;
    } catch (error) {
      logFailedCall('settle', ref, error);
      return RETRY;
    }
  }

  /** The reporter of a subscription. It logs what was stored, and notes the endpoint's health when that is news. */
  #reporter(store: DeliveryStore, subscription: Subscription, expected: number): Reporter {
    return new Reporter(store, refOf(subscription), expected, (ref, pairs, health) => {
      logStored(ref, pairs, this.#ports.debug);
      const noted = this.#noted.get(ref.subscriptionId) ?? subscription.health;
      if (health.state === noted) return;
      this.#noted.set(ref.subscriptionId, health.state);
      this.#ports.noteHealth(ref.subscriptionId, health).catch((error: unknown) => {
        // The next `settle` finds the note out of date, and writes it again.
        logFailedCall('noteHealth', ref, error);
      });
    });
  }

  /** Whether no attempt may start any more in this invocation. */
  #isOver(): boolean {
    return this.#ports.now() > this.#lastStart;
  }
}

/**
 * Whether attempts of an admitted portion may still start. The gate closes once a result showed that the endpoint is not
 * healthy: the rest of the portion goes to the store (contract 10.4). The gate asks the store again when it was last asked more
 * than a second ago, because an event that waits for a slot must not be sent after its subscription was disabled (contract 3.6).
 */
class Gate {
  readonly #store: DeliveryStore;
  readonly #reporter: Reporter;
  readonly #now: () => number;
  #askedAt: number;
  #answer = Promise.resolve(true);

  constructor(store: DeliveryStore, reporter: Reporter, now: () => number) {
    this.#store = store;
    this.#reporter = reporter;
    this.#now = now;
    this.#askedAt = now();
  }

  isOpen(): Promise<boolean> {
    const { health } = this.#reporter;
    if (health !== undefined && health.state !== 'healthy') return Promise.resolve(false);
    if (this.#now() - this.#askedAt > ASK_AGAIN_MS) {
      this.#askedAt = this.#now();
      this.#answer = this.#store.mayStart().catch(() => true);
    }
    return this.#answer;
  }
}

/** Events without repeats; of several with one id the first counts (contract 10.1). */
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
