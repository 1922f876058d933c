/**
 * Consumer of `webhook-events`: events that producers published, packed by us or sent straight by another Worker.
 *
 * A message is read into events with fixed ids and a fixed time of acceptance. The events are routed and delivered. The
 * message is acknowledged only when every event of it is settled for every subscription that receives it. A member that can
 * never be processed becomes a dead letter of its own; the rest of the message goes on.
 */
import { ConsumerInvocation, type DeliveryPorts } from '../delivery/deliver.ts';
import { combined, type Disposition, DONE, RETRY } from '../delivery/disposition.ts';
import { route } from '../delivery/route.ts';
import { describeError, logWarn } from '../log.ts';
import { QUEUES } from '../outbound/queues.ts';
import type { DeadLetter } from '../storage/dead-letters.ts';
import type { Audience } from '../storage/subscriptions.ts';
import { acknowledge, QUEUE_MAX_RETRIES } from './acknowledge.ts';
import { deadLetterOf, type EventMessage, readEventMessage } from './event-message.ts';

/** What the consumer needs besides delivering. */
export interface EventsPorts extends DeliveryPorts {
  readonly captureDomain: string;
  findAudiences(customerIds: readonly string[]): Promise<ReadonlyMap<string, Audience>>;
  openKeys(kids: readonly string[]): Promise<void>;
  readonly deadLetters: {
    store(letters: readonly DeadLetter[]): Promise<void>;
    send(letters: readonly DeadLetter[]): Promise<void>;
  };
}

type Reading = EventMessage & { readonly message: Message<unknown> };

/** Handles a batch. Never rejects: a message that is not done returns to the queue. */
export async function consumeEvents(
  messages: readonly Message<unknown>[],
  ports: EventsPorts,
): Promise<void> {
  const readings = messages.map((message) => ({ message, ...readEventMessage(message, ports.now()) }));
  const dispositions = await deliverAll(readings, ports).catch((error: unknown) => {
    logWarn('batch returned to the queue', {
      queue: QUEUES.events,
      messages: messages.length,
      error: describeError(error),
    });
    return messages.map(() => RETRY);
  });
  await Promise.all(
    readings.map((reading, index) =>
      acknowledge(reading.message, dispositions[index] ?? RETRY, () => giveUp(reading, ports)),
    ),
  );
}

/** @returns a disposition for each message */
async function deliverAll(readings: readonly Reading[], ports: EventsPorts): Promise<Disposition[]> {
  const events = readings.flatMap((reading) => reading.events.map(([, event]) => event));
  const customerIds = [...new Set(events.map((event) => event.customerId))];
  const audiences = customerIds.length === 0 ? new Map() : await ports.findAudiences(customerIds);
  const routes = route(events, audiences, ports.captureDomain);
  await ports.openKeys(routes.map(({ kid }) => kid)).catch((error: unknown) => {
    logWarn('signing keys not read', { error: describeError(error) });
  });

  const invocation = new ConsumerInvocation(ports);
  const byEvent = new Map<string, Disposition[]>();
  const [letterDispositions] = await Promise.all([
    Promise.all(readings.map((reading) => storeLetters(reading, audiences, ports))),
    ...routes.map(async (one) => {
      for (const [eventId, disposition] of await invocation.deliverFirst(one)) {
        const known = byEvent.get(eventId);
        if (known === undefined) byEvent.set(eventId, [disposition]);
        else known.push(disposition);
      }
    }),
  ]);
  return readings.map((reading, index) =>
    combined([
      letterDispositions[index] ?? RETRY,
      ...reading.events.flatMap(([, event]) => byEvent.get(event.id) ?? []),
    ]),
  );
}

/** Stores as dead letters what can never be processed, events of unknown customers included. */
async function storeLetters(
  { message, events, letters }: Reading,
  audiences: ReadonlyMap<string, Audience>,
  ports: EventsPorts,
): Promise<Disposition> {
  const all = [...letters];
  for (const [position, event] of events) {
    if (!audiences.has(event.customerId)) {
      all.push(deadLetterOf(message, position, event, 'customerId names no customer', ports.now()));
    }
  }
  if (all.length === 0) return DONE;
  try {
    await ports.deadLetters.store(all);
    const { id, reason } = all[0] as DeadLetter;
    logWarn('dead letters', { queue: QUEUES.events, messageId: message.id, count: all.length, id, reason });
    return DONE;
  } catch (error) {
    logWarn('dead letter not stored', { queue: QUEUES.events, error: describeError(error) });
    return RETRY;
  }
}

/** A message at its last delivery: its events become letters, with the ids they were given. */
async function giveUp({ message, events, letters }: Reading, ports: EventsPorts): Promise<void> {
  const reason = `not delivered after ${QUEUE_MAX_RETRIES} retries`;
  await ports.deadLetters.send([
    ...letters,
    ...events.map(([position, event]) => deadLetterOf(message, position, event, reason, ports.now())),
  ]);
}
