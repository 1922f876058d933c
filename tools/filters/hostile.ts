/** Filters that were made to be slow: those that reviews found, and those that a random search finds below the limit. */
import { checkFilter } from '../../src/domain/filter/check.ts';
import { compileFilter } from '../../src/domain/filter/filter.ts';
import { seeded } from '../../test/support/random.ts';
import type { LargeEvent } from './events.ts';
import { FORMAT_NAMES, Generator } from './random.ts';

type Filter = Readonly<Record<string, unknown>>;

const times = <T>(count: number, make: (index: number) => T) =>
  Array.from({ length: count }, (_, index) => make(index));

export const onAttributes = (schema: unknown): Filter => ({
  properties: { entityUpdated: { properties: { attributes: schema } } },
});
const onSub = (schema: unknown): Filter => ({
  properties: { entityUpdated: { properties: { globalSub: schema } } },
});

export const HOSTILE: Readonly<Record<string, Filter>> = {
  '24 times uniqueItems': onAttributes({ allOf: times(24, () => ({ uniqueItems: true })) }),
  '14 times uniqueItems': onAttributes({ allOf: times(14, () => ({ uniqueItems: true })) }),
  '98 schemas that are false': onAttributes({ contains: { anyOf: times(98, () => false) } }),
  '90 constants of 600 characters': onAttributes({
    contains: { anyOf: times(90, (index) => ({ const: `${'x'.repeat(600)}${index}` })) },
  }),
  '90 constants of 115 letters': onAttributes({
    contains: { anyOf: times(90, () => ({ const: `${'a'.repeat(114)}b` })) },
  }),
  'a constant of 20,000 numbers': onAttributes({ contains: { const: times(20_000, () => 1) } }),
  'a constant of 500 names': onAttributes({ const: times(500, () => 'a'.repeat(115)) }),
  '95 lengths': onAttributes({ items: { allOf: times(95, () => ({ minLength: 1 })) } }),
  '95 lengths that are counted': onAttributes({ items: { allOf: times(95, () => ({ minLength: 60 })) } }),
  '48 negated constants': onAttributes({
    items: { anyOf: times(48, (index) => ({ not: { const: index } })) },
  }),
  'an enum of 500 names': onAttributes({ contains: { enum: times(500, (index) => `name${index}`) } }),
  '40 patterns': onAttributes({ items: { anyOf: times(40, (index) => ({ pattern: `^a*b{${index}}$` })) } }),
  '4 patterns': onAttributes({ items: { anyOf: times(4, (index) => ({ pattern: `a*b{${index}}$` })) } }),
  '95 formats': onAttributes({ items: { allOf: times(95, () => ({ format: 'uri-reference' })) } }),
  '97 empty schemas': onAttributes({ items: { allOf: times(97, () => ({})) } }),
  '70 empty schemas': onAttributes({ items: { allOf: times(70, () => ({})) } }),
  'a pattern with many states': onAttributes({ items: { pattern: '[ab]*a[ab]{12}[cd]' } }),
  'a pattern of nested repeats': onAttributes({ items: { pattern: '^(((a*)*)*)*$' } }),
  'a pattern of every letter': onAttributes({ items: { pattern: '^\\p{L}*$' } }),
  '500 small patterns': onSub({
    anyOf: times(400, (index) => ({ pattern: String.fromCharCode(0x4e00 + index) })),
  }),
  '100 regular expressions': onSub({ anyOf: times(100, () => ({ format: 'regex' })) }),
  '6 regular expressions': onSub({ anyOf: times(6, () => ({ format: 'regex' })) }),
  'an item that is a regular expression': onAttributes({ contains: { format: 'regex' } }),
  'enums of whole claims': {
    anyOf: times(300, (index) => ({ enum: [{ entityUpdated: { attributes: ['a'.repeat(150), index] } }] })),
  },
  'enums that are arrays': onAttributes({
    anyOf: times(20, (index) => ({ enum: [times(300, () => 'aaaaa'), index] })),
  }),
  'a deep schema': times(15, () => 0).reduce<Filter>(
    (inner) => ({ anyOf: [inner, inner] }),
    onAttributes({ items: {} }),
  ),
  '3,000 properties': {
    properties: {
      entityUpdated: { properties: Object.fromEntries(times(3000, (index) => [`n${index}`, {}])) },
    },
  },
  '3,000 required names': {
    properties: { entityUpdated: { required: times(3000, (index) => `n${index}`) } },
  },
  '2,000 dependencies': {
    properties: {
      entityUpdated: { dependencies: Object.fromEntries(times(2000, (index) => [`n${index}`, []])) },
    },
  },
  'names of many patterns': {
    properties: {
      entityUpdated: {
        patternProperties: Object.fromEntries(times(40, (index) => [`[a-z]*[A-Z]{1,${index + 1}}$`, {}])),
      },
    },
  },
};

export interface Found {
  readonly filter: Filter;
  readonly worst: number;
}

/** Looks for accepted filters with many steps: each round grows a random part under the attributes until it is refused. */
export function search(rounds: number, seed: number, events: readonly LargeEvent[]): Found[] {
  const random = seeded(seed);
  const make = new Generator(random);
  const part = (): unknown =>
    make.pick<() => unknown>([
      () => make.schema(1),
      () => make.schema(2),
      () => ({ format: make.pick(FORMAT_NAMES) }),
      () => ({ minLength: 50 + make.below(100), maxLength: 100 + make.below(100) }),
      () => ({ const: `${'a'.repeat(make.below(200))}b` }),
      () => ({ enum: times(1 + make.below(50), (index) => `a${index}`) }),
      () => ({
        pattern: `${make.pick(['', '^'])}${make.pick(['a*', '[a-z.]+', '\\w', '.'])}{0,${make.below(9)}}$`,
      }),
    ])();
  const found: Found[] = [];
  for (let round = 0; round < rounds; round++) {
    const wrap = make.pick<(parts: unknown[]) => unknown>([
      (parts) => ({ items: { anyOf: [...parts, true] } }),
      (parts) => ({ items: { allOf: parts.map((one) => ({ anyOf: [one, true] })) } }),
      (parts) => ({ contains: { anyOf: [...parts, false] } }),
      (parts) => ({ contains: { oneOf: parts }, uniqueItems: true }),
      (parts) => ({ anyOf: parts.map((items) => ({ items })) }),
      (parts) => ({ allOf: parts.map((items) => ({ not: { contains: { not: items } } })) }),
    ]);
    const base = part();
    let count = 1;
    const grown = (size: number) => onAttributes(wrap(times(size, () => base)));
    while (count < 400 && checkFilter(grown(count * 2)) === undefined) count *= 2;
    while (count < 400 && checkFilter(grown(count + 1)) === undefined) count += 1;
    const filter = grown(count);
    if (checkFilter(filter) !== undefined) continue;
    const compiled = compileFilter(filter);
    const worst = Math.max(...events.map(({ claim }) => compiled.measure(claim).steps));
    found.push({ filter, worst });
  }
  return found.sort((a, b) => b.worst - a.worst);
}
