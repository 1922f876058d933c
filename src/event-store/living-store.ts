/**
 * The event store of a subscription that lives. It puts the parts together. Each call is a few lines here:
 * adopt the caller's version of the subscription and work, in one transaction; then arm the alarm.
 *
 * Correctness rests on the rows, and on the alarm, which is armed from the rows after every change. It does not rest on what
 * `#admissions` remembers: that is lost when the object is evicted, and only saves duplicates.
 */
import type { Config } from '../config.ts';
import type { Delivery, EndpointNow } from '../domain/delivery.ts';
import { attemptLeaseMs, claimMs, dispatchPlacesLeaseMs, longestAttemptMs } from '../domain/leases.ts';
import { expiresAt, type Retention } from '../domain/retention.ts';
import type { SubscriptionRef } from '../domain/subscription.ts';
import type { HostLimitRpc } from '../host-limit/rpc.ts';
import { logError } from '../log.ts';
import type { Dispatch } from '../outbound/queues.ts';
import { Admissions } from './admission.ts';
import { Alarm } from './alarm.ts';
import { Attempts } from './attempts.ts';
import type { StoreDatabase } from './database.ts';
import { Deliveries } from './deliveries/deliveries.ts';
import { Summaries } from './deliveries/summary.ts';
import { Deadlines } from './duties/deadlines.ts';
import { Disabling } from './duties/disabling.ts';
import { Dispatching } from './duties/dispatch.ts';
import { Sweep } from './duties/sweep.ts';
import { Backlog } from './endpoint/backlog.ts';
import { Health } from './endpoint/health.ts';
import { Proofs } from './endpoint/proofs.ts';
import { Exports } from './jobs/exports.ts';
import { Redeliveries } from './jobs/redeliveries.ts';
import type { Owner } from './owner.ts';
import { Pauses } from './pauses.ts';
import { Room } from './room.ts';
import type {
  Admission,
  AttemptReport,
  Caller,
  EventStoreRpc,
  HealthNote,
  PageQuery,
  Redelivery,
  Served,
  SettleReply,
  Span,
  StartedAttempt,
  StartedExport,
  StartedRedelivery,
  Summary,
} from './rpc.ts';
import { type RedeliveryParts, redeliverOne } from './single-redelivery.ts';
import { isVerified, noteOf, type StandingParts, standingOf } from './standing.ts';
import { DRAIN_STEP_MS, SCHEDULE_UNREADABLE_MS } from './tuning.ts';
import { WriteCheck } from './write-check.ts';

/** What a living store needs of the object it lives in. */
interface Surroundings {
  readonly state: DurableObjectState;
  readonly database: StoreDatabase;
  readonly owner: Owner;
  /** Sends dispatches to the queue of their lane. @throws Outage when the queue does not take them */
  send(dispatches: readonly Dispatch[]): Promise<void>;
  /** The limit of a host for a customer. */
  limit(customerId: string, host: string): HostLimitRpc;
  /** @throws ConfigError while the configuration is wrong */
  config(): Config;
}

export class LivingStore implements Served<Omit<EventStoreRpc, 'erase' | 'settle'>> {
  readonly #state: DurableObjectState;
  readonly #database: StoreDatabase;
  readonly #owner: Owner;
  readonly #config: () => Config;
  readonly #admissions: Admissions;
  readonly #deliveries: Deliveries;
  readonly #health: Health;
  readonly #proofs: Proofs;
  readonly #standing: StandingParts;
  readonly #attempts: Attempts;
  readonly #exports: Exports;
  readonly #redeliveries: Redeliveries;
  readonly #summaries: Summaries;
  readonly #alarm: Alarm;
  readonly #dispatch: Dispatching;
  readonly #redelivery: RedeliveryParts;
  readonly #room: Room;
  readonly #writeCheck: WriteCheck;

