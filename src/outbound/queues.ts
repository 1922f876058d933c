/**
 * The queue messages that the service makes: their schemas, and how they are sent.
 *
 * `webhook-events` carries events as producers send them (one event or an array, checked by `domain/event.ts`), and packed
 * messages: events whose ids and time of acceptance are fixed. Packed events are tuples without names of fields, so that a
 * packed publish is never larger than the body it came in. `webhook-slices` carries slices: packed events together with the
 * subscriptions that still have to receive them. `webhook-deliveries` and `webhook-unhealthy` carry ids and a lease token,
 * never content: the event store has the content.
 */
import { z } from 'zod';
import { Outage } from '../domain/errors.ts';
import { EVENT_TYPES, type IdentityEvent } from '../domain/event.ts';

export const QUEUES = {
  events: 'webhook-events',
  slices: 'webhook-slices',
  deliveries: 'webhook-deliveries',
  unhealthy: 'webhook-unhealthy',
  deadLetters: 'webhook-dead-letters',
} as const;

/** Bytes of a packed message: one unit that the platform bills, 64 KB. The platform takes at most 128 KB. */
const QUEUE_MESSAGE_MAX_BYTES = 64_000;
/** Messages of one `sendBatch`: the limit of the platform. */
const QUEUE_SEND_MAX_MESSAGES = 100;
/** Bytes of one `sendBatch`: the platform takes 256 KB. */
const QUEUE_SEND_MAX_BYTES = 250_000;
/** Delivery ids in one dispatch, so that a lost message costs little. */
const DISPATCH_MAX_IDS = 20;

// --- webhook-events and webhook-slices: packed events -----------------------------------------------

const PackedEvent = z.tuple([
  z.string(), // id
  z.enum(EVENT_TYPES),
  z.number().nullable(), // occurredAt, ms; null: the time of acceptance
  z.string(), // captureApplicationId
  z.string(), // captureClientId
  z.string(), // entityType
  z.string(), // sub
  z.string().nullable(), // globalSub
  z.array(z.string()).nullable(), // attributes
]);

/** `packed` is the version of the format. */
export const PackedEvents = z.object({
  packed: z.literal(1),
  customerId: z.string(),
  acceptedAt: z.number(),
  events: z.array(PackedEvent),
  /** A slice: only these subscriptions receive the events. Absent: all subscriptions of the customer. */
  subscriptions: z.array(z.string()).optional(),
  /** Of a slice: how often work on it has failed before it was sent. */
  failures: z.number().optional(),
  /** Of a slice: its events have waited once for the answers to others, and wait for no more. */
  waited: z.literal(true).optional(),
  /** Of a slice: the hosts that several subscriptions of the customer share (contract 10.4). Absent: it may be any host. */
  sharedHosts: z.array(z.string()).optional(),
});
export type PackedEvents = z.infer<typeof PackedEvents>;

/** What a slice has beside its events. */
export type SliceOf = Pick<PackedEvents, 'subscriptions' | 'failures' | 'waited' | 'sharedHosts'>;

type PackedEvent = z.infer<typeof PackedEvent>;

function pack(event: IdentityEvent): PackedEvent {
  return [
    event.id,
    event.type,
    event.occurredAt === event.acceptedAt ? null : event.occurredAt,
    event.captureApplicationId,
    event.captureClientId,
    event.entityType,
    event.sub,
    event.globalSub ?? null,
    event.attributes === undefined ? null : [...event.attributes],
  ];
}

/** The events of a packed message. */
export function unpackEvents(message: PackedEvents): IdentityEvent[] {
  return message.events.map(([id, type, occurredAt, app, client, entityType, sub, globalSub, names]) => ({
    customerId: message.customerId,
    id,
    type,
    acceptedAt: message.acceptedAt,
    occurredAt: occurredAt ?? message.acceptedAt,
    captureApplicationId: app,
    captureClientId: client,
    entityType,
    sub,
    ...(globalSub === null ? {} : { globalSub }),
    ...(names === null ? {} : { attributes: names }),
  }));
}

/**
 * Packs events with the same time of acceptance into messages of at most 64 KB. A message holds events of one customer,
 * and there are as few messages as the order of the events allows.
 */
export function packEvents(events: readonly IdentityEvent[], acceptedAt: number): PackedEvents[] {
  const messages: PackedEvents[] = [];
  for (const [customerId, own] of Map.groupBy(events, (event) => event.customerId)) {
    let message: PackedEvents | undefined;
    let bytes = 0;
    for (const packed of own.map(pack)) {
      const size = utf8Length(JSON.stringify(packed)) + 1;
      if (message === undefined || bytes + size > QUEUE_MESSAGE_MAX_BYTES) {
        message = { packed: 1, customerId, acceptedAt, events: [] };
        messages.push(message);
        bytes = utf8Length(JSON.stringify(message));
      }
      message.events.push(packed);
      bytes += size;
    }
  }
  return messages;
}

