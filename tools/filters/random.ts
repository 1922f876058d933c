/** Random schemas with every keyword that filters know, random values, and random events; a seed makes the same again. */

export type Random = () => number;

const CLAIMS = [
  'captureApplicationId',
  'captureClientId',
  'entityType',
  'globalSub',
  'id',
  'sub',
  'attributes',
];
const TYPES = ['entityCreated', 'entityUpdated', 'entityDeleted'];
/** Names in schemas. Ajv passes over the name `__proto__` there, so values alone have it. */
const NAMES = [...CLAIMS, ...TYPES, 'constructor', 'toString', 'hasOwnProperty', 'length', 'other'];
/** Ajv compares objects wrongly, or throws, when a member is called `constructor` or `toString`. */
const NAMES_IN_VALUES = [...CLAIMS, ...TYPES, '__proto__', 'hasOwnProperty', 'length', 'other'];
/** Texts at the borders of the formats and of the lengths. */
const TEXTS = [
  ...[
    '',
    'a',
    'user',
    'admin',
    'givenName',
    'primaryAddress.city',
    'é',
    '😀',
    '😀😀',
    'a\nb',
    'ab',
    'aab',
    'AB',
    'x y',
  ],
  ...[
    '2024-02-29',
    '2023-02-29',
    '2024-13-01',
    '12:00:00Z',
    '12:00:00',
    '23:59:60Z',
    '22:59:60Z',
    '12:00:00+01:30',
  ],
  ...['2024-02-29T12:00:00Z', '2024-02-29t12:00:00.5+02:00', '2024-02-29T25:00:00Z', '2024-02-29 12:00:00Z'],
  ...[
    '127.0.0.1',
    '256.0.0.1',
    '1.2.3',
    '::1',
    '::',
    '1::2::3',
    '1:2:3:4:5:6:7:8',
    '::ffff:1.2.3.4',
    '12345::',
    ':1',
  ],
  ...[
    'https://example.com/a?b#c',
    'https://example.com/a b',
    '/a/b',
    '//h/p',
    'a:b',
    '%zz',
    'urn:x:y',
    'http://[::1]:80/',
  ],
  ...[
    'example.com',
    '-a.example',
    'a_b',
    'user@example.com',
    '.user@example.com',
    'user@',
    '/a~0b/~1',
    '/a~2',
    '0/a',
    '1#',
    '01/a',
  ],
  ...[
    '02e950dc-7306-4e5a-9e4b-b9cd5629d76b',
    '02e950dc73064e5a9e4bb9cd5629d76b',
    'P1Y2M3D',
    'P1W',
    'PT',
    'P1D',
    'PT1H1M',
    'P',
  ],
  ...['a{b}', '{a,b*}', '{a', '(', 'a+', '[a-z]'],
];
const PATTERNS = [
  ...[
    '^u',
    'e$',
    'Name',
    '^.$',
    '[a-z]+',
    '^entity',
    '^(attributes|id)$',
    '\\d',
    '\\w+',
    '.',
    'x*',
    '\\.',
    '\\p{L}',
  ],
  ...[
    '^\\S+$',
    'a{2}b',
    '^a?b?$',
    '[^a]',
    '(a|b)+c?$',
    '^$',
    '\\bx\\b',
    '\\B',
    '^[\\w.-]+@[\\w.-]+$',
    '(a|ab)(c|bcd)?$',
    '😀$',
  ],
];
/**
 * Formats in which Ajv and we agree on the texts above. Two are missing: Ajv takes references that RFC 3986 forbids, such as
 * `1:b`, and reads regular expressions without the `u` flag.
 */
export const FORMAT_NAMES = [
  ...['date', 'time', 'date-time', 'duration', 'uri', 'uri-template', 'email', 'hostname'],
  ...['ipv4', 'ipv6', 'uuid', 'json-pointer', 'relative-json-pointer'],
];

type Json = unknown;
type Schema = Record<string, Json> | boolean;

export class Generator {
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  pick<T>(all: readonly T[]): T {
    return all[this.below(all.length)] as T;
  }

  list<T>(most: number, make: () => T): T[] {
    return Array.from({ length: this.below(most + 1) }, make);
  }

  /** Any JSON value. */
  value(depth = 2): Json {
    const kind = this.below(depth > 0 ? 10 : 7);
    if (kind < 4) return this.pick(TEXTS);
    if (kind < 6) return this.pick([0, 1, 1.5, -1, 2, 3, 7, 10, 0.01, 0.3, 1e6, -0, 100]);
    if (kind < 7) return this.pick([null, true, false]);
    if (kind < 9) return this.list(4, () => this.value(depth - 1));
    return this.#object(() => this.value(depth - 1), 3, NAMES_IN_VALUES);
  }

