import fc from 'fast-check';
import { RE2JS } from 're2js';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { checkFilter } from '../../src/domain/filter/check.ts';
import { compileFilter, worstSteps } from '../../src/domain/filter/filter.ts';
import { stepsToRead } from '../../src/domain/filter/pattern-cost.ts';
import { textKey } from '../../src/domain/filter/values.ts';

afterEach(() => vi.restoreAllMocks());

const PHRASE = 'filter is invalid JSON Schema';

/** The filter and the events of contract 4 and 9. */
const filter = {
  $schema: 'http://json-schema.org/draft-07/schema',
  properties: {
    entityUpdated: {
      properties: {
        captureApplicationId: { const: 'aabc1de2f3ghi4jklm5n67opq8' },
        entityType: { const: 'user' },
        attributes: { contains: { enum: ['givenName', 'familyName', 'primaryAddress.city'] } },
      },
    },
  },
};

function updated(overrides: Record<string, unknown> = {}) {
  return {
    entityUpdated: {
      attributes: ['familyName'],
      captureApplicationId: 'aabc1de2f3ghi4jklm5n67opq8',
      captureClientId: 'zfccfzzcf626t449wu5umbt6zhek2det',
      entityType: 'user',
      globalSub: 'capture-v1://us.janraincapture.com/aabc1de2f3ghi4jklm5n67opq8/user/x',
      id: '02e950dc-7306-4e5a-9e4b-b9cd5629d76b',
      sub: '726087ec-35df-4041-aec8-c11ecc208efa',
      ...overrides,
    },
  };
}

function times<T>(count: number, one: T): T[] {
  return Array.from({ length: count }, () => one);
}

const created = { entityCreated: updated().entityUpdated };

function passes(schema: Record<string, unknown>, claim: Record<string, object>): boolean {
  expect(checkFilter(schema)).toBeUndefined();
  return compileFilter(schema).passes(claim);
}

describe('the example filter of the contract', () => {
  it.each([
    ['passes attributes ["familyName"]', updated(), true],
    ['passes attributes ["email","givenName"]', updated({ attributes: ['email', 'givenName'] }), true],
    ['drops attributes ["email"]', updated({ attributes: ['email'] }), false],
    ['drops attributes ["primaryAddress"]', updated({ attributes: ['primaryAddress'] }), false],
    ['drops an event of another application', updated({ captureApplicationId: 'another' }), false],
    ['drops an event of entityType admin', updated({ entityType: 'admin' }), false],
    ['passes entityCreated', created, true],
  ])('the example filter %s', (_, claim, expected) => {
    expect(passes(filter, claim)).toBe(expected);
  });

  it('a filter with additionalProperties false drops the types that it does not name', () => {
    expect(passes({ ...filter, additionalProperties: false }, created)).toBe(false);
  });
});

