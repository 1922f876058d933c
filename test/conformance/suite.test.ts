/** The official JSON-Schema-Test-Suite (draft-07), as far as filters have its keywords. It is in test/vendor, unchanged. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { compilePattern } from '../../src/domain/filter/automaton.ts';
import { checkFilter } from '../../src/domain/filter/check.ts';
import { compile, type FilterSchema } from '../../src/domain/filter/compile.ts';

const FOLDER = join(import.meta.dirname, '../vendor/json-schema-test-suite/draft7');

interface Group {
  readonly description: string;
  readonly schema: FilterSchema;
  readonly tests: readonly {
    readonly description: string;
    readonly data: unknown;
    readonly valid: boolean;
  }[];
}

/** Groups that a filter answers in another way, each with the reason. */
const OTHERWISE: Readonly<Record<string, string>> = {
  'validation of A-label (punycode) host names': 'a host name is not decoded: it is RFC 1123, without IDNA',
  'ECMA 262 \\s matches whitespace': 'patterns are those of RE2, whose \\s is white space of ASCII',
  'ECMA 262 \\S matches everything but whitespace': 'the same',
};

const groups = readdirSync(FOLDER, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.json'))
  .sort()
  .flatMap((file) => JSON.parse(readFileSync(join(FOLDER, file), 'utf8')) as Group[])
  .map(({ schema, ...group }) => ({ ...group, schema: withoutDraft(schema) }));

/** The formats that draft-07 does not have come from a later draft, which their schemas name. */
function withoutDraft(schema: FilterSchema): FilterSchema {
  if (typeof schema === 'boolean') return schema;
  const { $schema: _, ...rest } = schema;
  return rest;
}

/** A group's schema is `true`, `false` or any other: within a filter all can be. */
const refusalOf = ({ schema }: Group) => checkFilter({ allOf: [schema] });

describe('the official test suite', () => {
  const answered = groups.filter((group) => refusalOf(group) === undefined);
  const applicable = answered.filter(({ description }) => OTHERWISE[description] === undefined);

  it('the official suite has 1,407 cases that a filter can be asked', () => {
    expect(applicable.flatMap(({ tests }) => tests)).toHaveLength(1407);
    expect(applicable).toHaveLength(243);
  });

  it('a filter that the official suite has and that is refused has a keyword or pattern out of the list', () => {
    const refused = groups.filter((group) => !answered.includes(group));
    for (const group of refused) {
      expect(refusalOf(group), group.description).toMatch(
        /definitions is not a keyword|format must be one of|must be a regular expression/,
      );
    }
    expect(refused).toHaveLength(10);
  });

  it.each(applicable)('the official cases of $description have the official answers', ({ schema, tests }) => {
    const check = compile(schema, { automaton: compilePattern, countSchema: () => undefined });
    const answers = tests.map(({ data, ...one }) => ({
      ...one,
      data,
      valid: check.test(data, { steps: 0 }),
    }));
    expect(answers).toEqual(tests);
  });
});
