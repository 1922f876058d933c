/** A small client of the service over HTTP: what an operator and a customer do, for the demo and for tests. */

export interface Answer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: whatever the service says; callers compare it
  readonly body: any;
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

  /** Follows an `href`. */
  follow(href: string): Promise<Answer> {
    return request(`${this.#url}${href}`, 'GET', { authorization: `Bearer ${this.#token}` });
  }
}

/** An access token by the client credentials grant. */
export async function getToken(
  url: string,
  customerId: string,
  clientId: string,
  secret: string,
): Promise<Answer> {
  const response = await fetch(`${url}/${customerId}/login/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${Buffer.from(`${clientId}:${secret}`).toString('base64')}` },
    body: new URLSearchParams({ grant_type: 'client_credentials', scope: '*:webhooks/**' }),
  });
  return { status: response.status, body: await response.json() };
}
