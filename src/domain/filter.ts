/**
 * Filters (contract 4): a JSON Schema evaluated against the value of a SET's `events` claim.
 *
 * The library `@cfworker/json-schema` evaluates. Two of its habits could be turned against the service. Its regular
 * expressions backtrack, so `pattern` and `patternProperties` are rewritten and run on an engine of linear time. Names such
 * as `constructor` exist on every plain object, so the library gets claims without prototypes.
 */
import { format, type Schema, Validator } from '@cfworker/json-schema';
import type { RE2JS } from 're2js';
import { EVENT_TYPES } from './event.ts';
import { compilePattern, type FilterSchema } from './filter-schema.ts';

/** Whether an event passes, given the value of its `events` claim. */
export type Filter = (eventsClaim: Readonly<Record<string, object>>) => boolean;

/** Every name that an object within the claim can have: `patternProperties` can match no other. */
const CLAIM_NAMES = [
  ...EVENT_TYPES,
  'attributes',
  'captureApplicationId',
  'captureClientId',
  'entityType',
  'globalSub',
  'id',
  'sub',
];

/** Compiles a schema that `checkFilter` accepted. */
export function compileFilter(schema: FilterSchema): Filter {
  const patterns = new Map<string, RE2JS>();
  const validator = new Validator(rewrite(schema, patterns) as Schema, '7', true);
  return (eventsClaim) => {
    // The library looks formats up in one table by name. Ours are in the table only during this call.
    for (const [name, pattern] of patterns) format[name] = (value: string) => pattern.test(value);
    try {
      return validator.validate(withoutPrototypes(eventsClaim)).valid;
    } finally {
      for (const name of patterns.keys()) delete format[name];
    }
  };
}

/** The same schema, with every regular expression of the customer replaced. */
function rewrite(schema: unknown, patterns: Map<string, RE2JS>): unknown {
  if (typeof schema !== 'object' || schema === null) return schema;
  const one = (value: unknown) => rewrite(value, patterns);
  const each = (value: unknown) => (Array.isArray(value) ? value.map(one) : one(value));
  const map = (value: unknown) =>
    Object.fromEntries(
      Object.entries(value as object).map(([name, inner]) => [
        name,
        Array.isArray(inner) ? inner : one(inner),
      ]),
    );
  const rewritten: Record<string, unknown> = {};
  const { pattern, patternProperties, ...rest } = schema as Record<string, unknown>;
  for (const [keyword, value] of Object.entries(rest)) {
    switch (keyword) {
      case 'properties':
      case 'dependencies':
        rewritten[keyword] = map(value);
        break;
      case 'additionalProperties':
      case 'propertyNames':
      case 'additionalItems':
      case 'contains':
      case 'not':
      case 'if':
      case 'then':
      case 'else':
        rewritten[keyword] = one(value);
        break;
      case 'items':
      case 'allOf':
      case 'anyOf':
      case 'oneOf':
        rewritten[keyword] = each(value);
        break;
      default:
        rewritten[keyword] = value;
    }
  }
  if (patternProperties !== undefined) rewritten['patternProperties'] = byName(map(patternProperties));
  if (typeof pattern !== 'string') return rewritten;
  const name = `pattern ${pattern}`;
  patterns.set(name, compilePattern(pattern));
  return { allOf: [rewritten, { format: name }] };
}

/** `patternProperties` with its patterns resolved: for each name that can occur, the schemas it must match. */
function byName(patternProperties: Record<string, unknown>): Record<string, unknown> {
  const resolved: Record<string, unknown> = {};
  const compiled = Object.entries(patternProperties).map(
    ([pattern, schema]) => [compilePattern(pattern), schema] as const,
  );
  for (const name of CLAIM_NAMES) {
    const schemas = compiled.filter(([pattern]) => pattern.test(name)).map(([, schema]) => schema);
    if (schemas.length > 0) resolved[`^${name}$`] = { allOf: schemas };
  }
  return resolved;
}

function withoutPrototypes(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(withoutPrototypes);
  const bare = Object.create(null) as Record<string, unknown>;
  for (const [name, inner] of Object.entries(value)) bare[name] = withoutPrototypes(inner);
  return bare;
}
