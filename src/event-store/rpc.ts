/**
 * Everything that crosses the wall between an event store and the rest of the service: what callers send, what the store
 * answers, and `EventStoreRpc`, the calls themselves. Times are milliseconds since 1970.
 *
 * During a deploy, and during a rollback, callers and stores of two versions talk to each other for some minutes. So these
 * shapes only grow: a member keeps its name and its meaning, and the other side does without a new one for a release.
 *
 * The outcome `our_fault` is newer than version 0.1.0. A store of that version throws when it reads one, and stores nothing
 * of that call. The consumer then does what it does while a store is away: messages come back, and attempts that began lapse
 * and are made again under their numbers. So the attempt costs nothing there either; other results of the call are repeated.
 */
import type { AttemptResult, Delivery, DeliveryFacts, DeliveryState } from '../domain/delivery.ts';
import type { HourFigures } from '../domain/figures.ts';
import type { ShownState } from '../domain/proof.ts';
import type { ShownType } from '../domain/shown-type.ts';
import type { SubscriptionRef } from '../domain/subscription.ts';

/** The calls of an event store. Each is one transaction, and each may be repeated without harm. */
export interface EventStoreRpc {
  // --- The event path ---
  /**
   * @param waited those of the events that have waited once for the answers to others, and wait for no more
   * @returns one for each event; `undefined` for those whose store is away, when the subscription has several
   * @throws Error when the store is full, and does not have all of the events (contract 10.9)
   */
  admit(
    ref: SubscriptionRef,
    eventIds: readonly string[],
    waited?: readonly string[],
  ): Promise<(Admission | undefined)[]>;
  /** @param caller what the caller can do; a store of an earlier version does not read it */
  settle(ref: SubscriptionRef, reports: readonly SentReport[], caller?: Caller): Promise<SettleReply>;
  /** The caller does nothing with these: with what it admitted, or was to send as a retry. A store of an earlier version sends no retry for it. */
  release(eventIds: readonly string[]): Promise<void>;
  /** @param caller what the caller can do; a consumer of an earlier version does not say, and can do nothing of it */
  begin(
    ref: SubscriptionRef,
    token: string,
    eventIds: readonly string[],
    caller?: Caller,
  ): Promise<StartedAttempt[]>;
  mayStart(): Promise<boolean>;
  // --- Reading ---
  read(eventId: string): Promise<Delivery | undefined>;
  list(query: PageQuery): Promise<Delivery[]>;
  /** A store of an earlier version lacks this call and the next: `openEventStore` rejects with `Outage` then. */
  search(query: SearchQuery): Promise<FoundPage>;
  /** One delivery without its SET and the older part of its history. A store that never had a delivery is not made by this call. */
  glance(eventId: string): Promise<FoundDelivery | undefined>;
  total(): Promise<number>;
  summary(): Promise<Summary>;
  /**
   * Figures by hour (contract 10.14). A store of an earlier version lacks this call. A store that never had a delivery is not made by it.
   * @param from the beginning of the first hour, ms
   */
  figures(from: number): Promise<StoreFigures>;
  /** @param ref the caller's version of the subscription, which the store may not have learned yet */
  health(ref?: SubscriptionRef): Promise<HealthReport>;
  // --- Redelivery and jobs ---
  redeliver(ref: SubscriptionRef, eventId: string): Promise<Redelivery>;
  /** What `redeliver` would answer; it changes nothing. */
  askRedelivery(ref: SubscriptionRef, eventId: string): Promise<Redelivery>;
  /**
   * Of a subscription with several stores, home counts the time between two redeliveries: it is asked before another store redelivers.
   * This call and the two that join a job are made of subscriptions with several stores alone; a store of an earlier version lacks them.
   */
  takeRedelivery(ref: SubscriptionRef): Promise<TakenRedelivery>;
  startRedelivery(ref: SubscriptionRef, span: Span): Promise<StartedRedelivery>;
  /**
   * Begins this store's part of a job that home has begun; changes nothing if it has it.
   * @returns the part; `undefined` when the subscription is disabled, or deleted
   */
  joinRedelivery(jobId: string, span: Span): Promise<RedeliveryJob | undefined>;
  /**
   * What a bulk redelivery of this span would take; it changes nothing. It has a call of its own, so that no store of another version
   * takes it for `startRedelivery`.
   * @param after an event id: the look begins after it, where the one before ended
   */
  previewRedelivery(ref: SubscriptionRef, span: Span, after?: string): Promise<PreviewedRedelivery>;
  /** @param id only this one; a store of version 0.1.0 answers with all all the same */
  redeliveries(id?: string): Promise<RedeliveryJob[]>;
  cancelRedelivery(jobId: string): Promise<RedeliveryState | undefined>;
  startExport(ref: SubscriptionRef): Promise<StartedExport>;
  /** Begins this store's part of a job that home has begun; changes nothing if it has it. @returns the part; `undefined` when deleted */
  joinExport(exportId: string): Promise<ExportJob | undefined>;
  /** @param id only this one; a store of version 0.1.0 answers with all all the same */
  exports(id?: string): Promise<ExportJob[]>;
  exportPart(exportId: string, part: number): Promise<string | undefined>;
  /** @param isBroken another part of the job failed or was canceled: a completed part is canceled, too */
  cancelExport(exportId: string, isBroken?: boolean): Promise<ExportState | undefined>;
  // --- Changes of the subscription ---
  /** @returns the health of the endpoint then; a store of an earlier version does not say it */
  adopt(ref: SubscriptionRef): Promise<HealthReport | undefined>;
  erase(ref: SubscriptionRef): Promise<void>;
  ensureAlarm(ref: SubscriptionRef): Promise<VisitNote>;
}

