/** What a session of the console reaches, and who reaches it: other customers, other sites, guesses (contract 10.15). */
import { env } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import { holdClock } from '../support/clock.ts';
import {
  FORBIDDEN,
  newBrowser,
  newCode,
  ORIGIN,
  operatorSignedIn,
  signedIn,
  subscriptionsOf,
} from '../support/console.ts';
import {
  callIn,
  countingQueries,
  environmentWith,
  environmentWithout,
  limiter,
  newIsolate,
} from '../support/requests.ts';
import { allRoutes, fill } from '../support/routes.ts';
import {
  anEvent,
  BASE_URL,
  call,
  newCustomer,
  newSubscription,
  OPERATOR_TOKEN,
  type Reply,
} from '../support/world.ts';

/** Everything of a customer that a call could change, as text. */
async function tracesOf(customerId: string, subscriptionId: string): Promise<string> {
  const token = await (await signedIn(customerId)).token('customer');
  const path = `/${customerId}/webhooks/subscriptions`;
  const parts = [
    path,
    ...['', '/exports', '/redeliveries'].map((part) => `${path}/${subscriptionId}${part}`),
  ];
  const replies = await Promise.all(parts.map((part) => call('GET', part, { token })));
  return JSON.stringify(replies.map(({ body }) => body));
}

describe('what a session of a customer reaches', () => {
  it('a session of one customer gets the same 403 as no token on every route of another, and of the operator', async () => {
    const [own, victim] = [await newCustomer(), await newCustomer()];
    const token = await (await signedIn(own.id)).token('customer');
    const subscription = await newSubscription(victim);
    const ids = new Proxy({ cid: victim.id, sid: subscription.id } as Record<string, string>, {
      get: (known, key) => known[String(key)] ?? crypto.randomUUID(),
    });
    const routes = (await allRoutes()).filter(({ access }) => access === 'token' || access === 'operator');
    expect(routes.length).toBeGreaterThan(35);
    for (const { method, path, takesBody } of routes) {
      const reply = await call(method, fill(path, ids), { token, ...(takesBody ? { body: {} } : {}) });
      expect(reply, `${method} ${path}`).toMatchObject(FORBIDDEN);
    }
    expect((await victim.call('GET', `/subscriptions/${subscription.id}`)).status).toBe(200);
  });

  it('a read-only session reads, tests filters, and gets a 403 on every other route that is not GET', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer);
    await customer.call('POST', '/events', anEvent());
    const browser = await signedIn(customer.id, { readOnly: true });
    expect((await browser.ask('GET', '/console/session?kind=customer')).body.readOnly).toBe(true);
    const token = await browser.token('customer');
    const ids = new Proxy({ cid: customer.id, sid: subscription.id } as Record<string, string>, {
      get: (known, key) => known[String(key)] ?? crypto.randomUUID(),
    });
    const before = await tracesOf(customer.id, subscription.id);
    const routes = (await allRoutes()).filter(({ access }) => access === 'token');
    const changing = routes.filter(({ method, path }) => method !== 'GET' && !path.endsWith('/filter-tests'));
    expect(changing.length).toBeGreaterThan(9);
    for (const { method, path } of changing) {
      const reply = await call(method, fill(path, ids), { token, body: anEvent({ title: 'taken over' }) });
      expect(reply, `${method} ${path}`).toMatchObject(FORBIDDEN);
    }
    const dryRun = `/${customer.id}/webhooks/subscriptions/${subscription.id}/redeliveries`;
    expect((await call('POST', dryRun, { token, body: { dryRun: true } })).status).toBe(403);
    expect(await tracesOf(customer.id, subscription.id)).toBe(before);
    for (const { path } of routes.filter(({ method }) => method === 'GET')) {
      expect((await call('GET', fill(path, ids), { token })).status, path).not.toBe(403);
    }
    const test = { filter: {}, event: anEvent() };
    const tested = await call('POST', `/${customer.id}/webhooks/filter-tests`, { token, body: test });
    expect(tested.status).toBe(200);
  });

  it('a cookie opens neither the API of the customer nor that of the operator', async () => {
    const { id } = await newCustomer();
    const browser = await operatorSignedIn(await signedIn(id));
    expect(browser.cookies.size).toBe(2);
    const routes = (await allRoutes()).filter(({ access }) => access === 'token' || access === 'operator');
    for (const { method, path } of routes) {
      const filled = path.replaceAll(/\{\w+\}/g, id);
      expect(await browser.ask(method, filled), `${method} ${path}`).toMatchObject(FORBIDDEN);
    }
    // Nor does the value of a cookie as a bearer token.
    for (const token of browser.cookies.values()) {
      expect((await subscriptionsOf(id, token)).status).toBe(403);
      expect((await call('GET', '/operator/customers', { token })).status).toBe(403);
    }
  });

  it('no answer has a CORS header, whatever page asks', async () => {
    const { id } = await newCustomer();
    const browser = await signedIn(id);
    for (const method of ['GET', 'OPTIONS', 'POST', 'DELETE']) {
      for (const path of [
        '/console/session?kind=customer',
        '/console/token',
        `/${id}/webhooks/subscriptions`,
        '/operator/customers',
        '/console/',
      ]) {
        const reply = await browser.ask(method, path, undefined, {
          origin: 'https://evil.test',
          'access-control-request-method': 'POST',
          'sec-fetch-site': 'cross-site',
        });
        const names = [...reply.headers.keys()].filter((name) => name.startsWith('access-control'));
        expect(names, `${method} ${path}`).toEqual([]);
      }
    }
  });
});

