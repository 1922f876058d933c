import { beforeAll, describe, expect, it } from 'vitest';
import { holdClock } from '../support/clock.ts';
import { send } from '../support/requests.ts';
import { asOperator, call, getToken, newCustomer, type Reply, type TestCustomer } from '../support/world.ts';

const FORM = 'application/x-www-form-urlencoded';
const GRANT = 'grant_type=client_credentials&scope=*:webhooks/**';

const basic = (clientId: string, secret: string) => `Basic ${btoa(`${clientId}:${secret}`)}`;

let customer: TestCustomer;
beforeAll(async () => {
  customer = await newCustomer();
});

/** Requests a token with this form, as the customer's client unless the headers say otherwise. */
async function ask(
  form: string,
  headers: Record<string, string> = {},
  customerId = customer.id,
): Promise<Reply> {
  return await call('POST', `/${customerId}/login/token`, {
    headers: {
      authorization: basic(customer.clientId, customer.clientSecret),
      'content-type': FORM,
      ...headers,
    },
    body: form,
  });
}

/** Makes another client of the customer. */
async function newClient(
  client: Record<string, unknown>,
): Promise<{ clientId: string; clientSecret: string }> {
  const made = await asOperator('POST', `/customers/${customer.id}/clients`, { name: 'another', ...client });
  expect(made.status).toBe(201);
  return made.body as { clientId: string; clientSecret: string };
}

const list = (token: string) => call('GET', `/${customer.id}/webhooks/subscriptions`, { token });

describe('a valid token request', () => {
  it('a valid token request gets a 200 with exactly the four members', async () => {
    const reply = await ask(GRANT);
    expect(reply.status).toBe(200);
    expect(reply.body).toEqual({
      access_token: expect.stringMatching(/^[A-Za-z0-9._-]{1,255}$/),
      expires_in: 3600,
      token_type: 'Bearer',
      scope: '*:webhooks/**',
    });
  });

  it('a token answer must not be stored by caches', async () => {
    const reply = await ask(GRANT);
    expect(reply.headers.get('cache-control')).toBe('no-store');
    expect(reply.headers.get('content-type')).toMatch(/^application\/json/);
  });

  it('an access token opens the management API', async () => {
    expect((await list((await ask(GRANT)).body.access_token)).status).toBe(200);
  });

  it('a percent-encoded scope is accepted and answered literally', async () => {
    const reply = await ask('grant_type=client_credentials&scope=%2A%3Awebhooks%2F%2A%2A');
    expect(reply.status).toBe(200);
    expect(reply.body.scope).toBe('*:webhooks/**');
  });

  it('a token request may have parameters in any order, and unknown ones too', async () => {
    expect((await ask('scope=*:webhooks/**&audience=x&grant_type=client_credentials')).status).toBe(200);
  });

  it('a token request accepts a charset, a content type in any case, and the Basic scheme in any case', async () => {
    const headers = { 'content-type': 'Application/X-WWW-Form-Urlencoded; charset=UTF-8' };
    const scheme = {
      authorization: basic(customer.clientId, customer.clientSecret).replace('Basic', 'basic'),
    };
    expect((await ask(GRANT, { ...headers, ...scheme })).status).toBe(200);
  });
});

const USE_BASIC = 'send client id and secret in HTTP Basic: credentials in the body are not read';
const MALFORMED = 'the Basic credentials must be base64 of the client id, a colon and the secret, in UTF-8';
const WRONG = 'the customer has no client with this id and secret';