/** The same calls as the object serves them: what needs no waiting may answer at once. */
export type Served<Calls> = {
  [Name in keyof Calls]: Calls[Name] extends (...values: infer Values) => Promise<infer Answer>
    ? (...values: Values) => Answer | Promise<Answer>
    : never;
};

// --- The event path ---------------------------------------------------------------------------------

/** What a consumer may do with an event. */
export type Admission =
  /** Nobody has attempted the event: make its first attempt. */
  | { readonly answer: 'new' }
  /** The event is stored: nothing is left to do. */
  | { readonly answer: 'done' }
  /** Another consumer is working on the event, or the endpoint has not answered for longer than usual; ask again after this long. */
  | { readonly answer: 'busy'; readonly retryAfterMs: number }
  | /** The event must not be attempted now: report it as deferred. */ {
      readonly answer: 'held';
      /** Its SET may come without its signature, because the endpoint is failing. Absent: sign it. */
      readonly unsigned?: true;
    };

/** What a consumer can do, beyond what every version of it can. */
export interface Caller {
  /** It signs a SET that comes without its signature, before it sends it. */
  readonly signs?: true;
  /** It sends the first retries of what it reports to the queue, as far as the store answers with their leases. */
  readonly sendsRetries?: true;
  /** The dispatch has no place at its host, because a consumer sent it: it begins only while the endpoint is healthy, and the present one. */
  readonly hasNoPlace?: true;
}

/** What a consumer reports of a delivery, beside the facts of it. */
export type AttemptReport = DeliveryFacts &
  (
    | /** The consumer made an attempt. */ { readonly kind: 'attempted'; readonly result: AttemptResult }
    | /**
     * The consumer's request has had no answer for longer than usual. It goes on; the store keeps the delivery meanwhile,
     * and has the attempt made again if no result comes. An earlier version of the store takes it for `deferred`.
     */ {
        readonly kind: 'waiting';
        readonly attempt: number;
        readonly startedAt: number;
        /** The listener usually answers far sooner. */
        readonly isUnusual: boolean;
        /** No other listener failed to answer the consumer at that moment. */
        readonly isAlone: boolean;
      }
    | /** The consumer made no attempt: the store keeps the delivery, and decides when it is attempted. */ {
        readonly kind: 'deferred';
      }
  );

/**
 * The report of a deferred event whose SET is not signed yet: the consumer that begins the attempt signs it. It has no `set`. So a store of
 * an earlier version, which would send the text as it is, throws: it stores nothing, and the message returns to its queue.
 */
interface UnsignedReport extends Omit<DeliveryFacts, 'set'> {
  readonly kind: 'deferred';
  /** A compact SET that ends with its second dot. */
  readonly unsigned: string;
}

/** A report as a consumer sends it. */
export type SentReport = AttemptReport | UnsignedReport;

/** The report of an attempt that was made. */
export type AttemptedReport = Extract<AttemptReport, { readonly kind: 'attempted' }>;

