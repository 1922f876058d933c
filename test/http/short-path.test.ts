import type { env } from 'cloudflare:workers';
import { describe, expect, it, vi } from 'vitest';
import { holdClock } from '../support/clock.ts';
import { countingQueries, environmentWith, newIsolate } from '../support/requests.ts';
import {
  anEvent,
  asOperator,
  getToken,
  newCustomer,
  type Reply,
  type TestCustomer,
} from '../support/world.ts';

/** Publishes in one environment: its first call is judged by the app, and the later ones take the short path. */
function publishing(customer: TestCustomer, changes: Partial<typeof env> = {}) {
  const sends: unknown[] = [];
  const EVENTS = {
    sendBatch: async (messages: Iterable<unknown>) => void sends.push([...messages]),
  } as unknown as Queue<unknown>;
  const { environment, queries } = countingQueries({ EVENTS, ...changes });
  const call = newIsolate(environment);
  const post = (body: unknown = anEvent(), headers: Record<string, string> = {}) => {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    const length = String(new TextEncoder().encode(text).length);
    return call('POST', `/${customer.id}/webhooks/events`, {
      token: customer.token,
      body: text,
      headers: { 'content-length': length, ...headers },
    });
  };
  return { post, sends, queries, call };
}

/** A token that permits reading alone. */
async function readingToken({ id, clientId, clientSecret }: TestCustomer): Promise<string> {
  return (await getToken(id, clientId, clientSecret, 'GET:webhooks/**')).body.access_token;
}

/** Headers that differ from answer to answer. */
const OWN = new Set(['x-request-id', 'content-length']);
const headersOf = ({ headers }: Reply) =>
  Object.fromEntries([...headers].filter(([name]) => !OWN.has(name)).sort());

describe('the short path of publishing', () => {
  it('an answer of the short path has the status, the form and the headers that the app gives', async () => {
    const { post, sends, queries } = publishing(await newCustomer());
    const first = await post(anEvent(), { 'x-request-id': 'ticket-7' });
    expect([first.status, queries()]).toEqual([202, 1]);
    const second = await post(anEvent(), { 'x-request-id': 'ticket-7' });
    expect([second.status, queries()]).toEqual([202, 1]);
    expect(headersOf(second)).toEqual(headersOf(first));
    expect(second.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
    expect(second.headers.get('x-caller-request-id')).toBe('ticket-7');
    expect(second.body).toEqual({
      _embedded: { events: [{ id: expect.stringMatching(/^[0-9a-f-]{36}$/), type: anEvent()['type'] }] },
    });
    expect(sends).toHaveLength(2);
  });

  it.each([
    ['a body that is no JSON', '{', {}],
    ['an event with faults', { type: 'nothing' }, {}],
    ['an array in which one event has faults', [anEvent(), { type: 'nothing' }], {}],
    ['no event', [], {}],
    ['another media type', anEvent(), { 'content-type': 'text/plain' }],
    ['a body that is too large', 'x'.repeat(240_001), {}],
  ])('%s is refused as the app refuses it, and nothing is queued', async (_, body, headers) => {
    const { post, sends } = publishing(await newCustomer());
    const judged = await post(body, headers);
    expect(judged.status).toBeGreaterThanOrEqual(400);
    await post();
    const again = await post(body, headers);
    expect([again.status, again.body]).toEqual([judged.status, judged.body]);
    expect(headersOf(again)).toEqual(headersOf(judged));
    expect(sends).toHaveLength(1);
  });

  it('a token that is known for one customer is refused for another', async () => {
    const customer = await newCustomer();
    const other = await newCustomer();
    const { post, call, sends } = publishing(customer);
    await post();
    await post();
    const reply = await call('POST', `/${other.id}/webhooks/events`, {
      token: customer.token,
      body: anEvent(),
    });
    expect([reply.status, sends.length]).toEqual([403, 2]);
  });

  it('a token without the scope of publishing never takes the short path', async () => {
    const customer = await newCustomer();
    const { post, sends } = publishing({ ...customer, token: await readingToken(customer) });
    expect((await post()).status).toBe(403);
    expect((await post()).status).toBe(403);
    expect(sends).toEqual([]);
  });

  it('a client that was deleted publishes for thirty seconds at most', async () => {
    const clock = holdClock();
    const customer = await newCustomer();
    const { post } = publishing(customer);
    await post();
    expect(
      (await asOperator('DELETE', `/customers/${customer.id}/clients/${customer.clientId}`)).status,
    ).toBe(204);
    clock.advance(29_999);
    expect((await post()).status).toBe(202);
    clock.advance(2);
    expect((await post()).status).toBe(403);
  });

  it('another signing key of access tokens knows none of the tokens', async () => {
    const customer = await newCustomer();
    await publishing(customer).post();
    const TOKEN_SIGNING_KEY = btoa('k'.repeat(32));
    const { post } = publishing(customer, { TOKEN_SIGNING_KEY } as Partial<typeof env>);
    expect((await post()).status).toBe(403);
  });

  it('a queue that is away is a 503, logged with the ids of the request', async () => {
    const customer = await newCustomer();
    const away = vi.spyOn(console, 'error').mockImplementation(() => undefined);
    let isAway = false;
    const EVENTS = {
      sendBatch: async () => {
        if (isAway) throw new Error('away');
      },
    } as unknown as Queue<unknown>;
    const { post } = publishing(customer, environmentWith({ EVENTS }));
    await post();
    isAway = true;
    const reply = await post();
    expect([reply.status, reply.headers.get('retry-after')]).toEqual([503, '2']);
    expect(JSON.parse(String(away.mock.calls.at(-1)?.[0]))).toMatchObject({
      event: 'publish not queued',
      customerId: customer.id,
      requestId: reply.headers.get('x-request-id'),
    });
    away.mockRestore();
  });
});
