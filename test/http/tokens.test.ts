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

/** Asks for a token with this form, as the customer's client unless told otherwise. */
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

/** Another client of the customer. */
async function newClient(
  client: Record<string, unknown>,
): Promise<{ clientId: string; clientSecret: string }> {
  const made = await asOperator('POST', `/customers/${customer.id}/clients`, { name: 'another', ...client });
  expect(made.status).toBe(201);
  return made.body as { clientId: string; clientSecret: string };
}

const list = (token: string) => call('GET', `/${customer.id}/webhooks/subscriptions`, { token });

describe('a good request for a token', () => {
  it('answers 200 with exactly the four members', async () => {
    const reply = await ask(GRANT);
    expect(reply.status).toBe(200);
    expect(reply.body).toEqual({
      access_token: expect.stringMatching(/^[A-Za-z0-9._-]{1,255}$/),
      expires_in: 3600,
      token_type: 'Bearer',
      scope: '*:webhooks/**',
    });
  });

  it('must not be stored by caches', async () => {
    const reply = await ask(GRANT);
    expect(reply.headers.get('cache-control')).toBe('no-store');
    expect(reply.headers.get('content-type')).toMatch(/^application\/json/);
  });

  it('gives a token that opens the management API', async () => {
    expect((await list((await ask(GRANT)).body.access_token)).status).toBe(200);
  });

  it('takes the scope percent-encoded, and answers it literally', async () => {
    const reply = await ask('grant_type=client_credentials&scope=%2A%3Awebhooks%2F%2A%2A');
    expect(reply.status).toBe(200);
    expect(reply.body.scope).toBe('*:webhooks/**');
  });

  it('takes parameters in any order, and unknown ones beside them', async () => {
    expect((await ask('scope=*:webhooks/**&audience=x&grant_type=client_credentials')).status).toBe(200);
  });

  it('takes a charset beside the content type, and any case of both names', async () => {
    const headers = { 'content-type': 'Application/X-WWW-Form-Urlencoded; charset=UTF-8' };
    const scheme = {
      authorization: basic(customer.clientId, customer.clientSecret).replace('Basic', 'basic'),
    };
    expect((await ask(GRANT, { ...headers, ...scheme })).status).toBe(200);
  });
});

describe('the client of the request', () => {
  const refused = (reply: Reply) => {
    expect(reply.status).toBe(401);
    expect(reply.body).toEqual({ error: 'invalid_client' });
    expect(reply.headers.get('www-authenticate')).toMatch(/^Basic /);
    expect(reply.headers.get('cache-control')).toBe('no-store');
  };

  it('is refused with 401 invalid_client when its secret is wrong', async () => {
    refused(await ask(GRANT, { authorization: basic(customer.clientId, 'not-the-secret') }));
  });

  it('is refused when its secret is right but for its case', async () => {
    refused(
      await ask(GRANT, { authorization: basic(customer.clientId, customer.clientSecret.toUpperCase()) }),
    );
  });

  it('is refused when it is unknown', async () => {
    refused(await ask(GRANT, { authorization: basic('nobody', customer.clientSecret) }));
  });

  it('is refused at an unknown customer, in the same words', async () => {
    refused(await ask(GRANT, {}, crypto.randomUUID()));
    refused(await ask(GRANT, {}, 'no-uuid'));
  });

  it('is refused at another customer', async () => {
    refused(await ask(GRANT, {}, (await newCustomer()).id));
  });

  it.each([
    ['no header', ''],
    ['a Bearer header', 'Bearer abc'],
    ['no base64', 'Basic %%%'],
    ['no colon', `Basic ${btoa('clientonly')}`],
    ['no id', `Basic ${btoa(':secret')}`],
    ['no UTF-8', `Basic ${btoa('\xff\xfe:x')}`],
  ])('is refused with %s', async (_, authorization) => {
    refused(await ask(GRANT, { authorization }));
  });

  it('is refused when it stands in the body alone', async () => {
    const form = `${GRANT}&client_id=${customer.clientId}&client_secret=${customer.clientSecret}`;
    refused(await ask(form, { authorization: '' }));
  });

  it('is decided before what is asked for', async () => {
    refused(await ask('grant_type=password', { authorization: basic(customer.clientId, 'wrong') }));
  });
});

