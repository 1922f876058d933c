import { describe, expect, it } from 'vitest';
import {
  type ClientOptions,
  OperatorClient,
  type Trouble,
  WebhooksClient,
  WebhooksError,
} from '../src/index.ts';

const CUSTOMER = 'b18fc81d-457e-4a40-ac87-2b78bd946fa2';
const SUBSCRIPTION = '7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10';

interface Sent {
  readonly method: string;
  readonly url: string;
  readonly authorization: string | null;
  readonly body: string;
}

type Script = (sent: Sent, nth: number) => Response | Promise<Response>;

const json = (body: unknown, status = 200, headers: Record<string, string> = {}) =>
  new Response(JSON.stringify(body), { status, headers: { 'content-type': 'application/json', ...headers } });

const token = (nth = 1) =>
  json({ access_token: `token ${nth}`, expires_in: 3600, token_type: 'Bearer', scope: '*:webhooks/**' });

/** A client whose service is a script. Requests for tokens are answered, unless `tokens` does. */
function scripted(script: Script, { tokens, ...options }: Partial<ClientOptions> & { tokens?: Script } = {}) {
  const calls: Sent[] = [];
  const asked: Sent[] = [];
  const waits: number[] = [];
  const client = new WebhooksClient({
    baseUrl: 'https://webhooks.example.com',
    customerId: CUSTOMER,
    clientId: 'backend',
    clientSecret: 's:e c',
    wait: async (ms) => void waits.push(ms),
    fetch: async (request) => {
      const sent = {
        method: request.method,
        url: request.url.replace('https://webhooks.example.com', ''),
        authorization: request.headers.get('authorization'),
        body: await request.text(),
      };
      const isToken = sent.url.endsWith('/login/token');
      const list = isToken ? asked : calls;
      list.push(sent);
      return isToken
        ? ((await tokens?.(sent, list.length)) ?? token(list.length))
        : script(sent, list.length);
    },
    ...options,
  });
  return { client, calls, asked, waits };
}

async function troubleOf(work: Promise<unknown>): Promise<Trouble> {
  const error: unknown = await work.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(WebhooksError);
  return (error as WebhooksError).trouble;
}

describe('a call of the client', () => {
  it('a call fills in the customer, the path, the query and the token', async () => {
    const { client, calls, asked } = scripted(() => json({ state: 'success' }));
    await client.call('listEvents', { sid: SUBSCRIPTION, query: { limit: 5, state: 'failure' } });
    expect(calls).toEqual([
      {
        method: 'GET',
        url: `/${CUSTOMER}/webhooks/subscriptions/${SUBSCRIPTION}/events?limit=5&state=failure`,
        authorization: 'Bearer token 1',
        body: '',
      },
    ]);
    // RFC 6749, 2.3.1: id and secret are form-encoded before they are joined.
    expect(atob(asked[0]?.authorization?.slice(6) ?? '')).toBe('backend:s%3Ae%20c');
    expect(asked[0]?.body).toBe('grant_type=client_credentials&scope=*%3Awebhooks%2F**');
  });

  it('calls at once and calls one after the other share one token', async () => {
    const { client, asked } = scripted(() => json({}));
    await Promise.all([client.call('listSubscriptions'), client.call('listSubscriptions')]);
    await client.call('listSubscriptions');
    expect(asked).toHaveLength(1);
  });

  it('a token is fetched again a minute before it ends', async () => {
    const short = () => json({ access_token: 'short', expires_in: 60, token_type: 'Bearer', scope: 'x' });
    const { client, asked } = scripted(() => json({}), { tokens: short });
    await client.call('listSubscriptions');
    await client.call('listSubscriptions');
    expect(asked).toHaveLength(2);
  });

  it('a token that the service refuses is fetched again once, and a second 403 is the answer', async () => {
    const forbidden = () => json({ errors: 'Forbidden' }, 403);
    const first = scripted(({ authorization }) =>
      authorization === 'Bearer token 2' ? json({}) : forbidden(),
    );
    await first.client.call('listSubscriptions').catch(() => undefined);
    await first.client.call('listSubscriptions');
    expect(first.calls.map(({ authorization }) => authorization)).toEqual([
      'Bearer token 1',
      'Bearer token 1',
      'Bearer token 2',
    ]);
    const never = scripted(forbidden);
    expect(await troubleOf(never.client.call('listSubscriptions'))).toEqual({ kind: 'forbidden' });
    expect(never.calls.length).toBeLessThanOrEqual(2);
  });

  it('a deletion gives nothing', async () => {
    const { client, calls } = scripted(() => new Response(null, { status: 204 }));
    expect(await client.call('deleteSubscription', { sid: SUBSCRIPTION })).toBeUndefined();
    expect(calls[0]?.method).toBe('DELETE');
  });
});