describe('the evaluation of a filter', () => {
  it.each<[string, unknown]>([
    ['names, in one type', ['sub']],
    ['a schema, in one type', { required: ['sub'] }],
  ])('a filter with dependencies on the claim id is applied: %s', (_, id) => {
    const type = { dependencies: { id }, properties: { entityType: { const: 'admin' } } };
    const one = { properties: { entityUpdated: type } };
    expect(passes(one, updated())).toBe(false);
    expect(passes(one, updated({ entityType: 'admin' }))).toBe(true);
    const two = { properties: { entityUpdated: type, entityCreated: type } };
    expect(passes(two, updated())).toBe(false);
    expect(passes({ allOf: [{ dependencies: { id } }, { dependencies: { id } }, one] }, updated())).toBe(
      false,
    );
    expect(passes({ properties: { entityUpdated: { dependencies: { id: ['absent'] } } } }, updated())).toBe(
      false,
    );
  });

  it('a constant is equal to a value whose names are in another order, and 1 is 1.0', () => {
    const constant = (value: unknown) => compileFilter({ const: value });
    expect(constant({ a: 1, b: [2] }).passes({ b: [2.0], a: 1 })).toBe(true);
    expect(constant({ a: 1, b: [2] }).passes({ b: [3], a: 1 })).toBe(false);
    expect(compileFilter({ enum: [{ a: 1, b: { c: 2, d: 3 } }] }).passes({ b: { d: 3, c: 2 }, a: 1 })).toBe(
      true,
    );
    expect(
      compileFilter({ uniqueItems: true }).passes([
        { a: 1, b: 2 },
        { b: 2, a: 1 },
      ]),
    ).toBe(false);
    expect(compileFilter({ uniqueItems: true }).passes([1, '1', [1], { '1': 1 }, null, 'null'])).toBe(true);
    expect(compileFilter({ type: 'integer' }).passes(1.0)).toBe(true);
  });

  it('a length is counted in characters, not in units of UTF-16', () => {
    const two = compileFilter({ minLength: 2, maxLength: 2 });
    expect(two.passes('😀😀')).toBe(true);
    expect(two.passes('😀')).toBe(false);
    expect(two.passes('ab😀')).toBe(false);
  });

  it('the evaluation of items stops at the first mismatch, and that of contains at the first match', () => {
    const items = Array.from({ length: 500 }, (_, index) => `name${index}`);
    const steps = (schema: Record<string, unknown>) => compileFilter(schema).measure(items).steps;
    expect(steps({ items: { const: 'other' } })).toBeLessThan(30);
    expect(steps({ contains: { const: 'name0' } })).toBeLessThan(30);
    expect(steps({ contains: { const: 'other' } })).toBeGreaterThan(1000);
    expect(steps({ oneOf: [{}, {}, { uniqueItems: true }] })).toBeLessThan(30);
  });

  it('the steps of uniqueItems grow with the items, not with their pairs', () => {
    const { measure } = compileFilter({ uniqueItems: true });
    const steps = (count: number) =>
      measure(Array.from({ length: count }, (_, index) => `${index}`.padStart(8))).steps;
    expect(steps(5000) / steps(500)).toBeLessThan(11);
  });

  it('a constraint on an absent claim passes unless the claim is required', () => {
    const properties = { attributes: { contains: { const: 'email' } } };
    expect(passes({ properties: { entityCreated: { properties } } }, { entityCreated: {} })).toBe(true);
    const strict = { properties: { entityCreated: { required: ['attributes'], properties } } };
    expect(passes(strict, { entityCreated: {} })).toBe(false);
  });

  it.each(['constructor', 'toString', '__proto__', 'hasOwnProperty'])(
    'a filter does not see the inherited member %s',
    (name) => {
      const requires = JSON.parse(`{"properties":{"entityUpdated":{"required":["${name}"]}}}`);
      expect(passes(requires, updated())).toBe(false);
      const constrains = JSON.parse(`{"properties":{"entityUpdated":{"properties":{"${name}":false}}}}`);
      expect(passes(constrains, updated())).toBe(true);
    },
  );

  it('a pattern matches anywhere in a string, as ECMA 262 says', () => {
    const byPattern = (pattern: string) => ({
      properties: { entityUpdated: { properties: { globalSub: { pattern } } } },
    });
    expect(passes(byPattern('janrain'), updated())).toBe(true);
    expect(passes(byPattern('^janrain'), updated())).toBe(false);
    expect(passes(byPattern('^capture-v\\d://[\\w.]+/'), updated())).toBe(true);
  });

  it('patternProperties match the names that a claim can have', () => {
    const inner = { patternProperties: { '^cap': { const: 'x' } } };
    const schema = { patternProperties: { '^entity(Updated|Deleted)$': inner } };
    expect(passes(schema, updated())).toBe(false);
    expect(passes(schema, updated({ captureApplicationId: 'x', captureClientId: 'x' }))).toBe(true);
    expect(passes(schema, created)).toBe(true);
    const closed = { patternProperties: { Updated$: {} }, additionalProperties: false };
    expect(passes(closed, updated())).toBe(true);
    expect(passes(closed, created)).toBe(false);
  });

  it('a filter cannot use the pattern of another filter as its format', () => {
    passes({ properties: { entityUpdated: { properties: { sub: { pattern: 'x' } } } } }, updated());
    expect(checkFilter({ format: 'pattern x' })).toMatch(PHRASE);
  });
});

