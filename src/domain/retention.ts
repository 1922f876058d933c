/** How long a delivery is kept (contract 5). */
import type { DeliveryState } from './delivery.ts';
import { EVENT_MAX_AGE_MS } from './limits.ts';

export interface Aged {
  readonly state: DeliveryState;
  readonly acceptedAt: number;
  readonly updatedAt: number;
}

/**
 * When a delivery expires, ms: the retention after acceptance, for a failed one after its failure, and 28 days
 * after acceptance at the latest. `undefined` while it is not final: only final deliveries go by age.
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
