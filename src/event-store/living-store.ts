/**
 * The event store of a subscription that lives. Each call is a few lines here: adopt the caller's version of the subscription
 * and work, in one transaction; then arm the alarm. parts.ts puts the parts together that do the work.
 *
 * Correctness rests on the rows, and on the alarm, which is armed from the rows after every change. It does not rest on what
 * `admissions` remembers: that is lost when the object is evicted, and only saves duplicates.
 */
import type { Config } from '../config.ts';
import type { EndpointNews, SubscriptionRef } from '../domain/subscription.ts';
import { logError } from '../log.ts';
import type { StoreDatabase } from './database.ts';
import type { Owner } from './owner.ts';
import { assemble, type Parts, type Surroundings } from './parts.ts';
import type {
  Admission,
  AttemptReport,
  Caller,
  EventStoreRpc,
  ExportJob,
  HealthReport,
  PageQuery,
  PreviewedRedelivery,
  Redelivery,
  RedeliveryJob,
  SearchQuery,
  Served,
  SettleReply,
  Span,
  StartedAttempt,
  StartedExport,
  StartedRedelivery,
  StoreFigures,
  Summary,
  TakenRedelivery,
  VisitNote,
} from './rpc.ts';
import { beginRedelivery, decideRedelivery } from './single-redelivery.ts';
import { isVerified, noteOf, standingOf } from './standing.ts';
import { SCHEDULE_UNREADABLE_MS } from './tuning.ts';

export class LivingStore implements Served<Omit<EventStoreRpc, 'erase' | 'settle'>> {
  readonly #state: DurableObjectState;
  readonly #database: StoreDatabase;
  readonly #owner: Owner;
  readonly #config: () => Config;
  readonly #parts: Parts;

  constructor(surroundings: Surroundings) {
    const { state, database, owner, config } = surroundings;
    this.#state = state;
    this.#database = database;
    this.#owner = owner;
    this.#config = config;
    this.#parts = assemble(surroundings);
  }

  // --- The event path -----------------------------------------------------------------------------------