describe('a client that brought its id and secret', () => {
  it('gets a token with them', async () => {
    const given = { clientId: 'Legacy_Client-1.0~x', clientSecret: 'legacy!secret/with+signs=and:colon' };
    expect(await newClient(given)).toMatchObject(given);
    expect((await getToken(customer.id, given.clientId, given.clientSecret)).status).toBe(200);
  });

  it('may send them form-encoded', async () => {
    const given = { clientId: 'Legacy.Client.2', clientSecret: 'legacy+secret&with=signs' };
    await newClient(given);
    const encoded = basic(given.clientId, encodeURIComponent(given.clientSecret));
    expect((await ask(GRANT, { authorization: encoded })).status).toBe(200);
  });

  it.each(['legacy-secret-%41-bare', 'legacy-secret-%zz%41-odd', 'legacy-secret-100%-sure'])(
    'gets a token with the secret %s, encoded or not',
    async (clientSecret) => {
      const { clientId } = await newClient({ clientSecret });
      expect((await getToken(customer.id, clientId, clientSecret)).status).toBe(200);
      expect((await getToken(customer.id, clientId, encodeURIComponent(clientSecret))).status).toBe(200);
    },
  );
});

describe('the parameters of a request', () => {
  it.each([
    ['no grant_type', 'scope=*:webhooks/**', 'invalid_request'],
    ['an empty grant_type', 'grant_type=&scope=*:webhooks/**', 'invalid_request'],
    ['grant_type twice', `${GRANT}&grant_type=client_credentials`, 'invalid_request'],
    ['scope twice', `${GRANT}&scope=*:webhooks/**`, 'invalid_request'],
    ['nothing', '', 'invalid_request'],
    ['another grant', 'grant_type=password&scope=*:webhooks/**', 'unsupported_grant_type'],
    [
      'the grant in another case',
      'grant_type=Client_Credentials&scope=*:webhooks/**',
      'unsupported_grant_type',
    ],
    ['no scope', 'grant_type=client_credentials', 'invalid_scope'],
    ['an empty scope', 'grant_type=client_credentials&scope=', 'invalid_scope'],
    ['a blank scope', 'grant_type=client_credentials&scope=%20', 'invalid_scope'],
  ])('are refused with 400: %s', async (_, form, error) => {
    const reply = await ask(form);
    expect(reply.status).toBe(400);
    expect(reply.body.error).toBe(error);
    expect(Object.keys(reply.body).filter((key) => key !== 'error' && key !== 'error_description')).toEqual(
      [],
    );
    expect(reply.headers.get('cache-control')).toBe('no-store');
    expect(reply.headers.has('www-authenticate')).toBe(false);
  });

  it.each(['application/json', 'text/plain', 'multipart/form-data; boundary=x', `${FORM}x`])(
    'are refused as %s',
    async (type) => {
      const reply = await ask(GRANT, { 'content-type': type });
      expect(reply.status).toBe(400);
      expect(reply.body.error).toBe('invalid_request');
    },
  );

  it('are refused without a content type', async () => {
    const reply = await send(`/${customer.id}/login/token`, {
      method: 'POST',
      headers: { authorization: basic(customer.clientId, customer.clientSecret) },
      body: new TextEncoder().encode(GRANT),
    });
    expect(reply.status).toBe(400);
    expect(reply.body.error).toBe('invalid_request');
  });
});

