/**
 * Reads a message of `webhook-events` or `webhook-slices` into events with fixed ids and a fixed time of acceptance
 * (contract 10.1).
 *
 * A message has one of four forms: events that we packed (with a list of subscriptions if it is a slice), a replayed dead
 * letter, or one event or an array of events from a producer's own binding. A member that cannot be read becomes a dead
 * letter, whose id derives from message and position.
 */
import type { Fault } from '../domain/errors.ts';
import { checkPublishedEvent, type IdentityEvent } from '../domain/event.ts';
import { deadLetterId, deriveEventId } from '../domain/ids.ts';
import { DEAD_LETTERS_PER_MESSAGE } from '../domain/limits.ts';
import { PackedEvents, QUEUES, ReplayedEvent, type SliceOf, unpackEvents } from '../outbound/queues.ts';
import type { DeadLetter } from '../storage/dead-letters.ts';

/** The part of a queue message that is read here. */
interface ReadableMessage {
  readonly id: string;
  readonly timestamp: Date;
  readonly body: unknown;
}

export interface EventMessage extends SliceOf {
  /** Each with its position in the message. */
  readonly events: readonly (readonly [position: number, event: IdentityEvent])[];
  /** Members that can never be processed. */
  readonly letters: readonly DeadLetter[];
}

export function readEventMessage(message: ReadableMessage, now: number): EventMessage {
  const packed = PackedEvents.safeParse(message.body);
  if (packed.success) {
    const { subscriptions, failures, waited, sharedHosts } = packed.data;
    return {
      events: unpackEvents(packed.data).map((event, position) => [position, event]),
      letters: [],
      ...(subscriptions === undefined ? {} : { subscriptions }),
      ...(failures === undefined ? {} : { failures }),
      ...(waited === undefined ? {} : { waited }),
      ...(sharedHosts === undefined ? {} : { sharedHosts }),
    };
  }
  const replayed = ReplayedEvent.safeParse(message.body);
  const raws = replayed.success ? [replayed.data.event] : membersOf(message.body);
  const acceptedAt = replayed.success ? replayed.data.acceptedAt : message.timestamp.getTime();
  const events: [number, IdentityEvent][] = [];
  const letters: DeadLetter[] = [];
  if (raws.length === 0) {
    letters.push(deadLetter(message, 0, 'empty array', message.body, acceptedAt, now));
  }
  raws.forEach((raw, position) => {
    const check = checkPublishedEvent(raw, acceptedAt);
    if (!check.ok) {
      letters.push(deadLetter(message, position, describeFaults(check.faults), raw, acceptedAt, now));
      return;
    }
    const given = replayed.success ? replayed.data.eventId : idAt(message, position);
    events.push([position, { ...check.event, id: check.event.id ?? given }]);
  });
  return { events, letters: bounded(letters, message, acceptedAt, now) };
}

/** One message may have a thousand letters (contract 10.1): further invalid members share the last one. */
function bounded(
  letters: DeadLetter[],
  message: ReadableMessage,
  acceptedAt: number,
  now: number,
): readonly DeadLetter[] {
  if (letters.length <= DEAD_LETTERS_PER_MESSAGE) return letters;
  const kept = letters.slice(0, DEAD_LETTERS_PER_MESSAGE - 1);
  const rest = letters.slice(kept.length);
  const events = rest.map((letter) => (JSON.parse(letter.body) as ReplayedEvent).event);
  const reason = `${rest.length} more invalid events of one message`;
  return [...kept, deadLetter(message, -1, reason, events, acceptedAt, now)];
}

/** A letter for a valid event that cannot be delivered. */
export function deadLetterOf(
  message: ReadableMessage,
  position: number,
  event: IdentityEvent,
  reason: string,
  now: number,
): DeadLetter {
  const { acceptedAt, ...published } = event;
  const raw = { ...published, occurredAt: new Date(event.occurredAt).toISOString() };
  return deadLetter(message, position, reason, raw, acceptedAt, now);
}

function deadLetter(
  message: ReadableMessage,
  position: number,
  reason: string,
  event: unknown,
  acceptedAt: number,
  now: number,
): DeadLetter {
  const body: ReplayedEvent = {
    replay: 1,
    acceptedAt,
    eventId: idAt(message, position),
    event: presentable(event),
  };
  return {
    id: deadLetterId(message.id, position),
    queue: QUEUES.events,
    reason,
    body: JSON.stringify(body),
    acceptedAt,
    createdAt: now,
  };
}

function idAt(message: ReadableMessage, position: number): string {
  return deriveEventId(message.id, message.timestamp.getTime(), position);
}

function membersOf(body: unknown): readonly unknown[] {
  return Array.isArray(body) ? body : [body];
}

function describeFaults(faults: readonly Fault[]): string {
  return faults
    .map(({ name, reason }) => `${name} ${reason}`)
    .join('; ')
    .slice(0, 1000);
}

/** A value that a producer sent, as something that JSON can hold. */
function presentable(value: unknown): unknown {
  if (value instanceof ArrayBuffer) return { bytes: value.byteLength };
  try {
    return JSON.stringify(value) === undefined ? { type: typeof value } : value;
  } catch {
    return { type: typeof value };
  }
}
