/**
 * The short path of publishing. A producer that publishes events one by one makes this call as often as the service delivers, so
 * it goes by the middleware and the router of the app, which take more time than the work itself.
 *
 * It takes only a call that all of them would let pass: `POST /{CID}/webhooks/events` with a token that was judged lately, and a body
 * with a declared length. It answers only when the events are queued, or when the queue is away. Every other call goes to the app,
 * each refusal too, so there is one place that refuses.
 */
import { readConfig } from '../../config.ts';
import { publish } from '../../delivery/publish.ts';
import { PUBLISH_BODY_MAX_BYTES } from '../../domain/limits.ts';
import type { Env } from '../../env.ts';
import { NOT_CACHED } from './answer-headers.ts';
import { JSON_MEDIA_TYPE } from './body.ts';
import { onTheWire } from './error-table.ts';
import { logNotQueued, NOT_QUEUED } from './not-queued.ts';
import { BEARER, isKnownPublisher } from './publishers.ts';
import { callerIdOf } from './request-id.ts';

/** A URL with a query is left to the app. */
const PUBLISH_URL =
  /^https?:\/\/[^/]+\/([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\/webhooks\/events$/;

/** @returns the answer; or the request for the app, when it is not for this path. Never throws */
export async function takeShortPath(request: Request, env: Env): Promise<Response | Request> {
  if (request.method !== 'POST') return request;
  const customerId = PUBLISH_URL.exec(request.url)?.[1];
  if (customerId === undefined || !isPermitted(request, env, customerId)) return request;
  const bytes = await bodyOf(request);
  if (bytes === undefined) return request;
  const now = Date.now();
  const body = parse(bytes);
  const ids = { requestId: crypto.randomUUID(), callerRequestId: callerIdOf(request.headers) };
  try {
    const traced = readConfig(env).traceRequests ? ids.requestId : undefined;
    const result = body === undefined ? undefined : await publish(env.EVENTS, body, now, customerId, traced);
    if (result?.ok !== true) {
      // The app finds the faults, and names them.
      return new Request(request, { body: bytes });
    }
    return answer(202, { _embedded: { events: result.events } }, ids);
  } catch (error) {
    logNotQueued(error, { customerId, ...ids });
    const { status, body: problem, headers } = onTheWire(NOT_QUEUED);
    return answer(status, problem, ids, headers);
  }
}

function isPermitted({ headers }: Request, env: Env, customerId: string): boolean {
  const token = BEARER.exec(headers.get('authorization') ?? '')?.[1];
  if (token === undefined) return false;
  try {
    return isKnownPublisher(readConfig(env).tokenSigningKey, token, customerId, Date.now());
  } catch {
    return false; // the app says what is wrong with the configuration
  }
}

/** @returns `undefined`, and the body is not touched, unless it is JSON of a declared length that may be read at once */
async function bodyOf(request: Request): Promise<Uint8Array | undefined> {
  const { headers } = request;
  const length = headers.get('content-length');
  if (length === null || !(Number(length) <= PUBLISH_BODY_MAX_BYTES)) return undefined;
  if (!JSON_MEDIA_TYPE.test(headers.get('content-type') ?? '')) return undefined;
  // A producer that breaks off its own call reads no answer.
  return await request.bytes().catch(() => new Uint8Array());
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false });

/** @returns `undefined` for what is no JSON */
function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(decoder.decode(bytes));
  } catch {
    return undefined;
  }
}

function answer(
  status: number,
  body: object,
  { requestId, callerRequestId }: { requestId: string; callerRequestId: string | undefined },
  headers: Readonly<Record<string, string>> = {},
): Response {
  return new Response(JSON.stringify(body), {
    status,
    headers: {
      'content-type': 'application/json',
      ...NOT_CACHED,
      'x-request-id': requestId,
      ...(callerRequestId === undefined ? {} : { 'x-caller-request-id': callerRequestId }),
      ...headers,
    },
  });
}