describe('a format', () => {
  const formats = [
    ...['date', 'time', 'date-time', 'duration', 'uri', 'uri-reference', 'uri-template', 'email', 'hostname'],
    ...['ipv4', 'ipv6', 'uuid', 'regex', 'json-pointer', 'relative-json-pointer'],
  ];

  it.each(formats)('the format %s reads a hostile text of 60,000 characters in linear time', (format) => {
    const parts = [
      ...'a1-.:@/%~#?&({"',
      'a-',
      'a.',
      '1:',
      '::',
      '%41',
      'a@',
      '/a',
      '~0',
      '{a}',
      '{a,',
      '0/',
      '1Y',
      '\\',
      '//[',
    ];
    const { passes: evaluate } = compileFilter({ format });
    const started = performance.now();
    for (const start of ['', 'http://', 'P', '"', '2024-02-29T12:00:00.', 'a@']) {
      for (const part of parts)
        for (const end of ['!', ' ', 'Z']) evaluate(start + part.repeat(60_000 / part.length) + end);
    }
    // 270 texts take a fraction of a second. The bound only has to separate that from hours.
    expect(performance.now() - started).toBeLessThan(60_000);
  });

  it.each([
    ['uuid', '02e950dc-7306-4e5a-9e4b-b9cd5629d76b', '02e950dc73064e5a9e4bb9cd5629d76b'],
    ['duration', 'P1Y2M3DT4H5M6S', 'P1Y3D'],
    ['ipv4', '192.0.2.1', '192.0.02.1'],
    ['date-time', '2024-02-29T12:00:00Z', '2023-02-29T12:00:00Z'],
    ['regex', 'a+(b|c)', 'a+(b|c'],
  ])('the format %s accepts %s and not %s', (format, right, wrong) => {
    expect(checkFilter({ format })).toBeUndefined();
    expect(compileFilter({ format }).passes(right)).toBe(true);
    expect(compileFilter({ format }).passes(wrong)).toBe(false);
    expect(compileFilter({ format }).passes(1)).toBe(true);
  });
});

describe('the format regex', () => {
  it.each(['\\p{L}', '[\\P{Lu}]', '(?i:a)', '(?s-m:a)'])(
    'a text with a Unicode class or flags of a group is not a regular expression for a filter: %s',
    (text) => {
      const engine = vi.spyOn(globalThis, 'RegExp');
      expect(compileFilter({ format: 'regex' }).passes(text)).toBe(false);
      expect(engine).not.toHaveBeenCalled();
    },
  );

  it.each(['(?:a)', '(?<name>a)', '(?<=a)b', '(?!a)', '[^a-z]+', 'a\\d'])(
    'a text with other syntax of ECMA 262 is one: %s',
    (text) => expect(compileFilter({ format: 'regex' }).passes(text)).toBe(true),
  );
});