describe('the client of a token request', () => {
  const refused = (reply: Reply, description = WRONG) => {
    expect(reply.status).toBe(401);
    expect(reply.body).toEqual({ error: 'invalid_client', error_description: description });
    expect(reply.headers.get('www-authenticate')).toMatch(/^Basic /);
    expect(reply.headers.get('cache-control')).toBe('no-store');
  };

  it('a client with a wrong secret gets a 401 invalid_client', async () => {
    refused(await ask(GRANT, { authorization: basic(customer.clientId, 'not-the-secret') }));
  });

  it('a client with its secret in the wrong case is refused', async () => {
    refused(
      await ask(GRANT, { authorization: basic(customer.clientId, customer.clientSecret.toUpperCase()) }),
    );
  });

  it('an unknown client is refused', async () => {
    refused(await ask(GRANT, { authorization: basic('nobody', customer.clientSecret) }));
  });

  it('a client of an unknown customer gets the same 401 as one with a wrong secret', async () => {
    refused(await ask(GRANT, {}, crypto.randomUUID()));
    refused(await ask(GRANT, {}, 'no-uuid'));
  });

  it('a client of one customer is refused at another customer', async () => {
    refused(await ask(GRANT, {}, (await newCustomer()).id));
  });

  it.each([
    ['an empty Authorization header', '', USE_BASIC],
    ['a Bearer header', 'Bearer abc', USE_BASIC],
    ['credentials that are not base64', 'Basic %%%', MALFORMED],
    ['credentials without a colon', `Basic ${btoa('clientonly')}`, MALFORMED],
    ['credentials without an id', `Basic ${btoa(':secret')}`, MALFORMED],
    ['credentials that are not UTF-8', `Basic ${btoa('\xff\xfe:x')}`, MALFORMED],
  ])('a token request with %s is refused', async (_, authorization, description) => {
    refused(await ask(GRANT, { authorization }), description);
  });

  it('a client that authenticates only in the body is refused, and its answer points to HTTP Basic', async () => {
    const form = `${GRANT}&client_id=${customer.clientId}&client_secret=${customer.clientSecret}`;
    refused(await ask(form, { authorization: '' }), USE_BASIC);
    const wrong = `${GRANT}&client_id=nobody&client_secret=wrong`;
    refused(await ask(wrong, { authorization: '' }), USE_BASIC);
  });

  it('a wrong secret, an unknown client and an unknown customer get the same answer, to the byte', async () => {
    const wrongSecret = basic(customer.clientId, 'wrong');
    const answers = await Promise.all([
      ask(GRANT, { authorization: wrongSecret }),
      ask(GRANT, { authorization: basic('nobody', 'wrong') }),
      ask(GRANT, { authorization: basic('an id that no client can have', 'wrong') }),
      ask(GRANT, { authorization: wrongSecret }, crypto.randomUUID()),
      ask(GRANT, { authorization: wrongSecret }, 'no-uuid'),
    ]);
    const shown = answers.map(({ status, headers, body }) => {
      const others = [...headers].filter(([name]) => name !== 'x-request-id');
      return JSON.stringify([status, others, body]);
    });
    expect(new Set(shown).size).toBe(1);
  });

  it('the client of a token request is checked before the parameters', async () => {
    refused(await ask('grant_type=password', { authorization: basic(customer.clientId, 'wrong') }));
  });
});

describe('a client with a given id and secret', () => {
  it('a client made with a given id and secret gets a token with them', async () => {
    const given = { clientId: 'Legacy_Client-1.0~x', clientSecret: 'legacy!secret/with+signs=and:colon' };
    expect(await newClient(given)).toMatchObject(given);
    expect((await getToken(customer.id, given.clientId, given.clientSecret)).status).toBe(200);
  });

  it('a client may send its id and secret form-encoded', async () => {
    const given = { clientId: 'Legacy.Client.2', clientSecret: 'legacy+secret&with=signs-and-more' };
    await newClient(given);
    const encoded = basic(given.clientId, encodeURIComponent(given.clientSecret));
    expect((await ask(GRANT, { authorization: encoded })).status).toBe(200);
  });

  it.each([
    'legacy-secret-%41-bare-and-longer',
    'legacy-secret-%zz%41-odd-and-long',
    'legacy-secret-100%-sure-and-long',
  ])(
    'a client with the secret %s gets a token, whether the secret is encoded or not',
    async (clientSecret) => {
      const { clientId } = await newClient({ clientSecret });
      expect((await getToken(customer.id, clientId, clientSecret)).status).toBe(200);
      expect((await getToken(customer.id, clientId, encodeURIComponent(clientSecret))).status).toBe(200);
    },
  );
});

