/**
 * Which JSON Schemas a filter may be (contract 4). A closed list of draft-07 keywords is checked at every schema, so that
 * a misspelt keyword is refused instead of silently matching everything.
 */
import { RE2JS } from 're2js';
import { jsonBytesExceed } from './event.ts';
import {
  ATTRIBUTES_MAX,
  FILTER_MAX_BYTES,
  FILTER_MAX_COST,
  FILTER_MAX_DEPTH,
  FILTER_PATTERNS_MAX_SIZE,
} from './limits.ts';

/** A schema: an object of keywords, `true` (everything matches it) or `false` (nothing matches it). */
export type FilterSchema = Readonly<Record<string, unknown>> | boolean;

/** The start of every refusal (contract 4). */
const REFUSAL = 'filter is invalid JSON Schema';

const TYPES = ['null', 'boolean', 'object', 'array', 'number', 'string', 'integer'];
const FORMATS = [
  'date',
  'time',
  'date-time',
  'uri',
  'uri-reference',
  'uri-template',
  'email',
  'hostname',
  'ipv4',
  'ipv6',
  'regex',
  'json-pointer',
  'relative-json-pointer',
];
const DRAFT_07 = /^https?:\/\/json-schema\.org\/draft-07\/schema#?$/;

/** Checks the value of one keyword. It returns the reason for refusing the value, or `undefined`. */
type KeywordCheck = (value: unknown, path: string, state: CheckState) => string | undefined;

interface CheckState {
  /** Instructions of all patterns so far. Each costs at most one step for each character of a claim. */
  patternSize: number;
  /** Schemas that evaluating one event visits in the worst case, so far. */
  cost: number;
  /** How often evaluating one event visits the present schema in the worst case. */
  times: number;
}

/**
 * Checks a filter.
 * @param raw the filter as it was sent, parsed from JSON
 * @returns the reason for refusing it, or `undefined`
 */
export function checkFilter(raw: unknown): string | undefined {
  if (!isObject(raw)) return `${REFUSAL}: it must be an object`;
  if (jsonBytesExceed(raw, FILTER_MAX_BYTES))
    return `${REFUSAL}: it is larger than ${FILTER_MAX_BYTES} bytes`;
  if (depthExceeds(raw, FILTER_MAX_DEPTH)) return `${REFUSAL}: it is nested deeper than ${FILTER_MAX_DEPTH}`;
  const fault = checkSchema(raw, '', { patternSize: 0, cost: 0, times: 1 });
  return fault === undefined ? undefined : `${REFUSAL}: ${fault}`;
}

/**
 * A pattern as an automaton that runs in linear time. RE2 has neither look-around nor back-references.
 * @throws Error when RE2 cannot express it
 */
export function compilePattern(pattern: string): RE2JS {
  return RE2JS.compile(RE2JS.translateRegExp(pattern));
}

