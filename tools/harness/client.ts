/** A small client of the service over HTTP: the calls of an operator and of a customer, for tools, demo and tests. */

export interface Answer<T = Body> {
  readonly status: number;
  /** Parsed but not checked: of the fields it has those that the route answers with, and in an error none. */
  readonly body: T;
}

/** The fields of all answers that a caller here reads. */
export interface Body {
  readonly id: string;
  readonly clientId: string;
  readonly clientSecret: string;
  readonly state: string;
  readonly total: number;
  readonly health: Health;
  readonly _links: { readonly next?: Link };
  readonly _embedded: {
    readonly subscriptions: Subscription[];
    readonly events: Event[];
    readonly history: HistoryEntry[];
  };
}

export interface Subscription {
  readonly id: string;
  readonly health: Health;
  readonly _links: { readonly self: Link; readonly events: Link };
}

export interface Health {
  readonly state: 'healthy' | 'slow' | 'failing';
  /** Events that are not final. */
  readonly waiting: number;
}

export interface Event {
  readonly id: string;
  readonly type: string;
  readonly state: string;
  readonly attempts: number;
  readonly _links: { readonly history: Link };
}

export interface HistoryEntry {
  readonly state: string;
  readonly reason?: string;
}

export interface Link {
  readonly href: string;
}

/** The answer of the token endpoint (RFC 6749, section 5.1). */
export interface Token {
  readonly access_token: string;
  readonly token_type: string;
  readonly scope: string;
  /** Seconds. */
  readonly expires_in: number;
}

/** @returns the body of a 2xx @throws Error with the answer otherwise */
export function ok<T>({ status, body }: Answer<T>): T {
  if (status >= 200 && status < 300) return body;
  throw new Error(`the service answered ${status}: ${JSON.stringify(body)}`);
}

export async function request(
  url: string,
  method: string,
  headers: Readonly<Record<string, string>>,
  body?: unknown,
): Promise<Answer> {
  const response = await fetch(url, {
    method,
    headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(20_000),
  });
  const text = await response.text();
  return { status: response.status, body: text === '' ? undefined : JSON.parse(text) };
}

/** The operator API of one service. */
export class Operator {
  readonly #url: string;
  readonly #headers: Record<string, string>;

  constructor(url: string, token: string) {
    this.#url = url;
    this.#headers = { authorization: `Bearer ${token}` };
  }

  call(method: string, path: string, body?: unknown): Promise<Answer> {
    return request(`${this.#url}/operator${path}`, method, this.#headers, body);
  }
}

/** The management API as one customer sees it. */
export class Customer {
  readonly id: string;
  readonly #url: string;
  readonly #token: string;

  constructor(url: string, id: string, token: string) {
    this.#url = url;
    this.id = id;
    this.#token = token;
  }

  call(method: string, path: string, body?: unknown): Promise<Answer> {
    return request(
      `${this.#url}/${this.id}/webhooks${path}`,
      method,
      { authorization: `Bearer ${this.#token}` },
      body,
    );
  }

  /** The body of a GET as it streams in. */
  async open(path: string): Promise<AsyncIterable<Uint8Array>> {
    const response = await fetch(`${this.#url}/${this.id}/webhooks${path}`, {
      headers: { authorization: `Bearer ${this.#token}` },
    });
    if (!response.ok || response.body === null) throw new Error(`GET ${path}: ${response.status}`);
    return response.body;
  }

  /** @param href of a link; @throws Error if there was no link */
  async follow(href: string | undefined): Promise<Answer> {
    if (href === undefined) throw new Error('there is no link to follow');
    return request(`${this.#url}${href}`, 'GET', { authorization: `Bearer ${this.#token}` });
  }
}

/** An access token by the client credentials grant. */
export async function getToken(
  url: string,
  customerId: string,
  clientId: string,
  secret: string,
): Promise<Answer<Token>> {
  const response = await fetch(`${url}/${customerId}/login/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${Buffer.from(`${clientId}:${secret}`).toString('base64')}` },
    body: new URLSearchParams({ grant_type: 'client_credentials', scope: '*:webhooks/**' }),
  });
  return { status: response.status, body: (await response.json()) as Token };
}
