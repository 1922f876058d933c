/** Chooses the consumer for a batch, and hands it what it needs of the service. */
import { ConfigError } from '../config.ts';
import { logError } from '../log.ts';
import { QUEUES } from '../outbound/queues.ts';
import type { Services } from '../services.ts';
import { findAudiences, findFilters, findSubscriptionsById } from '../storage/recipients.ts';
import { returnAll } from './acknowledge.ts';
import { consumeDeadLetters } from './dead-letters.ts';
import { consumeDeliveries } from './deliveries.ts';
import { consumeEvents, consumeSlices } from './events.ts';

/**
 * Handles one batch of any of our queues.
 * @param create puts the service together; a wrong configuration returns the messages to their queue for later
 * @param waitUntil keeps the invocation alive for requests that outlive the batch
 */
export async function consume(
  batch: MessageBatch<unknown>,
  create: () => Services,
  waitUntil: (work: Promise<unknown>) => void,
): Promise<void> {
  let services: Services;
  try {
    services = create();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    logError('batch refused: configuration is wrong', error, { queue: batch.queue });
    returnAll(batch.messages);
    return;
  }
  const { config, db, signer, deadLetters } = services;
  const delivery = { ...services.delivery, waitUntil };
  const events = {
    ...delivery,
    deadLetters,
    captureDomain: config.captureDomain,
    findAudiences: (customerIds: readonly string[], subscriptionIds?: readonly string[]) =>
      findAudiences(db, customerIds, subscriptionIds),
    findFilters: (subscriptionIds: readonly string[]) => findFilters(db, subscriptionIds),
    openKeys: (kids: readonly string[]) => signer.open(kids),
  };
  switch (batch.queue) {
    case QUEUES.events:
      return await consumeEvents(batch.messages, events);
    case QUEUES.slices:
      return await consumeSlices(batch.messages, events);
    case QUEUES.deliveries:
    case QUEUES.unhealthy:
      return await consumeDeliveries(
        batch.messages,
        {
          ...delivery,
          deadLetters,
          findSubscriptionsById: (ids) => findSubscriptionsById(db, ids),
        },
        batch.queue,
      );
    case QUEUES.deadLetters:
      return await consumeDeadLetters(batch.messages, { ...deadLetters, now: Date.now });
    default:
      throw new Error(`no consumer for queue ${batch.queue}`);
  }
}