// --- webhook-deliveries ---------------------------------------------------------------------------

/** Deliveries of one event store that are due. */
export const Dispatch = z.object({
  customerId: z.string(),
  subscriptionId: z.string(),
  token: z.string(),
  eventIds: z.array(z.string()).min(1),
  /** The endpoint is not healthy, so these deliveries may not take all slots of an invocation (contract 10.4). */
  unhealthy: z.literal(true).optional(),
  /** The places at their host that the store got for these deliveries (contract 10.4): who returns them, and where. */
  places: z.object({ id: z.string(), host: z.string() }).optional(),
});
export type Dispatch = z.infer<typeof Dispatch>;

/** Splits due deliveries into small messages, so that a lost one costs little. */
export function packDispatch(dispatch: Dispatch): Dispatch[] {
  const messages: Dispatch[] = [];
  for (let start = 0; start < dispatch.eventIds.length; start += DISPATCH_MAX_IDS) {
    messages.push({ ...dispatch, eventIds: dispatch.eventIds.slice(start, start + DISPATCH_MAX_IDS) });
  }
  return messages;
}

/** Sends dispatches to the queue of their lane. @throws Outage when a queue does not take them */
export async function sendDispatches(
  queues: { readonly DELIVERIES: Sender; readonly UNHEALTHY: Sender },
  dispatches: readonly Dispatch[],
  delaySeconds = 0,
): Promise<void> {
  const [unhealthy, healthy] = [true, false].map((isUnhealthy) =>
    dispatches.filter((one) => (one.unhealthy === true) === isUnhealthy),
  );
  await sendAll(queues.DELIVERIES, healthy ?? [], delaySeconds);
  await sendAll(queues.UNHEALTHY, unhealthy ?? [], delaySeconds);
}

// --- webhook-events: replayed dead letters -----------------------------------------------------------

/**
 * One event as it was published, with the time of acceptance and the id that it was given then. Both stay the same through
 * dead letters and replay. This is also the body of a dead letter.
 */
export const ReplayedEvent = z.object({
  replay: z.literal(1),
  acceptedAt: z.number(),
  /** The id that the event was given, for an event that has none of its own. */
  eventId: z.string(),
  event: z.unknown(),
});
export type ReplayedEvent = z.infer<typeof ReplayedEvent>;

// --- webhook-dead-letters -------------------------------------------------------------------------

/** A letter for the operator's list, on its way to D1. */
export const DeadLetterMessage = z.object({
  deadLetter: z.literal(1),
  id: z.string(),
  queue: z.string(),
  reason: z.string(),
  /** JSON text. */
  body: z.string(),
  acceptedAt: z.number(),
  createdAt: z.number(),
});
export type DeadLetterMessage = z.infer<typeof DeadLetterMessage>;

// --- sending --------------------------------------------------------------------------------------

/** The part of a queue binding that sends. */
export interface Sender {
  sendBatch(messages: Iterable<MessageSendRequest<unknown>>): Promise<unknown>;
}

/**
 * Sends messages in as few calls as the platform's limits allow: one call for a publish.
 * @param bodies may be made one by one while they are sent, so that only one call's worth of them is in memory
 * @param delaySeconds how long the queue keeps the messages before it delivers them
 * @throws Outage when the queue does not take a call; the messages of earlier calls are sent then
 */
export async function sendAll(queue: Sender, bodies: Iterable<unknown>, delaySeconds = 0): Promise<void> {
  let batch: MessageSendRequest<unknown>[] = [];
  let bytes = 0;
  for (const body of bodies) {
    const size = utf8Length(JSON.stringify(body));
    if (
      batch.length > 0 &&
      (batch.length === QUEUE_SEND_MAX_MESSAGES || bytes + size > QUEUE_SEND_MAX_BYTES)
    ) {
      await send(queue, batch);
      batch = [];
      bytes = 0;
    }
    batch.push({ body, contentType: 'json', ...(delaySeconds > 0 ? { delaySeconds } : {}) });
    bytes += size;
  }
  if (batch.length > 0) await send(queue, batch);
}

/** The sizes are within the limits, so a queue that refuses a batch is away. */
async function send(queue: Sender, batch: readonly MessageSendRequest<unknown>[]): Promise<void> {
  try {
    await queue.sendBatch(batch);
  } catch (error) {
    throw new Outage('queue', error);
  }
}

/** Whether `sendAll` sends these messages in one call, and so all or none of them. */
export function fitsOneSend(bodies: readonly unknown[]): boolean {
  const bytes = bodies.reduce<number>((sum, body) => sum + utf8Length(JSON.stringify(body)), 0);
  return bodies.length <= QUEUE_SEND_MAX_MESSAGES && bytes <= QUEUE_SEND_MAX_BYTES;
}

function utf8Length(text: string): number {
  return new TextEncoder().encode(text).length;
}