describe('texts that are decimal numbers', () => {
  /** workerd hashes decimal numbers so that multiples of 8,192 have one hash. */
  const colliding = Array.from({ length: 1200 }, (_, index) => `${(index + 1) * 8192}`);

  it.each([
    ['enum', (names: string[]) => ({ not: { contains: { enum: names.slice(0, 700) } } })],
    ['uniqueItems', () => ({ uniqueItems: true })],
  ])('%s takes about as long for texts that would have one hash as for others', (_, schemaOf) => {
    const fastest = (names: string[]) => {
      const { passes: evaluate } = compileFilter(schemaOf(names));
      const text = JSON.stringify(names.slice(700));
      const times = Array.from({ length: 20 }, () => {
        const copies = Array.from({ length: 30 }, () => JSON.parse(text));
        const started = performance.now();
        for (const copy of copies) evaluate(copy);
        return performance.now() - started;
      });
      return Math.min(...times);
    };
    // With collisions it takes 30 times as long. The clock counts whole milliseconds.
    const plain = fastest(colliding.map((name) => `a${name}`));
    expect(fastest(colliding)).toBeLessThan(6 * Math.max(plain, 2));
  });

  it('a text that is a decimal number goes into a set as that number, and no other text does', () => {
    expect(['8192', '0', '9', '4294967295'].map(textKey)).toEqual([8192, 0, 9, 4_294_967_295]);
    const others = ['', 'a8192', '08', '00', '-1', '1.5', '1e3', ' 1', '99999999999', '１'];
    expect(others.map(textKey)).toEqual(others);
    const { passes: evaluate } = compileFilter({ enum: ['8192', '', 7] });
    expect(['8192', '', 7, 8192, '7', '08192'].map((value) => evaluate(value))).toEqual([
      ...[true, true, true],
      ...[false, false, false],
    ]);
    expect(compileFilter({ uniqueItems: true }).passes(['1', 1, '01', '2', 2])).toBe(true);
    expect(compileFilter({ uniqueItems: true }).passes(['1', 2, '1'])).toBe(false);
    expect(compileFilter({ properties: { '8192': false } }).passes({ '8192': 1 })).toBe(false);
  });
});

describe('a pattern that could backtrack', () => {
  it.each([
    '^(a+)+$',
    '^(a|aa)+$',
    '^(a|a?)+$',
    '(a*)*b',
    '^(([a-z])+.)+[A-Z]$',
    '(.*a){12}b',
    'a*a*a*a*a*a*b',
  ])('the pattern %s is evaluated in linear time', (pattern) => {
    const schema = { properties: { entityUpdated: { properties: { attributes: { items: { pattern } } } } } };
    expect(checkFilter(schema)).toBeUndefined();
    const { measure: evaluate } = compileFilter(schema);
    const attributes = Array.from({ length: 100 }, () => `${'a'.repeat(480)}!`);
    // Two looks into a table are a step, and each character is looked up once.
    expect(evaluate(updated({ attributes })).steps).toBeLessThan(100 * 480);
  });

  it.each([
    ['a lookahead', '(?=a)'],
    ['a lookbehind', '(?<=a)b'],
    ['a back-reference', '(a)\\1'],
    ['1001 repeats', 'a{1001}'],
    ['nested repeats', '((a{100}){10}){10}'],
    ['an open group', '('],
    ['many large repeats', `(${[...'abcdefghijklmnopqrst'].map((letter) => `${letter}{900}`).join('|')})`],
  ])('a pattern with %s is refused, since a linear engine cannot run it', (_, pattern) => {
    expect(checkFilter({ pattern })).toMatch(PHRASE);
    expect(checkFilter({ patternProperties: { [pattern]: true } })).toMatch(PHRASE);
  });
});

