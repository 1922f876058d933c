/**
 * Posts a SET to a listener and judges the answer (contract 6). It never throws: every way in which a request can end is
 * an `Outcome`. It reads at most 4 KiB of an answer's body, and only where the contract gives the body a meaning.
 */
import { z } from 'zod';
import { BoundedCache } from '../bounded-cache.ts';
import { KEPT_OF_SUCCESS, type ListenerResponse, type Outcome } from '../domain/attempt.ts';
import { checkEndpointUrl, type EndpointCheck } from '../domain/endpoint.ts';
import {
  REASON_MAX_CHARACTERS,
  RESPONSE_BODY_MAX_BYTES,
  RESPONSE_HEADERS_MAX_BYTES,
  SUCCESS_HEADERS_MAX_BYTES,
} from '../domain/limits.ts';
import { parseRetryAfter } from '../domain/retry-policy.ts';
import type { AddressCheck } from './address-check.ts';
import { isPlatformLimit } from './platform-errors.ts';

/** Verdicts on endpoint URLs that an isolate keeps. */
const ENDPOINTS_CHECKED_MAX = 2000;

export interface ListenerClientOptions {
  readonly userAgent: string;
  readonly timeoutMs: number;
  readonly allowPrivateEndpoints: boolean;
  readonly checkAddress: AddressCheck;
}

/** The reason with which a request is aborted when its time is up. */
const TIME_IS_UP = Symbol('time is up');

/**
 * Makes one attempt: checks the address, posts, judges the answer. The time limit begins after the check, and covers the
 * answer's headers and the part of its body that is read. The caller must hold a connection slot already: a wait for the
 * connection would count as the listener's time.
 * @param after runs the time limit, and returns what cancels it; by default with a timer of its own
 */
export async function postSet(
  options: ListenerClientOptions,
  endpoint: string,
  set: string,
  after: (ms: number, run: () => void) => () => void = afterwards,
): Promise<Outcome> {
  const refused = await checkBefore(options, endpoint);
  if (refused !== undefined) return refused;
  const abort = new AbortController();
  const cancel = after(options.timeoutMs, () => abort.abort(TIME_IS_UP));
  try {
    const response = await fetch(endpoint, {
      method: 'POST',
      headers: {
        accept: '*/*',
        'content-type': 'application/secevent+jwt',
        'user-agent': options.userAgent,
      },
      body: set,
      redirect: 'manual',
      signal: abort.signal,
    });
    return await judge(response);
  } catch (error) {
    if (abort.signal.aborted) {
      return { kind: 'timed_out', message: `no answer within ${options.timeoutMs / 1000} s` };
    }
    return judgeFailure(error);
  } finally {
    cancel();
  }
}

function afterwards(ms: number, run: () => void): () => void {
  const timer = setTimeout(run, ms);
  return () => clearTimeout(timer);
}

async function checkBefore(options: ListenerClientOptions, endpoint: string): Promise<Outcome | undefined> {
  const url = checked(endpoint, options.allowPrivateEndpoints);
  if (!url.ok) return { kind: 'blocked', message: `endpoint ${url.reason}` };
  if (options.allowPrivateEndpoints) return undefined;
  const away = { kind: 'resolver away', last: 'unknown' } as const;
  const verdict = await options.checkAddress(url.hostname).catch(() => away);
  const last = 'last' in verdict ? verdict.last : 'unknown';
  switch (last === 'unknown' ? verdict.kind : last) {
    case 'public':
      return undefined;
    case 'blocked':
      return { kind: 'blocked', message: 'the host name resolves to an address that is not public' };
    case 'no answer':
      return { kind: 'unreachable', message: 'the host name could not be resolved' };
    case 'resolver away':
      return { kind: 'our_fault', message: 'the name service gave no answer' };
  }
}

/** Verdicts on URLs, kept so that an endpoint is not parsed again for each request. A verdict never changes. */
const verdicts = new BoundedCache<EndpointCheck>(ENDPOINTS_CHECKED_MAX);

function checked(endpoint: string, allowPrivate: boolean): EndpointCheck {
  const name = `${allowPrivate} ${endpoint}`;
  let verdict = verdicts.get(name);
  if (verdict === undefined) {
    verdict = checkEndpointUrl(endpoint, allowPrivate);
    verdicts.set(name, verdict);
  }
  return verdict;
}

