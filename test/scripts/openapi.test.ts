/** The OpenAPI document as those use it who generate clients from it: it is complete, true to itself, and current in the repository. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createConfig, lintFromString } from '@redocly/openapi-core';
import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { beforeAll, describe, expect, it } from 'vitest';
import { makeFiles } from '../../scripts/openapi.ts';

const ROOT = join(import.meta.dirname, '../..');

type Json = Readonly<Record<string, unknown>>;

interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly examples?: readonly unknown[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly pattern?: string;
  readonly [keyword: string]: unknown;
}

interface Shown {
  readonly $ref?: string;
  readonly schema?: Schema;
  readonly example?: unknown;
  readonly examples?: Readonly<Record<string, { readonly value: unknown }>>;
}

interface Parameter extends Shown {
  readonly name: string;
  readonly in: string;
}

interface Answer {
  readonly $ref?: string;
  readonly description: string;
  readonly content?: Readonly<Record<string, Shown>>;
  readonly headers?: Readonly<Record<string, Shown>>;
}

interface Operation {
  readonly operationId?: string;
  readonly tags?: readonly string[];
  readonly summary?: string;
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly content: Readonly<Record<string, Shown>> };
  readonly responses: Readonly<Record<string, Answer>>;
}

type Items = Readonly<Record<string, Readonly<Record<string, Operation>>>>;

interface Document {
  readonly tags: readonly { readonly name: string; readonly description: string }[];
  readonly info: Json;
  readonly paths: Items;
  readonly webhooks: Items;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> } & Json;
}

let files: Readonly<Record<string, string>>;
let text: string;
let document: Document;
let operations: readonly (readonly [name: string, operation: Operation])[];

beforeAll(async () => {
  files = await makeFiles();
  text = files['docs/openapi.json'] ?? '';
  document = JSON.parse(text) as Document;
  operations = [document.paths, document.webhooks].flatMap((items) =>
    Object.entries(items).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, one]) => [`${method.toUpperCase()} ${path}`, one] as const),
    ),
  );
});

/** What a reference stands for. */
function resolve<T extends { readonly $ref?: string }>(value: T): T {
  if (value.$ref === undefined) return value;
  const steps = value.$ref.slice(2).split('/');
  return steps.reduce<unknown>((at, step) => (at as Json)[step], document) as T;
}

/** All places of the document that show values, with their name. */
function* shown(): Generator<readonly [name: string, shown: Shown]> {
  for (const [name, operation] of operations) {
    for (const one of operation.parameters ?? []) yield [`${name} ?${one.name}`, resolve(one)];
    for (const [type, one] of Object.entries(operation.requestBody?.content ?? {}))
      yield [`${name} ${type}`, one];
    for (const [status, answer] of Object.entries(operation.responses)) {
      const { content = {}, headers = {} } = resolve(answer);
      for (const one of Object.values(content)) yield [`${name} ${status}`, one];
      for (const [header, one] of Object.entries(headers))
        yield [`${name} ${status} ${header}`, resolve(one)];
    }
  }
}

function examplesOf({ schema, example, examples = {} }: Shown): readonly unknown[] {
  const values = Object.values(examples).map(({ value }) => value);
  return [...(example === undefined ? [] : [example]), ...values, ...(schema?.examples ?? [])];
}

/** All schemas within a schema, with the path to each. */
function* within(schema: Schema, at: string, seen = new Set<Schema>()): Generator<readonly [string, Schema]> {
  const own = resolve(schema);
  if (seen.has(own)) return;
  seen.add(own);
  yield [at, own];
  for (const [name, inner] of Object.entries(own.properties ?? {}))
    yield* within(inner, `${at}.${name}`, seen);
  for (const inner of own.anyOf ?? []) yield* within(inner, at, seen);
  if (own.items !== undefined) yield* within(own.items, `${at}[]`, seen);
}

describe('the files that are made from the routes', () => {
  it.each([
    'docs/openapi.json',
    'docs/postman.json',
    'public/docs.html',
    'packages/client/src/operations.ts',
    'packages/client/src/schema.ts',
  ])('%s is current; `npm run openapi` makes it', (path) => {
    expect(readFileSync(join(ROOT, path), 'utf8')).toBe(files[path]);
  });
});

