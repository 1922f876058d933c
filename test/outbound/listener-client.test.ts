import { describe, expect, it, vi } from 'vitest';
import { type Outcome, retryable } from '../../src/domain/attempt.ts';
import type { AddressVerdict } from '../../src/outbound/address-check.ts';
import { type ListenerClientOptions, postSet } from '../../src/outbound/listener-client.ts';
import { holdClock, holdTimers } from '../support/clock.ts';
import type { Answer } from '../support/listener-script.ts';
import { until } from '../support/until.ts';
import { TestListener } from '../support/world.ts';

const SET = 'eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOlsiw6kiXX0.c2lnbmF0dXJl';

const options: ListenerClientOptions = {
  userAgent: 'identity-webhooks/3.0',
  timeoutMs: 60_000,
  allowPrivateEndpoints: true,
  checkAddress: () => Promise.reject(new Error('nothing is resolved where private endpoints are allowed')),
};

/** Makes one attempt at a listener that gives this answer. */
async function attempt(answer: Answer) {
  const listener = new TestListener();
  await listener.script(answer);
  const outcome = await postSet(options, listener.endpoint, SET);
  return { outcome, listener };
}

/**
 * Begins an attempt with a time limit of 10 s, waits for `comesTo`, and lets the time pass.
 * @returns the outcome, which came at the time limit and not before
 */
async function outcomeAtLimit(
  answer: Answer,
  comesTo: (listener: TestListener, response: Promise<Response>) => Promise<unknown>,
): Promise<{ outcome: Outcome; listener: TestListener }> {
  holdTimers();
  const listener = new TestListener();
  await listener.script(answer);
  const fetching = vi.spyOn(globalThis, 'fetch');
  const attempting = postSet({ ...options, timeoutMs: 10_000 }, listener.endpoint, SET);
  const { value: response } = await until(async () => fetching.mock.results[0], 'the request');
  fetching.mockRestore();
  let hasEnded = false;
  void attempting.then(() => {
    hasEnded = true;
  });
  await comesTo(listener, response);
  await vi.advanceTimersByTimeAsync(9999);
  expect(hasEnded).toBe(false);
  await vi.advanceTimersByTimeAsync(1);
  return { outcome: await attempting, listener };
}

const outcomeOf = async (answer: Answer): Promise<Outcome> => (await attempt(answer)).outcome;

/** How many bytes the listener sent before it was cut off. Fails if nobody cuts it off. */
async function sentInAll(listener: TestListener): Promise<number> {
  return await until(async () => {
    const [call] = await listener.calls();
    return call?.closed && call.sent;
  }, 'the end of the answer');
}

describe('the request to a listener', () => {
  it('the request to a listener is a POST of exactly the SET, with only the documented headers', async () => {
    const { listener } = await attempt({});
    const [call, ...more] = await listener.calls();
    expect(more).toEqual([]);
    expect(call?.body).toBe(SET);
    const { host, ...headers } = call?.headers ?? {};
    expect(new URL(listener.endpoint).host).toBe(host);
    expect(headers).toMatchObject({
      accept: '*/*',
      'content-length': String(SET.length),
      'content-type': 'application/secevent+jwt',
      'user-agent': 'identity-webhooks/3.0',
    });
    // The platform adds this header to every request of a Worker, and offers no way to leave it out.
    const ours = Object.keys(headers).filter((name) => name !== 'cf-worker');
    expect(ours.sort()).toEqual(['accept', 'content-length', 'content-type', 'user-agent']);
  });

  it('the request goes to exactly the configured endpoint, with its query', async () => {
    const listener = new TestListener();
    await postSet(options, `${listener.endpoint}?tenant=%C3%A9&empty=&x`, SET);
    const [call] = await listener.calls();
    expect(call?.path).toBe(`${new URL(listener.endpoint).pathname}?tenant=%C3%A9&empty=&x`);
  });

  it('the request has the configured user agent', async () => {
    const listener = new TestListener();
    await postSet({ ...options, userAgent: 'acme/1' }, listener.endpoint, SET);
    expect((await listener.calls())[0]?.headers['user-agent']).toBe('acme/1');
  });
});