describe('the parameters of a token request', () => {
  it.each([
    ['no grant_type', 'scope=*:webhooks/**', 'invalid_request'],
    ['an empty grant_type', 'grant_type=&scope=*:webhooks/**', 'invalid_request'],
    ['grant_type twice', `${GRANT}&grant_type=client_credentials`, 'invalid_request'],
    ['scope twice', `${GRANT}&scope=*:webhooks/**`, 'invalid_request'],
    ['no parameters', '', 'invalid_request'],
    ['an unsupported grant_type', 'grant_type=password&scope=*:webhooks/**', 'unsupported_grant_type'],
    [
      'a grant_type in the wrong case',
      'grant_type=Client_Credentials&scope=*:webhooks/**',
      'unsupported_grant_type',
    ],
    ['no scope', 'grant_type=client_credentials', 'invalid_scope'],
    ['an empty scope', 'grant_type=client_credentials&scope=', 'invalid_scope'],
    ['a blank scope', 'grant_type=client_credentials&scope=%20', 'invalid_scope'],
  ])('a token request with %s gets a 400', async (_, form, error) => {
    const reply = await ask(form);
    expect(reply.status).toBe(400);
    // RFC 6749, 5.2: the description is printable ASCII without quotes and backslashes.
    expect(reply.body).toEqual({
      error,
      error_description: expect.stringMatching(/^[\x20\x21\x23-\x5b\x5d-\x7e]+$/),
    });
    expect(reply.headers.get('cache-control')).toBe('no-store');
    expect(reply.headers.has('www-authenticate')).toBe(false);
  });

  it.each([
    ['scope=*:webhooks/**', 'grant_type is required: client_credentials'],
    [`${GRANT}&scope=*:webhooks/**`, 'scope is given more than once'],
    [`${GRANT}&grant_type=client_credentials`, 'grant_type is given more than once'],
    ['grant_type=password&scope=*:webhooks/**', 'grant_type must be client_credentials'],
    ['grant_type=client_credentials', 'scope is required, such as *:webhooks/**'],
    [
      'grant_type=client_credentials&scope=webhooks',
      'scope must be METHOD:path-glob, several separated by spaces, such as *:webhooks/**',
    ],
    [
      'grant_type=client_credentials&scope=GET:webhooks/** POST:other',
      'the client is not allowed the scope POST:other',
    ],
    [
      `grant_type=client_credentials&scope=GET:webhooks/${'x'.repeat(80)}`,
      'scope must be at most 88 characters',
    ],
  ])('a token request with %s gets a description of what is wrong', async (form, description) => {
    const reply = await ask(form);
    expect(reply.status).toBe(400);
    expect(reply.body.error_description).toBe(description);
  });

  it('the description of a refused scope does not grow with the scope', async () => {
    const reply = await ask(`grant_type=client_credentials&scope=*:${'x/'.repeat(50_000)}x`);
    expect(reply.body).toEqual({
      error: 'invalid_scope',
      error_description: 'scope must be at most 88 characters',
    });
  });

  it.each(['application/json', 'text/plain', 'multipart/form-data; boundary=x', `${FORM}x`])(
    'a token request sent as %s gets a 400',
    async (type) => {
      const reply = await ask(GRANT, { 'content-type': type });
      expect(reply.status).toBe(400);
      expect(reply.body.error).toBe('invalid_request');
    },
  );

  it('a token request without a content type gets a 400', async () => {
    const reply = await send(`/${customer.id}/login/token`, {
      method: 'POST',
      headers: { authorization: basic(customer.clientId, customer.clientSecret) },
      body: new TextEncoder().encode(GRANT),
    });
    expect(reply.status).toBe(400);
    expect(reply.body.error).toBe('invalid_request');
  });
});

describe('the scope of a token request', () => {
  it.each([
    'webhooks/**',
    'GET:',
    ':webhooks/**',
    'get:webhooks/**',
    'GET:/webhooks',
    'GET:webhooks//events',
    'GET:webhooks/sub*',
    'GET:webhooks/***',
    '*:webhooks/** nonsense',
  ])('the scope %s is refused because it breaks the grammar', async (scope) => {
    const reply = await getToken(customer.id, customer.clientId, customer.clientSecret, scope);
    expect(reply.status).toBe(400);
    expect(reply.body.error).toBe('invalid_scope');
  });

  it.each(['*:**', '*:*/**', '*:other/**', '*:webhooks/** *:other'])(
    'the scope %s is refused because the client may not have it',
    async (scope) => {
      const reply = await getToken(customer.id, customer.clientId, customer.clientSecret, scope);
      expect(reply.status).toBe(400);
      expect(reply.body.error).toBe('invalid_scope');
    },
  );

  it.each([
    'GET:webhooks/**',
    '*:webhooks/subscriptions/*',
    'POST:webhooks/events',
    'GET:webhooks/subscriptions GET:webhooks/subscriptions/*/events/**',
  ])('the scope %s is within what the client may have and is granted unchanged', async (scope) => {
    const reply = await getToken(customer.id, customer.clientId, customer.clientSecret, scope);
    expect(reply.status).toBe(200);
    expect(reply.body.scope).toBe(scope);
  });

  it('a scope is refused when the client may have only a narrower one', async () => {
    const { clientId, clientSecret } = await newClient({ scope: 'GET:webhooks/subscriptions/*' });
    const asked = async (scope: string) =>
      (await getToken(customer.id, clientId, clientSecret, scope)).status;
    expect(await asked('GET:webhooks/subscriptions/*')).toBe(200);
    expect(await asked('GET:webhooks/subscriptions/**')).toBe(400);
    expect(await asked('*:webhooks/subscriptions/*')).toBe(400);
    expect(await asked('*:webhooks/**')).toBe(400);
  });

  it('the longest scope that is granted gives a working token of at most 255 characters', async () => {
    let granted = { scope: '', token: '' };
    const part = 'GET:webhooks/subscriptions';
    for (let length = part.length + 2; length <= 500; length++) {
      const scope = `${part} ${'*:webhooks/'.padEnd(length - part.length - 1, 'x')}`.slice(0, length);
      const reply = await getToken(customer.id, customer.clientId, customer.clientSecret, scope);
      if (reply.status !== 200) {
        if (length > 100) break;
        continue;
      }
      granted = { scope, token: reply.body.access_token };
    }
    expect(granted.scope.length).toBeGreaterThan(60);
    expect(granted.token.length).toBeLessThanOrEqual(255);
    expect((await list(granted.token)).status).toBe(200);
  });

  it("a client's own scope of 500 characters gives a token of at most 255 characters", async () => {
    const scope = `GET:webhooks/subscriptions ${'GET:webhooks/'.padEnd(473, 'x')}`;
    expect(scope).toHaveLength(500);
    const { clientId, clientSecret } = await newClient({ scope });
    const reply = await getToken(customer.id, clientId, clientSecret, scope);
    expect(reply.status).toBe(200);
    expect(reply.body.scope).toBe(scope);
    expect(reply.body.access_token.length).toBeLessThanOrEqual(255);
    expect((await list(reply.body.access_token)).status).toBe(200);
  });
});

