/**
 * The composition root: the one place where the service is put together. `http`, `queue`, `cron` and `publisher.ts` take
 * from here what they need; nothing else knows which binding serves what.
 */
import { type Config, readConfig } from './config.ts';
import type { DeliveryPorts } from './delivery/ports.ts';
import type { IdentityEvent } from './domain/event.ts';
import { longestAttemptMs } from './domain/leases.ts';
import { eventsClaim, keyIdOf } from './domain/security-event-token.ts';
import type { Recipient, Sharded } from './domain/subscription.ts';
import type { Env } from './env.ts';
import { openStores } from './event-store/client.ts';
import type { EventStoreRpc } from './event-store/rpc.ts';
import { openHostLimit } from './host-limit/client.ts';
import { noteHealthWithNotice } from './operations/notices.ts';
import type { AddressCheck } from './outbound/address-check.ts';
import { postSet } from './outbound/listener-client.ts';
import {
  letterMessage,
  type QUEUES,
  type Sender,
  sendAll,
  sendDispatches,
  untraced,
} from './outbound/queues.ts';
import { createSigner, type Signer } from './signing/signer.ts';
import { type Database, openDatabase } from './storage/database.ts';
import { type DeadLetter, insertDeadLetters } from './storage/dead-letters.ts';
import { noteStoreTenths } from './storage/recipients.ts';
import { sealedKeys } from './storage/signing-keys.ts';

export interface Services {
  readonly config: Config;
  readonly db: Database;
  readonly signer: Signer;
  readonly checkAddress: AddressCheck;
  /** The static files of `public/`. */
  readonly assets: Fetcher;
  readonly queues: { readonly events: Sender };
  /** The queues, for what the platform says of them. */
  readonly meters: Readonly<Record<keyof typeof QUEUES, Pick<Queue<unknown>, 'metrics'>>>;
  readonly rateLimits: {
    readonly managementCalls: RateLimit;
    readonly tests: RateLimit;
    readonly costlyWork: RateLimit;
    readonly failedAuthByClient: RateLimit;
    readonly failedAuthByAddress: RateLimit;
    readonly publicLookUps: RateLimit;
  };
  eventStore(subscription: Sharded): EventStoreRpc;
  /** What the path of an event needs: stores, signatures, requests. */
  readonly delivery: Omit<DeliveryPorts, 'waitUntil'>;
  readonly deadLetters: {
    /** Stores letters in the operator's list; a letter that is stored already stays as it is. */
    store(letters: readonly DeadLetter[]): Promise<void>;
    /** Sends letters to the queue that leads to the list. */
    send(letters: readonly DeadLetter[]): Promise<void>;
  };
}

/**
 * Puts the service together for one request, batch or run of the cron. What is worth keeping (configuration, the database
 * handle, opened keys) is kept for the isolate where it is made.
 * @param checkAddress judges the hosts of endpoints; tests bring a resolver of their own
 * @throws ConfigError naming every variable that is wrong
 */
export function createServices(env: Env, checkAddress: AddressCheck): Services {
  const config = readConfig(env);
  const db = openDatabase(env.DB);
  const signer = createSigner(config, (kids) => sealedKeys(db, kids));
  const eventStore = (subscription: Sharded) => openStores(env.EVENT_STORE, subscription, config.cell);
  return {
    config,
    db,
    signer,
    checkAddress,
    assets: env.ASSETS,
    queues: { events: env.EVENTS },
    meters: {
      events: env.EVENTS,
      slices: env.SLICES,
      deliveries: env.DELIVERIES,
      unhealthy: env.UNHEALTHY,
      deadLetters: env.DEAD_LETTERS,
    },
    rateLimits: {
      managementCalls: env.MANAGEMENT_CALLS,
      tests: env.TESTS,
      costlyWork: env.COSTLY_WORK,
      failedAuthByClient: env.FAILED_AUTH_BY_CLIENT,
      failedAuthByAddress: env.FAILED_AUTH_BY_ADDRESS,
      publicLookUps: env.PUBLIC_LOOK_UPS,
    },
    eventStore,
    delivery: createDelivery(env, config, db, signer, eventStore, checkAddress),
    deadLetters: {
      store: (letters) => insertDeadLetters(db, letters),
      send: (letters) => sendAll(env.DEAD_LETTERS, letters.map(letterMessage)),
    },
  };
}

function createDelivery(
  env: Env,
  config: Config,
  db: Database,
  signer: Signer,
  eventStore: Services['eventStore'],
  checkAddress: AddressCheck,
): Services['delivery'] {
  const listeners = {
    userAgent: config.userAgent,
    timeoutMs: config.attemptTimeoutMs,
    allowPrivateEndpoints: config.allowPrivateEndpoints,
    checkAddress,
  };
  const contentOf = (event: IdentityEvent, subscription: Recipient) => ({
    customerId: event.customerId,
    subscriptionId: subscription.id,
    eventId: event.id,
    endpoint: subscription.endpoint,
    acceptedAt: event.acceptedAt,
    occurredAt: event.occurredAt,
    events: eventsClaim(event, config.captureDomain),
  });
  return {
    store: eventStore,
    host: (customerId, host) => openHostLimit(env.HOST_LIMIT, customerId, host, config.cell),
    sign: (event, subscription, key) => signer.sign(key, contentOf(event, subscription)),
    prepare: (event, subscription, key) => signer.prepare(key, contentOf(event, subscription)),
    signStored: async (set) => {
      await signer.open([keyIdOf(set)]);
      return await signer.signAgain(set);
    },
    post: (endpoint, set, after) => postSet(listeners, endpoint, set, after),
    longestAttemptMs: longestAttemptMs(config.attemptTimeoutMs),
    sendSlices: (queue, slices, delaySeconds) =>
      sendAll(
        queue === 'events' ? env.EVENTS : env.SLICES,
        config.traceRequests ? slices : untraced(slices),
        delaySeconds,
      ),
    sendDispatches: (dispatches, delaySeconds) => sendDispatches(env, dispatches, delaySeconds),
    noteHealth: (subscription, health, before) =>
      noteHealthWithNotice({ db, signer, eventStore }, subscription, health, before, Date.now()),
    noteStoreTenths: (subscriptionId, tenths) => noteStoreTenths(db, subscriptionId, tenths),
    now: Date.now,
    debug: config.logLevel === 'debug',
  };
}