describe('an answer', () => {
  it.each([200, 201, 202, 204, 206, 299])('an answer of %i is a success', async (status) => {
    const body = status === 204 ? '' : 'ok';
    expect(await outcomeOf({ status, body })).toMatchObject({
      kind: 'success',
      response: { statusCode: status },
    });
  });

  it('an answer of 101 is an error, and no retry follows', async () => {
    const outcome = await outcomeOf({
      status: 101,
      headers: { connection: 'upgrade', upgrade: 'x' },
      body: '',
    });
    expect(outcome).toMatchObject({ kind: 'http_error', response: { statusCode: 101 } });
    expect(outcome.kind !== 'our_fault' && retryable(outcome)).toBe(false);
  });

  it.each([300, 301, 302, 303, 304, 307, 308])(
    'an answer of %i is an error and is not followed',
    async (status) => {
      const elsewhere = new TestListener();
      const body = status === 304 ? '' : 'moved';
      const outcome = await outcomeOf({ status, headers: { location: elsewhere.endpoint }, body });
      expect(outcome).toEqual({
        kind: 'http_error',
        response: { statusCode: status, headers: expect.objectContaining({ Location: elsewhere.endpoint }) },
      });
      expect(await elsewhere.calls()).toEqual([]);
    },
  );

  it.each([400, 401, 403, 404, 408, 410, 413, 422, 429, 451, 499])(
    'an answer of %i is an error',
    async (status) => {
      expect(await outcomeOf({ status })).toMatchObject({
        kind: 'http_error',
        response: { statusCode: status },
      });
    },
  );

  it.each([500, 501, 502, 503, 504, 520, 530, 599])('an answer of %i is an error', async (status) => {
    expect(await outcomeOf({ status })).toMatchObject({
      kind: 'http_error',
      response: { statusCode: status },
    });
  });

  it.each([200, 503])(
    'an answer of %i counts, not the interim answers 100 and 103 before it',
    async (status) => {
      expect(await outcomeOf({ manner: 'interim', status })).toMatchObject({
        response: { statusCode: status },
      });
    },
  );

  it('an answer that the platform gives for an unreachable host counts as unreachable', async () => {
    for (const [status, body] of [
      [530, 'error code: 1016'],
      [522, 'error code: 522'],
    ] as const) {
      const outcome = await outcomeOf({ status, headers: { server: 'cloudflare' }, body });
      expect(outcome).toEqual({
        kind: 'unreachable',
        message: `connection failed (platform status ${status})`,
      });
    }
  });

  it("an answer of 522 with a listener's own page is the listener's answer", async () => {
    const outcome = await outcomeOf({ status: 522, headers: { server: 'cloudflare' }, body: '<html>' });
    expect(outcome).toMatchObject({ kind: 'http_error', response: { statusCode: 522 } });
  });
});

describe('a missing answer', () => {
  it('an attempt that gets no answer in time is timed_out', async () => {
    const { outcome, listener } = await outcomeAtLimit({ manner: 'hang' }, (asked) =>
      until(async () => (await asked.calls()).length === 1, 'the request'),
    );
    expect(outcome).toEqual({ kind: 'timed_out', message: 'no answer within 10 s' });
    await listener.release();
  });

  it('an attempt whose 200 comes too late is timed_out', async () => {
    const listener = new TestListener();
    await listener.script({ manner: 'hang', status: 200 });
    const outcome = await postSet({ ...options, timeoutMs: 100 }, listener.endpoint, SET);
    await listener.release();
    expect(outcome).toEqual({ kind: 'timed_out', message: 'no answer within 0.1 s' });
  });

  it('a reset connection makes the listener unreachable', async () => {
    expect(await outcomeOf({ manner: 'reset' })).toEqual({ kind: 'unreachable', message: 'connection lost' });
  });

  it('an answer that is not HTTP is unreachable or invalid_response, as the platform reports it', async () => {
    const outcome = await outcomeOf({ manner: 'garbage' });
    expect(['unreachable', 'invalid_response']).toContain(outcome.kind);
  });

  it('a refused connection makes the listener unreachable', async () => {
    expect(await postSet(options, 'http://127.0.0.1:1/hooks', SET)).toMatchObject({ kind: 'unreachable' });
  });

  it('a name that does not resolve makes the listener unreachable', async () => {
    expect(await postSet(options, 'http://nowhere.invalid/hooks', SET)).toMatchObject({
      kind: 'unreachable',
    });
  });
});