describe('the OpenAPI document', () => {
  it('Redocly has nothing to report, by its strict rules', async () => {
    const config = await createConfig({ extends: ['recommended-strict'] });
    const problems = await lintFromString({ source: text, absoluteRef: 'openapi.json', config });
    expect(problems.map(({ ruleId, message }) => `${ruleId}: ${message}`)).toEqual([]);
  });

  it('a fault in it is reported by Redocly', async () => {
    const config = await createConfig({ extends: ['recommended-strict'] });
    const source = text.replace('"operationId": "listSubscriptions",', '');
    const problems = await lintFromString({ source, absoluteRef: 'openapi.json', config });
    expect(problems.map(({ ruleId }) => ruleId)).toContain('operation-operationId');
  });

  it('each operation has an id that no other has, a verb and a noun, and a tag that is described', () => {
    const ids = operations.map(([, { operationId }]) => operationId);
    expect(new Set(ids).size).toBe(operations.length);
    for (const [name, { operationId, tags = [], summary }] of operations) {
      expect(operationId, name).toMatch(/^[a-z]+([A-Z][a-z]+)+/);
      expect(summary, name).toMatch(/./);
      const described = document.tags.filter((tag) => tags.includes(tag.name));
      expect(
        described.map(({ description }) => description.length > 10),
        name,
      ).toEqual([true]);
    }
  });

  it('every body and header has an example, and every example is right', () => {
    const ajv = new Ajv2020({ strict: false, allErrors: true });
    formats.default(ajv);
    let count = 0;
    for (const [name, one] of shown()) {
      const examples = examplesOf(one);
      if (!name.includes('?')) expect(examples, name).not.toEqual([]);
      const judge = ajv.compile({ ...one.schema, components: document.components });
      for (const example of examples) {
        count++;
        expect(judge(example), `${name}: ${JSON.stringify(example)} ${JSON.stringify(judge.errors)}`).toBe(
          true,
        );
      }
    }
    expect(count).toBeGreaterThan(300);
  });

  it('every parameter of a path has an example', () => {
    for (const [name, { parameters = [] }] of operations) {
      for (const one of parameters.filter((each) => each.in === 'path'))
        expect(examplesOf(one), `${name} ${one.name}`).not.toEqual([]);
    }
  });

  it('every pattern compiles as a Unicode pattern without flags, and the examples of its member match', () => {
    let count = 0;
    for (const [name, one] of shown()) {
      for (const [at, { pattern, examples = [] }] of within(one.schema ?? {}, name)) {
        if (pattern === undefined) continue;
        count++;
        const compiled = new RegExp(pattern, 'u');
        expect(pattern, at).not.toMatch(/\/[a-z]*$/);
        for (const example of examples) expect(example, at).toMatch(compiled);
      }
    }
    expect(count).toBeGreaterThan(3);
  });

  it('every text and every list that a caller may send has a bound', () => {
    const open: string[] = [];
    for (const [name, { parameters = [], requestBody }] of operations) {
      const sent = [...parameters, ...Object.values(requestBody?.content ?? {})];
      for (const { schema = {} } of sent) {
        for (const [at, own] of within(schema, name)) {
          const types = [own.type].flat();
          const isBound = ['maxLength', 'enum', 'const', 'format'].some((keyword) => keyword in own);
          if (types.includes('string') && !isBound) open.push(at);
          if (types.includes('array') && own['maxItems'] === undefined) open.push(`${at}[]`);
        }
      }
    }
    expect(open).toEqual([]);
  });

  it('it shows what a listener gets: three events, the test and three notices, with their claims and the answers of RFC 8935', () => {
    expect(Object.keys(document.webhooks)).toEqual([
      'entityCreated',
      'entityUpdated',
      'entityDeleted',
      'test',
      'endpointFailing',
      'endpointRecovered',
      'eventsExpired',
    ]);
    for (const [name, item] of Object.entries(document.webhooks)) {
      const body = item['post']?.requestBody?.content['application/secevent+jwt']?.schema as Schema;
      const claims = resolve(body['contentSchema'] as Schema);
      expect(Object.keys(claims.properties ?? {}).sort(), name).toEqual([
        'aud',
        'events',
        'iat',
        'iss',
        'jti',
        'toe',
      ]);
      expect(Object.keys(claims.properties?.['events']?.properties ?? {}), name).toEqual([name]);
      expect(Object.keys(item['post']?.responses ?? {}), name).toEqual(['202', '400']);
    }
  });
});