  /** An `events` claim. */
  claim(): Record<string, object> {
    const type = this.pick(TYPES);
    const claims: [string, Json][] = CLAIMS.slice(0, 6)
      .filter(() => this.below(8) > 0)
      .map((name) => [name, this.pick(TEXTS)]);
    if (type === 'entityUpdated') claims.push(['attributes', this.list(5, () => this.pick(TEXTS))]);
    return { [type]: Object.fromEntries(claims) };
  }

  /** A filter on a claim, or on anything. */
  filter(): Record<string, Json> {
    const kind = this.below(4);
    if (kind === 0) return this.#keywords(4, NAMES);
    const inner =
      kind === 1
        ? { properties: { attributes: this.schema(3), [this.pick(CLAIMS)]: this.schema(2) } }
        : this.#keywords(3, CLAIMS);
    return {
      properties: { entityUpdated: inner, ...(this.below(2) > 0 ? { [this.pick(TYPES)]: inner } : {}) },
    };
  }

  schema(depth: number): Schema {
    if (this.below(12) === 0) return this.below(3) > 0;
    if (depth <= 0) {
      return this.pick<() => Schema>([
        () => ({ const: this.value(1) }),
        () => ({ type: this.#type() }),
        () => ({ pattern: this.pick(PATTERNS) }),
        () => ({ enum: this.#distinct(4, () => this.value(1)) }),
        () => ({ format: this.pick(FORMAT_NAMES) }),
      ])();
    }
    return this.#keywords(depth, NAMES);
  }

  #keywords(depth: number, names: readonly string[]): Record<string, Json> {
    const inner = () => this.schema(depth - 1);
    const some = () => [inner(), ...this.list(2, inner)];
    const count = () => this.below(5);
    const object = (make: () => Json) => this.#object(make, 3, names);
    const make: Readonly<Record<string, () => Json>> = {
      type: () => this.#type(),
      const: () => this.value(),
      enum: () => this.#distinct(4, () => this.value()),
      properties: () => object(inner),
      patternProperties: () => Object.fromEntries(this.list(2, () => [this.pick(PATTERNS), inner()])),
      additionalProperties: inner,
      propertyNames: inner,
      required: () => this.#distinct(2, () => this.pick(names)),
      minProperties: count,
      maxProperties: () => 1 + count(),
      dependencies: () =>
        object(() => (this.below(2) > 0 ? inner() : this.#distinct(2, () => this.pick(names)))),
      items: () => (this.below(2) > 0 ? inner() : some()),
      additionalItems: inner,
      contains: inner,
      minItems: count,
      maxItems: count,
      uniqueItems: () => this.below(4) > 0,
      minLength: count,
      maxLength: () => 1 + 3 * count(),
      pattern: () => this.pick(PATTERNS),
      format: () => this.pick(FORMAT_NAMES),
      minimum: () => this.below(3) - 1,
      maximum: () => this.below(8),
      exclusiveMinimum: () => this.below(3) - 1,
      exclusiveMaximum: () => this.below(8),
      multipleOf: () => this.pick([1, 2, 0.01, 0.5, 0.1, 3]),
      allOf: some,
      anyOf: some,
      oneOf: some,
      not: inner,
      if: inner,
      // biome-ignore lint/suspicious/noThenProperty: the keyword's name
      then: inner,
      else: inner,
    };
    const all = Object.keys(make);
    const schema: Record<string, Json> = {};
    for (let left = 1 + this.below(3); left > 0; left--) {
      const keyword = this.pick(all);
      schema[keyword] = make[keyword]?.();
      if (keyword === 'if') {
        for (const branch of ['then', 'else']) schema[branch] = inner();
      }
      if (keyword === 'items' && this.below(2) > 0) schema['additionalItems'] = inner();
    }
    return schema;
  }

  #type(): Json {
    const types = ['null', 'boolean', 'object', 'array', 'number', 'string', 'integer'];
    return this.below(2) > 0
      ? this.pick(types)
      : [...new Set([this.pick(types), ...this.list(2, () => this.pick(types))])];
  }

  #distinct<T>(most: number, make: () => T): T[] {
    return [
      ...new Map([make(), ...this.list(most - 1, make)].map((one) => [JSON.stringify(one), one])).values(),
    ];
  }

  /** An object whose members are its own, `__proto__` too. */
  #object(make: () => Json, most: number, names: readonly string[]): Record<string, Json> {
    return Object.fromEntries(this.list(most, () => [this.pick(names), make()]));
  }
}
