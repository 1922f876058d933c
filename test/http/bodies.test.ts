import { env } from 'cloudflare:workers';
import { beforeAll, describe, expect, it } from 'vitest';
import { openDatabase } from '../../src/storage/database.ts';
import { countSubscriptions } from '../../src/storage/subscriptions.ts';
import { send, streamOf } from '../support/requests.ts';
import { asOperator, newCustomer, OPERATOR_TOKEN, type Reply, type TestCustomer } from '../support/world.ts';

let customer: TestCustomer;
beforeAll(async () => {
  customer = await newCustomer();
});

const ENDPOINT = 'https://listener.example.com/hooks';
const JSON_TYPE = { 'content-type': 'application/json' };

/** Creates a subscription with exactly this body. A byte array sets no content type of its own. */
function post(body: BodyInit, headers: Record<string, string> = JSON_TYPE): Promise<Reply> {
  return send(`/${customer.id}/webhooks/subscriptions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${customer.token}`, ...headers },
    body,
  });
}

/** Runs a request that must be refused, and checks that it stored nothing. */
async function storesNothing(request: () => Promise<Reply>): Promise<Reply> {
  const db = openDatabase(env.DB);
  const before = await countSubscriptions(db, customer.id);
  const reply = await request();
  expect(reply.status).toBeGreaterThanOrEqual(400);
  expect(reply.headers.get('content-type')).toMatch(/^application\/json/);
  expect(await countSubscriptions(db, customer.id)).toBe(before);
  return reply;
}

const bytes = (text: string) => new TextEncoder().encode(text);
const validBody = () => JSON.stringify({ title: crypto.randomUUID(), endpoint: ENDPOINT, events: [] });

const NOT_JSON = {
  type: '/invalid-request-body',
  status: 400,
  title: 'Invalid request body',
  details: 'Request body is not valid JSON',
};

describe('a body that is not JSON', () => {
  it.each([
    '',
    ' ',
    '{',
    '{"title":}',
    "{'title':'x'}",
    'title=x',
    '{}{}',
    '[1,]',
    'undefined',
    'NaN',
    '\u0000',
  ])('the body %j is not JSON and gets the documented 400', async (text) => {
    const reply = await storesNothing(() => post(bytes(text)));
    expect(reply.status).toBe(400);
    expect(reply.body).toEqual(NOT_JSON);
  });

  it('a JSON body that is cut short gets a 400', async () => {
    const reply = await storesNothing(() => post(validBody().slice(0, -1)));
    expect(reply.body).toEqual(NOT_JSON);
  });

  it('a request without a body gets a 400', async () => {
    const request = () =>
      send(`/${customer.id}/webhooks/subscriptions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${customer.token}`, ...JSON_TYPE },
      });
    expect((await storesNothing(request)).body).toEqual(NOT_JSON);
  });

  it('a body that is not UTF-8 gets a 400', async () => {
    const start = bytes('{"title":"');
    const reply = await storesNothing(() => post(new Uint8Array([...start, 0xff, 0xfe, 0xff])));
    expect(reply.body).toEqual(NOT_JSON);
  });
});

describe('a JSON body that is not an object', () => {
  it.each(['[]', '[{}]', '"text"', 'null', '7', 'true', '1e999', '-0'])(
    'the JSON body %s is not an object and gets a 400',
    async (text) => {
      const reply = await storesNothing(() => post(text));
      expect(reply.status).toBe(400);
      expect(reply.body).toEqual({
        type: '/validation-error',
        status: 400,
        title: 'Bad Request',
        'invalid-body-params': [{ name: 'body', reason: expect.stringMatching(/object/) }],
      });
    },
  );
});

describe('the content type of a body', () => {
  it.each([
    'text/plain',
    'text/json',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/jsonp',
    'application/json-patch',
    'application/octet-stream',
    'json',
  ])('a body sent as %s gets a 415', async (type) => {
    const reply = await storesNothing(() => post(bytes(validBody()), { 'content-type': type }));
    expect(reply.status).toBe(415);
    expect(reply.body).toEqual({
      type: '/unsupported-media-type',
      status: 415,
      title: 'Unsupported Media Type',
      details: expect.any(String),
    });
  });

  it('a body without a content type gets a 415', async () => {
    const reply = await storesNothing(() => post(bytes(validBody()), {}));
    expect(reply.status).toBe(415);
  });

  it.each([
    'application/json',
    'application/json;charset=utf-8',
    'application/json; charset="utf-8"',
    'application/json ; charset=utf-8',
    'Application/JSON',
  ])('a body sent as %s is accepted', async (type) => {
    expect((await post(bytes(validBody()), { 'content-type': type })).status).toBe(201);
  });
});

describe('the limit on a body', () => {
  it('a body may have 131,072 bytes, and no more', async () => {
    const padded = (size: number) => bytes(validBody().padEnd(size, ' '));
    expect((await post(padded(131_072))).status).toBe(201);
    const refused = await storesNothing(() => post(padded(131_073)));
    expect(refused).toMatchObject({
      status: 413,
      body: { details: 'The body must be at most 131072 bytes' },
    });
  });
});

