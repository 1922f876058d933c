/**
 * # One invocation of a consumer: its time, its connections, its memory
 *
 * Every request to a listener is made here; event stores decide, but never fetch.
 *
 * No batch waits for a listener. A request that takes longer than usual (`patience.ts`) is *overdue*: the invocation reports it
 * to the store as waiting. The store now has the delivery, with a lease, so the queue message no longer waits for it. The
 * request goes on and keeps its connection. Its result is reported when it comes, even after the batch has ended. If the
 * invocation dies meanwhile, the lease lapses, and the store has the attempt made again under its number.
 *
 * The platform ends work that outlives its batch after 30 s. So the batch ends only when what is left behind needs at most
 * `OUTLIVES_BATCH_MS` more.
 */
import pLimit, { type LimitFunction } from 'p-limit';
import type { Outcome } from '../domain/attempt.ts';
import type { DeliveryFacts } from '../domain/delivery.ts';
import { OUTLIVES_BATCH_MS, placesLeaseMs } from '../domain/leases.ts';
import { SLOW_ANSWER_MS, UNANSWERED_MIN } from '../domain/limits.ts';
import { isUnsigned } from '../domain/security-event-token.ts';
import { type Recipient, refOf, type SubscriptionRef } from '../domain/subscription.ts';
import type { AttemptedReport, HealthNote, LeasedRetry, SentReport } from '../event-store/rpc.ts';
import { hostOf } from '../host-limit/client.ts';
import { describeError, logWarn } from '../log.ts';
import { logStored } from './attempt-log.ts';
import { Deadlines } from './deadlines.ts';
import { type Disposition, DONE, FAILED, LATER } from './disposition.ts';
import { HostShare } from './host-share.ts';
import { hostKey } from './hosts.ts';
import { Memory } from './memory.ts';
import { Patience } from './patience.ts';
import type { DeliveryPorts, DeliveryStore } from './ports.ts';
import { type OnStored, Reporter } from './reporter.ts';
import { sendRetries } from './retries-ahead.ts';
import { type Slot, Slots } from './slots.ts';
import { Successes } from './successes.ts';
import {
  BEGIN_AHEAD_MS,
  DEFERRALS_AT_ONCE,
  FETCHES_PER_INVOCATION,
  FETCHES_PER_SUBSCRIPTION,
  SPLITS_AT_ONCE,
  STORE_ANSWERS_WITHIN_MS,
} from './tuning.ts';

/** A delivery whose attempt is to be made now. */
export interface Request {
  readonly ref: SubscriptionRef;
  readonly facts: DeliveryFacts;
  /** The number of the attempt. */
  readonly attempt: number;
  readonly slot: Slot;
  readonly reporter: Reporter;
  /** The store knows that the endpoint is in trouble: nothing is reported when the request is overdue. */
  readonly isInTrouble: boolean;
  /** Its place at its host takes note of the outcome, and of an answer that takes long. */
  readonly place?:
    | { note(outcome: Outcome, startedAt: number): void; overdue?(): void; answered?(): void }
    | undefined;
}

/** The host gives no place soon: the store keeps the delivery, and decides when it is attempted. */
const TO_STORE = { kind: 'to store' } as const;

/** The signing key is gone, does not open, or could not be read: nothing is sent, and the attempt is made again. */
const NO_KEY: Outcome = { kind: 'our_fault', message: 'the signing key is not available' };

/** What listeners usually take, as this isolate has seen it. */
const patience = new Patience();
/** Successes that the log of this isolate has yet to count. */
const successes = new Successes();

export class Invocation {
  readonly ports: DeliveryPorts;
  readonly memory = new Memory();
  /** The time limits of everything that the invocation waits for. */
  readonly deadlines: Deadlines;
  /** Runs what needs no connection: signing and storing without an attempt. */
  get deferrals(): LimitFunction {
    this.#deferrals ??= pLimit(DEFERRALS_AT_ONCE);
    return this.#deferrals;
  }

  /** Splits wide messages: their slices are in memory. */
  get splits(): LimitFunction {
    this.#splits ??= pLimit(SPLITS_AT_ONCE);
    return this.#splits;
  }

