/**
 * # EventStore: the Durable Object of one subscription
 *
 * It keeps the subscription's deliveries and decides; it never talks to a listener. Consumers call `admit` before and
 * `settle` after a first attempt, and `begin` and `settle` around every later one. The alarm hands due deliveries to the
 * queues.
 *
 * This file is the shell: each call goes to the living store, or, once the subscription is deleted, to the erased one.
 */
import { DurableObject } from 'cloudflare:workers';
import { readConfig } from '../config.ts';
import type { SubscriptionRef } from '../domain/subscription.ts';
import type { Env } from '../env.ts';
import { openHostLimit } from '../host-limit/client.ts';
import { sendDispatches } from '../outbound/queues.ts';
import { StoreDatabase } from './database.ts';
import { noFiguresAt } from './deliveries/figures.ts';
import { ErasedStore } from './erased-store.ts';
import { LivingStore } from './living-store.ts';
import { Owner } from './owner.ts';
import type {
  AttemptedReport,
  AttemptReport,
  Caller,
  EventStoreRpc,
  PageQuery,
  SearchQuery,
  SentReport,
  Served,
  Span,
} from './rpc.ts';
import { isBlank, migrate } from './schema.ts';
import { DELETED_MARK_MS } from './tuning.ts';

interface Opened {
  readonly owner: Owner;
  store: LivingStore | ErasedStore;
}

export class EventStore extends DurableObject<Env> implements Served<EventStoreRpc> {
  /** Absent until a call needs it, in an object that has no tables. */
  #opened: Opened | undefined;

  constructor(state: DurableObjectState, env: Env) {
    super(state, env);
    if (!isBlank(state.storage)) this.#opened = open(state, env);
  }

