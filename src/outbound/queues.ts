/**
 * The queue messages that the service makes: their schemas, and how they are sent.
 *
 * `webhook-events` carries events as producers send them (one event or an array, checked by `domain/event.ts`), and packed
 * messages: events whose ids and time of acceptance are fixed. Packed events are tuples without names of fields, so that a
 * packed publish is never larger than the body it came in. `webhook-slices` carries slices: packed events together with the
 * subscriptions that still have to receive them. `webhook-deliveries` and `webhook-unhealthy` carry ids and a lease token,
 * never content: the event store has the content.
 *
 * These are the names of the queues in this project: in code, in log lines and in dead letters. In an account, the names of
 * one deployment begin with its prefix (`NAME_PREFIX`, contract 10.6), so that an account can have several deployments.
 */
import { z } from 'zod';
import { Outage } from '../domain/errors.ts';
import type { EventType, IdentityEvent } from '../domain/event.ts';
import { isEventId, isRequestId } from '../domain/ids.ts';
import { depthExceeds } from '../domain/json-size.ts';
import {
  DEAD_LETTER_MAX_DEPTH,
  DEAD_LETTER_REASON_MAX_CHARACTERS,
  HOST_MAX_CHARACTERS,
} from '../domain/limits.ts';
import { text, uuid } from '../domain/schemas.ts';
import { isMoment } from '../domain/time.ts';

export const QUEUES = {
  events: 'webhook-events',
  slices: 'webhook-slices',
  deliveries: 'webhook-deliveries',
  unhealthy: 'webhook-unhealthy',
  deadLetters: 'webhook-dead-letters',
} as const;
type QueueName = (typeof QUEUES)[keyof typeof QUEUES];

/**
 * Which of our queues a name of the account is.
 * @param prefix what the names of this deployment begin with
 * @returns `undefined` for a queue that this deployment does not know
 */
export function queueNamed(name: string, prefix: string): QueueName | undefined {
  return Object.values(QUEUES).find((queue) => name === prefix + queue);
}

/** Bytes of a packed message: one unit that the platform bills, 64 KB. The platform takes at most 128 KB. */
const QUEUE_MESSAGE_MAX_BYTES = 64_000;
/** Messages of one `sendBatch`: the limit of the platform. */
const QUEUE_SEND_MAX_MESSAGES = 100;
/** Bytes of one `sendBatch`: the platform takes 256 KB. */
const QUEUE_SEND_MAX_BYTES = 250_000;
/** Delivery ids in one dispatch, so that a lost message costs little. */
const DISPATCH_MAX_IDS = 20;
/** `max_retries` of every consumer in wrangler.toml: the platform's highest. */
export const QUEUE_MAX_RETRIES = 100;
/** Subscriptions that one slice names: their ids share a queue message with the events. */
export const SLICE_MAX_SUBSCRIPTIONS = 500;
/** Shared hosts that a slice names. If there are more, every host of it counts as shared. */
export const SLICE_MAX_HOSTS = 20;
/** More events than a packed message of 64,000 bytes can hold: the smallest takes 122 bytes. */
const PACKED_MAX_EVENTS = 600;
/**
 * Bytes of a dead letter's body once it is text within the JSON of a message: the platform takes 128 KB. An event that was
 * accepted has 60,256 bytes, and twice as many when each is escaped.
 */
const DEAD_LETTER_BODY_MAX_BYTES = 124_000;

// --- Schemas of all messages -----------------------------------------------------------------------
//
// Any Worker with a producer binding can send anything to a queue. So every form is strict, every number is in range, every list
// is bounded, and no reason repeats what a message says.

/** An object without any other members. */
function strict<Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === 'unrecognized_keys' ? 'has members that are not known' : 'must be an object',
  });
}

const moment = z.custom<number>(isMoment, { error: 'must be a time in milliseconds' });

const eventId = uuid.refine(isEventId, { error: 'must be a UUID version 7' });

