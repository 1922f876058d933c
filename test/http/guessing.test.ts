/**
 * Guesses at a client's secret and at the operator's token. The memory of an isolate begins empty with `newIsolate`, so
 * the counts of these tests are exact. The platform's limiters are replaced where a test must know what they answer.
 */
import { env } from 'cloudflare:workers';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { Env } from '../../src/env.ts';
import { holdClock } from '../support/clock.ts';
import { countingQueries, environmentWith, limiter, newIsolate } from '../support/requests.ts';
import {
  asOperator,
  call,
  newCustomer,
  OPERATOR_TOKEN,
  type Reply,
  type TestCustomer,
} from '../support/world.ts';

type Isolate = ReturnType<typeof newIsolate>;

const HOME = '198.51.100.1';
const ELSEWHERE = '203.0.113.9';

/** Limiters of a location that has counted nothing yet. */
function newLimiters(): Partial<Env> {
  return { FAILED_AUTH_BY_CLIENT: limiter(20), FAILED_AUTH_BY_ADDRESS: limiter(200) };
}

function askToken(
  isolate: Isolate,
  customerId: string,
  clientId: string,
  secret: string,
  address?: string,
): Promise<Reply> {
  return isolate('POST', `/${customerId}/login/token`, {
    headers: {
      authorization: `Basic ${btoa(`${clientId}:${secret}`)}`,
      'content-type': 'application/x-www-form-urlencoded',
      ...(address === undefined ? {} : { 'cf-connecting-ip': address }),
    },
    body: 'grant_type=client_credentials&scope=*:webhooks/**',
  });
}

/** How many answers have which status. */
function tally(replies: readonly Reply[]): Record<number, number> {
  const counts: Record<number, number> = {};
  for (const { status } of replies) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
}

function isLimited(reply: Reply): void {
  expect(reply.status).toBe(429);
  expect(reply.body.error).toBe('temporarily_unavailable');
  const wait = Number(reply.headers.get('retry-after'));
  expect(wait).toBeGreaterThanOrEqual(1);
  expect(wait).toBeLessThanOrEqual(60);
}

const guess = (isolate: Isolate, { id, clientId }: TestCustomer, nth: number | string, address = HOME) =>
  askToken(isolate, id, clientId, `guess-${nth}`, address);

const right = (isolate: Isolate, { id, clientId, clientSecret }: TestCustomer, address: string) =>
  askToken(isolate, id, clientId, clientSecret, address);

const numbers = (count: number) => Array.from({ length: count }, (_, index) => index);