describe('the body of an answer', () => {
  const refusal = JSON.stringify({ err: 'invalid_key', description: 'The key is too old' });

  it.each(['application/json', 'text/plain', 'text/html; charset=utf-8', 'application/octet-stream'])(
    'the body of a 400 gives the reason if it is an RFC 8935 error, also as %s',
    async (type) => {
      expect(
        await outcomeOf({ status: 400, headers: { 'content-type': type }, body: refusal }),
      ).toMatchObject({
        kind: 'http_error',
        detail: 'invalid_key: The key is too old',
      });
    },
  );

  it('an RFC 8935 error may have no description, and a long one is cut to 500 characters', async () => {
    expect(await outcomeOf({ status: 400, body: '{"err":"jwtParse"}' })).toMatchObject({
      detail: 'jwtParse',
    });
    const long = await outcomeOf({
      status: 400,
      body: JSON.stringify({ err: 'e', description: 'x'.repeat(3000) }),
    });
    expect(long.kind === 'http_error' && long.detail).toHaveLength(500);
  });

  it.each([
    ['empty', ''],
    ['not JSON', 'no JSON'],
    ['null', 'null'],
    ['an array', '[]'],
    ['an empty object', '{}'],
    ['an object whose err is a number', '{"err":5}'],
    ['an object without err', '{"error":"x"}'],
    ['an object that breaks off', '{"err":"x"'],
    ['larger than 4 KiB', `{"err":"x","pad":"${'x'.repeat(5000)}"}`],
  ])('the body of a 400 gives no reason if it is %s', async (_, body) => {
    const outcome = await outcomeOf({ status: 400, body });
    expect(outcome).toMatchObject({ kind: 'http_error', response: { statusCode: 400 } });
    expect(outcome).not.toHaveProperty('detail');
  });

  it.each([401, 404, 500])('the body of a %i gives no reason', async (status) => {
    expect(await outcomeOf({ status, body: refusal })).not.toHaveProperty('detail');
  });

  it.each([200, 400, 404, 500, 302])('an endless body of a %i is not read for ever', async (status) => {
    holdTimers();
    const { outcome, listener } = await attempt({ status, manner: 'endless' });
    expect(outcome).toMatchObject({ response: { statusCode: status } });
    // Buffers of the connection let a listener send more than is read.
    expect(await sentInAll(listener)).toBeLessThan(32 * 1_048_576);
  });

  it.each([200, 404])('a slow body of a %i is not waited for', async (status) => {
    holdTimers();
    const { outcome, listener } = await attempt({ status, manner: 'drip' });
    expect(outcome).toMatchObject({ response: { statusCode: status } });
    await sentInAll(listener);
  });

  it.each([400, 530])('a slow body of a %i is read only within the time limit', async (status) => {
    const headers = { server: 'cloudflare' };
    const { outcome, listener } = await outcomeAtLimit(
      { status, headers, manner: 'drip' },
      (_, response) => response,
    );
    expect(outcome).toMatchObject({ kind: 'http_error', response: { statusCode: status } });
    await sentInAll(listener);
  });

  it.each([200, 400, 500])('the body of a %i may break off', async (status) => {
    expect(await outcomeOf({ status, manner: 'break off' })).toMatchObject({
      response: { statusCode: status },
    });
  });
});

