/** Keywords for any value: `type`, `const` and `enum`. Two values are equal as JSON Schema says: 1 is 1.0, order of keys is free. */
import { ATTRIBUTES_MAX, EVENT_MAX_BYTES } from '../limits.ts';
import { type Check, type Cost, fixed, type Meter, NOTHING, type Shape } from './steps.ts';

/** Characters that a comparison or a hash reads in one step. */
const CHARACTERS_A_STEP = 8;

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isScalar(value: unknown): boolean {
  return typeof value !== 'object' || value === null;
}

/** Steps for one call of a check, without what it reads. */
const STEPS_A_CHECK = 3;

/** Steps for one look at a value that is not a text, and more for a text: its characters are hashed or compared. */
function stepsOfLook(value: unknown): number {
  return STEPS_A_CHECK + (typeof value === 'string' ? Math.floor(value.length / CHARACTERS_A_STEP) : 0);
}

/** A look at a text that is not read when it is too long. Either all of a short text is read, or each character costs. */
function worstLook(maxCharacters: number): Cost {
  return maxCharacters > EVENT_MAX_BYTES / ATTRIBUTES_MAX
    ? { fixed: STEPS_A_CHECK, perCharacter: 1 / CHARACTERS_A_STEP }
    : fixed(STEPS_A_CHECK + maxCharacters / CHARACTERS_A_STEP);
}

/** Digits of the largest index of an array: the engine hashes longer numbers like other texts. */
const INDEX_DIGITS = 10;

/**
 * A text as it goes into a set or a map with other texts. workerd hashes a text that is the index of an array by its number,
 * and multiples of 8,192 all alike: a look at one of them would go through all. It hashes numbers well, so such a text goes
 * in as the number. Texts alone have keys: the text `1` and the number 1 have one.
 */
export function textKey(text: string): string | number {
  const { length } = text;
  if (length === 0 || length > INDEX_DIGITS) return text;
  let number = text.charCodeAt(0) - 0x30;
  if (number < 0 || number > 9 || (number === 0 && length > 1)) return text;
  for (let index = 1; index < length; index++) {
    const digit = text.charCodeAt(index) - 0x30;
    if (digit < 0 || digit > 9) return text;
    number = 10 * number + digit;
  }
  return number;
}

const TYPE_TESTS: Readonly<Record<string, (value: unknown) => boolean>> = {
  null: (value) => value === null,
  boolean: (value) => typeof value === 'boolean',
  object: isObject,
  array: Array.isArray,
  number: (value) => typeof value === 'number',
  string: (value) => typeof value === 'string',
  integer: Number.isInteger,
};

export const TYPES: readonly string[] = Object.keys(TYPE_TESTS);

export function typeCheck(types: string | readonly string[]): Check {
  return typeof types === 'string' ? (ONE_TYPE.get(types) as Check) : oneOfTypes(types);
}

function oneOfTypes(types: readonly string[]): Check {
  const tests = types.map((type) => TYPE_TESTS[type] as (value: unknown) => boolean);
  return {
    test: (value, meter) => {
      meter.steps += 1 + tests.length;
      return tests.some((test) => test(value));
    },
    worst: () => fixed(1 + tests.length),
  };
}

const ONE_TYPE: ReadonlyMap<string, Check> = new Map(TYPES.map((type) => [type, oneOfTypes([type])]));

/** Compares a value with a constant, part by part, until the first difference. */
export function constCheck(constant: unknown): Check {
  return {
    test: (value, meter) => equals(value, constant, meter),
    worst: (shape) => fixed(worstEquals(constant, shape)),
  };
}

function equals(value: unknown, constant: unknown, meter: Meter): boolean {
  if (Array.isArray(constant)) {
    meter.steps += STEPS_A_CHECK;
    if (!Array.isArray(value) || value.length !== constant.length) return false;
    return constant.every((part, index) => equals(value[index], part, meter));
  }
  if (!isObject(constant)) {
    // Texts of different lengths differ at once.
    const reads = typeof value === 'string' && value.length === (constant as string | null)?.length;
    meter.steps += reads ? stepsOfLook(value) : STEPS_A_CHECK;
    return value === constant;
  }
  meter.steps += STEPS_A_CHECK;
  if (!isObject(value)) return false;
  const names = Object.keys(value).length;
  meter.steps += names;
  const parts = Object.keys(constant);
  if (names !== parts.length) return false;
  return parts.every((name) => {
    meter.steps += 1;
    return Object.hasOwn(value, name) && equals(value[name], constant[name], meter);
  });
}

function worstEquals(constant: unknown, shape: Shape): number {
  if (Array.isArray(constant)) {
    if (shape.kind !== 'array') return STEPS_A_CHECK;
    const item: Shape = { kind: 'text', maxCharacters: 0 };
    return constant.reduce<number>((total, part) => total + worstEquals(part, item), STEPS_A_CHECK);
  }
  if (!isObject(constant)) return stepsOfLook(constant);
  if (shape.kind !== 'object') return STEPS_A_CHECK;
  return Object.entries(constant).reduce((total, [name, part]) => {
    const member = shape.members.get(name);
    return total + 1 + (member === undefined ? 0 : worstEquals(part, member));
  }, STEPS_A_CHECK + shape.members.size);
}