describe('a refused filter', () => {
  const deep = (levels: number) => {
    let schema: object = { const: 1 };
    for (let level = 1; level < levels; level++) schema = { not: schema };
    return schema;
  };

  it.each([
    ['a string', 'x'],
    ['an array', []],
    ['true', true],
    ['a number', 1],
    ['$ref', { $ref: '#' }],
    ['$id', { $id: 'x' }],
    ['definitions', { definitions: {} }],
    ['a misspelled keyword', { propertys: {} }],
    ['a misspelled inner keyword', { properties: { entityUpdated: { anyOf: [{ if: { requird: [] } }] } } }],
    ['a member of the prototype', JSON.parse('{"constructor":1}')],
    ['__proto__', JSON.parse('{"__proto__":{}}')],
    ['another draft', { $schema: 'https://json-schema.org/draft/2020-12/schema' }],
    ['an unknown type', { type: 'text' }],
    ['an empty list of types', { type: [] }],
    ['a type twice', { type: ['string', 'string'] }],
    ['enum that is a string', { enum: 'x' }],
    ['properties that is an array', { properties: [] }],
    ['a property that is a string', { properties: { entityUpdated: 'x' } }],
    ['required that is a string', { required: 'x' }],
    ['required with a name twice', { required: ['x', 'x'] }],
    ['required with a number', { required: [1] }],
    ['a negative minLength', { minLength: -1 }],
    ['a fractional maxItems', { maxItems: 1.5 }],
    ['a minimum as text', { minimum: '1' }],
    ['multipleOf zero', { multipleOf: 0 }],
    ['uniqueItems as text', { uniqueItems: 'true' }],
    ['an empty allOf', { allOf: [] }],
    ['anyOf that is an object', { anyOf: {} }],
    ['oneOf with a number', { oneOf: [1] }],
    ['not that is an array', { not: [] }],
    ['items with a number', { items: [1] }],
    ['contains null', { contains: null }],
    ['dependencies with a number', { dependencies: { id: 1 } }],
    ['dependencies with a name twice', { dependencies: { id: ['x', 'x'] } }],
    ['an unknown format', { format: 'uuid-ish' }],
    ['a pattern that is a number', { pattern: 1 }],
    ['examples that is an object', { examples: {} }],
    ['a title that is a number', { title: 1 }],
    ['more than 64 KiB', { $comment: 'x'.repeat(65_536) }],
    ['nesting deeper than 32', deep(33)],
    ['an infinite number', JSON.parse('{"minimum":1e999}')],
  ])('the refusal of a filter says why after the documented phrase: %s', (_, schema) => {
    expect(checkFilter(schema)).toMatch(new RegExp(`^${PHRASE}: .`));
  });

  it.each<[string, Record<string, unknown>]>([
    ['24 times uniqueItems', { allOf: times(24, { uniqueItems: true }) }],
    ['90 constants of 600 characters', { contains: { anyOf: times(90, { const: 'x'.repeat(600) }) } }],
    ['40 patterns for each item', { items: { allOf: times(40, { pattern: 'a*b$' }) } }],
    ['95 lengths for each item', { items: { allOf: times(95, { minLength: 1 }) } }],
    ['95 formats for each item', { items: { allOf: times(95, { format: 'date' }) } }],
    ['a regular expression in each item', { contains: { format: 'regex' } }],
  ])('a filter that takes too long for a large event is refused: %s', (_, attributes) => {
    const reason = checkFilter({ properties: { entityUpdated: { properties: { attributes } } } });
    expect(reason).toMatch(`${PHRASE}: evaluating it may take`);
    expect(reason).toContain('steps');
  });

  it('a pattern of more than 1,000 characters is refused before it is compiled', () => {
    const compiling = vi.spyOn(RE2JS, 'compile');
    const text = `[${'a'.repeat(999)}]`;
    expect(checkFilter({ pattern: text })).toMatch('pattern must have at most 1000 characters');
    expect(checkFilter({ patternProperties: { [text]: {} } })).toMatch('must have at most 1000 characters');
    expect(compiling).not.toHaveBeenCalled();
    expect(checkFilter({ pattern: text.replace('a', '') })).toBeUndefined();
  });

  it.each([
    ['Unicode classes', `^[${'\\pL\\PL'.repeat(12)}]Z`],
    ['Unicode classes with names', `${'\\p{Lu}'.repeat(22)}`],
    ['a repeated Unicode class', '(?:x\\pL){30}'],
    ['ranges without case', `(?i)[${'B-\u{1e942}'.repeat(3)}]`],
    ['ranges without case, by escapes', `(?is)[${'\\x{42}-\\x{1e942}'.repeat(3)}]`],
    ['many repetitions', 'x{1000}'.repeat(6)],
    ['a long repeated group', `(?:${'a'.repeat(100)}){100}`],
    ['a long class that is repeated', `[${'aceg'.repeat(100)}]{20}`],
    ['a repeated group after a class that looks like one', `[(](?:[)]${'a'.repeat(100)}){100}`],
    ['a repeated group after a quoted bracket', `\\Q[\\E(?:${'a'.repeat(100)}){100}`],
    ['a repetition behind flags', `(?:${'a'.repeat(100)})(?s){100}`],
    ['a repetition behind an empty quotation', `(?:${'a'.repeat(100)})\\Q\\E{100}`],
  ])('a pattern that takes long to compile never reaches RE2: %s', (_, pattern) => {
    const compiling = vi.spyOn(RE2JS, 'compile');
    expect(checkFilter({ pattern })).toMatch('take more than 150000 steps to build');
    expect(compiling).not.toHaveBeenCalled();
  });

  it('a pattern has no more instructions than its text was charged for, three for each character', () => {
    const parts = [
      ...[
        'a',
        'é',
        '[',
        '[^',
        '[(]',
        '[)]',
        '(',
        '(?:',
        '(?i)',
        '(?i:',
        '(?-i)',
        '(?<n>',
        '()',
        ')',
        ')',
        ']',
        ']',
      ],
      ...['-', '|', '*', '+?', '?', '{3}', '{2,5}', '{0,9}', '{7,}', '{', '}', '\\', '\\Q', '\\E', '\\Q\\E'],
      ...[
        '\\p{L}',
        '\\PN',
        '\\x{41}',
        '\\-',
        '[:alpha:]',
        '[:',
        '^',
        '$',
        '.',
        '\\d',
        '\\[',
        '\\]',
        '\\(',
        '/',
      ],
    ];
    let compiled = 0;
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...parts), { minLength: 1, maxLength: 14 }), (some) => {
        const pattern = RE2JS.translateRegExp(some.join('')) as string;
        const steps = stepsToRead(pattern);
        if (steps > 150_000) return;
        let size: number;
        try {
          size = RE2JS.compile(pattern).programSize();
        } catch {
          return;
        }
        compiled += 1;
        expect(size, pattern).toBeLessThan((3 * (steps - 1000)) / 30 + 20);
      }),
      { numRuns: 20_000, seed: 5 },
    );
    expect(compiled).toBeGreaterThan(2000);
  });

  it('the patterns of a filter have one limit together, and a pattern that is there twice counts once', () => {
    const patterns = (count: number, name: (index: number) => string) => ({
      anyOf: Array.from({ length: count }, (_, index) => ({ pattern: name(index) })),
    });
    const compiling = vi.spyOn(RE2JS, 'compile');
    expect(checkFilter(patterns(400, () => '^name'))).toBeUndefined();
    expect(compiling).toHaveBeenCalledTimes(1);
    expect(checkFilter(patterns(400, (index) => `^${index}`))).toMatch('to build');
    expect(compiling.mock.calls.length).toBeLessThan(151);
  });

  it('a filter is compiled once: its steps are known from its check', () => {
    const schema = { anyOf: [{ pattern: 'once' }, { not: { pattern: 'and twice' } }] };
    const compiling = vi.spyOn(RE2JS, 'compile');
    expect(checkFilter(schema)).toBeUndefined();
    const steps = worstSteps(schema);
    expect(compiling).toHaveBeenCalledTimes(2);
    expect(worstSteps(structuredClone(schema))).toBe(steps);
  });

  it('a filter whose patterns take too long to build is refused', () => {
    const anyOf = [...'abcdefghijklmnop'].map((letter) => ({ pattern: `.{40}${letter}$` }));
    expect(checkFilter({ anyOf })).toMatch('take more than 150000 steps to build');
    expect(checkFilter({ pattern: 'x{1000}y' })).toMatch(
      'makes the patterns of this filter larger than 1000',
    );
    expect(checkFilter({ pattern: '[ab]*a[ab]{12}[cd]' })).toMatch('fewer states');
  });

  it.each([
    ['\\p{Script=Greek}', 'invalid character class range: `\\p{Script=Greek}`'],
    ['[\\b]', 'invalid escape sequence: `\\b`'],
    ['(?=a)', 'invalid or unsupported Perl syntax: `(?=`'],
    ['(a)\\1', 'invalid escape sequence: `\\1`'],
    ['a{1001}', 'invalid repeat count: `{1001}`'],
    ['[z-\u0007]', 'invalid character class range: `z-?`'],
  ])('the refusal of the pattern %j has the words of RE2', (pattern, words) => {
    expect(checkFilter({ pattern })).toBe(`${PHRASE}: pattern must be a regular expression of RE2: ${words}`);
  });

  it('the refusal of a pattern is short, however long the pattern is', () => {
    const pattern = `(${'x'.repeat(900)}`;
    expect(checkFilter({ pattern })?.length).toBeLessThan(300);
    expect(checkFilter({ patternProperties: { [pattern]: {} } })?.length).toBeLessThan(500);
  });

  it('a filter has at most 1,000 schemas', () => {
    const filter = (count: number) => ({ anyOf: times(count, { items: {} }) });
    expect(checkFilter(filter(499))).toBeUndefined();
    expect(checkFilter(filter(500))).toMatch('it has more than 1000 schemas');
    expect(checkFilter({ anyOf: times(1000, true) })).toMatch('it has more than 1000 schemas');
  });

  it('a filter just within the limits is accepted', () => {
    expect(checkFilter({})).toBeUndefined();
    expect(checkFilter({ $schema: 'http://json-schema.org/draft-07/schema#' })).toBeUndefined();
    expect(checkFilter({ $comment: 'x'.repeat(65_000) })).toBeUndefined();
    expect(checkFilter(deep(32))).toBeUndefined();
    const names = Array.from({ length: 1500 }, (_, index) => `attribute${index}`);
    expect(checkFilter({ contains: { enum: names }, uniqueItems: true })).toBeUndefined();
    expect(checkFilter({ properties: { entityUpdated: false, nonsense: true } })).toBeUndefined();
    expect(checkFilter({ items: [], enum: [], type: ['string', 'null'] })).toBeUndefined();
    expect(checkFilter({ dependencies: { id: ['sub'], sub: { required: ['id'] } } })).toBeUndefined();
  });
});

