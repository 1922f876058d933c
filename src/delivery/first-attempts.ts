/**
 * # First attempts: from "this subscription receives these events" to "the store knows the result"
 *
 * Events come straight from the queue. The consumer admits them, signs them, posts them, and settles the results. So a healthy
 * delivery is written once, already final.
 *
 * A message is acknowledged only when everything of it is done: stored, or sent on. Until then the queue message is the
 * durable copy. A consumer may die at any point: at worst a listener gets the same SET, with the same `jti`, once more.
 */
import pLimit, { type LimitFunction } from 'p-limit';
import type { DeliveryFacts } from '../domain/delivery.ts';
import type { IdentityEvent } from '../domain/event.ts';
import { SETTLE_INTERVAL_MS } from '../domain/leases.ts';
import type { SigningKeyName } from '../domain/signing-algorithm.ts';
import { type Recipient, refOf, type SubscriptionRef } from '../domain/subscription.ts';
import type { Admission, SentReport } from '../event-store/rpc.ts';
import { type Disposition, DONE, FAILED, LATER } from './disposition.ts';
import type { HostShare } from './host-share.ts';
import { type Invocation, logFailedCall } from './invocation.ts';
import type { DeliveryStore } from './ports.ts';
import type { Reporter } from './reporter.ts';
import type { Route } from './route.ts';
import { ADMIT_MAX_EVENTS, ASK_AGAIN_MS } from './tuning.ts';

/** A failure before anything was done with the event: nothing of it is under way. */
const NOT_BEGUN: Disposition = { ...FAILED };

/** Called once for each event of a route. */
type OnEnd = (event: IdentityEvent, disposition: Disposition) => void;

/** The events of one subscription that are admitted together, and what working on them takes. */
interface Portion {
  readonly subscription: Recipient;
  readonly ref: SubscriptionRef;
  readonly key: SigningKeyName;
  readonly store: DeliveryStore;
  readonly reporter: Reporter;
  readonly gate: Gate;
  readonly share: HostShare | undefined;
  readonly waited: ReadonlySet<string>;
}

export class FirstAttempts {
  readonly #invocation: Invocation;
  readonly #routes: LimitFunction;

  /** @param routesAtOnce subscriptions that it works on at once */
  constructor(invocation: Invocation, routesAtOnce: number) {
    this.#invocation = invocation;
    this.#routes = pLimit(routesAtOnce);
  }

