/**
 * Expected failure as a value: what can be wrong with a call, as a closed union. `http/errors.ts` holds the one
 * table that turns it into a status and a body (contract 8).
 */

/** One fault of one named input; `reason` says what is wanted. Collected, so that all are told at once. */
export interface Fault {
  readonly name: string;
  readonly reason: string;
}

export type ApiError =
  | { readonly code: 'invalid_json' }
  | { readonly code: 'invalid_body'; readonly faults: readonly Fault[] }
  | { readonly code: 'invalid_query'; readonly faults: readonly Fault[] }
  | { readonly code: 'forbidden' }
  | { readonly code: 'not_found'; readonly what: string }
  | { readonly code: 'method_not_allowed'; readonly allow: readonly string[] }
  | { readonly code: 'conflict'; readonly details: string }
  | { readonly code: 'body_too_large'; readonly details: string }
  | { readonly code: 'unsupported_media_type'; readonly details: string }
  | { readonly code: 'too_many_requests'; readonly details: string; readonly retryAfterSeconds: number }
  | { readonly code: 'internal' }
  | { readonly code: 'unavailable'; readonly details: string; readonly retryAfterSeconds: number };

/** Carries an `ApiError` out of nested code to the one place that answers. */
export class ApiFailure extends Error {
  override readonly name = 'ApiFailure';
  readonly error: ApiError;
  constructor(error: ApiError) {
    super(error.code);
    this.error = error;
  }
}

/**
 * A part of the platform is briefly away: the call may succeed when it is repeated. Thrown by the adapter that talks to
 * the part, because the adapter alone knows how its platform says so.
 */
export class Outage extends Error {
  override readonly name = 'Outage';
  constructor(part: 'database' | 'event store' | 'queue', cause: unknown) {
    super(`the ${part} is away`, { cause });
  }
}

/** The outage behind an error; libraries wrap what they pass on. */
export function outageBehind(error: unknown): Outage | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause)
    if (cause instanceof Outage) return cause;
  return undefined;
}

interface Issue {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

/** A zod issue's path as a caller reads it: `events[0]`, `[3].attributes`; `root` where the whole is meant. */
export function faultName(path: readonly PropertyKey[], root: string): string {
  const name = path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`;
    return text === '' ? String(part) : `${text}.${String(part)}`;
  }, '');
  return name === '' ? root : name;
}

/** Faults of a failed parse, in the order found. */
export function faultsOf(issues: readonly Issue[], root = 'body'): Fault[] {
  return issues.map((issue) => ({ name: faultName(issue.path, root), reason: issue.message }));
}