const NO_KEYS: ReadonlySet<string> = new Set();

/** Looks a value up among the constants, in one look however many there are. */
export function enumCheck(constants: readonly unknown[]): Check {
  const texts = new Set(constants.filter((constant) => typeof constant === 'string').map(textKey));
  const scalars = new Set(constants.filter((constant) => isScalar(constant) && typeof constant !== 'string'));
  const others = constants.filter((constant) => !isScalar(constant)).map((one) => keyOf(one));
  const keys: ReadonlySet<string> = others.length === 0 ? NO_KEYS : new Set(others);
  const longest = [...keys].reduce((most, key) => Math.max(most, key.length), 0);
  const longestText = constants.reduce<number>(
    (most, constant) => (typeof constant === 'string' ? Math.max(most, constant.length) : most),
    0,
  );
  return {
    test: (value, meter) => {
      if (typeof value === 'string') {
        // A text that is longer than every constant is not read.
        const reads = value.length <= longestText;
        meter.steps += reads ? stepsOfLook(value) : STEPS_A_CHECK;
        return reads && texts.has(textKey(value));
      }
      meter.steps += STEPS_A_CHECK;
      if (isScalar(value)) return scalars.has(value);
      if (keys.size === 0) return false;
      const key = boundedKeyOf(value, longest, meter);
      return key !== undefined && keys.has(key);
    },
    worst: (shape) => {
      if (shape.kind === 'text') return worstLook(longestText);
      return fixed(
        STEPS_A_CHECK +
          (keys.size === 0 ? 0 : Math.min(worstKey(shape), STEPS_A_KEY_CHARACTER * (longest + 1) + 64)),
      );
    },
  };
}

/** One text for all equal values, and for no other: JSON with sorted names. */
function keyOf(value: unknown): string {
  return boundedKeyOf(value, Number.POSITIVE_INFINITY, { steps: 0 }) as string;
}

const STEPS_A_KEY_CHARACTER = 4;
/** Steps to write one value or one name into a key, without its characters. */
const STEPS_A_PART = 4;

/** @returns `undefined` when the text is longer than `limit`: the value is then equal to no value whose text is not */
function boundedKeyOf(value: unknown, limit: number, meter: Meter): string | undefined {
  const parts: string[] = [];
  let length = 0;
  const write = (text: string): boolean => {
    length += text.length;
    parts.push(text);
    return length <= limit;
  };
  const writeText = (text: string): boolean => {
    meter.steps += STEPS_A_PART;
    if (length + text.length > limit) return false;
    meter.steps += text.length;
    return write(JSON.stringify(text));
  };
  const visit = (one: unknown): boolean => {
    if (typeof one === 'string') return writeText(one);
    meter.steps += STEPS_A_PART;
    if (Array.isArray(one)) {
      return write('[') && one.every((item) => visit(item) && write(',')) && write(']');
    }
    if (!isObject(one)) return write(one === 0 ? '0' : JSON.stringify(one));
    const names = Object.keys(one);
    meter.steps += names.length;
    // Each name takes at least four characters, so a longer list of names is not worth sorting.
    if (length + names.length * 4 > limit) return false;
    return (
      write('{') &&
      names.sort().every((name) => writeText(name) && write(':') && visit(one[name]) && write(',')) &&
      write('}')
    );
  };
  return visit(value) ? parts.join('') : undefined;
}

function worstKey(shape: Shape): number {
  switch (shape.kind) {
    case 'text':
      return STEPS_A_PART + shape.maxCharacters;
    case 'array':
      return STEPS_A_PART * (1 + shape.maxItems) + shape.maxCharacters;
    case 'object':
      return [...shape.members].reduce(
        (total, [name, member]) => total + 1 + STEPS_A_PART + name.length + worstKey(member),
        STEPS_A_PART,
      );
  }
}

/** All items differ. Texts and other values go into their sets by their keys, scalars unchanged. */
export const UNIQUE: Check = {
  test: (value, meter) => {
    const texts = new Set<string | number>();
    const scalars = new Set<unknown>();
    const keys = new Set<string>();
    for (const item of value as readonly unknown[]) {
      meter.steps += STEPS_A_PART + stepsOfLook(item);
      if (typeof item === 'string') {
        if (texts.size === texts.add(textKey(item)).size) return false;
      } else if (isScalar(item)) {
        if (scalars.size === scalars.add(item).size) return false;
      } else {
        const key = boundedKeyOf(item, Number.POSITIVE_INFINITY, meter) as string;
        if (keys.size === keys.add(key).size) return false;
      }
    }
    return true;
  },
  worst: (shape) =>
    shape.kind === 'array'
      ? fixed((STEPS_A_PART + STEPS_A_CHECK) * shape.maxItems + shape.maxCharacters / CHARACTERS_A_STEP)
      : NOTHING,
};