  constructor({ state, database, owner, send, limit, config }: Surroundings) {
    this.#state = state;
    this.#database = database;
    this.#owner = owner;
    this.#config = config;
    this.#room = new Room(database, owner);
    this.#writeCheck = new WriteCheck(database);
    const retentionMs = () => config().retentionMs;
    const endpointNow = (now: number) => this.#endpointNow(now);
    this.#deliveries = new Deliveries(database, Date.now());
    const { rows, packs, sorting, merging } = this.#deliveries;
    this.#health = new Health(database);
    const isAsked = () => config().verifyEndpoints;
    this.#proofs = new Proofs(database, (proof) => rows.names(proof), isAsked);
    const proofs = this.#proofs;
    this.#standing = { owner, health: this.#health, proofs };
    const probePatienceMs = () => this.#attemptLeaseMs() + DRAIN_STEP_MS;
    this.#attempts = new Attempts({
      deliveries: this.#deliveries,
      health: this.#health,
      proofs,
      owner,
      retryDelaysMs: () => config().retryDelaysMs,
      attemptLeaseMs: () => this.#attemptLeaseMs(),
      retentionMs,
      probePatienceMs,
      endpointNow,
      isScarce: () => this.#room.isScarce(),
    });
    const isFull = () => this.#room.isFull();
    this.#admissions = new Admissions({
      known: (eventIds) => this.#deliveries.known(eventIds),
      isOpen: () => owner.enabled && this.#health.current.state === 'healthy',
      isFailing: () => owner.enabled && this.#health.current.state === 'failing',
      endpoint: () => owner.ref?.endpoint,
      isFull,
      claimMs: () => claimMs(config().attemptTimeoutMs),
      attemptLeaseMs: () => this.#attemptLeaseMs(),
      checkWrites: (eventIds, now) => this.#writeCheck.check(eventIds, now),
    });
    this.#exports = new Exports(database, this.#deliveries, () => config().userAgent, isFull);
    const given = () => proofs.given();
    this.#redeliveries = new Redeliveries(database, this.#deliveries, retentionMs, given, isFull);
    const countExported = (after: number) => this.#exports.countExported(after);
    const isErased = () => owner.deletedAt !== null;
    this.#summaries = new Summaries(database, this.#deliveries, countExported, isErased);
    const backlog = new Backlog({
      database,
      deliveries: this.#deliveries,
      redeliveries: this.#redeliveries,
      health: this.#health,
      proofs,
      endpointNow,
      probePatienceMs,
      waitsForHost: (endpoint) => dispatch.waitsForHost(endpoint),
    });
    const dispatch = new Dispatching({
      deliveries: rows,
      send,
      ref: () => owner.ref,
      endpointNow,
      isGiven: (proof) => proofs.isGiven(proof),
      limit,
      leaseMs: () => dispatchPlacesLeaseMs(longestAttemptMs(config().attemptTimeoutMs)),
    });
    this.#dispatch = dispatch;
    this.#redelivery = { owner, proofs, deliveries: this.#deliveries, dispatch };
    const sweep = new Sweep(database, this.#deliveries, this.#exports, this.#redeliveries, retentionMs);
    const disabling = new Disabling(database, this.#deliveries);
    const deadlines = new Deadlines(database, packs, endpointNow);
    // In this order: the backlog makes deliveries due, which the same alarm then dispatches.
    const [exports, redeliveries] = [this.#exports, this.#redeliveries];
    const duties = [disabling, deadlines, backlog, dispatch, exports, sweep, redeliveries, sorting, merging];
    this.#alarm = new Alarm(state.storage, duties, new Pauses(database), () => this.#names());
  }

  // --- The event path -----------------------------------------------------------------------------------

  async admit(
    ref: SubscriptionRef,
    eventIds: readonly string[],
    waited: readonly string[] = [],
  ): Promise<Admission[]> {
    const admissions = await this.#change(ref, (now) => {
      return this.#admissions.admit(eventIds, now, new Set(waited), isVerified(this.#standing, ref));
    });
    // Thrown, because a consumer of an earlier version knows no such answer: the message returns to its queue, and nothing is sent.
    if (admissions === 'full') throw new Error('event store full');
    return admissions;
  }

  async settle(ref: SubscriptionRef, reports: readonly AttemptReport[]): Promise<SettleReply> {
    if (reports.some(({ neverHeld }) => neverHeld === true)) this.#dispatch.hurry();
    const settled = await this.#writeCheck.watch(() =>
      this.#change(ref, (now) => {
        const each = this.#attempts.record(ref, reports, now);
        this.#redeliveries.complete(now);
        return each;
      }),
    );
    this.#admissions.settled(reports, settled, Date.now());
    return { settled, health: noteOf(this.#standing, this.#room) };
  }

  async begin(
    ref: SubscriptionRef,
    token: string,
    eventIds: readonly string[],
    caller: Caller = {},
  ): Promise<StartedAttempt[]> {
    return await this.#change(ref, (now) => {
      if (!this.#owner.enabled) return [];
      this.#writeCheck.check(eventIds, now);
      return eventIds.flatMap((eventId) => this.#attempts.begin(eventId, token, now, caller) ?? []);
    });
  }

  mayStart(): boolean {
    return this.#admissions.mayStart(Date.now());
  }

  release(eventIds: readonly string[]): void {
    this.#admissions.release(eventIds);
  }

  // --- Reading ------------------------------------------------------------------------------------------

  read(eventId: string): Delivery | undefined {
    const delivery = this.#unexpired(eventId, Date.now());
    return delivery && { ...delivery, history: this.#deliveries.history(delivery) };
  }

  list(query: PageQuery): Delivery[] {
    return this.#deliveries.page(query, this.#retention());
  }

  total(): number {
    return this.#deliveries.totalUnexpired(this.#retention());
  }

  summary(): Summary {
    return this.#summaries.current(Date.now(), this.#names(), (work) => this.#state.waitUntil(work));
  }

  health(ref?: SubscriptionRef) {
    return { ...standingOf(this.#standing, ref), waiting: this.#deliveries.rows.tally.count().open };
  }

  // --- Redelivery and jobs ------------------------------------------------------------------------------

  async redeliver(ref: SubscriptionRef, eventId: string): Promise<Redelivery> {
    return await this.#change(ref, (now) => {
      const { redeliverIntervalMs } = this.#config();
      return redeliverOne(this.#redelivery, this.#unexpired(eventId, now), now, redeliverIntervalMs);
    });
  }

  async startRedelivery(ref: SubscriptionRef, span: Span): Promise<StartedRedelivery> {
    return await this.#change(ref, (now): StartedRedelivery => {
      if (!this.#owner.enabled) return { answer: 'disabled' };
      if (!isVerified(this.#standing, ref)) return { answer: 'not verified' };
      const job = this.#redeliveries.start(crypto.randomUUID(), span, now);
      return job === undefined ? { answer: 'active' } : { answer: 'started', job };
    });
  }

  redeliveries(id?: string) {
    return this.#redeliveries.list(id);
  }

  cancelRedelivery(jobId: string) {
    return this.#redeliveries.cancel(jobId, Date.now());
  }

  async startExport(ref: SubscriptionRef): Promise<StartedExport> {
    return await this.#change(ref, (now) =>
      this.#exports.start(crypto.randomUUID(), now, this.#config().exportIntervalMs),
    );
  }

  exports(id?: string) {
    return this.#exports.list(id);
  }

  exportPart(exportId: string, part: number) {
    return this.#exports.part(exportId, part);
  }

  cancelExport(exportId: string) {
    return this.#exports.cancel(exportId, Date.now());
  }

  // --- Changes of the subscription, and the alarm ---------------------------------------------------------

  async adopt(ref: SubscriptionRef): Promise<void> {
    await this.#change(ref, () => undefined);
  }

  async ensureAlarm(ref: SubscriptionRef): Promise<HealthNote> {
    await this.adopt(ref);
    return noteOf(this.#standing, this.#room);
  }

  async alarm(now: number): Promise<void> {
    try {
      this.#config();
    } catch (error) {
      // No duty can work while the configuration is wrong. The schedule must not be lost: look again later.
      logError('schedule not readable', error, this.#names());
      await this.#state.storage.setAlarm(now + SCHEDULE_UNREADABLE_MS);
      return;
    }
    await this.#alarm.ring(now);
    await this.#alarm.arm(Date.now());
  }

  // --- Inside -------------------------------------------------------------------------------------------

  /** One call: adopts the caller's version of the subscription and works, in one transaction; then arms the alarm. */
  async #change<Answer>(ref: SubscriptionRef, work: (now: number) => Answer): Promise<Answer> {
    const now = Date.now();
    const answer = this.#database.transaction(() => {
      this.#adopt(ref, now);
      this.#proofs.giveAllIfOff(now);
      this.#room.warn(now);
      return work(now);
    });
    await this.#alarm.arm(now);
    return answer;
  }

  #adopt(ref: SubscriptionRef, now: number): void {
    const before = this.#owner.ref?.endpoint;
    if (!this.#owner.adopt(ref)) return;
    if (typeof ref.proof === 'number') this.#proofs.ask(ref.proof, ref.endpoint, now);
    // The endpoint changed: start with a clean record. Deliveries held for the old endpoint still go to its URL; they
    // are now released at the new endpoint's pace.
    if (before !== undefined && before !== ref.endpoint) {
      this.#health.reset(now);
      this.#admissions.unanswered.clear();
    }
    if (ref.enabled) return;
    this.#deliveries.failAllThatWait(now);
    this.#redeliveries.cancelActive(now);
  }

  #retention(): Retention {
    return { now: Date.now(), retentionMs: this.#config().retentionMs };
  }

  /** A delivery that is stored and not past its time, though the sweep may not have deleted it yet. */
  #unexpired(eventId: string, now: number): Delivery | undefined {
    const delivery = this.#deliveries.find(eventId);
    const expiry = delivery && expiresAt(delivery, this.#config().retentionMs);
    return expiry !== undefined && expiry <= now ? undefined : delivery;
  }

  #endpointNow(now: number): EndpointNow {
    const { enabled, ref } = this.#owner;
    const known = this.#health.current.state;
    // An endpoint that has not answered for seconds, or is not verified, is treated like a slow one before a time limit says so.
    const isDoubtful = this.#admissions.unanswered.areSlow(now) || !isVerified(this.#standing, ref);
    const state = known === 'healthy' && isDoubtful ? 'slow' : known;
    return { state, endpoint: ref?.endpoint ?? '', enabled, holdUntil: now + this.#config().retentionMs };
  }

  #attemptLeaseMs(): number {
    return attemptLeaseMs(this.#config().attemptTimeoutMs);
  }

  #names() {
    const { ref } = this.#owner;
    return { customerId: ref?.customerId, subscriptionId: ref?.subscriptionId };
  }
}
