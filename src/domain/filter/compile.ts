/**
 * Compiles a schema to closures: one check for each keyword, called only for values of the type that the keyword is about.
 * No text is made and nothing is shared between evaluations.
 *
 * A schema that `checkFilter` accepted always compiles, and a compiled schema answers for every JSON value.
 */
import { contains, everyItem, itemCount, tuple } from './arrays.ts';
import { type Automaton, compilePattern } from './automaton.ts';
import { allOf, anyOf, ifThenElse, not, oneOf } from './combinations.ts';
import { numberCheck } from './numbers.ts';
import { dependency, memberCount, members, propertyNames, required } from './objects.ts';
import { type Check, fixed, sum } from './steps.ts';
import { formatCheck, lengthCheck } from './texts.ts';
import { constCheck, enumCheck, isObject, typeCheck, uniqueCheck } from './values.ts';

/** A schema: an object of keywords, `true` (everything matches it) or `false` (nothing matches it). */
export type FilterSchema = Readonly<Record<string, unknown>> | boolean;

/** Gets every automaton, once. */
type Collect = (automaton: Automaton) => void;

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

export function compile(schema: FilterSchema, collect: Collect): Check {
  if (typeof schema === 'boolean') return always(schema);
  const compiler = new Compiler(schema, collect);
  return dispatch({
    any: compiler.any(),
    texts: compiler.texts(),
    numbers: compiler.numbers(),
    arrays: compiler.arrays(),
    objects: compiler.objects(),
  });
}

/** A schema that has checks for one kind of value only needs no search for them: most schemas are so. */
function dispatch(checks: Checks): Check {
  const { any, texts, numbers, arrays, objects } = checks;
  const others = [...numbers, ...arrays, ...objects];
  if (others.length > 0 || (any.length > 0 && texts.length > 0)) return byKind(checks);
  if (any.length > 0) return allOf(any);
  return texts.length > 0 ? ofTexts(allOf(texts)) : always(true);
}

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

function byKind({ any, texts, numbers, arrays, objects }: Checks): Check {
  const all = allOf(any);
  const kinds = { text: allOf(texts), array: allOf(arrays), object: allOf(objects) };
  const byNumber = allOf(numbers);
  return {
    test: (value, meter) => {
      meter.steps += STEPS_A_SCHEMA;
      if (!all.test(value, meter)) return false;
      if (typeof value === 'string') return kinds.text.test(value, meter);
      if (Array.isArray(value)) return kinds.array.test(value, meter);
      if (isObject(value)) return kinds.object.test(value, meter);
      return typeof value !== 'number' || byNumber.test(value, meter);
    },
    worst: (shape) => sum([fixed(STEPS_A_SCHEMA), all.worst(shape), kinds[shape.kind].worst(shape)]),
  };
}

/** Reads the keywords of one schema. The values have the right kinds, because `checkFilter` accepted them. */
class Compiler {
  readonly #schema: Readonly<Record<string, unknown>>;
  readonly #collect: Collect;

  constructor(schema: Readonly<Record<string, unknown>>, collect: Collect) {
    this.#schema = schema;
    this.#collect = collect;
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
    const compare = (keyword: string, test: (value: number, limit: number) => boolean) =>
      this.#when(keyword, (limit) => numberCheck((value) => test(value, limit as number)));
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
      ...(this.#get('uniqueItems', false) === true ? [uniqueCheck()] : []),
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
    const named = this.#entries('properties').map(([name, schema]) => [name, this.#one(schema)] as const);
    const patterns = this.#entries('patternProperties').map(
      ([pattern, schema]) => [this.#automaton(pattern), this.#one(schema)] as const,
    );
    const [others] = this.#when('additionalProperties', (schema) => this.#one(schema));
    return [members({ named: new Map(named), patterns, others })];
  }

  #one(schema: unknown): Check {
    return compile(schema as FilterSchema, this.#collect);
  }

  #each(schemas: unknown): Check[] {
    return (schemas as unknown[]).map((schema) => this.#one(schema));
  }

  #automaton(pattern: string): Automaton {
    const automaton = compilePattern(pattern);
    this.#collect(automaton);
    return automaton;
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
