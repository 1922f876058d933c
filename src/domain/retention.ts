/** How long a delivery is kept (contract 5). */
import type { DeliveryState } from './delivery.ts';
import { EVENT_MAX_AGE_MS, HOUR_MS, SUMMARY_WINDOW_MS } from './limits.ts';

/** What the expiry of a delivery depends on; times in ms. */
export interface Aged {
  readonly state: DeliveryState;
  readonly acceptedAt: number;
  readonly updatedAt: number;
}

/** A moment, and how long deliveries are kept then; ms. */
export interface Retention {
  readonly now: number;
  readonly retentionMs: number;
}

/**
 * When a delivery expires, ms. A success expires one retention after its acceptance. A failure expires one retention after
 * it failed, and 28 days after its acceptance at the latest.
 * @returns `undefined` for a delivery that is not final: it does not expire
 */
export function expiresAt(delivery: Aged, retentionMs: number): number | undefined {
  switch (delivery.state) {
    case 'success':
      return delivery.acceptedAt + retentionMs;
    case 'failure':
      return Math.min(delivery.updatedAt + retentionMs, delivery.acceptedAt + EVENT_MAX_AGE_MS);
    case 'awaiting-executing':
    case 'executing':
    case 'awaiting-retry':
      return undefined;
  }
}

/** Where the last seven days of a summary and of an export begin, ms: with an hour, because events are counted by hours. */
export function windowStart(now: number): number {
  return Math.floor((now - SUMMARY_WINDOW_MS) / HOUR_MS) * HOUR_MS;
}
