/**
 * Makes dead letters. A letter can always be stored and sent: its reason and its body are bounded, its times are in range, and its
 * id derives from message and position, so that a message delivered again adds none.
 */
import type { Fault } from '../domain/errors.ts';
import { type IdentityEvent, keptEvent } from '../domain/event.ts';
import { deadLetterId, deriveEventId, isUuid } from '../domain/ids.ts';
import { depthExceeds } from '../domain/json-size.ts';
import {
  DEAD_LETTER_MAX_DEPTH,
  DEAD_LETTER_REASON_MAX_CHARACTERS,
  DEAD_LETTERS_PER_MESSAGE,
} from '../domain/limits.ts';
import { fitsLetter, QUEUES, type ReplayedEvent } from '../outbound/queues.ts';
import type { DeadLetter } from '../storage/dead-letters.ts';

/** The part of a queue message that is read here. */
export interface ReadableMessage {
  readonly id: string;
  readonly timestamp: Date;
  readonly body: unknown;
}

/** What a message says of its events: when they were accepted, and which id an event has that was given none. */
export interface Origin {
  readonly message: ReadableMessage;
  readonly acceptedAt: number;
  idAt(position: number): string;
}

/** Characters of a body that is too large, which its letter shows: four bytes each at most, as text within text. */
const EXCERPT_CHARACTERS = 30_000;

/** A message whose events are accepted at its timestamp, or earlier, and get ids that derive from the message. */
export function originOf(message: ReadableMessage, acceptedAt = message.timestamp.getTime()): Origin {
  return { message, acceptedAt, idAt: (position) => deriveEventId(message.id, acceptedAt, position) };
}

/** A member of a message that was refused. */
export interface Refusal {
  readonly position: number;
  readonly reason: string;
  readonly event: unknown;
  /** Of a member that does not name its customer itself. */
  readonly customerId?: string | undefined;
}

/** The letters of one message for what was refused. It may have a thousand (contract 10.1): further members share the last one. */
export function refusals(origin: Origin, all: readonly Refusal[], now: number): readonly DeadLetter[] {
  if (all.length <= DEAD_LETTERS_PER_MESSAGE) return all.map((one) => refusal(origin, one, now));
  const kept = all.slice(0, DEAD_LETTERS_PER_MESSAGE - 1);
  const rest = all.slice(kept.length);
  const shared: Refusal = {
    position: -1,
    reason: `${rest.length} more invalid events of one message`,
    event: rest.map(({ event }) => presentable(event)),
    customerId: sharedCustomer(rest),
  };
  return [...kept, shared].map((one) => refusal(origin, one, now));
}

function refusal(origin: Origin, one: Refusal, now: number): DeadLetter {
  const { position, reason, event } = one;
  const about = { customerId: customerOf(one), refused: true };
  return letter(origin, position, reason, event, now, about);
}

/**
 * A letter for a whole message that has no form that we know.
 * @param event what the letter shows of it
 * @param queue where the message came from
 */
export function notUnderstood(
  message: ReadableMessage,
  reason: string,
  now: number,
  event: unknown = message.body,
  queue: string = QUEUES.events,
): DeadLetter {
  const refused = { position: 0, reason: whyNotUnderstood(reason), event };
  return { ...refusal(originOf(message), refused, now), queue };
}

export const whyNotUnderstood = (reason: string) => `message not understood: ${reason}`;

/**
 * A letter for a valid event that cannot be delivered.
 * @param refused its customer does not exist, or it is in the wrong queue
 */
export function deadLetterOf(
  message: ReadableMessage,
  position: number,
  event: IdentityEvent,
  reason: string,
  now: number,
  refused = false,
): DeadLetter {
  const { customerId, id, acceptedAt } = event;
  const origin = { message, acceptedAt, idAt: () => id };
  return letter(origin, position, reason, keptEvent(event), now, { customerId, refused });
}

export function describeFaults(faults: readonly Fault[]): string {
  return faults.map(({ name, reason }) => `${name} ${reason}`).join('; ');
}

function letter(
  { message, acceptedAt, idAt }: Origin,
  position: number,
  reason: string,
  event: unknown,
  now: number,
  about: Pick<DeadLetter, 'customerId' | 'refused'>,
): DeadLetter {
  return {
    id: deadLetterId(message.id, position),
    queue: QUEUES.events,
    reason: reason.slice(0, DEAD_LETTER_REASON_MAX_CHARACTERS),
    body: bodyOf({ replay: 1, acceptedAt, eventId: idAt(position), event }),
    acceptedAt,
    createdAt: now,
    ...about,
  };
}

/** The body as JSON. What is too large for a letter is no valid event: its letter shows how it begins. */
function bodyOf(body: ReplayedEvent): string {
  const json = JSON.stringify({ ...body, event: presentable(body.event) });
  if (fitsLetter(json)) return json;
  const excerpt = JSON.stringify(body.event).slice(0, EXCERPT_CHARACTERS).toWellFormed();
  return JSON.stringify({ ...body, event: { truncated: excerpt } });
}

/** A value that a producer sent, as something that JSON can hold. */
function presentable(value: unknown): unknown {
  if (value instanceof ArrayBuffer) return { bytes: value.byteLength };
  // A letter names its event, and may name several.
  if (depthExceeds(value, DEAD_LETTER_MAX_DEPTH - 2)) return { type: 'deeply nested' };
  try {
    return JSON.stringify(value) === undefined ? { type: typeof value } : value;
  } catch {
    return { type: typeof value };
  }
}

/** The customer of all these members. A letter of several belongs to nobody. */
function sharedCustomer([first, ...others]: readonly Refusal[]): string | undefined {
  const customerId = first === undefined ? null : customerOf(first);
  return customerId !== null && others.every((one) => customerOf(one) === customerId)
    ? customerId
    : undefined;
}

const customerOf = ({ customerId, event }: Refusal) => customerId ?? claimedCustomer(event);

/** The customer that a member of a message names, whether it exists or not. */
function claimedCustomer(event: unknown): string | null {
  if (typeof event !== 'object' || event === null || !('customerId' in event)) return null;
  const { customerId } = event;
  return typeof customerId === 'string' && isUuid(customerId.toLowerCase()) ? customerId.toLowerCase() : null;
}