  #deferrals: LimitFunction | undefined;
  #splits: LimitFunction | undefined;
  readonly #slots: Slots;
  readonly #lastStart: number;
  /** By subscription: when its unusual requests began that have no answer. */
  readonly #unanswered = new Map<string, number[]>();
  /** Health of endpoints as this invocation noted it. */
  readonly #noted = new Map<string, Pick<HealthNote, 'state' | 'since'>>();
  /** How full stores are, as this invocation noted it. */
  readonly #notedTenths = new Map<string, number>();
  readonly #leftBehind = new Set<Promise<unknown>>();
  /** Places at hosts that several subscriptions of a customer share, by customer and host. */
  readonly #shares = new Map<string, HostShare>();
  /** Deliveries that the batch has for each of these hosts. */
  #sharedHosts: ReadonlyMap<string, number> = new Map();
  #lastEndsAt = 0;

  /**
   * @param budgetMs how long attempts may start
   * @param customers of whom the batch has messages
   */
  constructor(ports: DeliveryPorts, budgetMs: number, customers: ReadonlySet<string>) {
    this.ports = ports;
    this.deadlines = new Deadlines(ports.now);
    this.#slots = new Slots(customers.size > 1);
    this.#lastStart = ports.now() + budgetMs;
  }

  /** Whether no attempt may start any more in this invocation. */
  isOver(): boolean {
    return this.ports.now() > this.#lastStart;
  }

  /** Names the hosts that need places (`hosts.ts`), with the deliveries that the batch has for each. */
  expectHosts(deliveries: ReadonlyMap<string, number>): void {
    this.#sharedHosts = deliveries;
  }

