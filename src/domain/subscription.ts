/** A subscription: a customer's standing order to send events of some types to an endpoint (contract 3). */
import type { HealthState } from './endpoint-health.ts';
import type { EventType } from './event.ts';
import type { ShownState } from './proof.ts';
import type { Shards } from './shards.ts';

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
  /** When that state began, ms; 0 for an endpoint that was never anything but healthy. */
  readonly healthSince: number;
  /** How full the event store was when that was noted last, in tenths of what it may hold (contract 10.9). */
  readonly storeTenths: number;
  /** The proof that the endpoint needs before it gets events (contract 10.8); null: none. */
  readonly proof: number | null;
  /** Its event stores (decision 0042); null: it has one. */
  readonly shards: Shards | null;
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
  /** What D1 knows of the endpoint. Absent: the subscription has one store, which knows more. */
  readonly news?: EndpointNews;
  /** Which of its stores is called. Absent: it has one. */
  readonly shard?: ShardName;
}

/** What one store of a subscription learned of the endpoint, for the others. */
export interface EndpointNews {
  readonly state: HealthState;
  /** When that state began, ms. */
  readonly since: number;
  /** The proof that the endpoint has given (contract 10.8); null: none. */
  readonly proven: number | null;
}

interface ShardName {
  /** 0 is home. */
  readonly number: number;
  /** How many shards new events have. */
  readonly of: number;
}

/** What names the event stores of a subscription. */
export type Sharded = Pick<Subscription, 'id' | 'shards'>;

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
  | 'healthSince'
  | 'proof'
  | 'shards'
  | 'storeTenths'
  | 'version'
>;

export function refOf(subscription: Recipient): SubscriptionRef {
  const { shards, health, healthSince, proof } = subscription;
  const news =
    shards === null || health === 'unverified'
      ? {}
      : { news: { state: health, since: healthSince, proven: proof } };
  return {
    customerId: subscription.customerId,
    subscriptionId: subscription.id,
    version: subscription.version,
    enabled: subscription.enabled,
    endpoint: subscription.endpoint,
    proof,
    ...news,
  };
}