describe('a session of the operator', () => {
  it("an operator's session opens every route of the operator, and none of a customer", async () => {
    const customer = await newCustomer();
    const browser = await operatorSignedIn();
    const session = await browser.ask('GET', '/console/session?kind=operator');
    expect(session.body).toEqual({ kind: 'operator', expiresAt: expect.any(String) });
    const token = await browser.token('operator');
    expect((await call('GET', '/operator/customers', { token })).status).toBe(200);
    const made = await call('POST', `/operator/customers/${customer.id}/console-links`, { token });
    expect(made.status).toBe(201);
    expect((await subscriptionsOf(customer.id, token)).status).toBe(403);
  });

  it('an operator and a customer are signed in side by side, and each cookie gives its own tokens', async () => {
    const { id } = await newCustomer();
    const browser = await operatorSignedIn(await signedIn(id));
    const [ofCustomer, ofOperator] = [await browser.token('customer'), await browser.token('operator')];
    expect((await subscriptionsOf(id, ofCustomer)).status).toBe(200);
    expect((await call('GET', '/operator/customers', { token: ofCustomer })).status).toBe(403);
    expect((await call('GET', '/operator/customers', { token: ofOperator })).status).toBe(200);
    await browser.ask('DELETE', '/console/session?kind=operator');
    expect((await browser.ask('GET', '/console/session?kind=customer')).status).toBe(200);
  });

  it('a cookie of one kind is no session of the other', async () => {
    const { id } = await newCustomer();
    const browser = await signedIn(id);
    const value = browser.cookies.get('__Host-iwh-console') ?? '';
    browser.cookies.set('__Host-iwh-operator', value);
    expect((await browser.ask('POST', '/console/token', { kind: 'operator' })).status).toBe(403);
  });

  it('a session of the operator ends at once when OPERATOR_TOKEN changes or is taken away', async () => {
    const browser = await operatorSignedIn();
    const token = await browser.token('operator');
    const cookie = `__Host-iwh-operator=${browser.cookies.get('__Host-iwh-operator')}`;
    const headers = { cookie, 'sec-fetch-site': 'same-origin' };
    const ask = (environment: typeof env) =>
      callIn(environment, 'GET', '/console/session?kind=operator', { headers });
    const other = environmentWith({ OPERATOR_TOKEN: 'another-token-of-the-operator' }) as typeof env;
    const none = environmentWithout('OPERATOR_TOKEN') as typeof env;
    expect((await ask(env)).status).toBe(200);
    expect((await callIn(env, 'GET', '/operator/customers', { token })).status).toBe(200);
    expect((await ask(other)).status).toBe(403);
    expect((await callIn(other, 'GET', '/operator/customers', { token })).status).toBe(403);
    expect((await ask(none)).status).toBe(403);
    expect((await callIn(none, 'GET', '/operator/customers', { token })).status).toBe(404);
  });

  it('nobody signs in as the operator while there is no OPERATOR_TOKEN', async () => {
    const reply = await callIn(environmentWithout('OPERATOR_TOKEN'), 'POST', '/console/session', {
      headers: { 'sec-fetch-site': 'same-origin' },
      body: { operatorToken: OPERATOR_TOKEN },
    });
    expect(reply).toMatchObject(FORBIDDEN);
  });

  it('an old token of a session is no guess at the operator token', async () => {
    const clock = holdClock();
    const isolate = newIsolate(environmentWith({ FAILED_AUTH_BY_CLIENT: limiter(20) }));
    const browser = newBrowser(isolate);
    await browser.ask('POST', '/console/session', { operatorToken: OPERATOR_TOKEN });
    const token = await browser.token('operator');
    clock.advance(600_000);
    const headers = { 'cf-connecting-ip': '198.51.100.7' };
    for (let nth = 0; nth < 25; nth++)
      expect((await isolate('GET', '/operator/customers', { token, headers })).status).toBe(403);
    const right = await isolate('GET', '/operator/customers', { token: OPERATOR_TOKEN, headers });
    expect(right.status).toBe(200);
  });
});