  async admit(
    ref: SubscriptionRef,
    eventIds: readonly string[],
    waited: readonly string[] = [],
  ): Promise<Admission[]> {
    const now = Date.now();
    const admissions = this.#inTransaction(ref, now, () =>
      this.#parts.admissions.admit(eventIds, now, new Set(waited), isVerified(this.#parts.standing, ref)),
    );
    await this.#parts.alarm.armAfterWrites(now);
    // Thrown, because a consumer of an earlier version knows no such answer: the message returns to its queue, and nothing is sent.
    if (admissions === 'full') throw new Error('event store full');
    return admissions;
  }

  async settle(
    ref: SubscriptionRef,
    reports: readonly AttemptReport[],
    caller: Caller = {},
  ): Promise<SettleReply> {
    if (reports.some(({ neverHeld }) => neverHeld === true)) this.#parts.dispatch.hurry();
    const { settled, retries } = await this.#parts.writeCheck.watch(() =>
      this.#change(ref, (now) => {
        const recorded = this.#parts.attempts.record(ref, reports, now, caller);
        for (const endpoint of succeededAt(reports)) this.#parts.dispatch.answered(endpoint, now);
        this.#parts.redeliveries.complete(now);
        return recorded;
      }),
    );
    this.#parts.admissions.settled(reports, settled, Date.now());
    const health = noteOf(this.#parts.standing, this.#parts.room);
    const reply = { settled, health, mayStart: this.mayStart() };
    return retries.length === 0 ? reply : { ...reply, retries };
  }

  async begin(
    ref: SubscriptionRef,
    token: string,
    eventIds: readonly string[],
    caller: Caller = {},
  ): Promise<StartedAttempt[]> {
    return await this.#change(ref, (now) => {
      if (!this.#owner.enabled) return [];
      this.#parts.writeCheck.check(eventIds, now);
      return eventIds.flatMap((eventId) => this.#parts.attempts.begin(eventId, token, now, caller) ?? []);
    });
  }

  mayStart(): boolean {
    return this.#parts.admissions.mayStart(Date.now());
  }

  async release(eventIds: readonly string[]): Promise<void> {
    this.#parts.admissions.release(eventIds);
    if (this.#parts.deliveries.rows.due.sendHere(eventIds)) await this.#parts.alarm.arm(Date.now());
  }

  // --- Reading ------------------------------------------------------------------------------------------

  read(eventId: string) {
    return this.#parts.reading.read(eventId);
  }

  list(query: PageQuery) {
    return this.#parts.reading.list(query);
  }

  search(query: SearchQuery) {
    return this.#parts.reading.search(query);
  }

  glance(eventId: string) {
    return this.#parts.reading.glance(eventId);
  }

  total() {
    return this.#parts.reading.total();
  }

  summary(): Summary {
    return this.#parts.summaries.current(Date.now(), this.#parts.names(), (work) =>
      this.#state.waitUntil(work),
    );
  }

  figures(from: number): StoreFigures {
    return this.#parts.figures.since(from, Date.now());
  }

  health(ref?: SubscriptionRef): HealthReport {
    return {
      ...standingOf(this.#parts.standing, ref),
      waiting: this.#parts.deliveries.rows.count().open,
    };
  }

  // --- Redelivery and jobs ------------------------------------------------------------------------------

  async redeliver(ref: SubscriptionRef, eventId: string): Promise<Redelivery> {
    return await this.#change(ref, (now) => {
      const { redeliverIntervalMs } = this.#config();
      const delivery = this.#parts.reading.unexpired(eventId, now);
      const { redelivery } = this.#parts;
      const decided = decideRedelivery(redelivery, delivery, now, redeliverIntervalMs);
      if (decided.answer === 'accepted') beginRedelivery(redelivery, decided.delivery, now);
      return decided;
    });
  }

  async askRedelivery(ref: SubscriptionRef, eventId: string): Promise<Redelivery> {
    return await this.#change(ref, (now) => {
      const delivery = this.#parts.reading.unexpired(eventId, now);
      return decideRedelivery(this.#parts.redelivery, delivery, now, this.#config().redeliverIntervalMs);
    });
  }

  async takeRedelivery(ref: SubscriptionRef): Promise<TakenRedelivery> {
    return await this.#change(ref, (now): TakenRedelivery => {
      if (!this.#owner.enabled) return { answer: 'disabled' };
      const waitMs = (this.#owner.redeliveredAt ?? 0) + this.#config().redeliverIntervalMs - now;
      if (waitMs > 0) return { answer: 'too soon', waitMs };
      this.#owner.markRedelivered(now);
      return { answer: 'taken' };
    });
  }

  async startRedelivery(ref: SubscriptionRef, span: Span): Promise<StartedRedelivery> {
    return await this.#change(ref, (now): StartedRedelivery => {
      if (!this.#owner.enabled) return { answer: 'disabled' };
      if (!isVerified(this.#parts.standing, ref)) return { answer: 'not verified' };
      const job = this.#parts.redeliveries.start(crypto.randomUUID(), span, now);
      return job === undefined ? { answer: 'active' } : { answer: 'started', job };
    });
  }

  async joinRedelivery(jobId: string, span: Span): Promise<RedeliveryJob | undefined> {
    if (!this.#owner.enabled) return undefined;
    return await this.#change(undefined, (now) => this.#parts.redeliveries.join(jobId, span, now));
  }

  previewRedelivery(ref: SubscriptionRef, span: Span, after?: string): PreviewedRedelivery {
    if (this.#owner.newestOf(ref)?.enabled === false) return { answer: 'disabled' };
    if (!isVerified(this.#parts.standing, ref)) return { answer: 'not verified' };
    const preview = this.#parts.redeliveries.preview(span, after, Date.now());
    return preview === undefined ? { answer: 'active' } : { answer: 'previewed', preview };
  }

  redeliveries(id?: string) {
    return this.#parts.redeliveries.list(id);
  }

  cancelRedelivery(jobId: string) {
    return this.#parts.redeliveries.cancel(jobId, Date.now());
  }

  async startExport(ref: SubscriptionRef): Promise<StartedExport> {
    return await this.#change(ref, (now) =>
      this.#parts.exports.start(crypto.randomUUID(), now, this.#config().exportIntervalMs),
    );
  }

  async joinExport(exportId: string): Promise<ExportJob> {
    return await this.#change(undefined, (now) => this.#parts.exports.join(exportId, now));
  }

  exports(id?: string) {
    return this.#parts.exports.list(id);
  }

  exportPart(exportId: string, part: number) {
    return this.#parts.exports.part(exportId, part);
  }

  cancelExport(exportId: string, isBroken?: boolean) {
    return this.#parts.exports.cancel(exportId, Date.now(), isBroken);
  }

  // --- Changes of the subscription, and the alarm ---------------------------------------------------------

  async adopt(ref: SubscriptionRef): Promise<HealthReport> {
    await this.#change(ref, () => undefined);
    return this.health();
  }

  async ensureAlarm(ref: SubscriptionRef): Promise<VisitNote> {
    return await this.#change(ref, (now) => {
      const { counting } = this.#parts.deliveries;
      counting.beginOnce(now);
      counting.countSoon();
      return { ...noteOf(this.#parts.standing, this.#parts.room), day: this.#parts.figures.lastDay(now) };
    });
  }

  async alarm(now: number): Promise<void> {
    try {
      this.#config();
    } catch (error) {
      // No duty can work while the configuration is wrong. The schedule must not be lost: look again later.
      logError('schedule not readable', error, this.#parts.names());
      await this.#state.storage.setAlarm(now + SCHEDULE_UNREADABLE_MS);
      return;
    }
    await this.#parts.alarm.ring(now);
    await this.#parts.alarm.arm(Date.now());
  }

  // --- Inside -------------------------------------------------------------------------------------------

  /**
   * One call: adopts the caller's version of the subscription, if it brings one, and works, in one transaction; then arms the
   * alarm.
   */
  async #change<Answer>(ref: SubscriptionRef | undefined, work: (now: number) => Answer): Promise<Answer> {
    const now = Date.now();
    const answer = this.#inTransaction(ref, now, () => work(now));
    await this.#parts.alarm.arm(now);
    return answer;
  }

  #inTransaction<Answer>(ref: SubscriptionRef | undefined, now: number, work: () => Answer): Answer {
    return this.#database.transaction(() => {
      if (ref !== undefined) this.#adopt(ref, now);
      if (ref?.news !== undefined) this.#learn(ref, ref.news, now);
      this.#parts.proofs.giveAllIfOff(now);
      this.#parts.room.warn(now);
      return work();
    });
  }

  /** Takes in what other stores of the subscription found. News of another version of the endpoint say nothing about this one. */
  #learn({ version, proof }: SubscriptionRef, news: EndpointNews, now: number): void {
    if (this.#owner.ref?.version !== version) return;
    if (news.proven !== null && news.proven === proof) this.#parts.proofs.give(news.proven, now);
    this.#parts.health.inform(news, now);
  }

  #adopt(ref: SubscriptionRef, now: number): void {
    const before = this.#owner.ref?.endpoint;
    if (!this.#owner.adopt(ref)) return;
    if (typeof ref.proof === 'number') this.#parts.proofs.ask(ref.proof, ref.endpoint, now);
    // The endpoint changed: start with a clean record. Deliveries held for the old endpoint still go to its URL; they
    // are now released at the new endpoint's pace.
    if (before !== undefined && before !== ref.endpoint) {
      this.#parts.health.reset(now);
      this.#parts.admissions.unanswered.clear();
    }
    if (ref.enabled) return;
    this.#parts.deliveries.failAllThatWait(now);
    this.#parts.redeliveries.cancelActive(now);
  }
}

/** The endpoints that took a delivery. */
function succeededAt(reports: readonly AttemptReport[]): Set<string> {
  return new Set(
    reports.flatMap((report) =>
      report.kind === 'attempted' && report.result.outcome.kind === 'success' ? report.endpoint : [],
    ),
  );
}