  /**
   * Makes the first attempts of one subscription's events, a portion at a time. Each portion is admitted, attempted and settled
   * before the next is touched, so that neither signatures nor tokens pile up. Never rejects.
   */
  deliver({ subscription, key, events, waited }: Route, onEnd: OnEnd): Promise<void> {
    return this.#routes(async () => {
      for (let start = 0; start < events.length; start += ADMIT_MAX_EVENTS) {
        const some = events.slice(start, start + ADMIT_MAX_EVENTS);
        if (this.#invocation.isOver()) for (const event of some) onEnd(event, LATER);
        else await this.#deliverPortion(some, subscription, key, waited, onEnd);
      }
    });
  }

  async #deliverPortion(
    events: readonly IdentityEvent[],
    subscription: Recipient,
    key: SigningKeyName,
    waited: ReadonlySet<string>,
    onEnd: OnEnd,
  ): Promise<void> {
    const ref = refOf(subscription);
    const store = this.#invocation.ports.store(subscription);
    // The host is asked beside the store, so that no round trip is added. What goes to an endpoint in trouble is nearly always stored
    // without an attempt: it must not take places from the attempts that the stores make.
    const early = subscription.health === 'healthy' ? this.#invocation.share(subscription) : undefined;
    let admissions: (Admission | undefined)[];
    try {
      const ids = events.map(({ id }) => id);
      const patient = ids.filter((id) => waited.has(id));
      admissions = await this.#invocation.answerOf(store.admit(ref, ids, patient));
    } catch (error) {
      logFailedCall('admit', ref, error);
      for (const event of events) onEnd(event, FAILED);
      return;
    }
    const isAttempted = admissions.some((one) => one?.answer === 'new');
    const share = early ?? (isAttempted ? this.#invocation.share(subscription) : undefined);
    const work = admissions.filter((one) => one?.answer === 'new' || one?.answer === 'held').length;
    // At a host that subscriptions share, the store asks for places first.
    const sendsRetries = share === undefined;
    const reporter = this.#invocation.reporter(store, subscription, work, SETTLE_INTERVAL_MS, sendsRetries);
    const gate = new Gate(store, reporter, this.#invocation);
    const portion: Portion = { subscription, ref, key, store, reporter, gate, share, waited };
    const postponed: [IdentityEvent, Disposition][] = [];
    await Promise.all(
      events.map(async (event, index) => {
        const admission = admissions[index];
        const disposition = await this.#deliverOne(portion, event, admission);
        // Another invocation can admit the event only when the claim of this one has ended.
        const isOurs = admission?.answer === 'new' || admission?.answer === 'held';
        const isUntouched = disposition.kind === 'later' || disposition === NOT_BEGUN;
        if (isOurs && isUntouched) postponed.push([event, disposition]);
        else onEnd(event, disposition);
      }),
    );
    if (postponed.length === 0) return;
    const ids = postponed.map(([{ id }]) => id);
    await store.release(ids).catch((error: unknown) => logFailedCall('release', ref, error));
    for (const [event, disposition] of postponed) onEnd(event, disposition);
  }

  async #deliverOne(
    portion: Portion,
    event: IdentityEvent,
    admission: Admission | undefined,
  ): Promise<Disposition> {
    switch (admission?.answer) {
      case undefined:
        return FAILED;
      case 'done':
        return DONE;
      case 'busy':
        return { kind: 'later', waitMs: admission.retryAfterMs };
      case 'new':
        return await this.#attempt(portion, event);
      case 'held':
        return await this.#defer(portion, event, admission.unsigned === true);
    }
  }

  /** Signs one event, and makes its first attempt unless it must be deferred. */
  async #attempt(portion: Portion, event: IdentityEvent): Promise<Disposition> {
    const { ref, reporter, gate, share, waited } = portion;
    const slot = await this.#invocation.takeSlot(ref, false, waited.has(event.id), share);
    if ('kind' in slot) {
      if (slot.kind === 'to store') return await this.#defer(portion, event);
      reporter.expectOneLess();
      return slot;
    }
    const isOpen = await gate.isOpen();
    if (reporter.hasFailed) {
      slot.release();
      reporter.expectOneLess();
      return NOT_BEGUN;
    }
    if (!isOpen) {
      slot.release();
      return await this.#defer(portion, event);
    }
    // The event is signed in its slot, just before the request: no slot waits for the signatures of other events.
    await this.#invocation.memory.room();
    const set = await this.#sign(portion, event);
    if (set === undefined) {
      slot.release();
      return NOT_BEGUN;
    }
    const facts = factsOf(portion, event, set);
    const request = { ref, facts, attempt: 1, slot, reporter, isInTrouble: false, place: share };
    return await this.#invocation.request(request);
  }

  /**
   * Stores one event without an attempt: the store decides when it is attempted.
   * @param isUnsigned the store takes its SET without the signature, and the consumer that makes the attempt signs it
   */
  async #defer(portion: Portion, event: IdentityEvent, isUnsigned = false): Promise<Disposition> {
    const { ref, reporter, subscription, key } = portion;
    const { deferrals, memory, ports } = this.#invocation;
    const set = await deferrals(async () => {
      await memory.room();
      return isUnsigned ? ports.prepare(event, subscription, key) : await this.#sign(portion, event);
    });
    if (set === undefined) return NOT_BEGUN;
    const forget = memory.hold(set);
    const { set: text, ...facts } = factsOf(portion, event, set);
    const report: SentReport = {
      ...facts,
      kind: 'deferred',
      ...(isUnsigned ? { unsigned: text } : { set: text }),
    };
    return await this.#invocation.report(reporter, report, ref).finally(forget);
  }

  /** @returns `undefined` when the event could not be signed */
  async #sign(
    { subscription, key, ref, reporter }: Portion,
    event: IdentityEvent,
  ): Promise<string | undefined> {
    try {
      return await this.#invocation.ports.sign(event, subscription, key);
    } catch (error) {
      reporter.expectOneLess();
      logFailedCall('sign', ref, error);
      return undefined;
    }
  }
}

function factsOf({ subscription }: Portion, event: IdentityEvent, set: string): DeliveryFacts {
  const { id, acceptedAt, requestId } = event;
  const facts = { eventId: id, acceptedAt, endpoint: subscription.endpoint, set };
  return requestId === undefined ? facts : { ...facts, requestId };
}

/**
 * Whether attempts of an admitted portion may still start. The gate closes once a result showed that the endpoint is not
 * healthy: the rest of the portion goes to the store (contract 10.4). An event that waits for a slot must not be sent after its
 * subscription was disabled (contract 3.6). So the gate goes by the store's last word, which comes with each answer, and asks when that is
 * more than a second old.
 */
class Gate {
  readonly #store: DeliveryStore;
  readonly #reporter: Reporter;
  readonly #invocation: Invocation;
  #askedAt: number;
  #answer = Promise.resolve(true);

  constructor(store: DeliveryStore, reporter: Reporter, invocation: Invocation) {
    this.#store = store;
    this.#reporter = reporter;
    this.#invocation = invocation;
    this.#askedAt = invocation.ports.now();
  }

  async isOpen(): Promise<boolean> {
    // Five failures are on their way to the store: its answer decides about the next request.
    await this.#reporter.verdict;
    const { last } = this.#reporter;
    if (last !== undefined && last.health.state !== 'healthy') return false;
    if (last?.mayStart !== undefined && last.at >= this.#askedAt) {
      this.#askedAt = last.at;
      this.#answer = Promise.resolve(last.mayStart);
    }
    const now = this.#invocation.ports.now();
    if (now - this.#askedAt > ASK_AGAIN_MS) {
      this.#askedAt = now;
      this.#answer = this.#invocation.answerOf(this.#store.mayStart()).catch(() => true);
    }
    return await this.#answer;
  }
}
