/** Chooses the consumer for a batch, and hands it what it needs of the service. */
import { ConfigError } from '../config.ts';
import type { DeliveryPorts } from '../delivery/deliver.ts';
import { eventsClaim } from '../domain/security-event-token.ts';
import { logError } from '../log.ts';
import { type DeadLetterMessage, QUEUES, sendAll } from '../outbound/queues.ts';
import type { Services } from '../services.ts';
import type { DeadLetter } from '../storage/dead-letters.ts';
import { insertDeadLetters } from '../storage/dead-letters.ts';
import { findAudiences, findSubscriptionsById, noteHealth } from '../storage/subscriptions.ts';
import { retryDelaySeconds } from './acknowledge.ts';
import { consumeDeadLetters } from './dead-letters.ts';
import { consumeDeliveries } from './deliveries.ts';
import { consumeEvents } from './events.ts';

/**
 * Handles one batch of any of our queues.
 * @param create puts the service together; a wrong configuration returns the messages to their queue for later
 */
export async function consume(batch: MessageBatch<unknown>, create: () => Services): Promise<void> {
  let services: Services;
  try {
    services = create();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    logError('batch refused: configuration is wrong', error, { queue: batch.queue });
    for (const message of batch.messages) {
      message.retry({ delaySeconds: retryDelaySeconds(message.attempts) });
    }
    return;
  }
  const { config, db, signer, queues } = services;
  const letters = {
    storeDeadLetters: (all: readonly DeadLetter[]) => insertDeadLetters(db, all),
    sendDeadLetters: (all: readonly DeadLetter[]) =>
      sendAll(
        queues.deadLetters,
        all.map((letter): DeadLetterMessage => ({ deadLetter: 1, ...letter })),
      ),
    now: Date.now,
  };
  switch (batch.queue) {
    case QUEUES.events:
      return await consumeEvents(batch.messages, {
        ...deliveryPorts(services),
        ...letters,
        captureDomain: config.captureDomain,
        findAudiences: (customerIds) => findAudiences(db, customerIds),
        openKeys: (kids) => signer.open(kids),
      });
    case QUEUES.deliveries:
      return await consumeDeliveries(batch.messages, {
        ...deliveryPorts(services),
        findSubscriptionsById: (ids) => findSubscriptionsById(db, ids),
      });
    case QUEUES.deadLetters:
      return await consumeDeadLetters(batch.messages, letters);
    default:
      throw new Error(`no consumer for queue ${batch.queue}`);
  }
}

function deliveryPorts({ config, db, signer, eventStore, post }: Services): DeliveryPorts {
  return {
    store: eventStore,
    sign: (event, subscription, kid) =>
      signer.sign(kid, {
        customerId: event.customerId,
        subscriptionId: subscription.id,
        eventId: event.id,
        endpoint: subscription.endpoint,
        acceptedAt: event.acceptedAt,
        occurredAt: event.occurredAt,
        events: eventsClaim(event, config.captureDomain),
      }),
    post,
    noteHealth: (subscriptionId, health) => noteHealth(db, subscriptionId, health),
    now: Date.now,
    debug: config.logLevel === 'debug',
  };
}
