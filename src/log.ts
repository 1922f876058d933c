/**
 * Log lines: one JSON object each (contract 10.5). Fields are ids, numbers and reasons; never a token, a secret
 * or a payload.
 */
export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>;

function write(level: 'debug' | 'info' | 'warn' | 'error', event: string, fields: LogFields): void {
  console[level](JSON.stringify({ level, event, ...fields }));
}

/** Something the operator must know of: it may need a hand. */
export function logError(event: string, error: unknown, fields: LogFields = {}): void {
  write('error', event, { ...fields, error: describeError(error) });
}

/** Something that did not come out, and was handled. */
export function logWarn(event: string, fields: LogFields): void {
  write('warn', event, fields);
}

export function logInfo(event: string, fields: LogFields): void {
  write('info', event, fields);
}

/** An error's name and message; the message of its cause where a library hides it there. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // Drizzle puts the query with its parameters into its own message: only the cause is fit for a log.
  const shown = error.cause instanceof Error ? error.cause : error;
  return `${shown.name}: ${shown.message}`.slice(0, 500);
}