/** A plain evaluator of draft-07, for the keywords that the property below uses. */
function reference(schema: unknown, value: unknown): boolean {
  if (typeof schema === 'boolean') return schema;
  const rules = schema as Record<string, unknown>;
  const array = Array.isArray(value) ? value : undefined;
  const object =
    typeof value === 'object' && value !== null && !array ? (value as Record<string, unknown>) : undefined;
  const same = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b);
  const all = (name: string) => rules[name] as unknown[];
  const map = (name: string) => (rules[name] ?? {}) as Record<string, unknown>;
  const matches = (pattern: string, name: string) => new RegExp(pattern, 'u').test(name);
  const checks: Record<string, () => boolean> = {
    type: () => rules['type'] === (array ? 'array' : object ? 'object' : typeof value),
    const: () => same(rules['const'], value),
    enum: () => all('enum').some((one) => same(one, value)),
    not: () => !reference(rules['not'], value),
    allOf: () => all('allOf').every((one) => reference(one, value)),
    anyOf: () => all('anyOf').some((one) => reference(one, value)),
    oneOf: () => all('oneOf').filter((one) => reference(one, value)).length === 1,
    contains: () => !array || array.some((item) => reference(rules['contains'], item)),
    items: () => !array || array.every((item) => reference(rules['items'], item)),
    minItems: () => !array || array.length >= Number(rules['minItems']),
    maxItems: () => !array || array.length <= Number(rules['maxItems']),
    minLength: () => typeof value !== 'string' || [...value].length >= Number(rules['minLength']),
    maxLength: () => typeof value !== 'string' || [...value].length <= Number(rules['maxLength']),
    pattern: () => typeof value !== 'string' || matches(String(rules['pattern']), value),
    required: () => !object || all('required').every((name) => Object.hasOwn(object, String(name))),
    properties: () =>
      !object ||
      Object.entries(map('properties')).every(
        ([name, one]) => !Object.hasOwn(object, name) || reference(one, object[name]),
      ),
    patternProperties: () =>
      !object ||
      Object.entries(map('patternProperties')).every(([pattern, one]) =>
        Object.entries(object).every(([name, inner]) => !matches(pattern, name) || reference(one, inner)),
      ),
    additionalProperties: () =>
      !object ||
      Object.entries(object).every(
        ([name, inner]) =>
          Object.hasOwn(map('properties'), name) ||
          Object.keys(map('patternProperties')).some((pattern) => matches(pattern, name)) ||
          reference(rules['additionalProperties'], inner),
      ),
  };
  return Object.keys(rules).every((keyword) => checks[keyword]?.() ?? true);
}

