/** Small zod schemas shared by the nouns of the domain, with reasons a client can act on. */
import { z } from 'zod';
import { isMoment } from './time.ts';

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

/** Whether a string has so many characters. It has at most as many as UTF-16 units, so only long ones are counted. */
function hasLength(value: string, min: number, max: number): boolean {
  if (min <= 1 && value.length <= max) return value.length >= min;
  const count = characters(value);
  return count >= min && count <= max;
}

/** Whether a string is Unicode that JSON, SQLite and a SET keep unchanged. */
function isCleanText(value: string): boolean {
  return value.isWellFormed() && !value.includes('\0');
}

/** Whether a value obeys `text(min, max)`. */
export function isText(value: unknown, min: number, max: number): value is string {
  return typeof value === 'string' && hasLength(value, min, max) && isCleanText(value);
}

/** A string of `min` to `max` characters that is well-formed Unicode and holds no NUL. */
export function text(min: number, max: number) {
  const reason = `must be a string of ${min} to ${max} characters`;
  return z
    .string({ error: required(reason) })
    .refine((value) => hasLength(value, min, max), { error: reason })
    .refine(isCleanText, { error: 'must be well-formed Unicode without NUL' })
    .meta({ minLength: min, maxLength: max, pattern: '^[^\\x00]*$', examples: ['a text'] });
}

/** A UUID of any version, lower-cased (contract 10.1). The pattern has no flag, because the OpenAPI document shows it. */
export const uuid = z
  .string({ error: required('must be a UUID') })
  .regex(/^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$/, {
    error: 'must be a UUID',
    abort: true,
  })
  .toLowerCase()
  .meta({ format: 'uuid', examples: ['726087ec-35df-4041-aec8-c11ecc208efa'] });

/** How the OpenAPI document shows the id of an event: a UUID version 7. */
export const EVENT_ID_FORM = {
  format: 'uuid',
  pattern: '^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-7[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}$',
  examples: ['01890a5d-ac96-774b-bcce-b302099a8057'],
};

const RFC_3339 = 'must be an RFC 3339 time, e.g. 2026-01-31T12:00:00Z';

/** A time as text that `Date.parse` reads. */
export const rfc3339 = z
  .string({ error: RFC_3339 })
  .toUpperCase() // RFC 3339, 5.6: t and z may be lower case
  .pipe(z.iso.datetime({ offset: true, error: RFC_3339, abort: true }))
  .refine((text) => isMoment(Date.parse(text)), { error: RFC_3339 })
  .meta({ format: 'date-time', examples: ['2026-01-31T12:00:00Z'] });
