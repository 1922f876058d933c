/** A filter is tried on an event, and nothing is stored (contract 10.10). */
import { env } from 'cloudflare:workers';
import { beforeAll, describe, expect, it } from 'vitest';
import { newEventIds } from '../../src/domain/ids.ts';
import { callIn, environmentWith } from '../support/requests.ts';
import { anEvent, getToken, newCustomer, type Reply, type TestCustomer } from '../support/world.ts';

let customer: TestCustomer;
beforeAll(async () => {
  customer = await newCustomer();
});

const ask = (body: unknown): Promise<Reply> => customer.call('POST', '/filter-tests', body);
const updated = (...attributes: string[]) => anEvent({ type: 'entityUpdated', attributes });

/** The example of contract 4, for the application of `anEvent`. */
const EXAMPLE = {
  $schema: 'http://json-schema.org/draft-07/schema',
  properties: {
    entityUpdated: {
      properties: {
        captureApplicationId: { const: 'tep2dcqy4fwurwtpkaxg76twgf' },
        entityType: { const: 'user' },
        attributes: { contains: { enum: ['givenName', 'primaryAddress.city'] } },
      },
    },
  },
};
const TOO_SLOW = { items: { anyOf: Array.from({ length: 300 }, (_, n) => ({ pattern: `x${n}` })) } };
const SLOW = { properties: { entityUpdated: { properties: { attributes: TOO_SLOW } } } };

const faultsOf = (reply: Reply) => {
  expect(reply.status).toBe(400);
  expect(reply.body).toMatchObject({ type: '/validation-error', status: 400, title: 'Bad Request' });
  return reply.body['invalid-body-params'] as { name: string; reason: string }[];
};

