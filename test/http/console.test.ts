/** Links into the console and sessions (contract 10.15), as the page and as strangers use them. */
import { env } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import { auditEntries } from '../support/audit.ts';
import { holdClock } from '../support/clock.ts';
import {
  FORBIDDEN,
  newBrowser,
  newCode,
  newLink,
  operatorSignedIn,
  signedIn,
  subscriptionsOf,
} from '../support/console.ts';
import { runCron } from '../support/cron.ts';
import {
  asOperator,
  call,
  newCustomer,
  newSubscription,
  OPERATOR_TOKEN,
  type TestCustomer,
} from '../support/world.ts';

/** What is stored of links and sessions, as text. */
async function stored(): Promise<string> {
  const tables = ['console_links', 'console_sessions', 'audit'];
  const rows = await Promise.all(tables.map((table) => env.DB.prepare(`SELECT * FROM ${table}`).all()));
  return JSON.stringify(rows.map(({ results }) => results));
}

describe('a link into the console', () => {
  it('a link has its code in the fragment of a URL of the console, and says how long it works', async () => {
    const clock = holdClock();
    const { id } = await newCustomer();
    const link = await newLink(id);
    expect(link.status).toBe(201);
    expect(link.body).toEqual({
      url: expect.stringMatching(/^http:\/\/webhooks\.test\/console\/#\/sign-in\/iwh_link_[a-z0-9]{48}$/),
      readOnly: false,
      expiresAt: new Date(clock.now() + 3_600_000).toISOString(),
      sessionEndsAfterSeconds: 28_800,
    });
    const short = await newLink(id, { readOnly: true, expiresInSeconds: 60 });
    expect(short.body).toMatchObject({
      readOnly: true,
      expiresAt: new Date(clock.now() + 60_000).toISOString(),
    });
  });

  it.each([
    ['readOnly', { readOnly: 'yes' }],
    ['expiresInSeconds', { expiresInSeconds: 59 }],
    ['expiresInSeconds', { expiresInSeconds: 86_401 }],
    ['expiresInSeconds', { expiresInSeconds: 60.5 }],
    ['body', []],
  ])('a link with a bad %s is a 400 that names it, and makes nothing', async (name, body) => {
    const { id } = await newCustomer();
    const before = await stored();
    const reply = await newLink(id, body);
    expect(reply.status).toBe(400);
    expect(reply.body['invalid-body-params']).toEqual([{ name, reason: expect.any(String) }]);
    expect(await stored()).toBe(before);
  });

  it('a link for an unknown customer is a 404', async () => {
    expect((await newLink(crypto.randomUUID())).status).toBe(404);
  });

  it('a customer has at most 100 links that are not used, and one that is used or over makes room', async () => {
    const clock = holdClock();
    const { id } = await newCustomer();
    const codes: string[] = [];
    for (let nth = 0; nth < 100; nth++) codes.push(await newCode(id, { expiresInSeconds: 60 }));
    expect((await newLink(id)).status).toBe(409);
    const used = await newBrowser().ask('POST', '/console/session', { code: codes[0] });
    expect(used.status).toBe(201);
    expect((await newLink(id)).status).toBe(201);
    expect((await newLink(id)).status).toBe(409);
    clock.advance(60_000);
    expect((await newLink(id)).status).toBe(201);
  });

  it('a code and a cookie are stored as hashes alone', async () => {
    const { id } = await newCustomer();
    const code = await newCode(id);
    const browser = newBrowser();
    expect(await stored()).not.toContain(code);
    await browser.ask('POST', '/console/session', { code });
    await operatorSignedIn(browser);
    const text = await stored();
    expect(browser.cookies.size).toBe(2);
    for (const secret of [code, ...browser.cookies.values(), OPERATOR_TOKEN])
      expect(text).not.toContain(secret);
  });
});

describe('signing in by a link', () => {
  it('the code of a link opens a session of the customer, which says who it is', async () => {
    const clock = holdClock();
    const { id } = await newCustomer();
    const browser = newBrowser();
    const reply = await browser.ask('POST', '/console/session', { code: await newCode(id) });
    const session = {
      kind: 'customer',
      customerId: id,
      customerName: 'Acme',
      readOnly: false,
      expiresAt: new Date(clock.now() + 8 * 3_600_000).toISOString(),
    };
    expect([reply.status, reply.body]).toEqual([201, session]);
    const read = await browser.ask('GET', '/console/session?kind=customer');
    expect([read.status, read.body]).toEqual([200, session]);
  });

  it('the cookie is for this host alone, over a secure connection, out of reach of scripts and of other sites', async () => {
    const { id } = await newCustomer();
    const browser = newBrowser();
    const reply = await browser.ask('POST', '/console/session', { code: await newCode(id) });
    const [cookie = '', ...others] = reply.headers.getSetCookie();
    expect(others).toEqual([]);
    const [value, ...attributes] = cookie.split('; ');
    expect(value).toMatch(/^__Host-iwh-console=iwh_session_[a-z0-9]{48}$/);
    expect(attributes.sort()).toEqual(['HttpOnly', 'Max-Age=28800', 'Path=/', 'SameSite=Strict', 'Secure']);
    const operator = await browser.ask('POST', '/console/session', { operatorToken: OPERATOR_TOKEN });
    expect(operator.headers.getSetCookie()[0]).toMatch(/^__Host-iwh-operator=iwh_session_\w+; .*HttpOnly/);
  });

  it('a code works once', async () => {
    const { id } = await newCustomer();
    const code = await newCode(id);
    expect((await newBrowser().ask('POST', '/console/session', { code })).status).toBe(201);
    expect(await newBrowser().ask('POST', '/console/session', { code })).toMatchObject(FORBIDDEN);
  });

  it('a code that several use at once works for one of them', async () => {
    const { id } = await newCustomer();
    const code = await newCode(id);
    const browsers = Array.from({ length: 12 }, () => newBrowser());
    const replies = await Promise.all(
      browsers.map((browser) => browser.ask('POST', '/console/session', { code })),
    );
    expect(replies.map(({ status }) => status).sort()).toEqual([201, ...Array(11).fill(403)]);
    const signedInNow = browsers.filter(({ cookies }) => cookies.size > 0);
    expect(signedInNow).toHaveLength(1);
    expect(await auditEntries({ customerId: id, event: 'console-signed-in' })).toHaveLength(1);
  });

  it('a code that is used, unknown, over or of another form gets one and the same answer', async () => {
    const clock = holdClock();
    const { id } = await newCustomer();
    const [used, over] = [await newCode(id), await newCode(id, { expiresInSeconds: 60 })];
    await newBrowser().ask('POST', '/console/session', { code: used });
    clock.advance(60_000);
    const before = await env.DB.prepare('SELECT count(*) AS n FROM console_sessions').first('n');
    for (const code of [used, over, `iwh_link_${'a'.repeat(48)}`, 'x', '../..']) {
      const reply = await newBrowser().ask('POST', '/console/session', { code });
      expect(reply, code).toMatchObject(FORBIDDEN);
      expect(reply.headers.getSetCookie(), code).toEqual([]);
    }
    expect(await env.DB.prepare('SELECT count(*) AS n FROM console_sessions').first('n')).toBe(before);
  });

  it('a code works until its last millisecond', async () => {
    const clock = holdClock();
    const { id } = await newCustomer();
    const code = await newCode(id, { expiresInSeconds: 60 });
    clock.advance(59_999);
    expect((await newBrowser().ask('POST', '/console/session', { code })).status).toBe(201);
  });

  it('a second sign-in in a browser ends the session that it replaces', async () => {
    const [first, second] = [await newCustomer(), await newCustomer()];
    const browser = await signedIn(first.id);
    const old = browser.cookies.get('__Host-iwh-console') ?? '';
    await browser.ask('POST', '/console/session', { code: await newCode(second.id) });
    expect((await browser.ask('GET', '/console/session?kind=customer')).body.customerId).toBe(second.id);
    const stale = newBrowser();
    stale.cookies.set('__Host-iwh-console', old);
    expect((await stale.ask('GET', '/console/session?kind=customer')).status).toBe(403);
  });

  /** Fills the table with so many sessions of a customer, which end in a minute. */
  const fillSessions = async (customerId: string, sessions: number, now: number) => {
    const hash = 'lower(hex(randomblob(32)))';
    await env.DB.prepare(
      `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${sessions})
       INSERT INTO console_sessions SELECT ${hash}, ${hash}, 'customer', ?, 0, NULL, NULL, ?, ? FROM n`,
    )
      .bind(customerId, now, now + 60_000)
      .run();
  };

  it('a customer has at most 1,000 sessions, and a link that finds no room still works when there is some', async () => {
    const clock = holdClock();
    const { id } = await newCustomer();
    await fillSessions(id, 1000, clock.now());
    const code = await newCode(id);
    const refused = await newBrowser().ask('POST', '/console/session', { code });
    expect([refused.status, refused.headers.getSetCookie()]).toEqual([409, []]);
    clock.advance(60_000);
    expect((await newBrowser().ask('POST', '/console/session', { code })).status).toBe(201);
  });

  it('a browser signs in once more when its own session is the last of 1,000, because it replaces that', async () => {
    const clock = holdClock();
    const { id } = await newCustomer();
    const browser = await signedIn(id);
    await fillSessions(id, 999, clock.now());
    const code = await newCode(id);
    expect((await newBrowser().ask('POST', '/console/session', { code })).status).toBe(409);
    expect((await browser.ask('POST', '/console/session', { code })).status).toBe(201);
  });

  it.each([
    ['no member', {}],
    ['an empty code', { code: '' }],
    ['a code of 101 characters', { code: 'x'.repeat(101) }],
    ['two ways at once', { code: 'x', operatorToken: OPERATOR_TOKEN }],
    ['a client without its secret', { clientId: 'x', customerId: crypto.randomUUID() }],
    ['a customer id that is no UUID', { clientId: 'x', clientSecret: 'y', customerId: 'z' }],
    ['a list', []],
  ])('a sign-in with %s is a 400', async (_, body) => {
    const reply = await newBrowser().ask('POST', '/console/session', body);
    expect(reply.status).toBe(400);
    expect(reply.body['invalid-body-params'].length).toBeGreaterThan(0);
  });
});

describe('signing in as a client', () => {
  const credentials = ({ id, clientId, clientSecret }: TestCustomer) => ({
    customerId: id,
    clientId,
    clientSecret,
  });

  it('the credentials of a client open a session with its scope', async () => {
    const reader = await newCustomer('GET:webhooks/subscriptions');
    const browser = newBrowser();
    const reply = await browser.ask('POST', '/console/session', credentials(reader));
    expect(reply.status).toBe(201);
    expect(reply.body).toMatchObject({ kind: 'customer', customerId: reader.id, readOnly: true });
    const token = await browser.ask('POST', '/console/token', { kind: 'customer' });
    expect(token.body.scope).toBe('GET:webhooks/subscriptions');
    expect((await subscriptionsOf(reader.id, token.body.access_token)).status).toBe(200);
    const wider = `/${reader.id}/webhooks/subscriptions/${crypto.randomUUID()}`;
    expect((await call('GET', wider, { token: token.body.access_token })).status).toBe(403);
  });

  it('wrong credentials get one answer, whether the client or the customer exists or not', async () => {
    const customer = await newCustomer();
    const right = credentials(customer);
    for (const wrong of [
      { ...right, clientSecret: 'wrong' },
      { ...right, clientId: 'unknown' },
      { ...right, clientId: 'impossible id' },
      { ...right, customerId: crypto.randomUUID() },
    ]) {
      expect(await newBrowser().ask('POST', '/console/session', wrong)).toMatchObject(FORBIDDEN);
    }
  });

  it('the session ends when its client is deleted, and its tokens within 60 seconds', async () => {
    const clock = holdClock();
    const customer = await newCustomer();
    const browser = newBrowser();
    await browser.ask('POST', '/console/session', credentials(customer));
    const token = await browser.token('customer');
    expect((await subscriptionsOf(customer.id, token)).status).toBe(200);
    await asOperator('DELETE', `/customers/${customer.id}/clients/${customer.clientId}`);
    expect((await browser.ask('GET', '/console/session?kind=customer')).status).toBe(403);
    clock.advance(60_000);
    expect((await subscriptionsOf(customer.id, token)).status).toBe(403);
  });

  it('the session ends with the secret that opened it, also when that is kept for a while', async () => {
    const clock = holdClock();
    const customer = await newCustomer();
    const browser = newBrowser();
    await browser.ask('POST', '/console/session', credentials(customer));
    await asOperator('POST', `/customers/${customer.id}/clients/${customer.clientId}/rotate-secret`, {
      keepOldSeconds: 300,
    });
    const session = await browser.ask('GET', '/console/session?kind=customer');
    expect(session.body.expiresAt).toBe(new Date(clock.now() + 300_000).toISOString());
    const token = await browser.ask('POST', '/console/token', { kind: 'customer' });
    expect(token.body.expires_in).toBe(300);
    clock.advance(300_000);
    expect((await browser.ask('GET', '/console/session?kind=customer')).status).toBe(403);
  });
});

describe('an access token of a session', () => {
  it('a token lives 600 seconds, and the page gets another one from the cookie', async () => {
    const clock = holdClock();
    const { id } = await newCustomer();
    const browser = await signedIn(id);
    const reply = await browser.ask('POST', '/console/token', { kind: 'customer' });
    expect([reply.status, reply.body]).toEqual([
      200,
      {
        access_token: expect.stringMatching(/^[A-Za-z0-9._-]{1,255}$/),
        token_type: 'Bearer',
        expires_in: 600,
        scope: '*:webhooks/**',
      },
    ]);
    const token = reply.body.access_token;
    clock.advance(599_000);
    expect((await subscriptionsOf(id, token)).status).toBe(200);
    clock.advance(1000);
    expect((await subscriptionsOf(id, token)).status).toBe(403);
    expect((await subscriptionsOf(id, await browser.token('customer'))).status).toBe(200);
  });

  it('a session ends after eight hours, and no token outlives it', async () => {
    const clock = holdClock();
    const { id } = await newCustomer();
    const browser = await signedIn(id);
    clock.advance(8 * 3_600_000 - 100_000);
    const reply = await browser.ask('POST', '/console/token', { kind: 'customer' });
    expect(reply.body.expires_in).toBe(100);
    clock.advance(100_000);
    expect((await subscriptionsOf(id, reply.body.access_token)).status).toBe(403);
    const refused = await browser.ask('POST', '/console/token', { kind: 'customer' });
    expect(refused).toMatchObject(FORBIDDEN);
    expect(browser.cookies.size).toBe(0);
  });

  it('a token is refused at once where its session was ended, and within 60 seconds elsewhere', async () => {
    const clock = holdClock();
    const { id } = await newCustomer();
    const [here, there] = [await signedIn(id), await signedIn(id)];
    const tokens = [await here.token('customer'), await there.token('customer')] as const;
    for (const token of tokens) expect((await subscriptionsOf(id, token)).status).toBe(200);
    const left = await here.ask('DELETE', '/console/session?kind=customer');
    expect([left.status, here.cookies.size]).toEqual([204, 0]);
    expect((await subscriptionsOf(id, tokens[0])).status).toBe(403);
    // Another isolate has ended the other one: this one remembers it.
    await env.DB.prepare('DELETE FROM console_sessions WHERE customer_id = ?').bind(id).run();
    clock.advance(60_000);
    expect((await subscriptionsOf(id, tokens[1])).status).toBe(403);
  });

  it("a customer's session and its tokens end when the customer is erased", async () => {
    const clock = holdClock();
    const { id } = await newCustomer();
    const browser = await signedIn(id);
    const code = await newCode(id);
    const token = await browser.token('customer');
    expect((await subscriptionsOf(id, token)).status).toBe(200);
    await asOperator('DELETE', `/customers/${id}`);
    expect((await browser.ask('GET', '/console/session?kind=customer')).status).toBe(403);
    expect((await newBrowser().ask('POST', '/console/session', { code })).status).toBe(403);
    clock.advance(60_000);
    expect((await subscriptionsOf(id, token)).status).toBe(403);
    expect(
      await env.DB.prepare('SELECT 1 FROM console_sessions WHERE customer_id = ?').bind(id).all(),
    ).toMatchObject({ results: [] });
  });

  it('a sign-out without a session is a 204, too', async () => {
    expect((await newBrowser().ask('DELETE', '/console/session?kind=operator')).status).toBe(204);
  });
});

describe('the trail of the console', () => {
  it('links, sign-ins and sign-outs leave an entry each, and acts of a session name it', async () => {
    const clock = holdClock();
    const customer = await newCustomer();
    const code = await newCode(customer.id);
    // Entries of one millisecond have no order.
    clock.advance(1);
    const browser = newBrowser();
    await browser.ask('POST', '/console/session', { code });
    clock.advance(1);
    const subscription = await newSubscription(customer);
    const token = await browser.token('customer');
    await call('DELETE', `/${customer.id}/webhooks/subscriptions/${subscription.id}`, { token });
    clock.advance(1);
    await browser.ask('DELETE', '/console/session?kind=customer');
    clock.advance(1);
    await newBrowser().ask('POST', '/console/session', {
      customerId: customer.id,
      clientId: customer.clientId,
      clientSecret: customer.clientSecret,
    });
    const all = (await auditEntries({ customerId: customer.id })).toReversed();
    const [made] = all.filter(({ event }) => event === 'console-link-created');
    const byLink = `console:${made.target}`;
    const ours = all.filter(
      ({ event }) => !['customer-created', 'client-created', 'token-issued'].includes(event),
    );
    expect(ours.map(({ event, actor, clientId, target }) => [event, actor, clientId, target])).toEqual([
      ['console-link-created', 'operator', undefined, made.target],
      ['console-signed-in', 'client', byLink, made.target],
      ['subscription-deleted', 'client', byLink, subscription.id],
      ['console-signed-out', 'client', byLink, made.target],
      ['console-signed-in', 'client', customer.clientId, expect.any(String)],
    ]);
  });

  it("an operator's session signs in and acts under its own name", async () => {
    const customer = await newCustomer();
    const browser = await operatorSignedIn();
    const [entry] = await auditEntries({ event: 'operator-signed-in' });
    const token = await browser.token('operator');
    await call('POST', `/operator/customers/${customer.id}/console-links`, { token });
    const [link] = await auditEntries({ customerId: customer.id, event: 'console-link-created' });
    expect([entry.actor, entry.clientId, link.clientId]).toEqual([
      'operator',
      `console:${entry.target}`,
      `console:${entry.target}`,
    ]);
  });

  it('refused sign-ins leave entries without the code, the secret or the token', async () => {
    const customer = await newCustomer();
    await newBrowser().ask('POST', '/console/session', { code: 'code-in-vain' });
    await newBrowser().ask('POST', '/console/session', { operatorToken: 'token-in-vain' });
    await newBrowser().ask('POST', '/console/session', {
      customerId: customer.id,
      clientId: customer.clientId,
      clientSecret: 'secret-in-vain',
    });
    const codes = await auditEntries({ event: 'console-refused' });
    const operators = await auditEntries({ event: 'operator-refused' });
    const [client] = await auditEntries({ customerId: customer.id, event: 'token-refused' });
    expect([codes[0].outcome, operators[0].outcome, client.outcome]).toEqual([
      'wrong code',
      'wrong token',
      'wrong credentials',
    ]);
    expect(client.clientId).toBe(customer.clientId);
    expect(await stored()).not.toMatch(/in-vain/);
  });
});

describe('maintenance of the console', () => {
  it('the cron deletes links and sessions that have ended, and no others', async () => {
    const clock = holdClock();
    const customer = await newCustomer();
    await signedIn(customer.id);
    await newCode(customer.id, { expiresInSeconds: 60 });
    await newCode(customer.id, { expiresInSeconds: 86_400 });
    const count = async (table: string) =>
      await env.DB.prepare(`SELECT count(*) AS n FROM ${table} WHERE customer_id = ?`)
        .bind(customer.id)
        .first('n');
    clock.advance(60_000);
    await runCron(env, clock.now());
    expect([await count('console_links'), await count('console_sessions')]).toEqual([1, 1]);
    clock.advance(8 * 3_600_000);
    await runCron(env, clock.now());
    expect([await count('console_links'), await count('console_sessions')]).toEqual([1, 0]);
  });
});
