/**
 * Log lines: one JSON object each (contract 10.5). The fields are ids, numbers and reasons; never a token, a secret or a
 * payload. `log-events.ts` lists all lines there are, and the compiler accepts no other name, level or field.
 */
import type { LOG_EVENTS, LogEvent } from './log-events.ts';

type Level = keyof typeof LOG_EVENTS;
type Events<L extends Level> = (typeof LOG_EVENTS)[L];
type Value = string | number | boolean | null | undefined;
type Fields<Event extends LogEvent> = Readonly<Partial<Record<Event['fields'][number], Value>>>;

/** Something failed that should not fail: the operator may have to act. */
export function logError<Name extends keyof Events<'error'>>(
  event: Name,
  error: unknown,
  fields?: Fields<Events<'error'>[Name]>,
): void {
  write('error', event, { ...fields, error: describeError(error) });
}

/** Something failed that can always fail, and the service handled it. */
export function logWarn<Name extends keyof Events<'warn'>>(
  event: Name,
  fields: Fields<Events<'warn'>[Name]>,
): void {
  write('warn', event, fields);
}

/** Something went well. */
export function logInfo<Name extends keyof Events<'info'>>(
  event: Name,
  fields: Fields<Events<'info'>[Name]>,
): void {
  write('info', event, fields);
}

function write(level: Level, event: string, fields: object): void {
  console[level](JSON.stringify({ level, event, ...fields }));
}

/** The name and message of an error; at most 500 characters. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // The message of Drizzle's own error holds the query with its parameters, so only its cause may be logged. An outage says
  // in its own message what caused it.
  const shown = error.cause instanceof Error && error.name !== 'Outage' ? error.cause : error;
  return `${shown.name}: ${shown.message}`.slice(0, 500);
}
