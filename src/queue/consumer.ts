/** Queue batches → the consumer of their queue, with the ports it needs. */
import { type Config, ConfigError, readConfig } from '../config.ts';
import type { DeliveryPorts } from '../delivery/deliver.ts';
import { eventsClaim } from '../domain/security-event-token.ts';
import type { Env } from '../env.ts';
import { openEventStore } from '../event-store/event-store.ts';
import { logError } from '../log.ts';
import type { AddressCheck } from '../outbound/address-check.ts';
import { postSet } from '../outbound/listener-client.ts';
import { type DeadLetterMessage, QUEUES, sendAll } from '../outbound/queues.ts';
import { openKeys, signSet } from '../signing/signer.ts';
import { type Database, openDatabase } from '../storage/database.ts';
import { type DeadLetter, insertDeadLetters } from '../storage/dead-letters.ts';
import { sealedKeys } from '../storage/signing-keys.ts';
import { findAudiences, findSubscriptionsById, noteHealth } from '../storage/subscriptions.ts';
import { retryDelaySeconds } from './acknowledge.ts';
import { consumeDeadLetters } from './dead-letters.ts';
import { consumeDeliveries } from './deliveries.ts';
import { consumeEvents } from './events.ts';

/** Handles one batch of any of our queues. A bad configuration puts the messages back for later. */
export async function consume(
  batch: MessageBatch<unknown>,
  env: Env,
  checkAddress: AddressCheck,
): Promise<void> {
  let config: Config;
  try {
    config = readConfig(env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    logError('batch put back', error, { queue: batch.queue });
    for (const message of batch.messages) {
      message.retry({ delaySeconds: retryDelaySeconds(message.attempts) });
    }
    return;
  }
  const db = openDatabase(env.DB);
  const letters = {
    storeDeadLetters: (all: readonly DeadLetter[]) => insertDeadLetters(db, all),
    sendDeadLetters: (all: readonly DeadLetter[]) =>
      sendAll(
        env.DEAD_LETTERS,
        all.map((letter): DeadLetterMessage => ({ deadLetter: 1, ...letter })),
      ),
    now: Date.now,
  };
  const delivery = deliveryPorts(config, env, db, checkAddress);
  switch (batch.queue) {
    case QUEUES.events:
      return await consumeEvents(batch.messages, {
        ...delivery,
        ...letters,
        captureDomain: config.captureDomain,
        findAudiences: (customerIds) => findAudiences(db, customerIds),
        openKeys: (kids) => openKeys(config, kids, (missing) => sealedKeys(db, missing)),
      });
    case QUEUES.deliveries:
      return await consumeDeliveries(batch.messages, {
        ...delivery,
        findSubscriptionsById: (ids) => findSubscriptionsById(db, ids),
      });
    case QUEUES.deadLetters:
      return await consumeDeadLetters(batch.messages, letters);
    default:
      throw new Error(`no consumer for queue ${batch.queue}`);
  }
}

function deliveryPorts(config: Config, env: Env, db: Database, checkAddress: AddressCheck): DeliveryPorts {
  const client = {
    userAgent: config.userAgent,
    timeoutMs: config.attemptTimeoutMs,
    allowPrivateEndpoints: config.allowPrivateEndpoints,
    checkAddress,
  };
  return {
    store: (subscriptionId) => openEventStore(env, subscriptionId),
    sign: (event, subscription, kid) =>
      signSet(config, kid, {
        customerId: event.customerId,
        subscriptionId: subscription.id,
        eventId: event.id,
        endpoint: subscription.endpoint,
        acceptedAt: event.acceptedAt,
        occurredAt: event.occurredAt,
        events: eventsClaim(event, config.captureDomain),
      }),
    post: (endpoint, set) => postSet(client, endpoint, set),
    noteHealth: (subscriptionId, health) => noteHealth(db, subscriptionId, health),
    now: Date.now,
    debug: config.logLevel === 'debug',
  };
}