const KEYWORDS = [
  ...['type', 'const', 'enum', 'not', 'allOf', 'anyOf', 'oneOf', 'contains', 'items', 'minItems', 'maxItems'],
  ...[
    'minLength',
    'maxLength',
    'pattern',
    'required',
    'properties',
    'patternProperties',
    'additionalProperties',
  ],
];

describe('a filter and a plain evaluator of draft-07', () => {
  const names = [
    'entityCreated',
    'entityUpdated',
    'attributes',
    'entityType',
    'sub',
    'constructor',
    'nonsense',
  ];
  const values = ['user', 'admin', 'email', 'givenName', ''];
  const patterns = ['^entity', 'e$', 'x', '^(user|admin)$', '[A-Z]', 'a+b*'];
  const value = fc.constantFrom<unknown>(...values, ['email']);
  const { schema } = fc.letrec<{ schema: unknown }>((tie) => {
    const inner = tie('schema');
    const several = fc.array(inner, { minLength: 1, maxLength: 2 });
    const keywords = fc.record(
      {
        type: fc.constantFrom('object', 'array', 'string'),
        const: value,
        enum: fc.array(value, { maxLength: 3 }),
        not: inner,
        allOf: several,
        anyOf: several,
        oneOf: several,
        contains: inner,
        items: inner,
        minItems: fc.nat(2),
        maxItems: fc.nat(2),
        minLength: fc.nat(6),
        maxLength: fc.nat(6),
        pattern: fc.constantFrom(...patterns),
        required: fc.uniqueArray(fc.constantFrom(...names), { maxLength: 2 }),
        properties: fc.dictionary(fc.constantFrom(...names), inner, { maxKeys: 3 }),
        patternProperties: fc.dictionary(fc.constantFrom(...patterns), inner, { maxKeys: 2 }),
        additionalProperties: inner,
      },
      { requiredKeys: [] },
    );
    // Each schema has a few keywords. With all of them, hardly any event would pass.
    const few = fc
      .tuple(keywords, fc.subarray(KEYWORDS, { minLength: 1, maxLength: 3 }))
      .map(([all, kept]) =>
        Object.fromEntries(Object.entries(all).filter(([keyword]) => kept.includes(keyword))),
      );
    return { schema: fc.oneof({ maxDepth: 4 }, fc.boolean(), few) };
  });
  const claim = fc
    .record(
      {
        attributes: fc.array(fc.constantFrom(...values), { maxLength: 3 }),
        entityType: fc.constantFrom(...values),
        sub: fc.constantFrom(...values),
      },
      { requiredKeys: [] },
    )
    .chain((event) => fc.constantFrom('entityCreated', 'entityUpdated').map((type) => ({ [type]: event })));

  it('a filter and a plain evaluator of draft-07 agree on random schemas and events', () => {
    const answers = { passed: 0, dropped: 0 };
    fc.assert(
      fc.property(schema, claim, (candidate, event) => {
        fc.pre(typeof candidate === 'object' && checkFilter(candidate) === undefined);
        const expected = reference(candidate, event);
        answers[expected ? 'passed' : 'dropped']++;
        expect(compileFilter(candidate as Record<string, unknown>).passes(event)).toBe(expected);
      }),
      { numRuns: 2000 },
    );
    // Both answers are common, so the agreement says something.
    expect(Math.min(answers.passed, answers.dropped)).toBeGreaterThan(200);
  });
});