const REQUEST_ID = { error: 'must be 1 to 64 ASCII letters, digits, _, - or =' };

/**
 * The request that published the events of a message (docs/decisions/0043-one-request-id-runs-through.md). A version that does not know it
 * refuses the message, so a variable says when it is sent (contract 10.6).
 */
const requestId = z.string(REQUEST_ID).refine(isRequestId, REQUEST_ID).optional();

function list<Member extends z.ZodType>(member: Member, max: number) {
  const error = `must be an array of 1 to ${max}`;
  return z.array(member, { error }).min(1, { error }).max(max, { error });
}

const host = text(1, HOST_MAX_CHARACTERS);

const SHARED_HOSTS = { error: `must be an array of at most ${SLICE_MAX_HOSTS} hosts` };

const QUEUE = { error: 'must be a queue of the service' };

const FAILURES = { error: `must be a whole number from 0 to ${QUEUE_MAX_RETRIES}` };

// --- webhook-events and webhook-slices: packed events -----------------------------------------------

/** One event without names of members. */
type PackedEvent = [
  id: string,
  type: EventType,
  /** ms; null: the time of acceptance. */
  occurredAt: number | null,
  captureApplicationId: string,
  captureClientId: string,
  entityType: string,
  sub: string,
  globalSub: string | null,
  attributes: string[] | null,
];

/** Values of a packed event. */
const PACKED_EVENT_VALUES = 9;

/**
 * `packed` is the version of the format. The members of `events` are not checked here: each is checked by itself
 * (`queue/event-message.ts`), because one faulty event must not take the others with it.
 */
export const PackedEvents = strict({
  packed: z.literal(1, { error: 'must be 1' }),
  customerId: uuid,
  acceptedAt: moment,
  events: list(z.unknown(), PACKED_MAX_EVENTS),
  /** A slice: only these subscriptions receive the events. Absent: all subscriptions of the customer. */
  subscriptions: list(uuid, SLICE_MAX_SUBSCRIPTIONS).optional(),
  /** Of a slice: how often work on it has failed before it was sent. */
  failures: z.number(FAILURES).int(FAILURES).min(0, FAILURES).max(QUEUE_MAX_RETRIES, FAILURES).optional(),
  /** Of a slice: its events have waited once for the answers to others, and wait for no more. */
  waited: z.literal(true, { error: 'must be true' }).optional(),
  /** Of a slice: the hosts that several subscriptions of the customer share (contract 10.4). Absent: it may be any host. */
  sharedHosts: z.array(host, SHARED_HOSTS).max(SLICE_MAX_HOSTS, SHARED_HOSTS).optional(),
  requestId,
});

/** A packed message as the service makes it. */
export type PackedEvents = Omit<z.infer<typeof PackedEvents>, 'events'> & { events: PackedEvent[] };

/** What a slice has beside its events. */
export type SliceOf = Pick<PackedEvents, 'subscriptions' | 'failures' | 'waited' | 'sharedHosts'>;

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

/**
 * One member of a packed message as an event. Its values are as they came: `isAcceptedEvent` says whether they are what their
 * types say.
 * @returns `undefined` when it is no packed event
 */
export function unpackEvent(
  member: unknown,
  { customerId, acceptedAt, requestId }: Pick<PackedEvents, 'customerId' | 'acceptedAt' | 'requestId'>,
): IdentityEvent | undefined {
  if (!Array.isArray(member) || member.length !== PACKED_EVENT_VALUES) return undefined;
  const [id, type, occurredAt, app, client, entityType, sub, globalSub, names] = member as PackedEvent;
  return {
    customerId,
    id,
    type,
    acceptedAt,
    occurredAt: occurredAt ?? acceptedAt,
    captureApplicationId: app,
    captureClientId: client,
    entityType,
    sub,
    ...(globalSub === null ? {} : { globalSub }),
    ...(names === null ? {} : { attributes: names }),
    ...(requestId === undefined ? {} : { requestId }),
  };
}