/** What the store made of a report. */
export interface StoredReport {
  readonly eventId: string;
  /** The delivery's state now; `dropped` when the report was a repeat, or came too late. */
  readonly state: DeliveryState | 'dropped';
  readonly attempts: number;
  readonly nextAttemptAt?: number;
  /** A test that was dropped because there were too many: how long its caller must wait (contract 3.7). */
  readonly waitMs?: number;
}

/** A first retry that is leased to the consumer that reported its failure: it sends the dispatch to the queue. */
export interface LeasedRetry {
  readonly eventId: string;
  readonly leaseToken: string;
  /** For how long the queue keeps the message: until the retry is due, rounded up. */
  readonly delaySeconds: number;
}

export interface SettleReply {
  /** One for each report, in the same order. */
  readonly settled: readonly StoredReport[];
  /** Absent: there are none, or the caller sends none, or the store is of an earlier version. Its alarm dispatches them. */
  readonly retries?: readonly LeasedRetry[];
  /** The health of the endpoint after these reports. */
  readonly health: HealthNote;
  /** What `mayStart` would answer now. Absent from a store of an earlier version: ask it. */
  readonly mayStart?: boolean;
}

/** An attempt to make now. Its SET may lack the signature, if the caller said that it signs. */
export interface StartedAttempt extends DeliveryFacts {
  /** Its number. */
  readonly attempt: number;
}

// --- Reading ----------------------------------------------------------------------------------------

/** A page of deliveries in order of event id. Of a history it has what a list shows: the last entry, and the last answer. */
export interface PageQuery {
  /** Only deliveries after this event id. */
  readonly after?: string;
  /** Only deliveries before this event id. */
  readonly before?: string;
  readonly state?: DeliveryState;
  readonly limit: number;
}

/** In which order a list goes: `asc` from the oldest event id, `desc` from the newest. */
export type Order = 'asc' | 'desc';

/** What a search looks for (contract 10.12). Each member that is there narrows it. */
export interface SearchQuery extends PageQuery {
  readonly order: Order;
  readonly types?: readonly ShownType[];
  /** Only deliveries that were accepted at this time or later, ms. */
  readonly since?: number;
  /** Only deliveries that were accepted at this time or before, ms. */
  readonly until?: number;
  /** The caller shows no SET: the deliveries come without theirs. */
  readonly isSummary: boolean;
}

export interface FoundDelivery {
  readonly delivery: Delivery;
  /** Absent: its SET was not kept (contract 10.9), or the search asks for no types and is no summary. */
  readonly type?: ShownType;
}

/** What one look of a search found. It goes through a bounded number of deliveries, so it may find none although there are more. */
export interface FoundPage {
  /** In the order of the query, up to its limit. */
  readonly found: readonly FoundDelivery[];
  /** The event id up to which the store has looked: the next look begins beyond it. Absent: there is nothing more. */
  readonly upTo?: string;
}

/** Counts of the last seven days (contract 3.8). */
export interface Summary {
  /** When the store counted. */
  readonly at: number;
  readonly succeeded: number;
  /** Not yet final. */
  readonly retrying: number;
  readonly failed: number;
  /** Failed, and in no completed export. */
  readonly exportable: number;
}

/** The health of the endpoint (contract 10.4), or that it is not verified (contract 10.8). */
export interface HealthNote {
  readonly state: ShownState;
  /** When this state began; 0 for an endpoint that was never anything but healthy. */
  readonly since: number;
  /** The proof that the endpoint gave; absent when it needs none, and while it is not verified. */
  readonly proof?: number;
  /** The endpoint is not verified, and no test was stored that could verify it. */
  readonly isUntested?: true;
  /** How full the store is, in tenths of what it may hold (contract 10.9); a store of version 0.1.0 leaves it out. */
  readonly storeTenths?: number;
  /**
   * Deliveries that have ended in failure, because they were held or attempted to their end (contract 10.16); absent while there are none,
   * and from a store of an earlier version.
   */
  readonly ended?: number;
}

/** What waits in a store. */
interface Waiting {
  /** Deliveries that are not final. */
  readonly waiting: number;
  /** When the one that has waited longest was accepted; absent when none waits. */
  readonly oldestWaitingAt?: number;
}