describe('guesses at the sign-in', () => {
  const HOME = '198.51.100.8';
  const headers = { 'cf-connecting-ip': HOME, 'sec-fetch-site': 'same-origin' };
  const tally = (replies: readonly Reply[]) =>
    Object.fromEntries(
      Map.groupBy(replies, ({ status }) => status)
        .entries()
        .map(([status, all]) => [status, all.length]),
    );

  it('only 20 of 60 codes of one address are looked up, and the right one is refused like the others', async () => {
    const { id } = await newCustomer();
    const code = await newCode(id);
    const { environment, queries } = countingQueries({ FAILED_AUTH_BY_CLIENT: limiter(20) });
    const isolate = newIsolate(environment);
    const before = queries();
    const guesses = await Promise.all(
      Array.from({ length: 60 }, (_, nth) =>
        isolate('POST', '/console/session', { headers, body: { code: `iwh_link_${nth}` } }),
      ),
    );
    expect(tally(guesses)).toEqual({ 403: 20, 429: 40 });
    expect(queries() - before).toBe(20);
    const right = await isolate('POST', '/console/session', { headers, body: { code } });
    expect(right.status).toBe(429);
    expect(Number(right.headers.get('retry-after'))).toBeGreaterThan(0);
    const elsewhere = { ...headers, 'cf-connecting-ip': '203.0.113.8' };
    expect((await isolate('POST', '/console/session', { headers: elsewhere, body: { code } })).status).toBe(
      201,
    );
  });

  it('guesses at the operator token count together at both doors', async () => {
    const isolate = newIsolate(environmentWith({ FAILED_AUTH_BY_CLIENT: limiter(20) }));
    for (let nth = 0; nth < 10; nth++) {
      await isolate('GET', '/operator/customers', { headers, token: `wrong-${nth}` });
      await isolate('POST', '/console/session', { headers, body: { operatorToken: `wrong-${nth}` } });
    }
    const body = { operatorToken: OPERATOR_TOKEN };
    expect((await isolate('POST', '/console/session', { headers, body })).status).toBe(429);
    expect((await isolate('GET', '/operator/customers', { headers, token: OPERATOR_TOKEN })).status).toBe(
      429,
    );
  });

  it('guesses at the secret of a client count together with those at its access token', async () => {
    const { id, clientId, clientSecret } = await newCustomer();
    const isolate = newIsolate(
      environmentWith({ FAILED_AUTH_BY_CLIENT: limiter(20), FAILED_AUTH_BY_ADDRESS: limiter(200) }),
    );
    const signIn = (secret: string) =>
      isolate('POST', '/console/session', {
        headers,
        body: { customerId: id, clientId, clientSecret: secret },
      });
    for (let nth = 0; nth < 20; nth++) expect((await signIn(`wrong-${nth}`)).status).toBe(403);
    expect((await signIn(clientSecret)).status).toBe(429);
    const token = await isolate('POST', `/${id}/login/token`, {
      headers: { ...headers, authorization: `Basic ${btoa(`${clientId}:${clientSecret}`)}` },
      body: 'grant_type=client_credentials&scope=*:webhooks/**',
    });
    expect(token.status).toBe(429);
  });

  it('cookies that somebody makes up cost D1 no more queries than the limit of an address', async () => {
    const { environment, queries } = countingQueries({ PUBLIC_LOOK_UPS: limiter(5) });
    const isolate = newIsolate(environment);
    const replies: Reply[] = [];
    for (let nth = 0; nth < 20; nth++) {
      const cookie = `__Host-iwh-console=iwh_session_${'a'.repeat(46)}${nth + 10}`;
      replies.push(
        await isolate('POST', '/console/token', {
          headers: { ...headers, cookie },
          body: { kind: 'customer' },
        }),
      );
    }
    expect(tally(replies)).toEqual({ 403: 5, 429: 15 });
    expect(queries()).toBe(5);
    const odd = { ...headers, cookie: '__Host-iwh-console=nonsense' };
    expect(
      (await isolate('POST', '/console/token', { headers: odd, body: { kind: 'customer' } })).status,
    ).toBe(403);
    expect(queries()).toBe(5);
  });
});

