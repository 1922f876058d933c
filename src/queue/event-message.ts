/**
 * Reads a message of `webhook-events` or `webhook-slices` into events with fixed ids and a fixed time of acceptance
 * (contract 10.1).
 *
 * A message has one of four forms: events that we packed (with a list of subscriptions if it is a slice), a replayed dead
 * letter, or one event or an array of events from a producer's own binding. The forms are not trusted, because a producer can
 * send any of them: all events obey the same rules, and are checked one by one. A member that is refused becomes a dead letter, and
 * leaves the others alone. A message that cannot be read at all becomes one dead letter.
 */
import { faultsOf } from '../domain/errors.ts';
import {
  checkKeptEvent,
  checkPublishedEvent,
  type EventCheck,
  faultOfAcceptance,
  faultOfIdTime,
  type IdentityEvent,
  isAcceptedEvent,
  keptEvent,
  mayBePublishedEvent,
} from '../domain/event.ts';
import { isRequestId } from '../domain/ids.ts';
import { isTooLarge } from '../domain/json-size.ts';
import { DEAD_LETTERS_PER_MESSAGE } from '../domain/limits.ts';
import { PackedEvents, QUEUES, ReplayedEvent, type SliceOf, unpackEvent } from '../outbound/queues.ts';
import type { DeadLetter } from '../storage/dead-letters.ts';
import {
  deadLetterOf,
  describeFaults,
  notUnderstood,
  type Origin,
  originOf,
  type ReadableMessage,
  type Refusal,
  refusals,
  whyNotUnderstood,
} from './letters.ts';

export interface EventMessage extends SliceOf {
  /** Each with its position in the message. */
  readonly events: readonly (readonly [position: number, event: IdentityEvent])[];
  /** How many dead letters there are for members that can never be processed. */
  readonly letterCount: number;
  /** Makes these letters: their texts take far longer than the reading, so others have their turn first. */
  letters(): readonly DeadLetter[];
  /** The request that published the events, as the message says it. */
  readonly requestId?: string;
}

/** @param onlySlices the queue has slices alone: any other message would have been split elsewhere. Never throws */
export function readEventMessage(message: ReadableMessage, now: number, onlySlices = false): EventMessage {
  try {
    const { body } = message;
    if (isTooLarge(body))
      return refused(message, 'is larger than a queue message can be', now, { type: typeof body });
    if (isForm(body, 'packed')) return readPacked(message, now, onlySlices);
    if (onlySlices) return { events: [], ...readMisplaced(message, 'is no slice', now) };
    return isForm(body, 'replay') ? readReplayed(message, now) : readPublished(message, now);
  } catch {
    // No message is known to get here. Its body is left alone, because something about it throws.
    return refused(message, 'cannot be read', now, {});
  }
}

/**
 * Reads a message that is in the wrong queue. Each event in it becomes a letter of its own, which can be replayed. Without an event
 * there is one letter for all. Never throws
 * @param queue where the message came from
 */
export function readMisplaced(
  message: ReadableMessage,
  reason: string,
  now: number,
  queue: string = QUEUES.events,
): Pick<EventMessage, 'letterCount' | 'letters'> {
  const { events, letterCount, letters } = readEventMessage(message, now);
  if (events.length === 0) {
    const shown = isTooLarge(message.body) ? { type: typeof message.body } : message.body;
    return { letterCount: 1, letters: () => [notUnderstood(message, reason, now, shown, queue)] };
  }
  const own = ([position, event]: EventMessage['events'][number]) =>
    deadLetterOf(message, position, event, whyNotUnderstood(reason), now, true);
  return {
    letterCount: letterCount + events.length,
    letters: () => [...letters(), ...events.map(own)].map((letter) => ({ ...letter, queue })),
  };
}

/** Whether a body is one of our own forms, whatever its version. A published event has a type, and may have any other member. */
export function isForm(body: unknown, mark: 'packed' | 'replay' | 'deadLetter' | 'eventIds'): boolean {
  return (
    typeof body === 'object' && body !== null && !Array.isArray(body) && mark in body && !('type' in body)
  );
}

