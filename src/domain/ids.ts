/**
 * Identifiers. All are lower-case hyphenated UUIDs (contract 1).
 *
 * An event id is a UUIDv7 (RFC 9562, 5.7): it sorts by time, so a table keyed by it is in order of time.
 * A notification id (`jti`) is a UUIDv5 of the subscription and the event. It is the same in every retry and redelivery,
 * no matter where it is computed, and it differs from the event id (contract 6.2).
 */
import { parse, stringify, v5, v7, validate, version } from 'uuid';

/** The namespace for names that are hashed into ids. A random constant; another one would make other ids. */
const NAMESPACE = '5d0f6a52-7a0c-4b7e-9d6e-0f3d8a6b1c47';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** True for a lower-case hyphenated UUID of any version. */
export function isUuid(text: string): boolean {
  return UUID.test(text);
}

/** True for a text that can be the id of a client (contract 10.2). `.` and `..` would vanish from the path of its URL. */
export function isClientId(text: string): boolean {
  return /^(?!\.{1,2}$)[A-Za-z0-9._~-]{1,64}$/.test(text);
}

/**
 * True for a text that can be the id of a request (contract 8): a UUID for a call, and what the platform calls a message of a queue. It is
 * harmless in a log line, and each delivery that waits keeps it, so it is short.
 */
export function isRequestId(text: string): boolean {
  return /^[A-Za-z0-9_=-]{1,64}$/.test(text);
}

/** True for a UUID version 7 in lower case. */
export function isEventId(text: string): boolean {
  return isUuid(text) && validate(text) && version(text) === 7;
}

/** The time in a UUIDv7, milliseconds since 1970. */
export function eventIdTime(eventId: string): number {
  return Number.parseInt(eventId.slice(0, 8) + eventId.slice(9, 13), 16);
}

/**
 * New event ids in ascending order, all with the same time (ms).
 * @param random at least 16 random bytes
 */
export function newEventIds(nowMs: number, count: number, random: Uint8Array): string[] {
  const start = sequence(random) >>> 1; // the upper half stays free to count into
  return Array.from({ length: count }, (_, index) => v7({ msecs: nowMs, random, seq: start + index }));
}

/**
 * The event id for an event of a queue message that has no id of its own. It is the key that makes a repeat harmless:
 * a message that the queue delivers again has the same id and time, so its events get the same event ids.
 */
export function deriveEventId(messageId: string, messageTimeMs: number, position: number): string {
  const hash = parse(v5(`event ${messageId} ${position}`, NAMESPACE));
  return v7({ msecs: messageTimeMs, random: hash, seq: sequence(hash) });
}

/** The event id of a notice for the operator, from a name that says what it says (domain/notice.ts). */
export function noticeId(name: string, timeMs: number): string {
  const hash = parse(v5(`notice ${name}`, NAMESPACE));
  return v7({ msecs: timeMs, random: hash, seq: sequence(hash) });
}

/**
 * A new lease token: a UUIDv7, so that it says when its dispatch was first sent.
 * @param random at least 16 random bytes
 */
export function newLeaseToken(nowMs: number, random: Uint8Array): string {
  return v7({ msecs: nowMs, random });
}

/** When the dispatch of a lease token was first sent, ms; `undefined` for a token of version 0.1.0, which has no time. */
export function leaseTokenTime(token: string): number | undefined {
  return isEventId(token) ? eventIdTime(token) : undefined;
}

/** The first four bytes as an unsigned number: the part of a UUIDv7 that follows its time. */
function sequence(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
}

/** `jti` of an event's notification to one subscription. */
export function notificationId(subscriptionId: string, eventId: string): string {
  return v5(eventId, subscriptionId);
}

/** The id of the dead letter for one position of a queue message: a message delivered again adds no second letter. */
export function deadLetterId(messageId: string, position: number): string {
  return v5(`dead letter ${messageId} ${position}`, NAMESPACE);
}

/** The smallest UUIDv7 text with this time (ms): a bound for queries by time. */
export function eventIdFloor(timeMs: number): string {
  const bytes = new Uint8Array(16);
  const time = Math.max(0, Math.floor(timeMs));
  for (let index = 0; index < 6; index++) bytes[index] = Math.floor(time / 2 ** (8 * (5 - index))) % 256;
  bytes[6] = 0x70;
  bytes[8] = 0x80;
  return stringify(bytes);
}
