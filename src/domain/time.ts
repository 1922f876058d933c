/** Moments as text, and the range of moments that text can have (RFC 3339). */

/** The first moment that RFC 3339 can write in UTC: the year 0. */
const EARLIEST_MS = Date.parse('0000-01-01T00:00:00.000Z');
/** The last moment that RFC 3339 can write in UTC. */
const LATEST_MS = Date.parse('9999-12-31T23:59:59.999Z');

/** Whether a value is a time in whole milliseconds since 1970 that RFC 3339 can write. */
export function isMoment(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= EARLIEST_MS && Number(value) <= LATEST_MS;
}

/**
 * A time as text: RFC 3339, UTC, milliseconds (contract 1). It never throws, because one stored value must not break a whole list:
 * a time out of range is shown as the nearest one in range, and what is no number as the start of 1970.
 */
export function rfc3339Time(ms: number): string {
  const inRange = Math.min(Math.max(Number(ms), EARLIEST_MS), LATEST_MS);
  return new Date(Number.isNaN(inRange) ? 0 : inRange).toISOString();
}