describe('the end of a token', () => {
  const tokenOf = async (client: { clientId: string; clientSecret: string }): Promise<string> =>
    (await getToken(customer.id, client.clientId, client.clientSecret)).body.access_token;

  it('a token ends 3600 s after it was given', async () => {
    const clock = holdClock();
    const token = await tokenOf(customer);
    clock.advance(3_599_000 - (clock.now() % 1000));
    expect((await list(token)).status).toBe(200);
    clock.advance(1000);
    expect((await list(token)).status).toBe(403);
  });

  it('a token ends within 60 s after its client was deleted', async () => {
    const clock = holdClock();
    const client = await newClient({});
    const token = await tokenOf(client);
    expect((await list(token)).status).toBe(200);
    expect((await asOperator('DELETE', `/customers/${customer.id}/clients/${client.clientId}`)).status).toBe(
      204,
    );
    clock.advance(30_000);
    expect((await list(token)).status).toBe(403);
    expect((await getToken(customer.id, client.clientId, client.clientSecret)).status).toBe(401);
  });

  it('a token ends within 60 s after its customer was erased', async () => {
    const clock = holdClock();
    const erased = await newCustomer();
    expect((await erased.call('GET', '/subscriptions')).status).toBe(200);
    await asOperator('DELETE', `/customers/${erased.id}`);
    clock.advance(30_000);
    expect((await erased.call('GET', '/subscriptions')).status).toBe(403);
  });

  it('a token ends within 60 s after its secret was rotated, and the new secret works at once', async () => {
    const clock = holdClock();
    const client = await newClient({});
    const token = await tokenOf(client);
    expect((await list(token)).status).toBe(200);
    const rotated = await asOperator(
      'POST',
      `/customers/${customer.id}/clients/${client.clientId}/rotate-secret`,
    );
    expect(rotated.status).toBe(200);
    expect((await getToken(customer.id, client.clientId, client.clientSecret)).status).toBe(401);
    const renewed = await tokenOf(rotated.body);
    clock.advance(30_000);
    expect((await list(token)).status).toBe(403);
    expect((await list(renewed)).status).toBe(200);
  });

  it('a rotation with keepOldSeconds ends the old secret and its tokens after that time', async () => {
    const clock = holdClock();
    const client = await newClient({});
    const token = await tokenOf(client);
    const path = `/customers/${customer.id}/clients/${client.clientId}/rotate-secret`;
    const rotated = await asOperator('POST', path, { keepOldSeconds: 600 });
    clock.advance(599_000);
    expect((await list(token)).status).toBe(200);
    expect((await getToken(customer.id, client.clientId, client.clientSecret)).status).toBe(200);
    expect((await getToken(customer.id, client.clientId, rotated.body.clientSecret)).status).toBe(200);
    clock.advance(1000);
    expect((await getToken(customer.id, client.clientId, client.clientSecret)).status).toBe(401);
    expect((await getToken(customer.id, client.clientId, rotated.body.clientSecret)).status).toBe(200);
    clock.advance(60_000);
    expect((await list(token)).status).toBe(403);
  });

  it('a second rotation does not extend the life of the old secret', async () => {
    const clock = holdClock();
    const client = await newClient({});
    const path = `/customers/${customer.id}/clients/${client.clientId}/rotate-secret`;
    await asOperator('POST', path, { keepOldSeconds: 60 });
    await asOperator('POST', path, { keepOldSeconds: 600 });
    clock.advance(60_000);
    expect((await getToken(customer.id, client.clientId, client.clientSecret)).status).toBe(401);
  });
});

describe('other methods on the token path', () => {
  it('GET of the token path gets a 405 with Allow', async () => {
    const reply = await call('GET', `/${customer.id}/login/token`);
    expect(reply.status).toBe(405);
    expect(reply.headers.get('allow')).toBe('POST');
    expect(reply.body).toMatchObject({ type: '/method-not-allowed', status: 405 });
  });
});