describe('a body of 10 MB', () => {
  const TEN_MB = 10_000_000;
  const refused = (reply: Reply) => {
    expect(reply.status).toBe(413);
    expect(reply.body).toEqual({
      type: '/payload-too-large',
      status: 413,
      title: 'Payload Too Large',
      details: expect.any(String),
    });
  };

  it('a body with a Content-Length of 10 MB gets a 413', async () => {
    refused(await storesNothing(() => post(new Uint8Array(TEN_MB).fill(0x20))));
  });

  it('a stream of 10 MB without a Content-Length gets a 413', async () => {
    refused(await storesNothing(() => post(streamOf(TEN_MB))));
  });

  it('a publish of 10 MB gets a 413, with or without a Content-Length', async () => {
    const path = `/${customer.id}/webhooks/events`;
    const headers = { authorization: `Bearer ${customer.token}`, ...JSON_TYPE };
    refused(await send(path, { method: 'POST', headers, body: new Uint8Array(TEN_MB).fill(0x20) }));
    refused(await send(path, { method: 'POST', headers, body: streamOf(TEN_MB) }));
  });

  it('a body of 10 MB gets a 413 from the token endpoint and from the operator API', async () => {
    const authorization = `Basic ${btoa(`${customer.clientId}:${customer.clientSecret}`)}`;
    const form = { authorization, 'content-type': 'application/x-www-form-urlencoded' };
    const token = `/${customer.id}/login/token`;
    expect((await send(token, { method: 'POST', headers: form, body: streamOf(TEN_MB) })).status).toBe(413);
    const headers = { authorization: `Bearer ${OPERATOR_TOKEN}`, ...JSON_TYPE };
    refused(await send('/operator/customers', { method: 'POST', headers, body: streamOf(TEN_MB) }));
  });
});

describe('an odd body', () => {
  it('a body with __proto__ changes no prototype', async () => {
    const text = `{"__proto__":{"title":"from the prototype","admin":true},"constructor":{"prototype":{"admin":true}},
      "title":${JSON.stringify(crypto.randomUUID())},"endpoint":"${ENDPOINT}","events":[]}`;
    const reply = await post(text);
    expect(reply.status).toBe(201);
    expect(reply.body).not.toHaveProperty('admin');
    expect(({} as Record<string, unknown>)['admin']).toBeUndefined();
  });

  it('a member inside __proto__ does not count as a member of the body', async () => {
    const text = `{"__proto__":{"title":"from the prototype"},"endpoint":"${ENDPOINT}","events":[]}`;
    const reply = await storesNothing(() => post(text));
    expect(reply.body['invalid-body-params'].map((fault: { name: string }) => fault.name)).toEqual(['title']);
  });

  it('the last value of a repeated key counts', async () => {
    const title = crypto.randomUUID();
    const reply = await post(`{"title":"x","title":"${title}","endpoint":"${ENDPOINT}","events":[]}`);
    expect(reply.status).toBe(201);
    expect(reply.body.title).toBe(title);
  });

  it.each([
    ['arrays', '['.repeat(60_000) + ']'.repeat(60_000)],
    ['objects', `${'{"a":'.repeat(15_000)}1${'}'.repeat(15_000)}`],
  ])('a known key with deeply nested %s gets a 400', async (_, deep) => {
    for (const name of ['title', 'endpoint', 'events', 'enabled']) {
      const reply = await storesNothing(() => post(`{"${name}":${deep}}`));
      expect(reply.status).toBe(400);
      const names = reply.body['invalid-body-params'].map(
        (fault: { name: string }) => fault.name,
      ) as string[];
      expect(names.some((found) => found.startsWith(name))).toBe(true);
    }
  });

  it('an unknown key with deeply nested arrays is ignored', async () => {
    const deep = '['.repeat(50_000) + ']'.repeat(50_000);
    const reply = await post(`${validBody().slice(0, -1)},"unknown":${deep}}`);
    expect(reply.status).toBe(201);
  });

  it.each([
    ['a lone high surrogate', 'title \\ud83e'],
    ['a lone low surrogate', '\\udd8a title'],
    ['surrogates in the wrong order', 'title \\udd8a\\ud83e'],
    ['a NUL', 'title \\u0000'],
  ])('a title with %s gets a 400', async (_, title) => {
    const reply = await storesNothing(() =>
      post(`{"title":"${title}","endpoint":"${ENDPOINT}","events":[]}`),
    );
    expect(reply.status).toBe(400);
    expect(reply.body['invalid-body-params']).toEqual([{ name: 'title', reason: expect.any(String) }]);
  });

  it('an endpoint with a NUL or a lone surrogate gets a 400', async () => {
    for (const odd of ['\\u0000', '\\ud83e']) {
      const text = `{"title":"${crypto.randomUUID()}","endpoint":"${ENDPOINT}/${odd}","events":[]}`;
      const reply = await storesNothing(() => post(text));
      expect(reply.body['invalid-body-params']).toEqual([{ name: 'endpoint', reason: expect.any(String) }]);
    }
  });

  it('a title that contains SQL is stored as text', async () => {
    const title = `'); DROP TABLE subscriptions; -- ${crypto.randomUUID()}`;
    const reply = await post(JSON.stringify({ title, endpoint: ENDPOINT, events: [] }));
    expect(reply.body.title).toBe(title);
    expect((await customer.call('GET', '/subscriptions')).status).toBe(200);
  });
});

describe('bodies of the operator API', () => {
  it('the operator API refuses bad bodies by the same rules', async () => {
    const operator = (body: BodyInit, headers: Record<string, string> = JSON_TYPE) =>
      send('/operator/customers', {
        method: 'POST',
        headers: { authorization: `Bearer ${OPERATOR_TOKEN}`, ...headers },
        body,
      });
    const total = async () => (await asOperator('GET', '/customers')).body.total as number;
    const before = await total();
    expect((await operator('{')).body).toEqual(NOT_JSON);
    expect((await operator(bytes('{"name":"Acme"}'), {})).status).toBe(415);
    expect((await operator('[]')).body['invalid-body-params'][0].name).toBe('body');
    expect((await operator('{"name":"\\ud800"}')).body['invalid-body-params'][0].name).toBe('name');
    expect(await total()).toBe(before);
  });
});
