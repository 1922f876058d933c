/** A subscription: a customer's standing order to send events of some types to an endpoint (contract 3). */
import type { EventType } from './event.ts';
import type { ShownState } from './proof.ts';

export interface Subscription {
  readonly id: string;
  readonly customerId: string;
  readonly title: string;
  readonly endpoint: string;
  readonly events: readonly EventType[];
  readonly enabled: boolean;
  /** A JSON Schema that `checkFilter` accepted; null: every event passes. */
  readonly filter: Readonly<Record<string, unknown>> | null;
  /** Steps that the filter may take for one event (contract 4); null: not counted yet, because the filter is an old one. */
  readonly filterSteps: number | null;
  /** The state of the endpoint as the event path noted it last. The event store knows the present one (contract 10.4). */
  readonly health: ShownState;
  /** How full the event store was when that was noted last, in tenths of what it may hold (contract 10.9). */
  readonly storeTenths: number;
  /** The proof that the endpoint needs before it gets events (contract 10.8); null: none. */
  readonly proof: number | null;
  /** Counts the changes. An event store adopts the newer of two versions. */
  readonly version: number;
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** What an event store must know of its subscription. Every call to the store carries it. */
export interface SubscriptionRef {
  readonly customerId: string;
  readonly subscriptionId: string;
  readonly version: number;
  readonly enabled: boolean;
  /** The store keeps the health of this endpoint (contract 10.4). A delivery keeps the endpoint it was stored with. */
  readonly endpoint: string;
  /** The proof that the endpoint needs (contract 10.8); null: none. Callers of version 0.1.0 leave it out. */
  readonly proof?: number | null;
}

/** A subscription as the event path knows it: without its filter, which may have 64 KiB, and what only the API shows. */
export type Recipient = Pick<
  Subscription,
  | 'id'
  | 'customerId'
  | 'endpoint'
  | 'events'
  | 'enabled'
  | 'filterSteps'
  | 'health'
  | 'proof'
  | 'storeTenths'
  | 'version'
>;

export function refOf(subscription: Recipient): SubscriptionRef {
  return {
    customerId: subscription.customerId,
    subscriptionId: subscription.id,
    version: subscription.version,
    enabled: subscription.enabled,
    endpoint: subscription.endpoint,
    proof: subscription.proof,
  };
}
