/** What event stores are told and what they answer, over RPC. */
import type { AttemptResult, Delivery, DeliveryFacts, DeliveryState } from '../domain/delivery.ts';
import type { HealthState } from '../domain/endpoint-health.ts';
import type { RedeliveryJob } from './jobs/redeliveries.ts';

/** What a consumer may do with an event (design: the gate of the event path). */
export type Admission =
  | { readonly answer: 'new' }
  /** A row exists: nothing is left to do. */
  | { readonly answer: 'done' }
  /** Another consumer is at it; ask again after this long. */
  | { readonly answer: 'busy'; readonly retryAfterMs: number }
  /** Not to be attempted now: sign it and settle it without an attempt. */
  | { readonly answer: 'held' };

/** What a consumer brings back: with `result` an attempt was made, without it the delivery is to be held. */
export interface Settlement extends DeliveryFacts {
  readonly result?: AttemptResult;
}

/** What became of a settlement, for the log. */
export interface Settled {
  readonly eventId: string;
  readonly state: DeliveryState | 'dropped';
  readonly attempts: number;
  readonly nextAttemptAt?: number;
}

/** What `settle` answers: what became of each settlement, in order, and how the endpoint fares after them. */
export interface SettleAnswer {
  readonly settled: readonly Settled[];
  readonly health: HealthNote;
}

/** How an endpoint fares, and since when, ms (0: it never fared otherwise). */
export interface HealthNote {
  readonly state: HealthState;
  readonly since: number;
}

/** The same for whoever looks at the subscription. */
export interface HealthReport extends HealthNote {
  /** Events of it that are not final. */
  readonly waiting: number;
}

/** What becomes of a wish to redeliver. */
export type Redelivery =
  | { readonly answer: 'accepted'; readonly delivery: Delivery }
  | { readonly answer: 'not found' | 'not failed' | 'disabled' }
  | { readonly answer: 'too soon'; readonly waitMs: number };

/** What becomes of a wish for a bulk redelivery. */
export type StartedRedelivery =
  | { readonly answer: 'started'; readonly job: RedeliveryJob }
  | { readonly answer: 'active' | 'disabled' };

/** Counts of the last seven days; `at` is when they were taken, ms. */
export interface Summary {
  readonly at: number;
  readonly succeeded: number;
  /** Not yet final. */
  readonly retrying: number;
  readonly failed: number;
  /** Failed, in no completed export. */
  readonly exportable: number;
}

/** An attempt to make now. */
export interface Beginning extends DeliveryFacts {
  readonly attempt: number;
}
