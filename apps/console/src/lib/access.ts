/**
 * Calls of the API with an access token of the session. The token lives ten minutes, is kept in memory alone and is replaced before
 * it ends. Calls that need one at the same time share one request for it.
 */
import { CallError, errorOf } from './errors.ts';

export type Kind = 'customer' | 'operator';

interface Token {
  readonly text: string;
  readonly scope: string;
  readonly endsAt: number;
  readonly madeAt: number;
}

export interface Call {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  readonly body?: unknown;
  readonly signal?: AbortSignal | undefined;
}

export interface Surroundings {
  fetch(url: string, init?: RequestInit): Promise<Response>;
  now(): number;
  /** The session is over: somebody must sign in again. */
  ended(): void;
  /** A call was refused with a token that is new. */
  refused(): void;
}

/** A token that ends so soon is replaced first. */
const RENEW_BEFORE_MS = 45_000;
/** A refusal of a token that is younger is an answer about the call, not about the token. */
const YOUNG_MS = 5_000;

export class Access {
  readonly #kind: Kind;
  readonly #around: Surroundings;
  #token: Token | undefined;
  #asking: Promise<Token> | undefined;

  constructor(kind: Kind, around: Surroundings) {
    this.#kind = kind;
    this.#around = around;
  }

  /** The scope of the token in use; empty before the first call. */
  get scope(): string {
    return this.#token?.scope ?? '';
  }

  /** Asks for a token if there is none yet, so that `scope` is known. */
  async open(): Promise<void> {
    await this.#current();
  }

  forget(): void {
    this.#token = undefined;
    this.#asking = undefined;
  }

  /** @returns the body of a success, undefined when it has none @throws CallError */
  async json<Body>(path: string, call: Call = {}): Promise<Body> {
    const answer = await this.send(path, call);
    if (answer.status === 204) return undefined as Body;
    try {
      return (await answer.json()) as Body;
    } catch {
      throw new CallError('The answer was cut short. Try again.', { status: answer.status });
    }
  }

  /** @returns a success @throws CallError */
  async send(path: string, call: Call = {}): Promise<Response> {
    let token = await this.#current();
    let answer = await this.#fetch(path, call, token);
    if (answer.status === 403 && this.#around.now() - token.madeAt > YOUNG_MS) {
      // The token may have been withdrawn before its time. A new one decides.
      if (this.#token === token) this.forget();
      token = await this.#current();
      answer = await this.#fetch(path, call, token);
    }
    if (answer.status === 403) this.#around.refused();
    if (!answer.ok) throw await errorOf(answer);
    return answer;
  }

  async #fetch(path: string, { method = 'GET', query, body, signal }: Call, token: Token): Promise<Response> {
    const headers: Record<string, string> = { Authorization: `Bearer ${token.text}` };
    if (body !== undefined) headers['Content-Type'] = 'application/json';
    const url = path + searchOf(query);
    const init = { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) };
    return await reach(this.#around, url, { ...init, ...(signal && { signal }), credentials: 'omit' });
  }

  async #current(): Promise<Token> {
    if (this.#token !== undefined && this.#token.endsAt - RENEW_BEFORE_MS > this.#around.now())
      return this.#token;
    this.#asking ??= this.#ask();
    const asking = this.#asking;
    try {
      return await asking;
    } finally {
      if (this.#asking === asking) this.#asking = undefined;
    }
  }

  async #ask(): Promise<Token> {
    const madeAt = this.#around.now();
    const answer = await reach(this.#around, '/console/token', post({ kind: this.#kind }));
    if (answer.status === 403) {
      this.#around.ended();
      throw new CallError('Your session has ended. Sign in again.', { status: 403 });
    }
    if (!answer.ok) throw await errorOf(answer);
    const { access_token, expires_in, scope } = (await answer.json()) as {
      access_token: string;
      expires_in: number;
      scope: string;
    };
    this.#token = { text: access_token, scope, madeAt, endsAt: madeAt + expires_in * 1_000 };
    return this.#token;
  }
}

/** A request with the session's cookie and JSON. */
export function post(body: unknown): RequestInit {
  return {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
    credentials: 'same-origin',
  };
}

/** @throws CallError when no answer came */
export async function reach(
  around: Pick<Surroundings, 'fetch'>,
  url: string,
  init?: RequestInit,
): Promise<Response> {
  try {
    return await around.fetch(url, { cache: 'no-store', ...init });
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    throw new CallError('The service could not be reached. Check your connection, and try again.');
  }
}

function searchOf(query: Call['query'] = {}): string {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== '');
  if (given.length === 0) return '';
  return `?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}`;
}
