/** Small zod schemas shared by the nouns of the domain, with reasons a client can act on. */
import { z } from 'zod';

type IssueInput = { readonly input?: unknown };

/** An error function for zod: a missing value "is required", any other faulty one gets `otherwise`. */
export function required(otherwise: string): (issue: IssueInput) => string {
  return (issue) => (issue.input === undefined ? 'is required' : otherwise);
}

/** Length in characters as a person counts: code points, not UTF-16 units. */
export function characters(value: string): number {
  let count = 0;
  for (const _ of value) count++;
  return count;
}

/** A string of `min` to `max` characters that is well-formed Unicode and holds no NUL. */
export function text(min: number, max: number) {
  const reason = `must be a string of ${min} to ${max} characters`;
  return z
    .string({ error: required(reason) })
    .refine((value) => characters(value) >= min && characters(value) <= max, { error: reason })
    .refine((value) => value.isWellFormed() && !value.includes('\0'), {
      error: 'must be well-formed Unicode without NUL',
    });
}

/** A UUID of any version, lower-cased (contract 10.1). */
export const uuid = z
  .string({ error: required('must be a UUID') })
  .regex(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i, {
    error: 'must be a UUID',
    abort: true,
  })
  .toLowerCase();

const RFC_3339 = 'must be an RFC 3339 time, e.g. 2026-01-31T12:00:00Z';
/** The last moment that RFC 3339 can write in UTC. */
const LATEST_MS = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

/** A time as text that `Date.parse` reads. */
export const rfc3339 = z
  .string({ error: RFC_3339 })
  .toUpperCase() // RFC 3339, 5.6: t and z may be lower case
  .pipe(z.iso.datetime({ offset: true, error: RFC_3339, abort: true }))
  .refine((text) => Date.parse(text) <= LATEST_MS, { error: RFC_3339 });