describe('a service that is busy or away', () => {
  it.each([429, 503])('a %d is asked again after its Retry-After', async (status) => {
    const { client, calls, waits } = scripted((_, nth) =>
      nth < 3 ? json({}, status, { 'retry-after': '7' }) : json({ total: 0 }),
    );
    expect(await client.call('listSubscriptions')).toEqual({ total: 0 });
    expect(calls).toHaveLength(3);
    expect(waits).toEqual([7000, 7000]);
  });

  it('waits without a number double, and a call ends after four more tries', async () => {
    const { client, calls, waits } = scripted(() => new Response('', { status: 502 }));
    expect(await troubleOf(client.call('listSubscriptions'))).toEqual({
      kind: 'unavailable',
      retryAfterSeconds: 1,
    });
    expect(calls).toHaveLength(5);
    expect(waits).toEqual([1000, 1000, 1000, 2000]);
  });

  it('a wait that is too long ends the call at once, and the error says how long it is', async () => {
    const { client, waits } = scripted(() => json({}, 429, { 'retry-after': '600' }));
    expect(await troubleOf(client.call('listSubscriptions'))).toEqual({
      kind: 'too-many-requests',
      retryAfterSeconds: 600,
    });
    expect(waits).toEqual([]);
  });

  it('a publish that is made again carries the same ids', async () => {
    const { client, calls } = scripted(({ body }, nth) =>
      nth === 1
        ? json({}, 503, { 'retry-after': '1' })
        : json({ _embedded: { events: JSON.parse(body) } }, 202),
    );
    const event = {
      type: 'entityCreated' as const,
      captureApplicationId: 'app',
      captureClientId: 'client',
      entityType: 'user',
      sub: crypto.randomUUID(),
    };
    const own = '01890a5d-ac96-774b-bcce-b302099a8057';
    const ids = await client.publish([event, { ...event, id: own }]);
    expect(ids).toEqual([expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-7/), own]);
    expect(calls[0]?.body).toBe(calls[1]?.body);
  });
});

describe('a list', () => {
  it('items come one after the other over all pages, and a page that nobody asks for is not fetched', async () => {
    const page = (numbers: number[], next?: string) =>
      json({ _embedded: { events: numbers }, _links: next === undefined ? {} : { next: { href: next } } });
    const { client, calls } = scripted((_, nth) =>
      nth === 1 ? page([1, 2], '/second?after=2') : nth === 2 ? page([3], '/third') : page([4]),
    );
    const seen: unknown[] = [];
    for await (const item of client.items('listEvents', { sid: SUBSCRIPTION })) {
      seen.push(item);
      if (seen.length === 3) break;
    }
    expect(seen).toEqual([1, 2, 3]);
    expect(calls.map(({ url }) => url).slice(1)).toEqual(['/second?after=2']);
  });

  it('pages come whole, with what they say beside their items', async () => {
    const page = (exact: boolean, next?: string) =>
      json({
        exact,
        _embedded: { subscriptions: [] },
        _links: next === undefined ? {} : { next: { href: next } },
      });
    const { client, calls } = scripted((_, nth) => (nth === 1 ? page(true, '/second') : page(false)));
    const seen: boolean[] = [];
    for await (const { exact } of client.pages('listStats', { query: { hours: 2 } })) seen.push(exact);
    expect(seen).toEqual([true, false]);
    expect(calls.map(({ url }) => url)).toEqual([`/${CUSTOMER}/webhooks/stats?hours=2`, '/second']);
  });
});

