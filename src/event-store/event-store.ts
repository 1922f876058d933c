/**
 * # EventStore: the Durable Object of one subscription
 *
 * It keeps the subscription's deliveries and decides; it never talks to a listener. Consumers call `admit` before
 * and `settle` after a first attempt, `begin` and `settle` around every later one; the alarm hands what is due to
 * the queue `webhook-deliveries`. What a delivery may do next is decided in `domain/delivery.ts`; this file only
 * loads, decides, stores and arms the alarm.
 *
 * What correctness rests on: rows, written in one transaction per call (no `await` between reads and writes), and
 * the alarm, armed from the rows after every change. What it does not rest on: `#claims`, which live in memory
 * only and merely keep two consumers from attempting the same event at once.
 */
import { DurableObject } from 'cloudflare:workers';
import { type Config, readConfig } from '../config.ts';
import {
  arrive,
  begin,
  type Circumstances,
  type Delivery,
  disable,
  hold,
  isHoldable,
  redeliver,
  settle,
} from '../domain/delivery.ts';
import { attemptLeaseMs, claimMs } from '../domain/leases.ts';
import { MINUTE_MS } from '../domain/limits.ts';
import { expiresAt } from '../domain/retention.ts';
import type { SubscriptionRef } from '../domain/subscription.ts';
import type { Env } from '../env.ts';
import { logError } from '../log.ts';
import { Claims } from './claims.ts';
import { Deliveries } from './deliveries/deliveries.ts';
import { emptySummary, Summaries } from './deliveries/summary.ts';
import { Schedule } from './duties/schedule.ts';
import { Backlog } from './endpoint/backlog.ts';
import { Health } from './endpoint/health.ts';
import { Exports } from './jobs/exports.ts';
import { Redeliveries } from './jobs/redeliveries.ts';
import { Identity } from './owner.ts';
import type {
  Admission,
  Beginning,
  EventStoreRpc,
  ExportJob,
  ExportState,
  HealthNote,
  HealthReport,
  PageQuery,
  Redelivery,
  RedeliveryJob,
  RedeliveryState,
  Served,
  SettleAnswer,
  Settled,
  Settlement,
  Span,
  StartedExport,
  StartedRedelivery,
  Summary,
} from './rpc.ts';
import { migrate } from './schema.ts';
import { ALARM_BACKOFF_MS, DELETED_MARK_MS, DELIVERIES_BITE, DRAIN_STEP_MS } from './tuning.ts';

export class EventStore extends DurableObject<Env> implements Served<EventStoreRpc> {
  readonly #deliveries: Deliveries;
  readonly #schedule: Schedule;
  readonly #exports: Exports;
  readonly #health: Health;
  readonly #redeliveries: Redeliveries;
  readonly #backlog: Backlog;
  readonly #identity: Identity;
  readonly #claims = new Claims();
  readonly #summaries: Summaries;
  #isCounting = false;

  constructor(state: DurableObjectState, env: Env) {
    super(state, env);
    migrate(state.storage);
    this.#deliveries = new Deliveries(state.storage);
    this.#schedule = new Schedule(this.#deliveries, env.DELIVERIES);
    this.#exports = new Exports(state.storage, this.#deliveries);
    this.#health = new Health(state.storage.sql);
    this.#redeliveries = new Redeliveries(state.storage, this.#deliveries);
    this.#backlog = new Backlog(this.#deliveries, this.#redeliveries, this.#health);
    this.#identity = new Identity(state.storage.sql);
    this.#summaries = new Summaries(state.storage.sql, this.#deliveries);
  }

  // --- The event path -------------------------------------------------------------------------------

