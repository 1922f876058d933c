/**
 * A stand-in for the service that customers come from: the Webhooks v3 API as sections 1 to 3 of docs/contract.md restate it, and the
 * mistakes that an import meets. It shares no code with the service.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';

export interface OldSubscription {
  readonly id: string;
  readonly title: string;
  readonly endpoint: string;
  readonly events: readonly string[];
  readonly enabled: boolean;
  readonly filter?: unknown;
}

export interface OldService {
  readonly url: string;
  readonly customer: string;
  readonly clientId: string;
  readonly clientSecret: string;
  /** What it shows; a test may change it. */
  readonly subscriptions: OldSubscription[];
  /** Method, path and query of each request. */
  readonly requests: string[];
  /** Answers the next management calls so, one after the other, before it answers by itself. */
  fail(
    ...answers: readonly {
      readonly status: number;
      readonly headers?: Record<string, string>;
      readonly body?: string;
    }[]
  ): void;
  close(): Promise<void>;
}

const PAGE = 100;

export async function startOldService(customer: string = crypto.randomUUID()): Promise<OldService> {
  const clientId = 'zfccfzzcf626t449wu5umbt6zhek2det';
  const clientSecret = 'a secret: of the old service, 41 letters';
  const token = crypto.randomUUID();
  const subscriptions: OldSubscription[] = [];
  const requests: string[] = [];
  const faults: { status: number; headers?: Record<string, string>; body?: string }[] = [];

  const json = (response: ServerResponse, status: number, body: unknown, headers = {}) =>
    void response
      .writeHead(status, { 'content-type': 'application/json', ...headers })
      .end(JSON.stringify(body));

  /** RFC 6749, 4.4: HTTP Basic, and a form. Ids and secrets are form-encoded (2.3.1). */
  const giveToken = async (request: IncomingMessage, response: ServerResponse) => {
    const [id, secret] = Buffer.from(request.headers.authorization?.slice(6) ?? '', 'base64')
      .toString()
      .split(':')
      .map(decodeURIComponent);
    let body = '';
    for await (const chunk of request) body += chunk;
    const form = new URLSearchParams(body);
    if (id !== clientId || secret !== clientSecret) {
      return json(response, 401, { error: 'invalid_client' }, { 'www-authenticate': 'Basic realm="old"' });
    }
    if (form.get('grant_type') !== 'client_credentials')
      return json(response, 400, { error: 'unsupported_grant_type' });
    if (form.get('scope') !== '*:webhooks/**') return json(response, 400, { error: 'invalid_scope' });
    json(response, 200, {
      access_token: token,
      expires_in: 3600,
      token_type: 'Bearer',
      scope: '*:webhooks/**',
    });
  };

  /** Everything without `page`; else pages of 100, and for a page that does not exist the last one. */
  const list = (url: URL, response: ServerResponse) => {
    const path = url.pathname;
    const page = url.searchParams.get('page');
    const last = Math.max(1, Math.ceil(subscriptions.length / PAGE));
    const number = page !== null && /^[1-9]\d*$/.test(page) && Number(page) <= last ? Number(page) : last;
    const link = (to: number) => ({ href: `${path}?page=${to}` });
    json(response, 200, {
      total: subscriptions.length,
      _links:
        page === null
          ? { self: { href: path } }
          : {
              self: link(number),
              first: link(1),
              last: link(last),
              ...(number > 1 ? { prev: link(number - 1) } : {}),
              ...(number < last ? { next: link(number + 1) } : {}),
            },
      _embedded: {
        subscriptions: (page === null
          ? subscriptions
          : subscriptions.slice((number - 1) * PAGE, number * PAGE)
        ).map((one) => ({
          ...one,
          _links: { self: { href: `${path}/${one.id}` } },
          customerId: customer,
          createdAt: '2021-09-23T16:58:46.815Z',
          updatedAt: '2021-09-23T16:58:46.815Z',
        })),
      },
    });
  };

  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://old');
    requests.push(`${request.method} ${request.url}`);
    const route = `${request.method} ${url.pathname}`;
    if (route === `POST /${customer}/login/token`) return void giveToken(request, response);
    if (/^\/[^/]+\/login\/token$/.test(url.pathname)) return json(response, 401, { error: 'invalid_client' });
    if (/\/login\/jwk$/.test(url.pathname)) {
      const isKnown = url.pathname === `/${customer}/login/jwk`;
      return json(
        response,
        isKnown ? 200 : 404,
        isKnown ? { keys: [] } : { title: 'Not Found', details: 'Customer not found' },
      );
    }
    const fault = faults.shift();
    if (fault !== undefined) return void response.writeHead(fault.status, fault.headers).end(fault.body);
    if (request.headers.authorization !== `Bearer ${token}`)
      return json(response, 403, { errors: 'Forbidden' });
    if (route === `GET /${customer}/webhooks/subscriptions`) return list(url, response);
    json(response, 404, { type: '/not-found', status: 404, title: 'Not Found', details: 'Route not found' });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = () =>
    new Promise<void>((resolve) => {
      server.closeAllConnections();
      server.close(() => resolve());
    });
  onTestFinished(close);
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    customer,
    clientId,
    clientSecret,
    subscriptions,
    requests,
    fail: (...answers) => void faults.push(...answers),
    close,
  };
}

/** A subscription as a customer has it there. */
export function old(title: string, rest: Partial<OldSubscription> = {}): OldSubscription {
  return {
    id: crypto.randomUUID(),
    title,
    endpoint: `https://listener.example.com/${encodeURIComponent(title)}`,
    events: ['entityCreated', 'entityUpdated'],
    enabled: true,
    ...rest,
  };
}
