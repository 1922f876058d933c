/**
 * Compiles a schema to closures: one check for each keyword, called only for values of the type that the keyword is about.
 * No text is made and nothing is shared between evaluations.
 *
 * A schema that `checkFilter` accepted always compiles, and a compiled schema answers for every JSON value.
 */
import { contains, everyItem, itemCount, tuple } from './arrays.ts';
import type { Automaton } from './automaton.ts';
import { allOf, anyOf, ifThenElse, not, oneOf } from './combinations.ts';
import { numberCheck } from './numbers.ts';
import { dependency, memberCount, members, propertyNames, required } from './objects.ts';
import { type Check, fixed, NOTHING, sum } from './steps.ts';
import { formatCheck, lengthCheck } from './texts.ts';
import { constCheck, enumCheck, isObject, textKey, typeCheck, UNIQUE } from './values.ts';

/** A schema: an object of keywords, `true` (everything matches it) or `false` (nothing matches it). */
export type FilterSchema = Readonly<Record<string, unknown>> | boolean;

/** What compiling needs, and what it reports. */
interface Needs {
  automaton(pattern: string): Automaton;
  /** Called once for each schema. */
  countSchema(schema: FilterSchema): void;
}

/** Steps to find the checks for a value. */
const STEPS_A_SCHEMA = 4;

/** A schema's checks, by the type of the value they are for. */
interface Checks {
  readonly any: readonly Check[];
  readonly texts: readonly Check[];
  readonly numbers: readonly Check[];
  readonly arrays: readonly Check[];
  readonly objects: readonly Check[];
}

export function compile(schema: FilterSchema, needs: Needs): Check {
  needs.countSchema(schema);
  if (typeof schema === 'boolean') return schema ? VALID : INVALID;
  const compiler = new Compiler(schema, needs);
  return dispatch({
    any: compiler.any(),
    texts: compiler.texts(),
    numbers: compiler.numbers(),
    arrays: compiler.arrays(),
    objects: compiler.objects(),
  });
}

/** Most schemas have checks for one kind of value only: they need no search for the kind, and little memory. */
function dispatch(checks: Checks): Check {
  const { any, texts, numbers, arrays, objects } = checks;
  const kinds = [any, texts, numbers, arrays, objects].filter(({ length }) => length > 0);
  if (kinds.length === 0) return VALID;
  if (kinds.length > 1 || numbers.length > 0)
    return byKind(allOf(any), allOf(texts), allOf(numbers), allOf(arrays), allOf(objects));
  if (any.length > 0) return allOf(any);
  if (texts.length > 0) return ofTexts(allOf(texts));
  return arrays.length > 0 ? ofArrays(allOf(arrays)) : ofObjects(allOf(objects));
}

/** Those of all filters: a filter can have a thousand of them. */
const VALID = always(true);
const INVALID = always(false);

function always(answer: boolean): Check {
  return {
    test: (_, meter) => {
      meter.steps += 2;
      return answer;
    },
    worst: () => fixed(2),
  };
}

function ofTexts(check: Check): Check {
  return {
    test: (value, meter) => {
      meter.steps += 2;
      return typeof value !== 'string' || check.test(value, meter);
    },
    worst: (shape) => sum([fixed(2), check.worst(shape)]),
  };
}

function ofArrays(check: Check): Check {
  return {
    test: (value, meter) => {
      meter.steps += 2;
      return !Array.isArray(value) || check.test(value, meter);
    },
    worst: (shape) => sum([fixed(2), shape.kind === 'array' ? check.worst(shape) : NOTHING]),
  };
}

function ofObjects(check: Check): Check {
  return {
    test: (value, meter) => {
      meter.steps += 2;
      return !isObject(value) || check.test(value, meter);
    },
    worst: (shape) => sum([fixed(2), shape.kind === 'object' ? check.worst(shape) : NOTHING]),
  };
}

function byKind(any: Check, text: Check, number: Check, array: Check, object: Check): Check {
  return {
    test: (value, meter) => {
      meter.steps += STEPS_A_SCHEMA;
      if (!any.test(value, meter)) return false;
      if (typeof value === 'string') return text.test(value, meter);
      if (Array.isArray(value)) return array.test(value, meter);
      if (isObject(value)) return object.test(value, meter);
      return typeof value !== 'number' || number.test(value, meter);
    },
    worst: (shape) =>
      sum([fixed(STEPS_A_SCHEMA), any.worst(shape), { text, array, object }[shape.kind].worst(shape)]),
  };
}

/** Reads the keywords of one schema. The values have the right kinds, because `checkFilter` accepted them. */
class Compiler {
  readonly #schema: Readonly<Record<string, unknown>>;
  readonly #needs: Needs;

