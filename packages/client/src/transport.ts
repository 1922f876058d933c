/** Sends requests, and sends them again while the service is away or asks to wait. */
import { retryAfterSeconds, WebhooksError } from './errors.ts';

export interface TransportOptions {
  /** `BASE_URL` of the service, without a slash at its end. */
  readonly baseUrl: string;
  /** How often a call is made again after a 429 or a 503; 4 without it. */
  readonly retries?: number;
  /** The longest wait before one more try, ms; 30,000 without it. A call that would wait longer ends. */
  readonly waitMaxMs?: number;
  /** The longest that one request may take, ms; 30,000 without it. */
  readonly timeoutMs?: number;
  /** In place of the global `fetch`: for a service binding, or for tests. */
  readonly fetch?: (request: Request) => Promise<Response>;
  /** In place of a timer, for tests. */
  readonly wait?: (ms: number) => Promise<void>;
}

/** Answers that ask to try again: too many requests, or something on the way is briefly away. */
const AGAIN = [429, 502, 503, 504];

export class Transport {
  readonly #options: Required<TransportOptions>;

  constructor(options: TransportOptions) {
    this.#options = {
      retries: 4,
      waitMaxMs: 30_000,
      timeoutMs: 30_000,
      fetch: (request) => fetch(request),
      wait: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
      ...options,
    };
  }

  /**
   * @param what the operation, for messages
   * @param path path and query
   * @param init is asked for each try, because an access token may have been replaced meanwhile
   * @returns the last answer, whatever its status
   * @throws WebhooksError when there is no answer
   */
  async send(what: string, path: string, init: () => Promise<RequestInit>): Promise<Response> {
    const { baseUrl, retries, waitMaxMs, wait } = this.#options;
    for (let retry = 0; ; retry++) {
      const answer = await this.#fetch(what, baseUrl + path, await init());
      if (!AGAIN.includes(answer.status) || retry === retries) return answer;
      // Waits double, so that many clients do not come back together.
      const waitMs = Math.max(retryAfterSeconds(answer) * 1000, 2 ** retry * 250);
      if (waitMs > waitMaxMs) return answer;
      await answer.body?.cancel();
      await wait(waitMs);
    }
  }

  async #fetch(what: string, url: string, init: RequestInit): Promise<Response> {
    const { timeoutMs, fetch } = this.#options;
    try {
      return await fetch(new Request(url, { ...init, signal: AbortSignal.timeout(timeoutMs) }));
    } catch (error) {
      throw new WebhooksError(what, 'no answer', { kind: 'unreachable' }, undefined, { cause: error });
    }
  }
}
