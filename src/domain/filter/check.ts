/**
 * Which JSON Schemas a filter may be (contract 4). A closed list of draft-07 keywords is checked at every schema, so that
 * a misspelt keyword is refused instead of silently matching everything. What passes is compiled: what is accepted can be
 * evaluated, and its cost is known.
 */
import { jsonBytesExceed } from '../event.ts';
import { depthExceeds } from '../json-size.ts';
import { FILTER_MAX_BYTES, FILTER_MAX_DEPTH, FILTER_MAX_SCHEMAS, FILTER_MAX_STEPS } from '../limits.ts';
import { compileFilter, rememberSteps } from './filter.ts';
import { FORMATS } from './formats.ts';
import { Patterns } from './patterns.ts';
import { isObject, TYPES, textKey } from './values.ts';

/** The start of every refusal (contract 4). */
const REFUSAL = 'filter is invalid JSON Schema';

const FORMAT_NAMES = Object.keys(FORMATS);
/** Characters of the path to a keyword in a refusal. */
const PATH_MAX_CHARACTERS = 200;
const DRAFT_07 = /^https?:\/\/json-schema\.org\/draft-07\/schema#?$/;

/** Checks the value of one keyword. It returns the reason for refusing the value, or `undefined`. */
type KeywordCheck = (value: unknown, path: string, state: CheckState) => string | undefined;

interface CheckState {
  /** Compiled while the schemas are checked: the filter is compiled with them. */
  readonly patterns: Patterns;
  /** Schemas so far, `true` and `false` too. */
  schemas: number;
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
  const state: CheckState = { patterns: new Patterns(), schemas: 0 };
  const fault = checkSchema(raw, '', state) ?? faultOfSteps(raw, state.patterns);
  return fault === undefined ? undefined : `${REFUSAL}: ${fault}`;
}

function faultOfSteps(schema: Readonly<Record<string, unknown>>, patterns: Patterns): string | undefined {
  const filter = compileFilter(schema, patterns);
  const steps = filter.worstSteps();
  rememberSteps(schema, steps);
  if (steps <= FILTER_MAX_STEPS) return undefined;
  return (
    `evaluating it may take ${steps} steps for one event (${filter.buildSteps} of them to build it), and the limit is ` +
    `${FILTER_MAX_STEPS}: give arrays fewer schemas, and use one enum instead of many constants or patterns`
  );
}

function checkSchema(schema: unknown, path: string, state: CheckState): string | undefined {
  state.schemas += 1;
  if (state.schemas > FILTER_MAX_SCHEMAS)
    return `it has more than ${FILTER_MAX_SCHEMAS} schemas within each other: use enum for lists of constants`;
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

const pattern: KeywordCheck = (value, path, { patterns }) => {
  if (typeof value !== 'string') return `${path} must be a string`;
  const fault = patterns.accept(value);
  return fault === undefined ? undefined : `${shortened(path)} ${fault}`;
};

/** A path that has a pattern as a name is as long as the pattern. */
function shortened(path: string): string {
  return path.length <= PATH_MAX_CHARACTERS ? path : `${path.slice(0, PATH_MAX_CHARACTERS)}…`;
}

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
  enum: list,
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
      : checkSchema(value, path, state),
  additionalItems: checkSchema,
  contains: checkSchema,
  minItems: count,
  maxItems: count,
  uniqueItems: flag,
  minLength: count,
  maxLength: count,
  pattern,
  format: must((value) => FORMAT_NAMES.includes(value as string), `one of ${FORMAT_NAMES.join(', ')}`),
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

function isNames(value: unknown): value is string[] {
  return (
    Array.isArray(value) &&
    value.every((name) => typeof name === 'string') &&
    new Set(value.map(textKey)).size === value.length
  );
}

function isTypes(value: readonly string[]): boolean {
  return value.length > 0 && value.every((name) => TYPES.includes(name));
}