  get #store(): LivingStore | ErasedStore {
    return this.#open().store;
  }

  #open(): Opened {
    this.#opened ??= open(this.ctx, this.env);
    return this.#opened;
  }

  // --- The event path -----------------------------------------------------------------------------------

  /** Asks for first attempts. A claim lasts as long as a consumer may take; it saves duplicates, no more. */
  async admit(ref: SubscriptionRef, eventIds: readonly string[], waited?: readonly string[]) {
    return await this.#store.admit(ref, eventIds, waited);
  }

  /** Stores reports, all or nothing. A repeat changes nothing (see `recordResult` in domain/delivery.ts). */
  async settle(ref: SubscriptionRef, reports: readonly SentReport[], caller?: Caller) {
    return await this.#store.settle(ref, reports.map(read), caller);
  }

  /**
   * Begins attempts that the alarm dispatched; call it just before the request. It leaves out ids whose token is stale, that
   * are final or unknown, and that must be held because the endpoint began to fail since; all ids when the subscription is
   * disabled or deleted.
   */
  async begin(ref: SubscriptionRef, token: string, eventIds: readonly string[], caller?: Caller) {
    return await this.#store.begin(ref, token, eventIds, caller);
  }

  /**
   * Whether first attempts may start straight from the queue: the subscription is neither disabled nor deleted, as far as
   * this store knows, and its endpoint is healthy.
   */
  mayStart() {
    return this.#store.mayStart();
  }

  /**
   * A consumer that admitted these events has no time for them: another one may admit them at once. Or it could not send them as retries:
   * the alarm does.
   */
  async release(eventIds: readonly string[]) {
    await this.#store.release(eventIds);
  }

  // --- Reading ------------------------------------------------------------------------------------------

  /** One delivery with its whole history; `undefined` also for one past its time. */
  read(eventId: string) {
    return this.#store.read(eventId);
  }

  /** Deliveries in order of event id, as a list shows them. */
  list(query: PageQuery) {
    return this.#store.list(query);
  }

  /** One look of a search (contract 10.12). */
  search(query: SearchQuery) {
    return this.#store.search(query);
  }

  /** What a summary shows of one delivery (contract 10.13). An object without tables has none, and gets no tables for that answer. */
  glance(eventId: string) {
    return this.#opened?.store.glance(eventId);
  }

  /** How many deliveries the store holds. */
  total() {
    return this.#store.total();
  }

  /** Counts of the events of the last seven days (contract 3.8). */
  summary() {
    return this.#store.summary();
  }

  /** Figures by hour (contract 10.14). An object without tables has none, and gets no tables for that answer. */
  figures(from: number) {
    return this.#opened?.store.figures(from) ?? noFiguresAt(Date.now());
  }

  /** The endpoint's health, and how many deliveries wait (contract 10.4). */
  health(ref?: SubscriptionRef) {
    return this.#store.health(ref);
  }

  // --- Redelivery and jobs ------------------------------------------------------------------------------

  /** Begins a new run of the schedule for a failed delivery; contract 5.4 gives the order of decision. */
  async redeliver(ref: SubscriptionRef, eventId: string) {
    return await this.#store.redeliver(ref, eventId);
  }

  /** What `redeliver` would answer; it changes nothing. */
  async askRedelivery(ref: SubscriptionRef, eventId: string) {
    return await this.#store.askRedelivery(ref, eventId);
  }

  /** Counts a redelivery that another store of the subscription is about to make. */
  async takeRedelivery(ref: SubscriptionRef) {
    return await this.#store.takeRedelivery(ref);
  }

  /** Starts a bulk redelivery (contract 10.3); the alarm does the work. */
  async startRedelivery(ref: SubscriptionRef, span: Span) {
    return await this.#store.startRedelivery(ref, span);
  }

  /** Begins this store's part of a bulk redelivery. */
  async joinRedelivery(jobId: string, span: Span) {
    return await this.#store.joinRedelivery(jobId, span);
  }

  /** What a bulk redelivery would take of the next failures; it changes nothing. */
  previewRedelivery(ref: SubscriptionRef, span: Span, after?: string) {
    return this.#store.previewRedelivery(ref, span, after);
  }

  redeliveries(id?: string) {
    return this.#store.redeliveries(id);
  }

  /** Cancels a bulk redelivery. @returns its state then; `undefined` when there is none */
  cancelRedelivery(jobId: string) {
    return this.#store.cancelRedelivery(jobId);
  }

  /** Starts an export (contract 7); the alarm does the work. */
  async startExport(ref: SubscriptionRef) {
    return await this.#store.startExport(ref);
  }

  /** Begins this store's part of an export. */
  async joinExport(exportId: string) {
    return await this.#store.joinExport(exportId);
  }

  exports(id?: string) {
    return this.#store.exports(id);
  }

  /** One part of a completed export's file. */
  exportPart(exportId: string, part: number) {
    return this.#store.exportPart(exportId, part);
  }

  /** Cancels an export. @returns its state then; `undefined` when there is none */
  cancelExport(exportId: string, isBroken?: boolean) {
    return this.#store.cancelExport(exportId, isBroken);
  }

  // --- Changes of the subscription ------------------------------------------------------------------------

  /** The subscription changed: deliveries that wait in a disabled one become `failure` at once. */
  async adopt(ref: SubscriptionRef) {
    return await this.#store.adopt(ref);
  }

  /**
   * The subscription was deleted: everything stored goes now. A mark drops late results for an hour, and then goes too.
   * Repeating the call is harmless.
   */
  async erase(ref: SubscriptionRef) {
    const { storage } = this.ctx;
    const opened = this.#open();
    await storage.deleteAll();
    migrate(storage);
    const now = Date.now();
    opened.owner.markDeleted(ref, now);
    opened.store = new ErasedStore(storage, now);
    await storage.setAlarm(now + DELETED_MARK_MS);
  }

  /** The daily visit of the cron: sets the alarm when a delivery is due and no alarm is set. @returns the health, and the last day */
  async ensureAlarm(ref: SubscriptionRef) {
    return await this.#store.ensureAlarm(ref);
  }

  /** Rings when a duty is due. Throws only when it cannot be set again; the platform then repeats it. */
  override async alarm(): Promise<void> {
    await this.#store.alarm(Date.now());
  }
}

/** Makes the tables, or brings them up to date, and puts the store together. */
function open(state: DurableObjectState, env: Env): Opened {
  migrate(state.storage);
  const database = new StoreDatabase(state.storage);
  const owner = new Owner(database);
  if (owner.deletedAt !== null) return { owner, store: new ErasedStore(state.storage, owner.deletedAt) };
  const config = () => readConfig(env);
  const store = new LivingStore({
    state,
    database,
    owner,
    send: (all) => sendDispatches(env, all),
    limit: (customerId, host) => openHostLimit(env.HOST_LIMIT, customerId, host, config().cell),
    config,
  });
  return { owner, store };
}

/**
 * A report as the store works with it. Consumers of version 0.1.0 send no `kind`. Their reports count until no deploy or rollback
 * can bring them back.
 */
function read(report: SentReport): AttemptReport {
  if ('unsigned' in report) {
    const { unsigned, ...facts } = report;
    return { ...facts, set: unsigned };
  }
  if (report.kind !== undefined) return report;
  const { result } = report as Partial<AttemptedReport>;
  const facts = report as AttemptReport;
  return result === undefined ? { ...facts, kind: 'deferred' } : { ...facts, kind: 'attempted', result };
}