describe('the headers of an answer', () => {
  const headersOf = async (headers: Record<string, string>, status = 404) => {
    const outcome = await outcomeOf({ status, headers });
    return 'response' in outcome ? outcome.response.headers : {};
  };

  it('the headers of an answer have their names in canonical case', async () => {
    const kept = await headersOf({ 'content-TYPE': 'text/plain', 'x-rate-limit': '5', ETAG: '"1"' });
    expect(kept).toMatchObject({ 'Content-Type': 'text/plain', 'X-Rate-Limit': '5', Etag: '"1"' });
    for (const name of Object.keys(kept)) expect(name).toMatch(/^[A-Z][a-z0-9]*(-[A-Z0-9][a-z0-9]*)*$/);
  });

  it('headers of one name are joined into one string', async () => {
    const twice = ['a=1', 'b=2'] as unknown as string;
    expect(await headersOf({ 'x-twice': twice })).toMatchObject({ 'X-Twice': 'a=1, b=2' });
    expect((await headersOf({ 'set-cookie': twice }))['Set-Cookie']).toMatch(/^a=1[,;] ?b=2$/);
  });

  it('the headers of an answer are kept up to 4 KiB', async () => {
    const many = Object.fromEntries(
      Array.from({ length: 60 }, (_, index) => [`x-h${index}`, 'v'.repeat(150)]),
    );
    const kept = await headersOf(many);
    const size = Object.entries(kept).reduce((sum, [name, value]) => sum + name.length + value.length, 0);
    expect(size).toBeLessThanOrEqual(4096);
    expect(size).toBeGreaterThan(3000);
    for (const [name, value] of Object.entries(kept)) {
      if (name.startsWith('X-H')) expect(value).toHaveLength(150);
    }
  });

  it('a header larger than 4 KiB is left out', async () => {
    expect(await headersOf({ 'x-large': 'v'.repeat(8000) })).not.toHaveProperty('X-Large');
  });

  it('only headers of a success that say what answered, and under which id, are kept', async () => {
    const kept = {
      'Content-Type': 'text/plain',
      Server: 'nginx',
      'X-Request-Id': '019f0b6c-1111-7aaa-8bbb-0123456789ab',
      'Cf-Ray': '8f1e2d3c4b5a6978-FRA',
      Traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    };
    const noise = {
      ETag: '"5f3c"',
      'Set-Cookie': 'a=1',
      NEL: '{"max_age":604800}',
      'X-Rate-Limit': '5',
      'Retry-After': '3',
    };
    const { Date: date, ...others } = await headersOf({ ...kept, ...noise }, 204);
    expect(others).toEqual(kept);
    expect(date).toBeDefined();
  });

  it('the headers of a success are kept up to 512 bytes', async () => {
    const id = 'i'.repeat(490);
    expect(await headersOf({ 'cf-ray': id, 'x-request-id': 'left out' }, 200)).toEqual({ 'Cf-Ray': id });
    expect(await headersOf({ 'cf-ray': `${id}${id}` }, 200)).toEqual({});
  });
});

describe('Retry-After', () => {
  it.each([429, 503])('the Retry-After of a %i is read', async (status) => {
    const outcome = await outcomeOf({ status, headers: { 'retry-after': '120' } });
    expect(outcome).toMatchObject({ kind: 'http_error', retryAfterMs: 120_000 });
  });

  it('Retry-After may be a date', async () => {
    const clock = holdClock();
    // A date of HTTP has whole seconds.
    const at = new Date(clock.now() + 600_000).toUTCString();
    const outcome = await outcomeOf({ status: 503, headers: { 'retry-after': at } });
    expect(outcome).toMatchObject({ retryAfterMs: Date.parse(at) - clock.now() });
  });

  it.each([301, 400, 404, 500, 502])('the Retry-After of a %i is ignored', async (status) => {
    expect(await outcomeOf({ status, headers: { 'retry-after': '120' } })).not.toHaveProperty('retryAfterMs');
  });

  it('a Retry-After of nonsense is ignored', async () => {
    const outcome = await outcomeOf({ status: 503, headers: { 'retry-after': 'soon' } });
    expect(outcome).not.toHaveProperty('retryAfterMs');
  });
});