describe('a page of something else', () => {
  const page = (next: string) => json({ _embedded: { events: [1] }, _links: { next: { href: next } } });

  it.each([
    ['to another host', '@elsewhere.example/stolen'],
    ['with a host of its own', 'https://elsewhere.example/stolen'],
    ['to the page itself', `/${CUSTOMER}/webhooks/subscriptions/${SUBSCRIPTION}/events`],
  ])('a link %s is not followed, so no access token leaves for it', async (_, next) => {
    const { client, calls } = scripted(() => page(next));
    const items = client.items('listEvents', { sid: SUBSCRIPTION });
    await items.next();
    expect(await troubleOf(items.next())).toEqual({ kind: 'unexpected' });
    expect(calls).toHaveLength(1);
  });

  it.each([{}, { _embedded: {} }, { _embedded: { events: 7 } }, [], null])(
    'the answer %j is not a list, and the error says so',
    async (body) => {
      const { client } = scripted(() => json(body));
      const items = client.items('listEvents', { sid: SUBSCRIPTION });
      await expect(items.next()).rejects.toThrow('listEvents: the answer is not a list');
    },
  );
});

describe('credentials', () => {
  it('credentials are checked by an access token, which the first call then uses', async () => {
    const { client, asked } = scripted(() => json({}));
    await client.checkCredentials();
    await client.call('listSubscriptions');
    expect(asked).toHaveLength(1);
    const { client: wrong } = scripted(() => json({}), {
      tokens: () => json({ error: 'invalid_client' }, 401),
    });
    expect(await troubleOf(wrong.checkCredentials())).toEqual({ kind: 'credentials' });
  });
});

describe('the methods for events', () => {
  const page = (item: unknown, next?: string) =>
    json({ _embedded: { list: [item] }, _links: next === undefined ? {} : { next: { href: next } } });

  async function all<Item>(items: AsyncGenerator<Item>): Promise<Item[]> {
    const seen: Item[] = [];
    for await (const item of items) seen.push(item);
    return seen;
  }

  it('events and summaries follow next in either direction, and summaries ask for no requests', async () => {
    const whole = { id: 'event', request: { payload: 'set' } };
    const script: Script = (_, nth) => page(whole, nth === 1 ? '/next?before=event' : undefined);
    const events = scripted(script);
    expect(await all(events.client.events(SUBSCRIPTION, { order: 'desc' }))).toEqual([whole, whole]);
    const path = `/${CUSTOMER}/webhooks/subscriptions/${SUBSCRIPTION}/events`;
    expect(events.calls.map(({ url }) => url)).toEqual([`${path}?order=desc`, '/next?before=event']);
    const summaries = scripted(() => page({ id: 'event' }));
    const since = '2026-01-31T12:00:00Z';
    expect(await all(summaries.client.eventSummaries(SUBSCRIPTION, { type: 'test', since }))).toHaveLength(1);
    expect(summaries.calls[0]?.url).toBe(
      `${path}?type=test&since=${encodeURIComponent(since)}&fields=summary`,
    );
  });

  it('deliveries of an event come from all pages, also past an empty one', async () => {
    const empty = json({ _embedded: { deliveries: [] }, _links: { next: { href: '/second' } } });
    const { client, calls } = scripted((_, nth) => (nth === 1 ? empty : page({ state: 'success' })));
    expect(await all(client.deliveries('an event'))).toEqual([{ state: 'success' }]);
    expect(calls.map(({ url }) => url)).toEqual([`/${CUSTOMER}/webhooks/events/an%20event`, '/second']);
  });

  it('a dry run asks for one, and a 202 of an old service that started the job is an error', async () => {
    const { client, calls } = scripted((_, nth) => json({ total: 3 }, nth === 1 ? 200 : 202));
    const span = { since: '2026-01-31T12:00:00Z' };
    expect(await client.previewRedelivery(SUBSCRIPTION, span)).toEqual({ total: 3 });
    expect(JSON.parse(calls[0]?.body ?? '')).toEqual({ ...span, dryRun: true });
    await expect(client.previewRedelivery(SUBSCRIPTION)).rejects.toMatchObject({ status: 202 });
  });
});