function readPacked(message: ReadableMessage, now: number, onlySlices: boolean): EventMessage {
  const packed = PackedEvents.safeParse(message.body);
  if (!packed.success) return refused(message, describeFaults(faultsOf(packed.error.issues, 'message')), now);
  const { acceptedAt, customerId, subscriptions, failures, waited, sharedHosts, requestId } = packed.data;
  const fault = faultOfAcceptance(acceptedAt, message.timestamp.getTime(), now);
  if (fault !== undefined) return refused(message, fault, now);
  if (onlySlices && subscriptions === undefined) {
    return { events: [], ...readMisplaced(message, 'is no slice', now) };
  }
  const reading = new Reading(originOf(message, acceptedAt), now, requestId, customerId);
  for (const [position, member] of packed.data.events.entries()) {
    const event = unpackEvent(member, packed.data);
    if (event === undefined) reading.refuse(position, 'event must be an array of nine values', member);
    else if (isAcceptedEvent(event)) reading.accept(position, event);
    else {
      const kept = keptEvent(event);
      reading.judge(position, kept, checkKeptEvent(kept, acceptedAt));
    }
  }
  return {
    ...reading.end(),
    ...(subscriptions === undefined ? {} : { subscriptions }),
    ...(failures === undefined ? {} : { failures }),
    ...(waited === undefined ? {} : { waited }),
    ...(sharedHosts === undefined ? {} : { sharedHosts }),
    ...(requestId === undefined ? {} : { requestId }),
  };
}

function readReplayed(message: ReadableMessage, now: number): EventMessage {
  const replayed = ReplayedEvent.safeParse(message.body);
  if (!replayed.success)
    return refused(message, describeFaults(faultsOf(replayed.error.issues, 'message')), now);
  const { acceptedAt, eventId, event, requestId } = replayed.data;
  const fault = faultOfAcceptance(acceptedAt, message.timestamp.getTime(), now);
  if (fault !== undefined) return refused(message, fault, now);
  const reading = new Reading({ message, acceptedAt, idAt: () => eventId }, now, requestId);
  reading.judge(0, event, checkKeptEvent(event, acceptedAt));
  return { ...reading.end(), ...(requestId === undefined ? {} : { requestId }) };
}

function readPublished(message: ReadableMessage, now: number): EventMessage {
  const { body } = message;
  const origin = originOf(message);
  // The producer made no call that has an id, so the message stands for it.
  const reading = new Reading(origin, now, isRequestId(message.id) ? message.id : undefined);
  const members: readonly unknown[] = Array.isArray(body) ? body : [body];
  if (members.length === 0) reading.refuse(0, 'empty array', body);
  for (const [position, member] of members.entries()) {
    // An array may have sixty thousand members that are nothing. What shares a letter needs no reason of its own.
    if (reading.hasSharedLetter && !mayBePublishedEvent(member)) reading.refuse(position, 'event', member);
    else reading.judge(position, member, checkPublishedEvent(member, origin.acceptedAt));
  }
  return reading.end();
}

/** Collects the members of one message: the events to deliver, and letters for the others. */
class Reading {
  readonly #origin: Origin;
  readonly #now: number;
  readonly #requestId: string | undefined;
  readonly #customerId: string | undefined;
  readonly #events: [number, IdentityEvent][] = [];
  readonly #refusals: Refusal[] = [];

  /**
   * @param requestId of the request that published the events, if it is known
   * @param customerId of all members; absent: each says its own
   */
  constructor(origin: Origin, now: number, requestId: string | undefined, customerId?: string) {
    this.#origin = origin;
    this.#now = now;
    this.#requestId = requestId;
    this.#customerId = customerId;
  }

  accept(position: number, event: IdentityEvent): void {
    this.#events.push([position, event]);
  }

  refuse(position: number, reason: string, member: unknown): void {
    this.#refusals.push({ position, reason, event: member, customerId: this.#customerId });
  }

  /** Whether what is refused from now on shares the last letter of the message. */
  get hasSharedLetter(): boolean {
    return this.#refusals.length >= DEAD_LETTERS_PER_MESSAGE;
  }

  /** An event without an id of its own gets the one that it was given. */
  judge(position: number, member: unknown, check: EventCheck): void {
    if (!check.ok) {
      this.refuse(position, describeFaults(check.faults), member);
      return;
    }
    const id = check.event.id ?? this.#origin.idAt(position);
    // The time in an id of its own was checked with the event.
    const fault = faultOfIdTime(id, this.#origin.acceptedAt);
    if (fault !== undefined) this.refuse(position, `eventId ${fault}`, member);
    else
      this.accept(position, {
        ...check.event,
        id,
        ...(this.#requestId === undefined ? {} : { requestId: this.#requestId }),
      });
  }

  end(): EventMessage {
    return {
      events: this.#events,
      letterCount: Math.min(this.#refusals.length, DEAD_LETTERS_PER_MESSAGE),
      letters: () => refusals(this.#origin, this.#refusals, this.#now),
    };
  }
}

/** @param shown what the letter shows of the message */
function refused(message: ReadableMessage, reason: string, now: number, shown?: unknown): EventMessage {
  return { events: [], letterCount: 1, letters: () => [notUnderstood(message, reason, now, shown)] };
}