describe('a filter test', () => {
  it.each([
    ['an event that the filter wants', EXAMPLE, updated('email', 'givenName'), true],
    ['an event with other attributes', EXAMPLE, updated('email'), false],
    ['an event of another entity type', EXAMPLE, { ...updated('givenName'), entityType: 'admin' }, false],
    ['no filter', null, updated('email'), true],
    ['the empty filter', {}, updated('email'), true],
  ])('a filter test with %s answers whether the filter lets it pass', async (_, filter, event, matches) => {
    const reply = await ask({ filter, event });
    expect(reply.status).toBe(200);
    expect(reply.body).toEqual({ matches, typeNamed: filter === EXAMPLE });
  });

  it.each([
    ['passes', EXAMPLE, { matches: true, typeNamed: false }],
    [
      'is discarded beside additionalProperties false',
      { ...EXAMPLE, additionalProperties: false },
      { matches: false, typeNamed: false },
    ],
    [
      'is discarded by a filter that requires another type',
      { ...EXAMPLE, required: ['entityUpdated'] },
      { matches: false, typeNamed: false },
    ],
  ])(
    'an event of a type that the filter does not name %s, and the answer says so',
    async (_, filter, body) => {
      expect((await ask({ filter, event: anEvent() })).body).toEqual(body);
    },
  );

  it.each([
    ['allOf', { allOf: [true, { properties: { entityCreated: false } }] }, false],
    ['anyOf', { anyOf: [{ properties: { entityCreated: false } }, {}] }, true],
    ['oneOf', { oneOf: [{ properties: { entityCreated: true } }] }, true],
    ['not', { not: { properties: { entityCreated: true } } }, false],
    // biome-ignore lint/suspicious/noThenProperty: the keyword's name
    ['if and then', { if: {}, then: { properties: { entityCreated: true } } }, true],
    ['if and else', { if: false, else: { properties: { entityCreated: false } } }, false],
  ])('a type that is named within %s counts as named', async (_, filter, matches) => {
    expect((await ask({ filter, event: anEvent() })).body).toEqual({ matches, typeNamed: true });
  });

  it('names that every object has are no types', async () => {
    const filter = { properties: { toString: true }, allOf: [{ properties: { constructor: true } }] };
    expect((await ask({ filter, event: anEvent() })).body).toEqual({ matches: true, typeNamed: false });
  });

  it('a filter test sees the claims that the service makes: globalSub and id', async () => {
    const [id] = newEventIds(Date.now(), 1, crypto.getRandomValues(new Uint8Array(16)));
    const globalSub =
      'capture-v1://us.janraincapture.com/tep2dcqy4fwurwtpkaxg76twgf/user/726087ec-35df-4041-aec8-c11ecc208efa';
    const claims = { globalSub: { const: globalSub }, id: { const: id } };
    const filter = { properties: { entityCreated: { properties: claims, required: ['id', 'globalSub'] } } };
    expect((await ask({ filter, event: anEvent({ id }) })).body).toEqual({ matches: true, typeNamed: true });
    // An event without an id gets a new one, as in a publish.
    expect((await ask({ filter, event: anEvent() })).body.matches).toBe(false);
  });

  it.each([
    ['a string', 'x'],
    ['an array', []],
    ['an unknown keyword', { propertys: {} }],
    ['a bad pattern', { properties: { entityCreated: { properties: { sub: { pattern: '(?=x)' } } } } }],
    ['a filter that takes too long', SLOW],
    ['a filter that is too deep', { allOf: [JSON.parse(`${'{"not":'.repeat(40)}{}${'}'.repeat(40)}`)] }],
  ])('a filter test refuses what a subscription refuses, with the same fault: %s', async (_, filter) => {
    const create = { title: 'A title', endpoint: 'https://listener.example.com', events: [], filter };
    const refused = faultsOf(await customer.call('POST', '/subscriptions', create));
    expect(faultsOf(await ask({ filter, event: anEvent() }))).toEqual(refused);
    expect(refused).toEqual([
      { name: 'filter', reason: expect.stringMatching(/^filter is invalid JSON Schema/) },
    ]);
  });

  it.each([
    ['an unknown type', anEvent({ type: 'entityRenamed', sub: 1 })],
    ['missing attributes', anEvent({ type: 'entityUpdated' })],
    ['attributes of another type', anEvent({ attributes: ['email'] })],
    ['an id of another version', anEvent({ id: crypto.randomUUID() })],
    ['too many bytes', anEvent({ more: 'x'.repeat(60_000) })],
    ['no members', {}],
    ['no object', 7],
  ])('a filter test refuses what a publish refuses, with the same faults: %s', async (_, event) => {
    const refused = faultsOf(await customer.call('POST', '/events', event));
    expect(refused.length).toBeGreaterThan(0);
    const expected = refused.map(({ name, reason }) => ({
      name: name === 'event' ? name : `event.${name}`,
      reason,
    }));
    expect(faultsOf(await ask({ filter: {}, event }))).toEqual(expected);
  });

  it('a filter test names the faults of filter and event at once', async () => {
    const faults = faultsOf(await ask({ filter: { x: 1 }, event: anEvent({ entityType: '', sub: 'x' }) }));
    expect(faults.map(({ name }) => name)).toEqual(['filter', 'event.entityType', 'event.sub']);
  });

  it.each([
    ['an empty object', {}, ['filter', 'event']],
    ['null', null, ['body']],
    ['an array', [{ filter: {}, event: anEvent() }], ['body']],
    ['several events', { filter: {}, event: [anEvent(), anEvent()] }, ['event']],
  ])('a filter test with %s as its body gets a 400', async (_, body, names) => {
    expect(faultsOf(await ask(body)).map(({ name }) => name)).toEqual(names);
  });

  it('a filter test stores nothing and sends nothing', async () => {
    const before = (await env.DB.prepare('SELECT count(*) AS n FROM subscriptions').first('n')) as number;
    const away = { sendBatch: () => Promise.reject(new Error('not expected')) };
    const environment = environmentWith({ EVENTS: away as unknown as typeof env.EVENTS });
    const reply = await callIn(environment, 'POST', `/${customer.id}/webhooks/filter-tests`, {
      token: customer.token,
      body: { filter: EXAMPLE, event: updated('givenName') },
    });
    expect(reply.body).toEqual({ matches: true, typeNamed: true });
    expect(await env.DB.prepare('SELECT count(*) AS n FROM subscriptions').first('n')).toBe(before);
  });

  it('a token with the scope POST:webhooks/filter-tests may test filters and nothing else', async () => {
    const token = async (scope: string) =>
      (await getToken(customer.id, customer.clientId, customer.clientSecret, scope)).body.access_token;
    const environment = environmentWith({});
    const asked = async (scope: string, method: string, path: string) =>
      (
        await callIn(environment, method, `/${customer.id}/webhooks/${path}`, {
          token: await token(scope),
          ...(method === 'POST' ? { body: { filter: {}, event: anEvent() } } : {}),
        })
      ).status;
    expect(await asked('POST:webhooks/filter-tests', 'POST', 'filter-tests')).toBe(200);
    expect(await asked('POST:webhooks/filter-tests', 'GET', 'subscriptions')).toBe(403);
    expect(await asked('POST:webhooks/events', 'POST', 'filter-tests')).toBe(403);
    expect(await asked('GET:webhooks/**', 'POST', 'filter-tests')).toBe(403);
  });
});

describe('the units of work of a filter test', () => {
  function withUnits(units: number) {
    const asked: string[] = [];
    const limit = async ({ key }: { key: string }) => ({ success: asked.push(key) <= units });
    const environment = environmentWith({ COSTLY_WORK: { limit } as RateLimit });
    const send = (body: unknown) =>
      callIn(environment, 'POST', `/${customer.id}/webhooks/filter-tests`, { token: customer.token, body });
    return { asked, send };
  }

  it('a filter test takes one unit, whether the filter is accepted or not', async () => {
    const { asked, send } = withUnits(10);
    expect((await send({ filter: EXAMPLE, event: anEvent() })).status).toBe(200);
    expect((await send({ filter: SLOW, event: anEvent() })).status).toBe(400);
    expect(asked).toEqual([customer.id, customer.id]);
  });

  it('a filter test without a unit left is a 429, and its filter is not judged', async () => {
    const { send } = withUnits(0);
    for (const filter of [EXAMPLE, SLOW, 'x']) {
      const reply = await send({ filter, event: anEvent() });
      expect(reply.status).toBe(429);
      expect(reply.headers.get('retry-after')).toBe('10');
    }
  });

  it('a body that is not JSON takes no unit', async () => {
    const { asked, send } = withUnits(10);
    expect((await send('{')).status).toBe(400);
    expect(asked).toEqual([]);
  });
});