describe('an error', () => {
  it.each<[number, unknown, Trouble]>([
    [
      400,
      {
        title: 'Bad Request',
        'invalid-body-params': [{ name: 'title', reason: 'is required' }],
        'invalid-query-params': [{ name: 'limit', reason: 'is odd' }],
      },
      {
        kind: 'invalid',
        faults: [
          { in: 'body', name: 'title', reason: 'is required' },
          { in: 'query', name: 'limit', reason: 'is odd' },
        ],
      },
    ],
    [404, { title: 'Not Found' }, { kind: 'not-found' }],
    [409, { type: '/too-many-jobs' }, { kind: 'conflict', type: '/too-many-jobs' }],
    [413, {}, { kind: 'too-large' }],
    [500, {}, { kind: 'unexpected' }],
    [302, '', { kind: 'unexpected' }],
  ])('a %d is an error of its kind', async (status, body, trouble) => {
    const { client } = scripted(() => json(body, status, { 'x-request-id': 'request 1' }));
    const error = await client.call('listSubscriptions').catch((reason: unknown) => reason);
    expect(error).toMatchObject({ name: 'WebhooksError', status, requestId: 'request 1', trouble });
  });

  it('an error names its operation, and what the service says of it', async () => {
    const { client } = scripted(() => json({ title: 'Conflict', details: 'Subscription is disabled' }, 409));
    const error = await client.call('sendTest', { sid: SUBSCRIPTION }).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ operation: 'sendTest', detail: 'Subscription is disabled' });
    const { client: narrow } = scripted(() => json({}), {
      tokens: () => json({ error: 'invalid_scope' }, 400),
    });
    const refused = await narrow.call('listSubscriptions').catch((reason: unknown) => reason);
    expect(refused).toMatchObject({ operation: 'createToken', detail: 'invalid_scope' });
  });

  it('an error of a 400 says in its message what is wrong', async () => {
    const body = { title: 'Bad Request', 'invalid-body-params': [{ name: 'title', reason: 'is required' }] };
    const { client } = scripted(() => json(body, 400));
    await expect(client.call('listSubscriptions')).rejects.toThrow(
      'listSubscriptions: the service answered 400. Bad Request. title is required',
    );
  });

  it('wrong credentials, no answer and a page of something else are errors, too', async () => {
    const refused = scripted(() => json({}), { tokens: () => json({ error: 'invalid_client' }, 401) });
    expect(await troubleOf(refused.client.call('listSubscriptions'))).toEqual({ kind: 'credentials' });
    const away = scripted(() => Promise.reject(new TypeError('fetch failed')));
    expect(await troubleOf(away.client.call('listSubscriptions'))).toEqual({ kind: 'unreachable' });
    const other = scripted(() => new Response('<html>', { status: 200 }));
    expect(await troubleOf(other.client.call('listSubscriptions'))).toEqual({ kind: 'unexpected' });
  });

  it('no error names the secret or the token', async () => {
    const { client } = scripted(() => json({}, 500));
    const error = await client.call('listSubscriptions').catch((reason: unknown) => reason);
    expect(`${error}${JSON.stringify(error)}${(error as Error).stack}`).not.toMatch(/token 1|s:e c|s%3Ae/);
  });
});

describe('a call of the client of the operator', () => {
  it('the metrics come as text, and the call has the token of the operator', async () => {
    const sent: (string | null)[] = [];
    const operator = new OperatorClient({
      baseUrl: 'https://webhooks.example.com',
      token: 'operator token',
      fetch: async (request) => {
        sent.push(request.url, request.headers.get('authorization'));
        return new Response('identity_webhooks_customers 1\n');
      },
    });
    expect(await operator.metrics()).toBe('identity_webhooks_customers 1\n');
    expect(sent).toEqual(['https://webhooks.example.com/operator/metrics', 'Bearer operator token']);
  });
});
