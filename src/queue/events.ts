/**
 * Consumer of `webhook-events`: what producers published, packed by us or straight from another Worker.
 *
 * A message is read into events with fixed ids and time of acceptance, routed, delivered, and acknowledged only
 * when every event of it is settled for every subscription that hears of it. What can never be processed becomes
 * a dead letter of its own; the rest of the message goes on.
 */
import { Delivering, type DeliveryPorts, type Finish } from '../delivery/deliver.ts';
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
  storeDeadLetters(letters: readonly DeadLetter[]): Promise<void>;
  sendDeadLetters(letters: readonly DeadLetter[]): Promise<void>;
}

type Reading = EventMessage & { readonly message: Message<unknown> };

const AGAIN: Finish = { finished: false };

/** Handles a batch. Never rejects: what did not come out is put back. */
export async function consumeEvents(
  messages: readonly Message<unknown>[],
  ports: EventsPorts,
): Promise<void> {
  const readings = messages.map((message) => ({ message, ...readEventMessage(message, ports.now()) }));
  const finishes = await deliverAll(readings, ports).catch((error: unknown) => {
    logWarn('batch returned to the queue', {
      queue: QUEUES.events,
      messages: messages.length,
      error: describeError(error),
    });
    return messages.map(() => AGAIN);
  });
  await Promise.all(
    readings.map((reading, index) =>
      acknowledge(reading.message, finishes[index] ?? AGAIN, () => giveUp(reading, ports)),
    ),
  );
}

/** @returns for each message whether all of it is finished */
async function deliverAll(readings: readonly Reading[], ports: EventsPorts): Promise<Finish[]> {
  const events = readings.flatMap((reading) => reading.events.map(([, event]) => event));
  const customerIds = [...new Set(events.map((event) => event.customerId))];
  const audiences = customerIds.length === 0 ? new Map() : await ports.findAudiences(customerIds);
  const { routes } = route(events, audiences, ports.captureDomain);
  await ports.openKeys(routes.map(({ kid }) => kid)).catch((error: unknown) => {
    logWarn('signing keys not read', { error: describeError(error) });
  });

  const delivering = new Delivering(ports);
  const byEvent = new Map<string, Finish[]>();
  const [letterFinishes] = await Promise.all([
    Promise.all(readings.map((reading) => storeLetters(reading, audiences, ports))),
    ...routes.map(async (one) => {
      for (const [eventId, finish] of await delivering.deliverFirst(one)) {
        const known = byEvent.get(eventId);
        if (known === undefined) byEvent.set(eventId, [finish]);
        else known.push(finish);
      }
    }),
  ]);
  return readings.map((reading, index) =>
    worst([
      letterFinishes[index] ?? AGAIN,
      ...reading.events.flatMap(([, event]) => byEvent.get(event.id) ?? []),
    ]),
  );
}

/** Stores what can never be processed, events of unknown customers among it. */
async function storeLetters(
  { message, events, letters }: Reading,
  audiences: ReadonlyMap<string, Audience>,
  ports: EventsPorts,
): Promise<Finish> {
  const all = [...letters];
  for (const [position, event] of events) {
    if (!audiences.has(event.customerId)) {
      all.push(deadLetterOf(message, position, event, 'customerId names no customer', ports.now()));
    }
  }
  if (all.length === 0) return { finished: true };
  try {
    await ports.storeDeadLetters(all);
    const { id, reason } = all[0] as DeadLetter;
    logWarn('dead letters', { queue: QUEUES.events, messageId: message.id, count: all.length, id, reason });
    return { finished: true };
  } catch (error) {
    logWarn('dead letter not stored', { queue: QUEUES.events, error: describeError(error) });
    return AGAIN;
  }
}

/** At a message's last delivery: its events become letters, with the ids they were given. */
async function giveUp({ message, events, letters }: Reading, ports: EventsPorts): Promise<void> {
  const reason = `not delivered after ${QUEUE_MAX_RETRIES} retries`;
  await ports.sendDeadLetters([
    ...letters,
    ...events.map(([position, event]) => deadLetterOf(message, position, event, reason, ports.now())),
  ]);
}

/** Unfinished if any is; waits as long as the longest asks, if each says how long. */
function worst(finishes: readonly Finish[]): Finish {
  const unfinished = finishes.filter((finish) => !finish.finished);
  if (unfinished.length === 0) return { finished: true };
  const waits = unfinished.flatMap((finish) => finish.retryAfterMs ?? []);
  return waits.length === unfinished.length ? { finished: false, retryAfterMs: Math.max(...waits) } : AGAIN;
}