/**
 * Packs events of one request, with the same time of acceptance, into messages of at most 64 KB. A message holds events of one customer,
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
        const { requestId } = events[0] ?? {};
        message = { packed: 1, customerId, acceptedAt, events: [], ...(requestId && { requestId }) };
        messages.push(message);
        bytes = utf8Length(JSON.stringify(message));
      }
      message.events.push(packed);
      bytes += size;
    }
  }
  return messages;
}

/** Messages without the ids of requests: a consumer of an earlier version refuses those that have one (`TRACE_REQUESTS`, contract 10.6). */
export function* untraced(messages: Iterable<PackedEvents>): Iterable<PackedEvents> {
  for (const { requestId: _, ...message } of messages) yield message;
}

// --- webhook-deliveries ---------------------------------------------------------------------------

/** Deliveries of one event store that are due. */
export const Dispatch = strict({
  customerId: uuid,
  subscriptionId: uuid,
  token: uuid,
  eventIds: list(eventId, DISPATCH_MAX_IDS),
  /** The endpoint is not healthy, so these deliveries may not take all slots of an invocation (contract 10.4). */
  unhealthy: z.literal(true, { error: 'must be true' }).optional(),
  /** The places at their host that the store got for these deliveries (contract 10.4): who returns them, and where. */
  places: strict({ id: uuid, host }).optional(),
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
export const ReplayedEvent = strict({
  replay: z.literal(1, { error: 'must be 1' }),
  acceptedAt: moment,
  /** The id that the event was given, for an event that has none of its own. */
  eventId,
  event: z.unknown(),
  requestId,
});
export type ReplayedEvent = z.infer<typeof ReplayedEvent>;

/** A letter may outlive this version by a rollback, so its body has no request: a replay gives it one. */
const LetterBody = ReplayedEvent.omit({ requestId: true });

// --- webhook-dead-letters -------------------------------------------------------------------------

/** A letter for the operator's list, on its way to D1. */
export const DeadLetterMessage = strict({
  deadLetter: z.literal(1, { error: 'must be 1' }),
  id: uuid,
  queue: z.string(QUEUE).refine((name) => Object.values<string>(QUEUES).includes(name), QUEUE),
  reason: text(1, DEAD_LETTER_REASON_MAX_CHARACTERS),
  /** JSON text. */
  body: z
    .string({ error: 'must be text' })
    .refine(isLetterBody, { error: 'must be a replayed event as JSON' }),
  acceptedAt: moment,
  createdAt: moment,
  /** The customer that the event names. A letter of version 0.1.0 has none. */
  customerId: uuid.nullish(),
  /** The event was refused; absent: it was accepted. */
  refused: z.literal(true, { error: 'must be true' }).optional(),
});
type DeadLetterMessage = z.infer<typeof DeadLetterMessage>;

/** A letter as the list has it. */
type Letter = Omit<DeadLetterMessage, 'deadLetter' | 'customerId' | 'refused'> & {
  readonly customerId: string | null;
  readonly refused: boolean;
};

export function letterMessage({ customerId, refused, ...letter }: Letter): DeadLetterMessage {
  return {
    deadLetter: 1,
    ...letter,
    ...(customerId === null ? {} : { customerId }),
    ...(refused ? { refused } : {}),
  };
}

function isLetterBody(body: string): boolean {
  if (!fitsLetter(body)) return false;
  try {
    const parsed: unknown = JSON.parse(body);
    return !depthExceeds(parsed, DEAD_LETTER_MAX_DEPTH) && LetterBody.safeParse(parsed).success;
  } catch {
    return false;
  }
}

/** Whether the body of a dead letter fits into a message, and into a row of the list. */
export function fitsLetter(body: string): boolean {
  return (
    body.length <= DEAD_LETTER_BODY_MAX_BYTES &&
    utf8Length(JSON.stringify(body)) <= DEAD_LETTER_BODY_MAX_BYTES
  );
}

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