  /** Asks for first attempts. A claim lasts as long as a consumer may take; it saves duplicates, no more. */
  async admit(ref: SubscriptionRef, eventIds: readonly string[]): Promise<Admission[]> {
    if (this.#identity.deletedAt !== null) return eventIds.map(() => ({ answer: 'done' }));
    const now = Date.now();
    this.#adopt(ref, now);
    const known = this.#deliveries.known(eventIds);
    const forMs = claimMs(this.#config().attemptTimeoutMs);
    this.#claims.forgetLapsed(now);
    const admissions = eventIds.map((eventId): Admission => {
      if (known.has(eventId)) return { answer: 'done' };
      const retryAfterMs = this.#claims.claim(eventId, now, forMs);
      if (retryAfterMs !== undefined) return { answer: 'busy', retryAfterMs };
      return { answer: this.mayStart() ? 'new' : 'held' };
    });
    await this.#arm(now);
    return admissions;
  }

  /**
   * Stores results, all or nothing. A repeat changes nothing: see `settle` in domain/delivery.ts.
   */
  async settle(ref: SubscriptionRef, settlements: readonly Settlement[]): Promise<SettleAnswer> {
    if (this.#identity.deletedAt !== null) {
      const settled = settlements.map(({ eventId }): Settled => ({ eventId, state: 'dropped', attempts: 0 }));
      return { settled, health: this.#healthNote() };
    }
    const now = Date.now();
    this.#adopt(ref, now);
    const settled = this.#allOrNothing(() => {
      const each = this.#settleAll(settlements, now);
      // A repeat, or a result that came too late, tells nothing new; one of an earlier endpoint nothing of this one.
      const told = settlements.filter(
        ({ endpoint }, index) =>
          each[index]?.state !== 'dropped' && endpoint === this.#identity.ref?.endpoint,
      );
      this.#health.observe(
        told.flatMap(({ result }) => result ?? []),
        now,
      );
      this.#redeliveries.complete(now);
      return each;
    });
    for (const { eventId } of settlements) this.#claims.release(eventId);
    await this.#arm(now);
    return { settled, health: this.#healthNote() };
  }

  /**
   * Begins attempts that the alarm dispatched; call it just before the request. Ids whose token is stale, that
   * are final or unknown are left out, all of them when the subscription is disabled or deleted; so are those that
   * must be held, because the endpoint began to fail since.
   */
  async begin(ref: SubscriptionRef, token: string, eventIds: readonly string[]): Promise<Beginning[]> {
    if (this.#identity.deletedAt !== null) return [];
    const now = Date.now();
    this.#adopt(ref, now);
    const beginnings: Beginning[] = [];
    for (const eventId of this.#identity.enabled ? eventIds : []) {
      const delivery = this.#deliveries.find(eventId);
      const begun = delivery && begin(delivery, token, now, this.#attemptLeaseMs());
      if (delivery === undefined || begun === undefined) continue;
      if (this.#mustHold(delivery)) {
        this.#deliveries.put(this.#held(delivery, now));
        continue;
      }
      this.#deliveries.put(begun);
      const { acceptedAt, endpoint, set, attempts } = begun;
      beginnings.push({ eventId, acceptedAt, endpoint, set, attempt: attempts });
    }
    await this.#arm(now);
    return beginnings;
  }

  /**
   * Whether first attempts may start straight from the queue: the subscription is neither disabled nor deleted, as far
   * as is known here, and its endpoint is healthy.
   */
  mayStart(): boolean {
    const { deletedAt, enabled } = this.#identity;
    return deletedAt === null && enabled && this.#health.current.state === 'healthy';
  }

  // --- Reading --------------------------------------------------------------------------------------

  /** One delivery with its whole history; `undefined` also for one past its time. */
  read(eventId: string): Delivery | undefined {
    const delivery = this.#present(eventId, Date.now());
    return delivery && { ...delivery, history: this.#deliveries.history(delivery) };
  }

  /** Deliveries in order of event id. */
  list(query: PageQuery): Delivery[] {
    return this.#identity.deletedAt === null ? this.#deliveries.page(query) : [];
  }

  /** How many deliveries the store holds. */
  total(): number {
    return this.#identity.deletedAt === null ? this.#deliveries.total() : 0;
  }

  /** What became of the events of the last seven days (contract 3.8). */
  summary(): Summary {
    const now = Date.now();
    if (this.#identity.deletedAt !== null) return emptySummary(now);
    const { summary, isStale } = this.#summaries.current(now);
    if (isStale) this.ctx.waitUntil(this.#countLater());
    return summary;
  }

  /** How the endpoint fares (contract 10.4). */
  health(): HealthReport {
    const waiting = this.#identity.deletedAt === null ? this.#deliveries.countOpen() : 0;
    return { ...this.#healthNote(), waiting };
  }

  // --- Exports --------------------------------------------------------------------------------------

  /** Starts an export job (contract 7); the alarm does the work. */
  async startExport(ref: SubscriptionRef): Promise<StartedExport> {
    if (this.#identity.deletedAt !== null) return { answer: 'active' };
    const now = Date.now();
    this.#adopt(ref, now);
    const started = this.#exports.start(crypto.randomUUID(), now, this.#config().exportIntervalMs);
    if (started.answer === 'started') await this.#arm(now);
    return started;
  }

  exports(): ExportJob[] {
    return this.#identity.deletedAt === null ? this.#exports.list() : [];
  }

  /** One part of a completed job's file. */
  exportPart(exportId: string, part: number): string | undefined {
    return this.#identity.deletedAt === null ? this.#exports.part(exportId, part) : undefined;
  }

  /** Cancels a job. @returns the state it is in then; `undefined` when there is none */
  cancelExport(exportId: string): ExportState | undefined {
    return this.#identity.deletedAt === null ? this.#exports.cancel(exportId, Date.now()) : undefined;
  }

  // --- Redelivery -----------------------------------------------------------------------------------

  /** Begins a new run of the schedule for a failed delivery (contract 5.4); decided in the order given there. */
  async redeliver(ref: SubscriptionRef, eventId: string): Promise<Redelivery> {
    const now = Date.now();
    const delivery = this.#present(eventId, now);
    if (delivery === undefined) return { answer: 'not found' };
    this.#adopt(ref, now);
    if (!this.#identity.enabled) return { answer: 'disabled' };
    const again = redeliver(delivery, now);
    if (again === undefined) return { answer: 'not failed' };
    const waitMs = (this.#identity.redeliveredAt ?? 0) + this.#config().redeliverIntervalMs - now;
    if (waitMs > 0) return { answer: 'too soon', waitMs };
    this.#deliveries.put(again);
    this.#identity.markRedelivered(now);
    await this.#arm(now);
    return { answer: 'accepted', delivery: again };
  }

  /** Starts a bulk redelivery (contract 10.3); the alarm does the work. */
  async startRedelivery(ref: SubscriptionRef, span: Span): Promise<StartedRedelivery> {
    const now = Date.now();
    this.#adopt(ref, now);
    if (!this.#identity.enabled) return { answer: 'disabled' };
    const job = this.#redeliveries.start(crypto.randomUUID(), span, now, this.#config().retentionMs);
    if (job === undefined) return { answer: 'active' };
    await this.#arm(now);
    return { answer: 'started', job };
  }

  redeliveries(): RedeliveryJob[] {
    return this.#identity.deletedAt === null ? this.#redeliveries.list() : [];
  }

  /** Cancels a bulk redelivery. @returns the state it is in then; `undefined` when there is none */
  cancelRedelivery(jobId: string): RedeliveryState | undefined {
    return this.#identity.deletedAt === null ? this.#redeliveries.cancel(jobId, Date.now()) : undefined;
  }

  // --- Changes of the subscription --------------------------------------------------------------------

  /** The subscription changed: what waits in a disabled one becomes `failure` at once. */
  async adopt(ref: SubscriptionRef): Promise<void> {
    const now = Date.now();
    this.#adopt(ref, now);
    await this.#arm(now);
  }

  /**
   * The subscription is deleted: everything stored goes now; a mark drops late results for an hour, then that
   * goes too. Repeating it is harmless.
   */
  async erase(ref: SubscriptionRef): Promise<void> {
    await this.ctx.storage.deleteAll();
    migrate(this.ctx.storage);
    this.#claims.clear();
    this.#deliveries.forget();
    this.#health.forget();
    const now = Date.now();
    this.#identity.markDeleted(ref, now);
    await this.ctx.storage.setAlarm(now + DELETED_MARK_MS);
  }

  /** Visited by the cron: arms the alarm if something is due and no alarm is set. @returns the endpoint's health */
  async ensureAlarm(ref: SubscriptionRef): Promise<HealthNote> {
    await this.adopt(ref);
    return this.#healthNote();
  }

  // --- The alarm --------------------------------------------------------------------------------------

  /** Rings when something is due. Never throws but when it cannot be armed again; the platform then repeats it. */
  override async alarm(): Promise<void> {
    const now = Date.now();
    if (this.#identity.deletedAt !== null) {
      if (now < this.#identity.deletedAt + DELETED_MARK_MS) {
        await this.ctx.storage.setAlarm(this.#identity.deletedAt + DELETED_MARK_MS);
        return;
      }
      // From here nothing is stored; the mark in memory lasts until the object is evicted.
      await this.ctx.storage.deleteAll();
      return;
    }
    const done = [this.#attempt('backlog', () => this.#release(now))];
    await this.#dispatchDue(now);
    done.push(
      this.#attempt('export', () => this.#exports.work(now, this.#config().userAgent)),
      this.#attempt('sweep', () => {
        this.#schedule.sweep(now, this.#config().retentionMs);
        this.#exports.sweep(now);
        this.#redeliveries.sweep(now);
      }),
      this.#attempt('redelivery', () => this.#redeliveries.complete(now)),
      this.#attempt('merge', () => this.#schedule.merge(now)),
    );
    // What failed would be due at once, and fail again.
    await this.#arm(Date.now(), done.includes(false) ? ALARM_BACKOFF_MS : 0);
  }

  // --- Inside -------------------------------------------------------------------------------------------

  /** Counts the summary anew once the answer is on its way. */
  async #countLater(): Promise<void> {
    if (this.#isCounting) return;
    this.#isCounting = true;
    await scheduler.wait(0);
    try {
      if (this.#identity.deletedAt === null) this.#summaries.count(Date.now());
    } catch (error) {
      logError('summary not counted', error, this.#names());
    }
    this.#isCounting = false;
  }

  /** Does one part of an alarm's work: what it throws is logged, and the rest goes on. @returns whether it was done */
  #attempt(part: string, work: () => void): boolean {
    try {
      work();
      return true;
    } catch (error) {
      logError('duty failed', error, { ...this.#names(), duty: part });
      return false;
    }
  }

  #release(now: number): void {
    const terms = {
      probePatienceMs: this.#attemptLeaseMs() + DRAIN_STEP_MS,
      endpoint: this.#identity.ref?.endpoint ?? '',
      retentionMs: this.#config().retentionMs,
    };
    this.#allOrNothing(() => this.#backlog.release(now, terms));
  }

  async #dispatchDue(now: number): Promise<void> {
    try {
      const { ref } = this.#identity;
      if (ref === undefined) return;
      const terms = { health: this.#health.current.state, retentionMs: this.#config().retentionMs };
      if ((await this.#schedule.dispatchDue(ref, now, terms)) > 0) this.#backlog.noteHeld();
    } catch (error) {
      logError('duty failed', error, { ...this.#names(), duty: 'dispatch' });
    }
  }

  #allOrNothing<T>(work: () => T): T {
    try {
      return this.ctx.storage.transactionSync(work);
    } catch (error) {
      this.#deliveries.forget(); // what was counted meanwhile was rolled back
      this.#health.forget();
      throw error;
    }
  }

  #settleAll(settlements: readonly Settlement[], now: number): Settled[] {
    const stored = this.#deliveries.findAll(settlements.map(({ eventId }) => eventId));
    // What was not stored yet is added together: so it can be packed.
    const arrived = new Map<string, Delivery>();
    const each = settlements.map((settlement): Settled => {
      const { eventId } = settlement;
      const existing = arrived.get(eventId) ?? stored.get(eventId);
      const changed = this.#settleOne(existing, settlement, now);
      if (changed === undefined) return { eventId, state: 'dropped', attempts: existing?.attempts ?? 0 };
      if (stored.has(eventId)) {
        this.#deliveries.put(changed);
        stored.set(eventId, changed);
      } else arrived.set(eventId, changed);
      const { state, attempts, dueAt, hold } = changed;
      return {
        eventId,
        state,
        attempts,
        ...(dueAt === null || hold === 'held' ? {} : { nextAttemptAt: dueAt }),
      };
    });
    this.#deliveries.add([...arrived.values()]);
    return each;
  }

  /** @returns the delivery to store; `undefined` when the settlement changes nothing */
  #settleOne(existing: Delivery | undefined, settlement: Settlement, now: number): Delivery | undefined {
    const { result } = settlement;
    const circumstances: Circumstances = {
      now,
      enabled: this.#identity.enabled,
      policy: { delaysMs: this.#config().retryDelaysMs },
    };
    let changed: Delivery | undefined;
    if (result !== undefined) changed = settle(existing, settlement, result, circumstances);
    else if (existing === undefined) changed = arrive(settlement, now, circumstances.enabled);
    return changed !== undefined && this.#mustHold(changed) ? this.#held(changed, now) : changed;
  }

  #adopt(ref: SubscriptionRef, now: number): void {
    const before = this.#identity.ref?.endpoint;
    if (!this.#identity.adopt(ref)) return;
    // Another endpoint is not to blame for this one; what was held for that goes out as the health of this one allows.
    if (before !== undefined && before !== ref.endpoint) this.#health.reset(now);
    if (ref.enabled) return;
    this.#failWhatWaits(now);
    this.#redeliveries.cancelActive(now);
  }

  #mustHold(delivery: Delivery): boolean {
    const { enabled, ref } = this.#identity;
    return (
      enabled &&
      this.#health.current.state === 'failing' &&
      isHoldable(delivery) &&
      delivery.endpoint === ref?.endpoint
    );
  }

  #held(delivery: Delivery, now: number): Delivery {
    this.#backlog.noteHeld();
    return hold(delivery, now + this.#config().retentionMs);
  }

  #healthNote(): HealthNote {
    // An erased store may have no tables left.
    if (this.#identity.deletedAt !== null) return { state: 'healthy', since: 0 };
    const { state, since } = this.#health.current;
    return { state, since };
  }

  /** A delivery that is stored and not past its time, though the sweep may not have come by yet. */
  #present(eventId: string, now: number): Delivery | undefined {
    if (this.#identity.deletedAt !== null) return undefined;
    const delivery = this.#deliveries.find(eventId);
    const expiry = delivery && expiresAt(delivery, this.#config().retentionMs);
    return expiry !== undefined && expiry <= now ? undefined : delivery;
  }

  #failWhatWaits(now: number): void {
    let after = '';
    for (;;) {
      const bite = this.#deliveries.open(after, DELIVERIES_BITE);
      for (const delivery of bite) {
        const failed = disable(delivery, now);
        if (failed !== undefined) this.#deliveries.put(failed);
      }
      const last = bite.at(-1);
      if (last === undefined || bite.length < DELIVERIES_BITE) return;
      after = last.eventId;
    }
  }

  /**
   * Arms the alarm for the earliest thing to do. Setting one is a row written, so it is left alone when it rings
   * early enough already: an alarm that finds nothing due only arms the next.
   * @param notWithinMs it is not to ring sooner than after this
   */
  async #arm(now: number, notWithinMs = 0): Promise<void> {
    if (this.#identity.deletedAt !== null) return;
    const due = this.#nextAlarm(now);
    if (due === undefined) return;
    const next = Math.max(due, now + notWithinMs);
    const armed = await this.ctx.storage.getAlarm();
    if (armed === null || armed > next) await this.ctx.storage.setAlarm(next);
  }

  #nextAlarm(now: number): number | undefined {
    try {
      const { retentionMs } = this.#config();
      if (this.#exports.isActive()) return now;
      const times = [
        this.#schedule.nextAlarm(now, retentionMs),
        this.#backlog.nextRelease(now),
        this.#exports.earliestEnd(),
        this.#redeliveries.earliestEnd(),
      ];
      const known = times.filter((time) => time !== undefined);
      return known.length === 0 ? undefined : Math.min(...known);
    } catch (error) {
      // A bad configuration must not lose the schedule: look again later.
      logError('schedule not readable', error, this.#names());
      return now + 15 * MINUTE_MS;
    }
  }

  #attemptLeaseMs(): number {
    return attemptLeaseMs(this.#config().attemptTimeoutMs);
  }

  #config(): Config {
    return readConfig(this.env);
  }

  #names() {
    return { customerId: this.#identity.ref?.customerId, subscriptionId: this.#identity.ref?.subscriptionId };
  }
}