describe('guesses at the secret of a client', () => {
  it('only 20 of 300 guesses from one address are judged, and another address gets tokens throughout', async () => {
    const customer = await newCustomer();
    const { environment, queries } = countingQueries(newLimiters());
    const isolate = newIsolate(environment);
    const guesses: Reply[] = [];
    const rights: Reply[] = [];
    let queriesOfGuesses = 0;
    for (const nth of numbers(300)) {
      const before = queries();
      guesses.push(await guess(isolate, customer, nth));
      queriesOfGuesses += queries() - before;
      if (nth % 10 === 0) rights.push(await right(isolate, customer, ELSEWHERE));
    }
    expect(tally(guesses)).toEqual({ 401: 20, 429: 280 });
    expect(guesses.slice(0, 20).every(({ status }) => status === 401)).toBe(true);
    expect(queriesOfGuesses).toBe(20);
    expect(tally(rights)).toEqual({ 200: 30 });
    isLimited(guesses[299] as Reply);
  });

  it('only 20 of 300 guesses at once are judged, and another address gets tokens', async () => {
    const customer = await newCustomer();
    const { environment, queries } = countingQueries(newLimiters());
    const isolate = newIsolate(environment);
    const all = await Promise.all([
      ...numbers(300).map((nth) => guess(isolate, customer, nth)),
      ...numbers(30).map(() => right(isolate, customer, ELSEWHERE)),
    ]);
    expect(tally(all.slice(0, 300))).toEqual({ 401: 20, 429: 280 });
    expect(tally(all.slice(300))).toEqual({ 200: 30 });
    expect(queries()).toBe(20 + 30);
  });

  it('the right secret gets the same 429 as a wrong one after 20 failures, for the rest of a minute', async () => {
    const clock = holdClock();
    const customer = await newCustomer();
    const { environment, queries } = countingQueries(newLimiters());
    const isolate = newIsolate(environment);
    await guess(isolate, customer, 'first');
    clock.advance(50_000);
    for (const nth of numbers(19)) await guess(isolate, customer, nth);
    const judged = queries();
    const [wrong, refused] = [await guess(isolate, customer, 'last'), await right(isolate, customer, HOME)];
    isLimited(refused);
    expect(refused.body).toEqual(wrong.body);
    expect(refused.headers.get('retry-after')).toBe('10');
    expect(queries()).toBe(judged);
    clock.advance(9_999);
    isLimited(await right(isolate, customer, HOME));
    clock.advance(1);
    expect((await right(isolate, customer, HOME)).status).toBe(200);
  });

  it('a hundred token requests at once with the right secret all get tokens, from one address too', async () => {
    const customer = await newCustomer();
    const isolate = newIsolate(environmentWith(newLimiters()));
    const replies = await Promise.all(numbers(100).map(() => right(isolate, customer, HOME)));
    expect(tally(replies)).toEqual({ 200: 100 });
  });

  it('a hundred token requests at once are judged in turn by the running Worker', async () => {
    const customer = await newCustomer();
    // Each request has a context of its own here, and is woken by another one.
    const overTheWire: Isolate = (method, path, options) => call(method, path, options);
    const replies = await Promise.all(numbers(100).map(() => right(overTheWire, customer, '192.0.2.1')));
    expect(tally(replies)).toEqual({ 200: 100 });
    const guesses = await Promise.all(
      numbers(100).map((nth) => guess(overTheWire, customer, nth, '192.0.2.1')),
    );
    expect(tally(guesses)).toEqual({ 401: 20, 429: 80 });
  });

  it('right secrets are never counted, however many there are and whatever fails between them', async () => {
    const customer = await newCustomer();
    const isolate = newIsolate(environmentWith(newLimiters()));
    for (const nth of numbers(19)) await guess(isolate, customer, nth);
    for (const _ of numbers(250)) expect((await right(isolate, customer, HOME)).status).toBe(200);
  });

  it('a program that repeats one wrong secret locks out neither its other clients nor other addresses', async () => {
    const [customer, other] = await Promise.all([newCustomer(), newCustomer()]);
    const isolate = newIsolate(environmentWith(newLimiters()));
    for (const _ of numbers(400)) await guess(isolate, customer, 'same');
    isLimited(await right(isolate, customer, HOME));
    expect((await right(isolate, other, HOME)).status).toBe(200);
    expect((await right(isolate, customer, ELSEWHERE)).status).toBe(200);
  });

  it('an address gets a 429 for every client after 200 judged failures', async () => {
    const customer = await newCustomer();
    const { environment, queries } = countingQueries(newLimiters());
    const isolate = newIsolate(environment);
    const replies: Reply[] = [];
    for (const nth of numbers(210)) {
      replies.push(await askToken(isolate, customer.id, `client-${nth}`, 'wrong', HOME));
    }
    expect(tally(replies)).toEqual({ 401: 200, 429: 10 });
    expect(queries()).toBe(200);
    isLimited(await right(isolate, customer, HOME));
    expect((await right(isolate, customer, ELSEWHERE)).status).toBe(200);
  });

  it('only 200 of 600 guesses at once at as many clients from one address are judged', async () => {
    const customer = await newCustomer();
    const { environment, queries } = countingQueries(newLimiters());
    const isolate = newIsolate(environment);
    const replies = await Promise.all(
      numbers(600).map((nth) => askToken(isolate, customer.id, `client-${nth}`, 'wrong', HOME)),
    );
    expect(tally(replies)).toEqual({ 401: 200, 429: 400 });
    expect(queries()).toBe(200);
  });

  it('isolates of a location share the count: after 20 failures in all, each judges at most one more', async () => {
    const customer = await newCustomer();
    const limiters = newLimiters();
    const [one, two, three] = numbers(3).map(() => newIsolate(environmentWith(limiters)));
    for (const nth of numbers(10)) await guess(one as Isolate, customer, nth);
    for (const nth of numbers(10)) await guess(two as Isolate, customer, nth);
    const replies: Reply[] = [];
    for (const isolate of [one, two, three]) {
      for (const nth of numbers(5)) replies.push(await guess(isolate as Isolate, customer, nth));
    }
    expect(tally(replies)).toEqual({ 401: 3, 429: 12 });
  });

  it('a guess that D1 could not answer is not counted', async () => {
    const log = vi.spyOn(console, 'error').mockImplementation(() => undefined);
    onTestFinished(() => log.mockRestore());
    const customer = await newCustomer();
    let away = true;
    const DB = new Proxy(env.DB, {
      get(target, name) {
        const value = Reflect.get(target, name) as unknown;
        if (away && name === 'prepare') {
          return () => {
            throw new Error('D1_ERROR: Network connection lost.');
          };
        }
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    const isolate = newIsolate(environmentWith({ ...newLimiters(), DB }));
    for (const nth of numbers(30)) expect((await guess(isolate, customer, nth)).status).toBe(503);
    away = false;
    expect((await right(isolate, customer, HOME)).status).toBe(200);
  });

  it('a request without credentials of any client is a 401 that costs no query and is not counted', async () => {
    const customer = await newCustomer();
    const { environment, queries } = countingQueries(newLimiters());
    const isolate = newIsolate(environment);
    const path = `/${customer.id}/login/token`;
    for (const _ of numbers(30)) {
      const headers = { 'cf-connecting-ip': HOME };
      expect((await isolate('POST', path, { headers, body: 'x' })).status).toBe(401);
      expect((await askToken(isolate, customer.id, 'no such/id', 'x', HOME)).status).toBe(401);
      expect((await askToken(isolate, 'no-uuid', customer.clientId, 'x', HOME)).status).toBe(401);
    }
    expect(queries()).toBe(0);
    expect((await right(isolate, customer, HOME)).status).toBe(200);
  });

  it('both readings of form-encoded credentials are judged with one query', async () => {
    const customer = await newCustomer();
    const made = await asOperator('POST', `/customers/${customer.id}/clients`, {
      name: 'moved here',
      clientSecret: 'moved-secret+with/signs=and&a%41-bare',
    });
    const { clientId, clientSecret } = made.body as TestCustomer;
    const { environment, queries } = countingQueries(newLimiters());
    const isolate = newIsolate(environment);
    const encoded = encodeURIComponent(clientSecret);
    expect((await askToken(isolate, customer.id, clientId, clientSecret)).status).toBe(200);
    expect((await askToken(isolate, customer.id, clientId, encoded)).status).toBe(200);
    const id = clientId.replace(/^./, (letter) => `%${letter.charCodeAt(0).toString(16)}`);
    expect((await askToken(isolate, customer.id, id, encoded)).status).toBe(200);
    expect(queries()).toBe(3);
  });
});

describe('the address of a guess', () => {
  const locked = async (isolate: Isolate, customer: TestCustomer, address: string) =>
    (await right(isolate, customer, address)).status === 429;

  it.each([
    ['2001:db8:1:2::1', '2001:DB8:1:2:ffff::9', true],
    ['2001:db8:1:2::1', '2001:db8:1:3::1', false],
    ['198.51.100.1', '198.51.100.2', false],
    ['::ffff:198.51.100.1', '198.51.100.1', true],
    ['::ffff:198.51.100.1', '::ffff:198.51.100.2', false],
  ])('guesses from %s and from %s are counted together: %s', async (address, other, together) => {
    const customer = await newCustomer();
    const isolate = newIsolate(environmentWith(newLimiters()));
    for (const nth of numbers(20)) await guess(isolate, customer, nth, address);
    expect(await locked(isolate, customer, address)).toBe(true);
    expect(await locked(isolate, customer, other)).toBe(together);
  });
});

describe('guesses from Workers, which all call from one address', () => {
  it('guesses of one zone lock out that zone, and no Worker of another zone', async () => {
    const customer = await newCustomer();
    const isolate = newIsolate(environmentWith(newLimiters()));
    const ask = async (zone: string, secret: string) => {
      const reply = await isolate('POST', `/${customer.id}/login/token`, {
        headers: {
          authorization: `Basic ${btoa(`${customer.clientId}:${secret}`)}`,
          'content-type': 'application/x-www-form-urlencoded',
          'cf-connecting-ip': '2a06:98c0:3600::103',
          'cf-worker': zone,
        },
        body: 'grant_type=client_credentials&scope=*:webhooks/**',
      });
      return reply.status;
    };
    for (const nth of numbers(20)) expect(await ask('stranger.example', `guess-${nth}`)).toBe(401);
    expect(await ask('stranger.example', customer.clientSecret)).toBe(429);
    expect(await ask('ours.example', customer.clientSecret)).toBe(200);
  });
});

describe('guesses at the operator token', () => {
  const ask = (isolate: Isolate, token: string, address = HOME) =>
    isolate('GET', '/operator/customers', { token, headers: { 'cf-connecting-ip': address } });

  it('the right operator token gets a 429 after 20 wrong ones from its address, and a 200 elsewhere', async () => {
    const clock = holdClock();
    const isolate = newIsolate(environmentWith(newLimiters()));
    const replies: Reply[] = [];
    for (const nth of numbers(30)) replies.push(await ask(isolate, `guess-${nth}`));
    expect(tally(replies)).toEqual({ 403: 20, 429: 10 });
    const refused = await ask(isolate, OPERATOR_TOKEN);
    expect(refused.status).toBe(429);
    expect(refused.body).toMatchObject({ type: '/too-many-requests', status: 429 });
    expect(Number(refused.headers.get('retry-after'))).toBe(60);
    expect((await ask(isolate, OPERATOR_TOKEN, ELSEWHERE)).status).toBe(200);
    clock.advance(60_000);
    expect((await ask(isolate, OPERATOR_TOKEN)).status).toBe(200);
  });

  it('only 20 of 300 wrong operator tokens at once are compared', async () => {
    const isolate = newIsolate(environmentWith(newLimiters()));
    const replies = await Promise.all(numbers(300).map((nth) => ask(isolate, `guess-${nth}`)));
    expect(tally(replies)).toEqual({ 403: 20, 429: 280 });
  });

  it('a call without an operator token is a 403 that is not counted', async () => {
    const isolate = newIsolate(environmentWith(newLimiters()));
    for (const _ of numbers(30)) {
      const headers = { 'cf-connecting-ip': HOME };
      expect((await isolate('GET', '/operator/customers', { headers })).status).toBe(403);
    }
    expect((await ask(isolate, OPERATOR_TOKEN)).status).toBe(200);
  });

  it('wrong operator tokens do not lock clients out, nor wrong secrets the operator', async () => {
    const customer = await newCustomer();
    const isolate = newIsolate(environmentWith(newLimiters()));
    for (const nth of numbers(25)) await ask(isolate, `guess-${nth}`);
    expect((await right(isolate, customer, HOME)).status).toBe(200);
    for (const nth of numbers(25)) await guess(isolate, customer, nth, ELSEWHERE);
    expect((await ask(isolate, OPERATOR_TOKEN, ELSEWHERE)).status).toBe(200);
  });
});