describe('a scope', () => {
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
  ])('%s is refused: it does not follow the grammar', async (scope) => {
    const reply = await getToken(customer.id, customer.clientId, customer.clientSecret, scope);
    expect(reply.status).toBe(400);
    expect(reply.body.error).toBe('invalid_scope');
  });

  it.each(['*:**', '*:*/**', '*:other/**', '*:webhooks/** *:other'])(
    '%s is refused: it asks for more than the client may',
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
  ])('%s is a part of what the client may, and is granted as asked', async (scope) => {
    const reply = await getToken(customer.id, customer.clientId, customer.clientSecret, scope);
    expect(reply.status).toBe(200);
    expect(reply.body.scope).toBe(scope);
  });

  it('is refused when the client is allowed only a narrower one', async () => {
    const { clientId, clientSecret } = await newClient({ scope: 'GET:webhooks/subscriptions/*' });
    const asked = async (scope: string) =>
      (await getToken(customer.id, clientId, clientSecret, scope)).status;
    expect(await asked('GET:webhooks/subscriptions/*')).toBe(200);
    expect(await asked('GET:webhooks/subscriptions/**')).toBe(400);
    expect(await asked('*:webhooks/subscriptions/*')).toBe(400);
    expect(await asked('*:webhooks/**')).toBe(400);
  });

  it('that is as long as is granted gives a token of at most 255 characters that works', async () => {
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

  it("that is the client's own may have 500 characters, and its token at most 255", async () => {
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

  it('comes 3600 s after it was given', async () => {
    const clock = holdClock();
    const token = await tokenOf(customer);
    clock.advance(3_599_000 - (clock.now() % 1000));
    expect((await list(token)).status).toBe(200);
    clock.advance(1000);
    expect((await list(token)).status).toBe(403);
  });

  it('comes within 60 s after its client was deleted', async () => {
    const clock = holdClock();
    const client = await newClient({});
    const token = await tokenOf(client);
    expect((await list(token)).status).toBe(200);
    expect((await asOperator('DELETE', `/customers/${customer.id}/clients/${client.clientId}`)).status).toBe(
      204,
    );
    clock.advance(60_000);
    expect((await list(token)).status).toBe(403);
    expect((await getToken(customer.id, client.clientId, client.clientSecret)).status).toBe(401);
  });

  it('comes within 60 s after its customer was erased', async () => {
    const clock = holdClock();
    const erased = await newCustomer();
    expect((await erased.call('GET', '/subscriptions')).status).toBe(200);
    await asOperator('DELETE', `/customers/${erased.id}`);
    clock.advance(60_000);
    expect((await erased.call('GET', '/subscriptions')).status).toBe(403);
  });

  it('comes within 60 s after its secret was rotated, and the new secret works at once', async () => {
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
    clock.advance(60_000);
    expect((await list(token)).status).toBe(403);
    expect((await list(renewed)).status).toBe(200);
  });

  it('waits for keepOldSeconds after a rotation that keeps the old secret', async () => {
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

  it('is not put off by a second rotation', async () => {
    const clock = holdClock();
    const client = await newClient({});
    const path = `/customers/${customer.id}/clients/${client.clientId}/rotate-secret`;
    await asOperator('POST', path, { keepOldSeconds: 60 });
    await asOperator('POST', path, { keepOldSeconds: 600 });
    clock.advance(60_000);
    expect((await getToken(customer.id, client.clientId, client.clientSecret)).status).toBe(401);
  });
});

describe('failed authentications', () => {
  /** How many fail with 401 before the first 429, which is handed on. */
  async function failuresBefore429(attempt: (count: number) => Promise<Reply>): Promise<[number, Reply]> {
    for (let count = 0; count <= 400; count++) {
      const reply = await attempt(count);
      if (reply.status === 429) return [count, reply];
      expect(reply.status).toBe(401);
    }
    throw new Error('no 429');
  }

  // The count starts anew each minute of the real clock, which can fall into one of two rounds, not into both.

  it('answer 429 with Retry-After after 20 of one client, and right credentials still work', async () => {
    const counts: number[] = [];
    for (const address of ['198.51.100.1', '198.51.100.2']) {
      const from = { 'cf-connecting-ip': address };
      const { clientId, clientSecret } = await newClient({});
      const wrong = { ...from, authorization: basic(clientId, 'wrong') };
      const [count, refused] = await failuresBefore429(() => ask(GRANT, wrong));
      counts.push(count);
      expect(refused.body.error).toBe('temporarily_unavailable');
      expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
      expect(refused.headers.get('cache-control')).toBe('no-store');
      expect((await ask(GRANT, { ...from, authorization: basic(clientId, clientSecret) })).status).toBe(200);
      expect((await ask(GRANT, { ...from, authorization: basic('stranger', 'wrong') })).status).toBe(401);
    }
    expect(Math.min(...counts)).toBe(20);
  });

  it('answer 429 after 200 from one address, whatever the client, and right credentials still work', async () => {
    const counts: number[] = [];
    for (const address of ['198.51.100.3', '198.51.100.4']) {
      const from = { 'cf-connecting-ip': address };
      const [count] = await failuresBefore429((nth) =>
        ask(GRANT, { ...from, authorization: basic(`${address}-${nth}`, 'wrong') }),
      );
      counts.push(count);
      expect((await ask(GRANT, from)).status).toBe(200);
    }
    expect(Math.min(...counts)).toBe(200);
  });
});

describe('other methods on the token path', () => {
  it('answer 405 with Allow', async () => {
    const reply = await call('GET', `/${customer.id}/login/token`);
    expect(reply.status).toBe(405);
    expect(reply.headers.get('allow')).toBe('POST');
    expect(reply.body).toMatchObject({ type: '/method-not-allowed', status: 405 });
  });
});
