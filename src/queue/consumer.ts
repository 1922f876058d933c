/**
 * Chooses the consumer for a batch, and hands it what it needs of the service.
 *
 * The name of the queue decides. A Worker may also get batches of a queue whose name it does not know, because somebody renamed a
 * queue in wrangler.toml and not in `NAME_PREFIX`. Then each message says by its form what it is, so that nothing is lost and nothing
 * waits for the repair.
 */
import { ConfigError } from '../config.ts';
import { audiencesOf } from '../delivery/audiences.ts';
import { isTooLarge } from '../domain/json-size.ts';
import { logError, logWarn } from '../log.ts';
import { QUEUES, queueNamed } from '../outbound/queues.ts';
import type { Services } from '../services.ts';
import { findAudiences, findAudiencesOf, findFilters, findSubscriptionsById } from '../storage/recipients.ts';
import { returnAll } from './acknowledge.ts';
import { consumeDeadLetters } from './dead-letters.ts';
import { consumeDeliveries } from './deliveries.ts';
import { isForm } from './event-message.ts';
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
  const queue = queueNamed(batch.queue, services.config.namePrefix);
  if (queue !== undefined) return await consumeFrom(queue, batch.messages, services, waitUntil);
  logWarn('queue not known', { queue: batch.queue, messages: batch.messages.length });
  for (const [form, messages] of Map.groupBy(batch.messages, queueOfForm)) {
    await consumeFrom(form, messages, services, waitUntil);
  }
}

type Queue = NonNullable<ReturnType<typeof queueNamed>>;

async function consumeFrom(
  queue: Queue,
  messages: readonly Message<unknown>[],
  services: Services,
  waitUntil: (work: Promise<unknown>) => void,
): Promise<void> {
  const { config, db, signer, deadLetters } = services;
  const delivery = { ...services.delivery, waitUntil };
  const events = {
    ...delivery,
    deadLetters,
    captureDomain: config.captureDomain,
    findAudiences: (customerIds: readonly string[], acceptedAt: number) =>
      audiencesOf(db).find(customerIds, acceptedAt, Date.now(), (asked, known) =>
        findAudiences(db, asked, known, Date.now()),
      ),
    findAudiencesOf: (customerIds: readonly string[], subscriptionIds: readonly string[]) =>
      findAudiencesOf(db, customerIds, subscriptionIds, Date.now()),
    findFilters: (subscriptionIds: readonly string[]) => findFilters(db, subscriptionIds),
    openKeys: (kids: readonly string[]) => signer.open(kids),
  };
  const findById = (ids: readonly string[]) => findSubscriptionsById(db, ids);
  switch (queue) {
    case QUEUES.events:
      return await consumeEvents(messages, events);
    case QUEUES.slices:
      return await consumeSlices(messages, events);
    case QUEUES.deliveries:
    case QUEUES.unhealthy:
      return await consumeDeliveries(
        messages,
        { ...delivery, deadLetters, findSubscriptionsById: findById },
        queue,
      );
    case QUEUES.deadLetters:
      return await consumeDeadLetters(messages, { ...deadLetters, now: Date.now });
  }
}

/** The queue whose consumer understands a message. That of events also takes slices, and stores what it does not understand. */
function queueOfForm({ body }: Message<unknown>): Queue {
  if (isTooLarge(body)) return QUEUES.events;
  if (isForm(body, 'deadLetter')) return QUEUES.deadLetters;
  return isForm(body, 'eventIds') ? QUEUES.deliveries : QUEUES.events;
}
