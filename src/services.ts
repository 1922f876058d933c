/**
 * The composition root: the one place where the service is put together. `http`, `queue`, `cron` and `publisher.ts` take
 * from here what they need; nothing else knows which binding serves what.
 */
import { type Config, readConfig } from './config.ts';
import type { Outcome } from './domain/attempt.ts';
import type { Env } from './env.ts';
import { openEventStore } from './event-store/client.ts';
import type { EventStoreRpc } from './event-store/rpc.ts';
import type { AddressCheck } from './outbound/address-check.ts';
import { postSet } from './outbound/listener-client.ts';
import type { Sender } from './outbound/queues.ts';
import { createSigner, type Signer } from './signing/signer.ts';
import { type Database, openDatabase } from './storage/database.ts';
import { sealedKeys } from './storage/signing-keys.ts';

export interface Services {
  readonly config: Config;
  readonly db: Database;
  readonly signer: Signer;
  readonly checkAddress: AddressCheck;
  readonly queues: {
    readonly events: Sender;
    readonly deadLetters: Sender;
  };
  readonly rateLimits: {
    readonly managementCalls: RateLimit;
    readonly failedAuthByClient: RateLimit;
    readonly failedAuthByAddress: RateLimit;
  };
  eventStore(subscriptionId: string): EventStoreRpc;
  /** Makes one request to a listener; never throws. */
  post(endpoint: string, set: string): Promise<Outcome>;
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
  const listeners = {
    userAgent: config.userAgent,
    timeoutMs: config.attemptTimeoutMs,
    allowPrivateEndpoints: config.allowPrivateEndpoints,
    checkAddress,
  };
  return {
    config,
    db,
    signer: createSigner(config, (kids) => sealedKeys(db, kids)),
    checkAddress,
    queues: { events: env.EVENTS, deadLetters: env.DEAD_LETTERS },
    rateLimits: {
      managementCalls: env.MANAGEMENT_CALLS,
      failedAuthByClient: env.FAILED_AUTH_BY_CLIENT,
      failedAuthByAddress: env.FAILED_AUTH_BY_ADDRESS,
    },
    eventStore: (subscriptionId) => openEventStore(env.EVENT_STORE, subscriptionId),
    post: (endpoint, set) => postSet(listeners, endpoint, set),
  };
}