  /** The places of this invocation at the host of an endpoint; asks for them at the first call. `undefined`: it needs none. */
  share({ customerId, endpoint }: Pick<Recipient, 'customerId' | 'endpoint'>): HostShare | undefined {
    if (this.#sharedHosts.size === 0) return undefined;
    const key = hostKey(customerId, endpoint);
    const deliveries = this.#sharedHosts.get(key);
    if (deliveries === undefined) return undefined;
    const known = this.#shares.get(key);
    if (known !== undefined) return known;
    const share: HostShare = new HostShare({
      limit: this.ports.host(customerId, hostOf(endpoint)),
      want: Math.min(FETCHES_PER_INVOCATION, deliveries),
      deliveries,
      leaseMs: placesLeaseMs(this.ports.longestAttemptMs),
      waitUntil: (work) => this.ports.waitUntil(work),
      onChange: () => this.#slots.placesChanged(share, share.isSpent),
    });
    this.#shares.set(key, share);
    return share;
  }

  /**
   * Waits for a connection.
   * @param isInTrouble the store limits the requests of this endpoint: its listener need not show first that it answers
   * @param hasWaited it has waited once for the answers to others, and waits for no more
   * @param share the places at its host, if it needs one
   * @returns what becomes of the delivery if it gets none here
   */
  async takeSlot(
    ref: SubscriptionRef,
    isInTrouble: boolean,
    hasWaited: boolean,
    share?: HostShare,
  ): Promise<Slot | Disposition | typeof TO_STORE> {
    if (share !== undefined && !(await share.hasPlaces())) return withoutPlace(share, hasWaited);
    if (this.isOver()) return LATER;
    if (!hasWaited && this.#isSilent(ref)) return this.#laterThanSilence(ref);
    const isProven = isInTrouble || patience.hasAnswered(ref.subscriptionId, this.ports.now());
    const slot = await this.#slots.take(ref, isProven, hasWaited, share);
    if (slot === undefined)
      return share?.isSpent === true ? withoutPlace(share, hasWaited) : this.#laterThanSilence(ref);
    if (!this.isOver()) return slot;
    slot.release();
    return LATER;
  }

  /** How many further requests to a listener would start within `BEGIN_AHEAD_MS`, as long as it usually takes. */
  startsSoon({ subscriptionId }: SubscriptionRef): number {
    const usualMs = patience.usualMs(subscriptionId, this.ports.now());
    if (usualMs === undefined) return 0;
    return Math.floor(BEGIN_AHEAD_MS / Math.max(1, usualMs)) * FETCHES_PER_SUBSCRIPTION;
  }

  /**
   * Makes one request in its slot, and reports its result. Never rejects.
   * @returns `done` once the store knows the result, or knows that the attempt is under way
   */
  async request(unsigned: Request): Promise<Disposition> {
    const request = await this.#signed(unsigned);
    const { ref, facts, attempt, reporter, isInTrouble, place } = request;
    const startedAt = this.ports.now();
    const isUnusual = patience.isUnusual(ref.subscriptionId, startedAt);
    const forget = this.memory.hold(facts.set);
    const answer = this.#post(request, startedAt);
    const reported = answer.then((report) => this.report(reporter, report, ref)).finally(forget);
    const overdueAfterMs = patience.overdueAfterMs(ref.subscriptionId, startedAt);
    if (await this.deadlines.isWithin(answer, overdueAfterMs)) return await reported;

    this.#slots.overdue(ref);
    place?.overdue?.();
    void answer.then(() => {
      this.#slots.answered(ref);
      place?.answered?.();
    });
    if (!isInTrouble) {
      if (isUnusual) this.#silence(ref, startedAt, answer);
      const isAlone = this.#isAlone();
      const waiting = { ...facts, kind: 'waiting', attempt, startedAt, isUnusual, isAlone } as const;
      const stored = await this.report(reporter, waiting, ref);
      // The store does not know of the attempt: the message must wait for its end.
      if (stored.kind !== 'done') return await reported;
    }
    this.#leaveBehind(reported, startedAt);
    return DONE;
  }

  /** Brings a report to its store. Never rejects. */
  async report(reporter: Reporter, report: SentReport, ref: SubscriptionRef): Promise<Disposition> {
    try {
      await reporter.report(report);
      return DONE;
    } catch (error) {
      logFailedCall('settle', ref, error);
      return FAILED;
    }
  }

  /**
   * The reporter of a subscription. It logs what was stored, and notes the endpoint's health when that is news.
   * @param waitMs how long the report of a success may wait for others
   * @param sendsRetries it sends the first retries of what it reports ahead
   */
  reporter(
    store: DeliveryStore,
    subscription: Recipient,
    expected: number,
    waitMs: number,
    sendsRetries = false,
  ): Reporter {
    const ref = refOf(subscription);
    const onStored = this.#onStored(subscription);
    const { deadlines } = this;
    const { now } = this.ports;
    const answerOf = <Answer>(call: Promise<Answer>) => this.answerOf(call);
    const isFailing = subscription.health === 'failing';
    const rules = { store, onStored, deadlines, waitMs, isFailing, answerOf, now };
    if (!sendsRetries) return new Reporter(ref, expected, rules);
    const logFailed = (call: string, error: unknown) => logFailedCall(call, ref, error);
    const parts = { ports: this.ports, deadlines, store, ref, answerOf, logFailed };
    const outlives = (work: Promise<unknown>) => this.ports.waitUntil(work);
    const sendAhead = (retries: readonly LeasedRetry[]) => sendRetries(parts, retries);
    return new Reporter(ref, expected, { ...rules, sendRetries: sendAhead, outlives });
  }

  /**
   * The answer of a store, which has little time for it: a batch must not wait for one store.
   * @throws Error when it does not answer in time. If it does the work all the same, that is harmless: each call may be repeated
   */
  async answerOf<Answer>(call: Promise<Answer>): Promise<Answer> {
    if (await this.deadlines.isWithin(call, STORE_ANSWERS_WITHIN_MS)) return await call;
    throw new Error(`the event store did not answer within ${STORE_ANSWERS_WITHIN_MS / 1000} s`);
  }

  #onStored(subscription: Recipient): OnStored {
    return (ref, pairs, health) => {
      logStored(ref, pairs, this.ports.debug, successes);
      this.#noteRoom(subscription, health);
      const before = this.#noted.get(subscription.id)?.state ?? subscription.health;
      if (!this.#isNews(subscription, health)) return;
      this.#noted.set(ref.subscriptionId, health);
      const noted = this.ports.noteHealth(subscription, health, before).catch((error: unknown) => {
        // The next `settle` finds the note out of date, and writes it again.
        logFailedCall('noteHealth', ref, error);
      });
      // Also after the batch has ended: an endpoint that hangs shows it only then.
      this.ports.waitUntil(noted);
    };
  }

  /** Of several stores each learns the state from D1, by its time: a later time is news, too. */
  #isNews({ id, shards, health, healthSince }: Recipient, { state, since }: HealthNote): boolean {
    const before = this.#noted.get(id) ?? { state: health, since: healthSince };
    return state !== before.state || (shards !== null && since > before.since);
  }

  /** Notes how full a store is when a step of ten per cent was crossed: that is rare, so it costs a delivery nothing. */
  #noteRoom(subscription: Recipient, { storeTenths }: HealthNote): void {
    const before = this.#notedTenths.get(subscription.id) ?? subscription.storeTenths;
    if (storeTenths === undefined || storeTenths === before) return;
    // Of several stores the fullest counts, and this may be another: the daily visit asks all of them.
    if (subscription.shards !== null && storeTenths < before) return;
    this.#notedTenths.set(subscription.id, storeTenths);
    const noted = this.ports.noteStoreTenths(subscription.id, storeTenths).catch((error: unknown) => {
      logFailedCall('noteStoreTenths', refOf(subscription), error);
    });
    this.ports.waitUntil(noted);
  }

