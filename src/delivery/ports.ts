/** What delivering needs of the rest of the service. */
import type { Outcome } from '../domain/attempt.ts';
import type { IdentityEvent } from '../domain/event.ts';
import type { ShownState } from '../domain/proof.ts';
import type { SigningKeyName } from '../domain/signing-algorithm.ts';
import type { Recipient, Sharded } from '../domain/subscription.ts';
import type { EventStoreRpc, HealthNote } from '../event-store/rpc.ts';
import type { HostLimitRpc } from '../host-limit/rpc.ts';
import type { Dispatch, PackedEvents } from '../outbound/queues.ts';
import type { After } from './deadlines.ts';

/** The calls of an event store that delivering needs. */
export type DeliveryStore = Pick<EventStoreRpc, 'admit' | 'begin' | 'settle' | 'mayStart' | 'release'>;

/** Where slices go. */
export type SlicesQueue = 'events' | 'slices';

export interface DeliveryPorts {
  store(subscription: Sharded): DeliveryStore;
  /** The limit of a host for a customer. Its calls never reject. */
  host(customerId: string, host: string): HostLimitRpc;
  /** Signs the SET of an event for a subscription with this key of the customer. */
  sign(event: IdentityEvent, subscription: Recipient, key: SigningKeyName): Promise<string>;
  /** The SET that `sign` would make, without its signature. */
  prepare(event: IdentityEvent, subscription: Recipient, key: SigningKeyName): string;
  /**
   * Signs a SET that its store keeps unsigned, with the key that it names.
   * @returns the same text when that key is gone or does not open. @throws what reading the key throws
   */
  signStored(set: string): Promise<string>;
  /**
   * Makes one request; never throws.
   * @param after runs its time limit
   */
  post(endpoint: string, set: string, after: After): Promise<Outcome>;
  /** The longest time from the start of an attempt until its result is on its way to the store, ms. */
  readonly longestAttemptMs: number;
  /**
   * Notes the health of an endpoint in the database, where the list of subscriptions shows it.
   * @param before the state that the database has
   */
  noteHealth(
    subscription: Pick<Recipient, 'id' | 'customerId' | 'shards'>,
    health: HealthNote,
    before: ShownState,
  ): Promise<void>;
  /** Notes how full an event store is, in tenths, where the operator's list of customers shows it. */
  noteStoreTenths(subscriptionId: string, tenths: number): Promise<void>;
  /** Sends slices to `webhook-slices`, or the rest of a narrow message to `webhook-events`. @throws Outage when it is away */
  sendSlices(queue: SlicesQueue, slices: Iterable<PackedEvents>, delaySeconds: number): Promise<void>;
  /** Sends dispatches on, to `webhook-unhealthy` when they say so. @throws Outage when the queue does not take them */
  sendDispatches(dispatches: readonly Dispatch[], delaySeconds: number): Promise<void>;
  /** Keeps the invocation alive for work that outlives its batch. */
  waitUntil(work: Promise<unknown>): void;
  readonly now: () => number;
  readonly debug: boolean;
}
