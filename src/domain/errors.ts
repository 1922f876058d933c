/**
 * Expected failures as values: a closed union of what can be wrong with a call. `http/kit/error-table.ts` has the one table
 * that turns each into a status and a body (contract 8).
 */

import { FAULTS_MAX } from './limits.ts';

/** One fault of one input. `reason` says what the input must be. The caller gets the first 100 faults of a call at once. */
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

/** What the name of a fault is that no member or parameter has. */
const WHOLE = { invalid_body: 'body', invalid_query: 'query' } as const;

/**
 * The faults that an answer names: 100, and one more entry that counts others. A search for faults may have ended early, so the
 * entry says "at least".
 */
export function firstFaults(faults: readonly Fault[], whole: string): readonly Fault[] {
  const more = faults.length - FAULTS_MAX;
  if (more <= 0) return faults;
  return [...faults.slice(0, FAULTS_MAX), { name: whole, reason: `has at least ${more} more faults` }];
}

/** Carries an `ApiError` out of nested code to the one place that answers the request. */
export class ApiFailure extends Error {
  override readonly name = 'ApiFailure';
  readonly error: ApiError;
  constructor(error: ApiError) {
    super(error.code);
    this.error =
      'faults' in error ? { ...error, faults: firstFaults(error.faults, WHOLE[error.code]) } : error;
  }
}

/**
 * A part of the platform is briefly away: the call may succeed when it is repeated. The adapter that talks to the part
 * throws it, because only the adapter knows how the platform reports an outage.
 */
export class Outage extends Error {
  override readonly name = 'Outage';
  constructor(part: 'database' | 'event store' | 'queue', cause: unknown) {
    super(`the ${part} is away: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

/** The outage behind an error, or `undefined`. Libraries wrap the errors that they pass on. */
export function outageBehind(error: unknown): Outage | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause)
    if (cause instanceof Outage) return cause;
  return undefined;
}

interface Issue {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

/** The path of a zod issue, written as a caller reads it: `events[0]`, `[3].attributes`. An empty path is `root`. */
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