  /** Resolves when the batch may end: what is left behind may then outlive it. */
  async end(): Promise<void> {
    for (const share of this.#shares.values()) share.end();
    if (this.#leftBehind.size > 0) {
      const work = Promise.all(this.#leftBehind);
      this.ports.waitUntil(work.then(() => successes.write(this.ports.now())));
      const waitMs = this.#lastEndsAt - OUTLIVES_BATCH_MS - this.ports.now();
      if (waitMs > 0) await this.deadlines.isWithin(work, waitMs);
    }
    successes.write(this.ports.now());
    this.deadlines.end();
  }

  /** A request whose SET is signed, unless its key is away: an event that was held comes from its store without its signature. */
  async #signed(request: Request): Promise<Request> {
    const { ref, facts } = request;
    if (!isUnsigned(facts.set)) return request;
    try {
      return { ...request, facts: { ...facts, set: await this.ports.signStored(facts.set) } };
    } catch (error) {
      logFailedCall('sign', ref, error);
      return request;
    }
  }

  async #post({ ref, facts, attempt, slot, place }: Request, startedAt: number): Promise<AttemptedReport> {
    const outcome = isUnsigned(facts.set)
      ? NO_KEY
      : await this.ports.post(facts.endpoint, facts.set, this.deadlines.after);
    const now = this.ports.now();
    const durationMs = Math.max(0, now - startedAt);
    if (isAnswer(outcome)) {
      patience.note(ref.subscriptionId, durationMs, now);
      this.#slots.proven(ref);
    }
    place?.note(outcome, startedAt);
    slot.release();
    return { ...facts, kind: 'attempted', result: { attempt, startedAt, durationMs, outcome } };
  }

  /**
   * Notes that a request has had no answer for longer than usual. One may be a slow answer among quick ones. When two have none,
   * of this listener or of two, or the listener has not answered lately at all, the other deliveries of its subscription do not wait here.
   */
  #silence(ref: SubscriptionRef, startedAt: number, answer: Promise<unknown>): void {
    const { subscriptionId } = ref;
    const starts = this.#unanswered.get(subscriptionId) ?? [];
    this.#unanswered.set(subscriptionId, starts);
    starts.push(startedAt);
    if (this.#isSilent(ref)) this.#slots.dismiss(ref);
    void answer.then(() => starts.splice(starts.indexOf(startedAt), 1));
  }

  #isSilent({ subscriptionId }: SubscriptionRef): boolean {
    const count = this.#unanswered.get(subscriptionId)?.length ?? 0;
    if (count === 0 || count >= UNANSWERED_MIN) return count > 0;
    return !this.#isAlone() || !patience.hasAnswered(subscriptionId, this.ports.now());
  }

  /** Whether at most one listener does not answer: then it may be a slow answer among quick ones. */
  #isAlone(): boolean {
    return [...this.#unanswered.values()].filter(({ length }) => length > 0).length < 2;
  }

  /** Once the silence is as long as a slow answer, the store decides what becomes of the others (contract 10.4). */
  #laterThanSilence({ subscriptionId }: SubscriptionRef): Disposition {
    const last = this.#unanswered.get(subscriptionId)?.at(-1);
    return last === undefined
      ? LATER
      : { kind: 'later', waitMs: Math.max(0, last + SLOW_ANSWER_MS - this.ports.now()) };
  }

  #leaveBehind(work: Promise<unknown>, startedAt: number): void {
    this.#leftBehind.add(work);
    void work.then(() => this.#leftBehind.delete(work));
    this.#lastEndsAt = Math.max(this.#lastEndsAt, startedAt + this.ports.longestAttemptMs);
  }
}

/**
 * What becomes of a delivery whose host gives no place: it waits once, in a slice. If the host still does not answer, the store keeps it,
 * so that nothing goes round in the queues. A host that answers has room soon.
 */
function withoutPlace(share: HostShare, hasWaited: boolean): Disposition | typeof TO_STORE {
  return hasWaited && !share.isAnswering ? TO_STORE : { kind: 'later', waitMs: share.waitMs };
}

/** Whether the listener answered, with whatever status. */
function isAnswer(outcome: Outcome): boolean {
  return 'response' in outcome;
}

export function logFailedCall(call: string, ref: SubscriptionRef, error: unknown): void {
  logWarn('delivery call failed', {
    call,
    customerId: ref.customerId,
    subscriptionId: ref.subscriptionId,
    error: describeError(error),
  });
}