  constructor(schema: Readonly<Record<string, unknown>>, needs: Needs) {
    this.#schema = schema;
    this.#needs = needs;
  }

  any(): Check[] {
    return [
      ...this.#when('type', (types) => typeCheck(types as string | string[])),
      ...this.#when('const', constCheck),
      ...this.#when('enum', (constants) => enumCheck(constants as unknown[])),
      ...this.#when('allOf', (schemas) => allOf(this.#each(schemas))),
      ...this.#when('anyOf', (schemas) => anyOf(this.#each(schemas))),
      ...this.#when('oneOf', (schemas) => oneOf(this.#each(schemas))),
      ...this.#when('not', (schema) => not(this.#one(schema))),
      ...this.#when('if', (condition) =>
        ifThenElse(
          this.#one(condition),
          this.#one(this.#get('then', true)),
          this.#one(this.#get('else', true)),
        ),
      ),
    ];
  }

  texts(): Check[] {
    return [
      ...this.#between('minLength', 'maxLength', lengthCheck),
      ...this.#when('format', (name) => formatCheck(name as string)),
      ...this.#when('pattern', (pattern) => this.#automaton(pattern as string)),
    ];
  }

  numbers(): Check[] {
    // What is compiled must not close over the compiler: that would keep the whole schema in memory.
    const compare = (keyword: string, test: (value: number, limit: number) => boolean) =>
      this.#when(keyword, (limit) => numberCheck(test, limit as number));
    return [
      ...compare('minimum', (value, limit) => value >= limit),
      ...compare('maximum', (value, limit) => value <= limit),
      ...compare('exclusiveMinimum', (value, limit) => value > limit),
      ...compare('exclusiveMaximum', (value, limit) => value < limit),
      ...compare('multipleOf', isMultiple),
    ];
  }

  arrays(): Check[] {
    const { items } = this.#schema;
    return [
      ...this.#between('minItems', 'maxItems', itemCount),
      ...this.#when('items', () =>
        Array.isArray(items)
          ? tuple(this.#each(items), this.#when('additionalItems', (rest) => this.#one(rest))[0])
          : everyItem(this.#one(items)),
      ),
      ...this.#when('contains', (schema) => contains(this.#one(schema))),
      ...(this.#get('uniqueItems', false) === true ? [UNIQUE] : []),
    ];
  }

  objects(): Check[] {
    return [
      ...this.#when('required', (names) => required(names as string[])),
      ...this.#between('minProperties', 'maxProperties', memberCount),
      ...this.#members(),
      ...this.#when('propertyNames', (schema) => propertyNames(this.#one(schema))),
      ...this.#entries('dependencies').map(([name, needs]) =>
        dependency(name, Array.isArray(needs) ? required(needs) : this.#one(needs)),
      ),
    ];
  }

  #members(): Check[] {
    const keywords = ['properties', 'patternProperties', 'additionalProperties'];
    if (!keywords.some((keyword) => this.#has(keyword))) return [];
    const named = this.#entries('properties').map(
      ([name, schema]) => [textKey(name), this.#one(schema)] as const,
    );
    const patterns = this.#entries('patternProperties').map(
      ([pattern, schema]) => [this.#automaton(pattern), this.#one(schema)] as const,
    );
    const [others] = this.#when('additionalProperties', (schema) => this.#one(schema));
    return [members({ named: new Map(named), patterns, others })];
  }

  #one(schema: unknown): Check {
    return compile(schema as FilterSchema, this.#needs);
  }

  #each(schemas: unknown): Check[] {
    return (schemas as unknown[]).map((schema) => this.#one(schema));
  }

  #automaton(pattern: string): Automaton {
    return this.#needs.automaton(pattern);
  }

  #has(keyword: string): boolean {
    return Object.hasOwn(this.#schema, keyword);
  }

  #get(keyword: string, otherwise: unknown): unknown {
    return this.#has(keyword) ? this.#schema[keyword] : otherwise;
  }

  #entries(keyword: string): [string, unknown][] {
    return Object.entries(this.#get(keyword, {}) as object);
  }

  #when(keyword: string, check: (value: unknown) => Check): Check[] {
    return this.#has(keyword) ? [check(this.#schema[keyword])] : [];
  }

  #between(least: string, most: string, check: (min: number, max: number) => Check): Check[] {
    if (!this.#has(least) && !this.#has(most)) return [];
    return [check(this.#get(least, 0) as number, this.#get(most, Number.POSITIVE_INFINITY) as number)];
  }
}

/** As Ajv says, except that a quotient that is too large for a number does not make the answer wrong. */
function isMultiple(value: number, divisor: number): boolean {
  const quotient = value / divisor;
  return Number.isFinite(quotient) ? Number.isInteger(quotient) : value % divisor === 0;
}