describe('requests from other sites', () => {
  const CALLS = [
    ['POST', '/console/session', { operatorToken: OPERATOR_TOKEN }],
    ['GET', '/console/session?kind=customer', undefined],
    ['POST', '/console/token', { kind: 'customer' }],
    ['DELETE', '/console/session?kind=customer', undefined],
  ] as const;
  const FROM: readonly [string, Record<string, string>][] = [
    ['another site', { 'sec-fetch-site': 'cross-site', origin: ORIGIN }],
    ['a sibling host', { 'sec-fetch-site': 'same-site', origin: ORIGIN }],
    ['an address bar', { 'sec-fetch-site': 'none' }],
    ['another origin by an old browser', { origin: 'https://evil.test' }],
    ['a page without an origin by an old browser', { origin: 'null' }],
  ];

  it.each(FROM)('a call from %s is a 403, changes nothing, and sets no cookie', async (_, from) => {
    const { id } = await newCustomer();
    const browser = await signedIn(id);
    const cookie = `__Host-iwh-console=${browser.cookies.get('__Host-iwh-console')}`;
    const before = await env.DB.prepare('SELECT * FROM console_sessions ORDER BY id').all();
    for (const [method, path, body] of CALLS) {
      const reply = await call(method, path, {
        headers: { cookie, ...from },
        ...(body === undefined ? {} : { body }),
      });
      expect(reply, `${method} ${path}`).toMatchObject(FORBIDDEN);
      expect(reply.headers.getSetCookie()).toEqual([]);
    }
    const after = await env.DB.prepare('SELECT * FROM console_sessions ORDER BY id').all();
    expect(after.results).toEqual(before.results);
  });

  it('a call that may change something is refused when nothing says where it comes from', async () => {
    for (const [method, path, body] of CALLS.filter(([method]) => method !== 'GET')) {
      const reply = await call(method, path, body === undefined ? {} : { body });
      expect(reply, `${method} ${path}`).toMatchObject(FORBIDDEN);
    }
  });

  it("an old browser's call from the origin of BASE_URL, or from that of the request, is accepted", async () => {
    const { id } = await newCustomer();
    const other = environmentWith({ BASE_URL: 'https://public.test', ALLOW_PRIVATE_ENDPOINTS: 'false' });
    for (const origin of ['https://public.test', BASE_URL]) {
      const reply = await callIn(other, 'POST', '/console/session', {
        headers: { origin },
        body: { code: await newCode(id) },
      });
      expect(reply.status, origin).toBe(201);
    }
    const reading = await callIn(other, 'GET', '/console/session?kind=customer');
    expect(reading.body).toEqual({ errors: 'Forbidden' });
  });

  it('every path of the console but the page is behind the guard, also one that has no route', async () => {
    for (const path of [
      '/console/x',
      '/console/session/',
      '/console/assets',
      '/console/webhooks/subscriptions',
    ])
      expect(await call('POST', path, { headers: { 'sec-fetch-site': 'cross-site' } }), path).toMatchObject(
        FORBIDDEN,
      );
    for (const method of ['POST', 'PUT', 'DELETE'])
      expect((await call(method, '/console/', { headers: { 'sec-fetch-site': 'cross-site' } })).status).toBe(
        403,
      );
  });
});

describe('the page of the console', () => {
  const built = (changes: Record<string, string> = {}) =>
    environmentWith({
      ...changes,
      ASSETS: {
        fetch: async () => new Response('<!doctype html><title>Console</title>'),
      } as unknown as Fetcher,
    });

  it('the page has a strict policy and may be in no frame, and links from everywhere lead to it', async () => {
    for (const site of ['cross-site', 'none', 'same-origin']) {
      const page = await callIn(built(), 'GET', '/console/', { headers: { 'sec-fetch-site': site } });
      expect(page.status).toBe(200);
      expect(page.headers.get('content-type')).toMatch(/^text\/html/);
      expect(page.headers.get('content-security-policy')).toBe(
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
      );
      expect(page.headers.get('cache-control')).toBe('no-store');
      expect(page.headers.get('referrer-policy')).toBe('no-referrer');
    }
  });

  it('the pages of CONSOLE_FRAME_ANCESTORS may show it in a frame', async () => {
    const ancestors = 'https://admin.acme.test https://*.acme.test:8443';
    const page = await callIn(built({ CONSOLE_FRAME_ANCESTORS: ancestors }), 'GET', '/console/');
    expect(page.headers.get('content-security-policy')).toMatch(
      new RegExp(`; frame-ancestors ${ancestors.replaceAll(/[.*]/g, '\\$&')}$`),
    );
  });

  it('other spellings of its path lead to /console/', async () => {
    for (const path of ['/console', '/console/index.html']) {
      const reply = await callIn(built(), 'GET', path);
      expect([reply.status, reply.headers.get('location')]).toEqual([308, '/console/']);
    }
  });

  it('a console that is not built is a 404 that says so', async () => {
    const absent = { fetch: async () => new Response(null, { status: 404 }) } as unknown as Fetcher;
    const reply = await callIn(environmentWith({ ASSETS: absent }), 'GET', '/console/');
    expect(reply.status).toBe(404);
    expect(reply.body).toMatch(/is not built/);
  });
});