async function judge(answer: Response): Promise<Outcome> {
  const statusCode = answer.status;
  if (statusCode >= 200 && statusCode < 300) {
    discard(answer);
    const headers = keep(ofSuccess(answer), SUCCESS_HEADERS_MAX_BYTES);
    return { kind: 'success', response: { statusCode, headers } };
  }
  const response = { statusCode, headers: keep(answer.headers, RESPONSE_HEADERS_MAX_BYTES) };
  if (statusCode >= 520 && statusCode <= 530 && (await isPlatformError(answer))) {
    return { kind: 'unreachable', message: `connection failed (platform status ${statusCode})` };
  }
  if (statusCode === 400) {
    const detail = describeRfc8935(await readStart(answer));
    return { kind: 'http_error', response, ...(detail === undefined ? {} : { detail }) };
  }
  discard(answer);
  const retryAfter = answer.headers.get('retry-after');
  const retryAfterMs =
    retryAfter !== null && (statusCode === 429 || statusCode === 503)
      ? parseRetryAfter(retryAfter, Date.now())
      : undefined;
  return { kind: 'http_error', response, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
}

function judgeFailure(error: unknown): Outcome {
  if (isPlatformLimit(error)) return { kind: 'our_fault', message: 'the platform stopped the request' };
  const message = error instanceof Error ? error.message : '';
  // The words are the platform's, so they are matched loosely. Any other error is `unreachable` (contract 6.4).
  if (/invalid http|malformed|bad response|protocol error/i.test(message)) {
    return { kind: 'invalid_response', message: 'the answer is not HTTP' };
  }
  if (/refused/i.test(message)) return { kind: 'unreachable', message: 'connection refused' };
  if (/certificate|tls|ssl/i.test(message)) return { kind: 'unreachable', message: 'TLS failure' };
  if (/dns|resolve/i.test(message))
    return { kind: 'unreachable', message: 'the host name could not be resolved' };
  return { kind: 'unreachable', message: 'connection lost' };
}

/** Whether the platform answered in place of a host that it cannot reach: it does so with a short body of its own. */
async function isPlatformError(answer: Response): Promise<boolean> {
  const ownServer = answer.headers.get('server') === 'cloudflare';
  return ownServer && /^\s*error code: 1?\d{3}\b/i.test(await readStart(answer));
}

const Rfc8935Error = z.object({ err: z.string(), description: z.string().optional() });

/** Why a receiver refused a SET (RFC 8935, 2.3), whatever the content type says; `undefined` for any other body. */
function describeRfc8935(body: string): string | undefined {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return undefined;
  }
  const parsed = Rfc8935Error.safeParse(value);
  if (!parsed.success) return undefined;
  const { err, description } = parsed.data;
  const text = description === undefined ? err : `${err}: ${description}`;
  return text.toWellFormed().slice(0, REASON_MAX_CHARACTERS).toWellFormed();
}

/** The headers of a success that are kept. They are asked for one by one: a proxy sends many others. */
function* ofSuccess({ headers }: Response): Generator<[string, string]> {
  for (const name of KEPT_OF_SUCCESS) {
    const value = headers.get(name);
    if (value !== null) yield [name, value];
  }
}

/** Headers that are kept: in their order until they exceed so many bytes, each as a whole. */
function keep(all: Iterable<readonly [string, string]>, maxBytes: number): ListenerResponse['headers'] {
  const headers = new Map<string, string>();
  let bytes = 0;
  for (const [name, value] of all) {
    bytes += name.length + value.length + 4;
    if (bytes > maxBytes) break;
    const known = headers.get(canonical(name));
    // Only Set-Cookie is listed once for each of its values.
    headers.set(canonical(name), known === undefined ? value : `${known}, ${value}`);
  }
  return Object.fromEntries(headers);
}

/** Names of kept headers as the history shows them. */
const CANONICAL: ReadonlyMap<string, string> = new Map(
  KEPT_OF_SUCCESS.map((name) => [name, canonicalOf(name)]),
);

function canonical(name: string): string {
  return CANONICAL.get(name) ?? canonicalOf(name);
}

/** `content-type` → `Content-Type`. */
function canonicalOf(name: string): string {
  return name
    .split('-')
    .map((part) => part.charAt(0).toUpperCase() + part.slice(1).toLowerCase())
    .join('-');
}

/** Reads at most 4 KiB of a body as text; the caller's time limit aborts it. */
async function readStart(answer: Response): Promise<string> {
  if (answer.body === null) return '';
  const reader = answer.body.getReader();
  const decoder = new TextDecoder();
  let text = '';
  let left = RESPONSE_BODY_MAX_BYTES;
  try {
    while (left > 0) {
      const { done, value } = await reader.read();
      if (done) break;
      text += decoder.decode(value.subarray(0, left), { stream: true });
      left -= value.byteLength;
    }
  } catch {
    // The body broke off, or took longer than the time limit: the part that came is the result.
  } finally {
    reader.cancel().catch(() => undefined);
  }
  return text;
}

function discard(answer: Response): void {
  answer.body?.cancel().catch(() => undefined);
}
