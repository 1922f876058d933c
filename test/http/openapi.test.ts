import { beforeAll, describe, expect, it } from 'vitest';
import { createApp } from '../../src/http/app.ts';
import { createAddressCheck } from '../../src/outbound/address-check.ts';
import { BASE_URL, call } from '../support/world.ts';

interface Answer {
  readonly $ref?: string;
  readonly description?: string;
  readonly content?: Record<string, { schema?: object }>;
}

interface Operation {
  readonly summary?: string;
  readonly parameters?: readonly { readonly name: string; readonly in: string }[];
  readonly security?: readonly Record<string, unknown>[];
  readonly responses: Readonly<Record<string, Answer>>;
}

interface Document {
  readonly openapi: string;
  readonly info: { readonly title: string; readonly version: string };
  readonly servers: readonly { readonly url: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

let document: Document;
beforeAll(async () => {
  const reply = await call('GET', '/openapi.json');
  expect(reply.status).toBe(200);
  document = reply.body;
});

const operations = (): [string, Operation][] =>
  Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]): [string, Operation] => [
      `${method.toUpperCase()} ${path}`,
      operation,
    ]),
  );

describe('the OpenAPI document', () => {
  it('the OpenAPI document has version 3.1 and the address of the service', () => {
    expect(document.openapi).toMatch(/^3\.1\.\d+$/);
    expect(document.info).toMatchObject({ title: 'identity-webhooks', version: expect.any(String) });
    expect(document.servers).toEqual([{ url: BASE_URL }]);
  });

  it('the OpenAPI document holds every route of the service, and no other', () => {
    const { routes } = createApp(createAddressCheck());
    const registered = routes
      .filter(({ method }) => method !== 'ALL')
      .map(({ method, path }) => `${method} ${path.replaceAll(/:(\w+)/g, '{$1}')}`);
    expect(registered.length).toBeGreaterThan(10);
    expect(
      operations()
        .map(([name]) => name)
        .sort(),
    ).toEqual([...new Set(registered)].sort());
  });

  it('every OpenAPI operation documents its answers, each with a schema', () => {
    for (const [name, operation] of operations()) {
      expect(operation.summary, name).toMatch(/./);
      const successes = Object.keys(operation.responses).filter((status) => /^2\d\d$/.test(status));
      expect(successes, name).not.toEqual([]);
      for (const [status, answer] of Object.entries(operation.responses)) {
        const component = answer.$ref?.replace('#/components/responses/', '') ?? '';
        const response = (document.components['responses']?.[component] ?? answer) as Answer;
        expect(response.description, `${name} ${status}`).toMatch(/./);
        if (status === '204') continue;
        const schemas = Object.values(response.content ?? {}).map(({ schema }) => schema);
        expect(schemas, `${name} ${status}`).not.toEqual([]);
        for (const schema of schemas) expect(Object.keys(schema ?? {}), `${name} ${status}`).not.toEqual([]);
      }
    }
  });

  it('every OpenAPI operation declares the parameters of its path', () => {
    for (const [name, operation] of operations()) {
      const inPath = [...name.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
      const declared = (operation.parameters ?? []).filter((one) => one.in === 'path').map((one) => one.name);
      expect(declared.sort(), name).toEqual(inPath.sort());
    }
  });

  it('every component that the OpenAPI document refers to exists', () => {
    const references = new Set<string>();
    JSON.stringify(document, (key, value: unknown) => {
      if (key === '$ref') references.add(String(value));
      return value;
    });
    expect(references.size).toBeGreaterThan(5);
    for (const reference of references) {
      const [hash, components, kind = '', name = ''] = reference.split('/');
      expect([hash, components]).toEqual(['#', 'components']);
      expect(document.components[kind], reference).toHaveProperty([name]);
    }
  });

  it('every OpenAPI operation that is not public names an existing security scheme', () => {
    const schemes = Object.keys(document.components['securitySchemes'] ?? {});
    for (const [name, operation] of operations()) {
      for (const requirement of operation.security ?? []) {
        for (const scheme of Object.keys(requirement)) expect(schemes, name).toContain(scheme);
      }
      const secured = operation.security !== undefined && operation.security.length > 0;
      const isPublic =
        /POST \/console\/session$|\/openapi\.json$|\/healthz$|\/security\.txt$|\/login\/jwk$/.test(name);
      expect(secured, name).toBe(!isPublic);
    }
  });

  it('every OpenAPI operation of management or of the operator documents its 403', () => {
    for (const [name, operation] of operations()) {
      if (/\/webhooks\/|\/operator\//.test(name))
        expect(Object.keys(operation.responses), name).toContain('403');
    }
  });

  it('the OpenAPI schemas of a subscription show every member', () => {
    const schemas = document.components['schemas'] as Record<
      string,
      { properties?: object; required?: string[] }
    >;
    expect(Object.keys(schemas['NewSubscription']?.properties ?? {})).toEqual(
      expect.arrayContaining(['title', 'endpoint', 'events', 'enabled', 'filter']),
    );
    expect(schemas['NewSubscription']?.required?.sort()).toEqual(['endpoint', 'events', 'title']);
    expect(Object.keys(schemas['Subscription']?.properties ?? {})).toEqual(
      expect.arrayContaining([
        '_links',
        'createdAt',
        'customerId',
        'enabled',
        'endpoint',
        'events',
        'id',
        'title',
      ]),
    );
  });
});
