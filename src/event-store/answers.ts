/** What event stores are told and what they answer, over RPC. */
import type { AttemptResult, Delivery, DeliveryFacts, DeliveryState } from '../domain/delivery.ts';

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

/** What becomes of a wish to redeliver. */
export type Redelivery =
  | { readonly answer: 'accepted'; readonly delivery: Delivery }
  | { readonly answer: 'not found' | 'not failed' | 'disabled' }
  | { readonly answer: 'too soon'; readonly waitMs: number };

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