function checkSchema(schema: unknown, path: string, state: CheckState): string | undefined {
  const costly = spend(state, 1);
  if (costly !== undefined) return costly;
  if (typeof schema === 'boolean') return undefined;
  if (!isObject(schema)) return `${path || 'it'} must be a schema`;
  for (const [keyword, value] of Object.entries(schema)) {
    const at = path === '' ? keyword : `${path}.${keyword}`;
    const check = Object.hasOwn(KEYWORDS, keyword) ? KEYWORDS[keyword] : undefined;
    if (check === undefined) return `${at} is not a keyword that filters know`;
    const fault = check(value, at, state);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function spend(state: CheckState, schemas: number): string | undefined {
  state.cost += schemas * state.times;
  return state.cost > FILTER_MAX_COST
    ? 'it takes too long to evaluate; use enum for lists of names'
    : undefined;
}

/** A keyword whose schema is visited once for each item of an array. */
const perItem =
  (check: KeywordCheck): KeywordCheck =>
  (value, path, state) => {
    state.times *= ATTRIBUTES_MAX;
    const fault = check(value, path, state);
    state.times /= ATTRIBUTES_MAX;
    return fault;
  };

const must =
  (is: (value: unknown) => boolean, what: string): KeywordCheck =>
  (value, path) =>
    is(value) ? undefined : `${path} must be ${what}`;

const anything: KeywordCheck = () => undefined;
const text = must((value) => typeof value === 'string', 'a string');
const number = must(Number.isFinite, 'a number');
const count = must((value) => Number.isSafeInteger(value) && (value as number) >= 0, 'a whole number from 0');
const flag = must((value) => typeof value === 'boolean', 'true or false');
const list = must(Array.isArray, 'an array');
const names = must(isNames, 'an array of different strings');

const schemas: KeywordCheck = (value, path, state) => {
  if (!Array.isArray(value) || value.length === 0) return `${path} must be a non-empty array of schemas`;
  return first(value.entries(), ([index, schema]) => checkSchema(schema, `${path}[${index}]`, state));
};

const schemaMap: KeywordCheck = (value, path, state) => {
  if (!isObject(value)) return `${path} must be an object of schemas`;
  return first(Object.entries(value), ([name, schema]) => checkSchema(schema, `${path}.${name}`, state));
};

const pattern: KeywordCheck = (value, path, state) => {
  if (typeof value !== 'string') return `${path} must be a string`;
  try {
    state.patternSize += compilePattern(value).programSize();
  } catch {
    return `${path} must be a regular expression without look-around, back-reference or large repetition`;
  }
  if (state.patternSize > FILTER_PATTERNS_MAX_SIZE)
    return `${path} makes the patterns of this filter too large`;
  return undefined;
};

/** The closed list of contract 4. */
const KEYWORDS: Readonly<Record<string, KeywordCheck>> = {
  $schema: must((value) => typeof value === 'string' && DRAFT_07.test(value), 'draft-07'),
  $comment: text,
  title: text,
  description: text,
  default: anything,
  examples: list,
  type: must(
    (value) => TYPES.includes(value as string) || (isNames(value) && isTypes(value)),
    `one or several of ${TYPES.join(', ')}`,
  ),
  const: anything,
  enum: (value, path, state) => list(value, path, state) ?? spend(state, (value as unknown[]).length / 20),
  properties: schemaMap,
  patternProperties: (value, path, state) => {
    const fault = schemaMap(value, path, state);
    if (fault !== undefined || !isObject(value)) return fault;
    return first(Object.keys(value), (name) => pattern(name, `${path}.${name}`, state));
  },
  additionalProperties: checkSchema,
  propertyNames: checkSchema,
  required: names,
  minProperties: count,
  maxProperties: count,
  dependencies: (value, path, state) => {
    if (!isObject(value)) return `${path} must be an object`;
    return first(Object.entries(value), ([name, dependency]) =>
      Array.isArray(dependency)
        ? names(dependency, `${path}.${name}`, state)
        : checkSchema(dependency, `${path}.${name}`, state),
    );
  },
  items: (value, path, state) =>
    Array.isArray(value)
      ? first(value.entries(), ([index, schema]) => checkSchema(schema, `${path}[${index}]`, state))
      : perItem(checkSchema)(value, path, state),
  additionalItems: perItem(checkSchema),
  contains: perItem(checkSchema),
  minItems: count,
  maxItems: count,
  // The evaluation compares every pair of items, which costs as much as thousands of schemas.
  uniqueItems: (value, path, state) => flag(value, path, state) ?? spend(state, value === true ? 2000 : 0),
  minLength: count,
  maxLength: count,
  pattern,
  format: must((value) => FORMATS.includes(value as string), `one of ${FORMATS.join(', ')}`),
  minimum: number,
  maximum: number,
  exclusiveMinimum: number,
  exclusiveMaximum: number,
  multipleOf: must((value) => Number.isFinite(value) && (value as number) > 0, 'a number above 0'),
  allOf: schemas,
  anyOf: schemas,
  oneOf: schemas,
  not: checkSchema,
  if: checkSchema,
  // biome-ignore lint/suspicious/noThenProperty: the keyword's name
  then: checkSchema,
  else: checkSchema,
};

function first<T>(all: Iterable<T>, check: (one: T) => string | undefined): string | undefined {
  for (const one of all) {
    const fault = check(one);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isNames(value: unknown): value is string[] {
  return (
    Array.isArray(value) &&
    value.every((name) => typeof name === 'string') &&
    new Set(value).size === value.length
  );
}

function isTypes(value: readonly string[]): boolean {
  return value.length > 0 && value.every((name) => TYPES.includes(name));
}

/** Whether arrays and objects are nested deeper than this; stops as soon as it knows. */
function depthExceeds(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return depth === 0 || Object.values(value).some((inner) => depthExceeds(inner, depth - 1));
}