describe('an error of the platform', () => {
  /** Makes an attempt at which `fetch` throws this. */
  async function outcomeOfError(text: string): Promise<Outcome> {
    const fetching = vi.spyOn(globalThis, 'fetch').mockRejectedValue(new Error(text));
    try {
      return await postSet(options, 'https://listener.example.com/hooks', SET);
    } finally {
      fetching.mockRestore();
    }
  }

  it.each([
    'Too many subrequests.',
    'Too many subrequests by single Worker invocation.',
    'Too many subrequests by single Worker invocation. To configure this limit, refer to https://developers.cloudflare.com/workers/wrangler/configuration/#limits',
    'Too many API requests by single Worker invocation.',
    'Response closed due to connection limit',
    'A stalled HTTP response was canceled to prevent deadlock. This can happen when a Worker calls fetch() several times.',
    'Worker exceeded CPU time limit.',
    'Worker exceeded memory limit.',
    'Worker has exceeded memory limit.',
    'The script will never generate a response.',
    "The Workers runtime canceled this request because it detected that your Worker's code had hung and would never generate a response.",
    'The execution context responding to this call was canceled.',
    'Promise will never complete.',
  ])('the error %j of the platform is our fault, not that of the listener', async (text) => {
    expect(await outcomeOfError(text)).toEqual({
      kind: 'our_fault',
      message: 'the platform stopped the request',
    });
  });

  it.each([
    'Network connection lost.',
    'internal error; reference = 1',
    'Too many redirects.',
    'the listener says: Too many subrequests.',
    'Worker exceeded something else.',
    '',
  ])('the error %j makes the listener unreachable', async (text) => {
    expect((await outcomeOfError(text)).kind).toBe('unreachable');
  });
});

describe('the address check before an attempt', () => {
  /** Makes an attempt at a host that gets this verdict. @returns the outcome, and the hosts that were checked */
  async function checked(
    verdict: AddressVerdict['kind'],
    endpoint = 'https://listener.example.com:8443/hooks',
  ) {
    const asked: string[] = [];
    const checkAddress = async (hostname: string) => {
      asked.push(hostname);
      return verdict === 'public' || verdict === 'blocked'
        ? { kind: verdict }
        : { kind: verdict, last: 'unknown' as const };
    };
    const outcome = await postSet({ ...options, allowPrivateEndpoints: false, checkAddress }, endpoint, SET);
    return { asked, outcome };
  }

  it('a host that is not public is blocked', async () => {
    const { asked, outcome } = await checked('blocked');
    expect(outcome).toMatchObject({ kind: 'blocked' });
    expect(asked).toEqual(['listener.example.com']);
  });

  it('a host whose name has no answer is unreachable', async () => {
    const { outcome } = await checked('no answer');
    expect(outcome).toEqual({ kind: 'unreachable', message: 'the host name could not be resolved' });
  });

  it('an attempt while the resolver is away fails by our fault', async () => {
    expect((await checked('resolver away')).outcome).toEqual({
      kind: 'our_fault',
      message: 'the name service gave no answer',
    });
  });

  it.each(['no answer', 'resolver away'] as const)(
    'an attempt goes by the last verdict on its host while the address check says %j',
    async (kind) => {
      const fetching = vi.spyOn(globalThis, 'fetch').mockImplementation(async () => new Response(null));
      const outcomeAfter = (last: 'public' | 'blocked') =>
        postSet(
          { ...options, allowPrivateEndpoints: false, checkAddress: async () => ({ kind, last }) },
          'https://listener.example.com/hooks',
          SET,
        );
      expect(await outcomeAfter('blocked')).toMatchObject({ kind: 'blocked' });
      expect(fetching).not.toHaveBeenCalled();
      expect(await outcomeAfter('public')).toMatchObject({ kind: 'success' });
      fetching.mockRestore();
    },
  );

  it('a private http endpoint gets no request, whatever the address check says', async () => {
    const listener = new TestListener();
    for (const verdict of ['blocked', 'no answer', 'resolver away', 'public'] as const) {
      const { asked, outcome } = await checked(verdict, listener.endpoint);
      expect(outcome).toMatchObject({ kind: 'blocked', message: 'endpoint must be an https URL' });
      expect(asked).toEqual([]);
    }
    expect(await listener.calls()).toEqual([]);
  });
});
