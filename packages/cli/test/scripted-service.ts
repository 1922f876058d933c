/** A service that answers by a script: for answers that the real one gives seldom. test/journey runs the commands against the real one. */
import type { World } from '../src/world.ts';

export const URL = 'https://webhooks.example.com';
export const CUSTOMER = 'b18fc81d-457e-4a40-ac87-2b78bd946fa2';
export const SUBSCRIPTION = '7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10';
export const CLIENT = 'iwh_client_test';
export const SECRET = 'iwh_secret_test';
export const OPERATOR_TOKEN = 'operator token of the tests';

export interface Sent {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly body: unknown;
  readonly authorization: string;
}

type Script = (sent: Sent, nth: number) => Response | Promise<Response> | undefined;

export const json = (body: unknown, status = 200, headers: Record<string, string> = {}) =>
  new Response(JSON.stringify(body), { status, headers: { 'content-type': 'application/json', ...headers } });

export const list = (name: string, items: readonly unknown[], next?: string) =>
  json({
    total: items.length,
    _links: next === undefined ? {} : { next: { href: next } },
    _embedded: { [name]: items },
  });

export const problem = (status: number, details: string, headers: Record<string, string> = {}) =>
  json({ status, title: 'Title', details }, status, { 'x-request-id': 'e3b0c442', ...headers });

export const noContent = () => new Response(null, { status: 204 });

/**
 * @param script answers calls; what it leaves out is a 404 for the route
 * @returns what a machine takes as `fetch`, and the calls without those for access tokens
 */
export function scripted(script: Script): { readonly fetch: World['fetch']; readonly calls: Sent[] } {
  const calls: Sent[] = [];
  return {
    calls,
    fetch: async (request) => {
      request.signal.throwIfAborted();
      const text = await request.text();
      const sent = {
        method: request.method,
        path: request.url.slice(URL.length),
        body: text.startsWith('{') || text.startsWith('[') ? (JSON.parse(text) as unknown) : text,
        authorization: request.headers.get('authorization') ?? '',
      };
      if (!request.url.startsWith(URL))
        throw new TypeError('fetch failed', { cause: Object.assign(new Error('no'), { code: 'ENOTFOUND' }) });
      if (sent.path === `/${CUSTOMER}/login/jwk`) return json({ keys: [] });
      if (sent.path.endsWith('/login/jwk')) return problem(404, 'Customer not found');
      if (sent.path.endsWith('/login/token')) return tokenFor(sent);
      calls.push(sent);
      return (await script(sent, calls.length)) ?? problem(404, 'Route not found');
    },
  };
}

function tokenFor({ path, authorization, body }: Sent): Response {
  const right = path.startsWith(`/${CUSTOMER}/`) && authorization === `Basic ${btoa(`${CLIENT}:${SECRET}`)}`;
  if (!right) return json({ error: 'invalid_client', error_description: 'wrong' }, 401);
  const scope = new URLSearchParams(String(body)).get('scope') ?? '';
  return scope === 'GET:too/much'
    ? json({ error: 'invalid_scope', error_description: 'too much' }, 400)
    : json({ access_token: 'access token of the tests', expires_in: 3600, token_type: 'Bearer', scope });
}

/** The environment of somebody who is logged in as the customer and as the operator. */
export const LOGGED_IN = {
  IW_URL: URL,
  IW_CUSTOMER: CUSTOMER,
  IW_CLIENT_ID: CLIENT,
  IW_CLIENT_SECRET: SECRET,
  IW_OPERATOR_TOKEN: OPERATOR_TOKEN,
};

export function aSubscription(overrides: object = {}) {
  return {
    id: SUBSCRIPTION,
    customerId: CUSTOMER,
    title: 'Profile sync',
    endpoint: 'https://listener.example.com/hooks',
    events: ['entityCreated', 'entityUpdated'],
    enabled: true,
    health: { state: 'healthy' },
    createdAt: '2026-01-31T11:00:00.000Z',
    updatedAt: '2026-01-31T11:00:00.000Z',
    _links: {},
    ...overrides,
  };
}

/** An event of an instant, with the id that the service would give it. */
export function anEvent(at: string, overrides: object = {}) {
  const hex = Date.parse(at).toString(16).padStart(12, '0');
  const claims = Buffer.from(JSON.stringify({ events: { entityUpdated: {} } })).toString('base64url');
  return {
    id: `${hex.slice(0, 8)}-${hex.slice(8)}-7abc-8def-000000000001`,
    createdAt: at,
    updatedAt: at,
    state: 'success',
    attempts: 1,
    request: { endpoint: 'https://listener.example.com/hooks', headers: {}, payload: `e30.${claims}.c2ln` },
    response: { statusCode: 200, headers: {} },
    _links: {},
    ...overrides,
  };
}