/** Figures of a store by hour. */
export interface StoreFigures extends Waiting {
  /** When the store counted. */
  readonly at: number;
  /** The hours in which anything happened, oldest first. */
  readonly hours: readonly HourFigures[];
  /** False: there was more to count than one call may, or an earlier version did not count. Then the figures are too small. */
  readonly isExact: boolean;
  /** Absent: no success is kept. */
  readonly lastDeliveredAt?: number;
}

/** What a store says at the daily visit, of the 24 hours before the running one. */
export interface DayNote extends Waiting {
  readonly accepted: number;
  readonly delivered: number;
  readonly failed: number;
}

/** What a store says at the daily visit. */
export interface VisitNote extends HealthNote {
  /** A store of an earlier version leaves it out. */
  readonly day?: DayNote;
}

/** The health of the endpoint, as the subscription shows it. */
export interface HealthReport extends HealthNote {
  /** Deliveries that are not final. */
  readonly waiting: number;
}

// --- Redelivery (contract 5.4 and 10.3) -----------------------------------------------------------------

/** The answer to a request to redeliver one event. */
export type Redelivery =
  | { readonly answer: 'accepted'; readonly delivery: Delivery }
  | { readonly answer: 'not found' | 'disabled' | 'not verified' }
  | {
      readonly answer: 'not failed';
      /** Absent: it is in another state. */
      readonly because?: 'not kept';
    }
  | { readonly answer: 'too soon'; readonly waitMs: number };

export type TakenRedelivery =
  | { readonly answer: 'taken' | 'disabled' }
  | { readonly answer: 'too soon'; readonly waitMs: number };

/** The failed deliveries that a bulk redelivery takes: those accepted from `since` to `until`, both included. */
export interface Span {
  readonly since: number;
  readonly until: number;
}

export type RedeliveryState = 'processing' | 'completed' | 'canceled';

export interface RedeliveryJob {
  readonly id: string;
  readonly state: RedeliveryState;
  readonly createdAt: number;
  readonly updatedAt: number;
  /** Failed deliveries of the span when the job began. */
  readonly total: number;
  /** Deliveries that the job has released so far. */
  readonly redelivered: number;
  /** Of these, deliveries that succeeded. */
  readonly succeeded: number;
  /** Of these, deliveries that failed again. */
  readonly failed: number;
  /** Which failures it takes; a store of version 0.1.0 leaves it out. */
  readonly span?: Span;
}

/** The answer to a request for a bulk redelivery. */
export type StartedRedelivery =
  | { readonly answer: 'started'; readonly job: RedeliveryJob }
  | { readonly answer: 'active' | 'disabled' | 'not verified' };

/** An event at an end of a span. */
export interface SpanEnd {
  readonly eventId: string;
  readonly acceptedAt: number;
}

/** What a bulk redelivery would do with the failures that one look went through: a bounded number of them. */
export interface RedeliveryPreview {
  /** Deliveries that the job would take. */
  readonly total: number;
  /** Of these, the one that was accepted first; absent when there are none. */
  readonly oldest?: SpanEnd;
  readonly newest?: SpanEnd;
  /** Failures of the span whose SETs were not kept (contract 10.9). */
  readonly notKept: number;
  /** Failures of the span that waited for a proof which was not given (contract 10.8). */
  readonly notVerified: number;
  /** The event id up to which the store has looked; absent: there is nothing more. */
  readonly upTo?: string;
  /** What failed when the subscription was disabled is not all counted, because the alarm has yet to write it. */
  readonly isEarly: boolean;
}

export type PreviewedRedelivery =
  | { readonly answer: 'previewed'; readonly preview: RedeliveryPreview }
  | { readonly answer: 'active' | 'disabled' | 'not verified' };

// --- Exports (contract 7) -------------------------------------------------------------------------------

export type ExportState = 'processing' | 'completed' | 'canceled' | 'failed';

export interface ExportJob {
  readonly id: string;
  readonly state: ExportState;
  readonly createdAt: number;
  readonly updatedAt: number;
  /** Parts that its file has so far. */
  readonly parts: number;
}

/** The answer to a request for an export. */
export type StartedExport =
  | { readonly answer: 'started'; readonly job: ExportJob }
  | { readonly answer: 'active' }
  | {
      readonly answer: 'too soon';
      readonly waitMs: number;
      /** Absent: a job completed a short time ago. */
      readonly because?: 'too many kept';
    };
