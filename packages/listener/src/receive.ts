/**
 * Answers the requests of the service, as RFC 8935 has it. Each request carries one token.
 *
 * | Status | When |
 * |---|---|
 * | 202 | the token is verified, and your code has taken the event, now or at an earlier request |
 * | 400 | the token is not acceptable; the body says why (RFC 8935, section 2.4) and the event's history keeps it |
 * | 405, 413, 415 | it is not a POST, too large, or not a token |
 * | 500 | your code or your store failed |
 * | 503 with `Retry-After` | the keys cannot be fetched, or another process is taking the event |
 *
 * The service sends a token again after any answer but a 2xx or a redirect, and when no answer came in time.
 */
import { RecentIds, type SeenIds, type Take, TakenElsewhere, takeOnce } from './seen.ts';
import { createVerifier, KeysUnavailable, Refusal, type VerifierOptions } from './verify.ts';

export interface ReceiverOptions extends VerifierOptions {
  /**
   * Takes one event: stores it, or puts it on a queue of yours. Keep it short, because the service waits 10 s for
   * the answer. If it throws, the event does not count as seen, and the service sends it again. It may throw a `Refusal`
   * to be answered 400.
   */
  readonly onEvent: Take;
  /** Called for each request that was refused. Must not throw. */
  onRefused?(refusal: Refusal): void;
  /** Called for each request that ended in 500 or 503. Must not throw. */
  onFailed?(error: unknown): void;
  /** Events already taken. Default: `RecentIds`, which a restart empties. */
  readonly seen?: SeenIds;
  /** Largest body, bytes. Default: 256 KiB; a token has about 1.5 KB, and grows with its attribute names. */
  readonly bodyMaxBytes?: number;
}

/** Does not reject. */
export type Receiver = (request: Request) => Promise<Response>;

const MEDIA_TYPE = 'application/secevent+jwt';
const BODY_MAX_BYTES = 262_144;
/** The service's own waits begin with 3 s and 30 s; it uses the longer one. */
const RETRY_AFTER_SECONDS = '10';

export function createReceiver(options: ReceiverOptions): Receiver {
  const { seen = new RecentIds(), bodyMaxBytes = BODY_MAX_BYTES } = options;
  const verify = createVerifier(options);
  const take = takeOnce(seen, options.onEvent);
  return async (request) => {
    try {
      const token = await readToken(request, bodyMaxBytes);
      await take(await verify(token), token);
      return new Response(null, { status: 202 });
    } catch (error) {
      if (error instanceof Refusal) {
        options.onRefused?.(error);
        const { code: err, message: description, status } = error;
        const headers = new Headers({ 'content-language': 'en' }); // RFC 8935, section 2.3
        if (status === 405) headers.set('allow', 'POST');
        return Response.json({ err, description }, { status, headers });
      }
      options.onFailed?.(error);
      return error instanceof KeysUnavailable || error instanceof TakenElsewhere
        ? new Response(null, { status: 503, headers: { 'retry-after': RETRY_AFTER_SECONDS } })
        : new Response(null, { status: 500 });
    }
  };
}

async function readToken(request: Request, maxBytes: number): Promise<string> {
  if (request.method !== 'POST') throw new Refusal('the method must be POST', 'invalid_request', 405);
  const [mediaType] = (request.headers.get('content-type') ?? '').split(';');
  if (mediaType?.trim().toLowerCase() !== MEDIA_TYPE)
    throw new Refusal(`the media type must be ${MEDIA_TYPE}`, 'invalid_request', 415);
  const tooLarge = () => new Refusal(`the body has more than ${maxBytes} bytes`, 'invalid_request', 413);
  if (Number(request.headers.get('content-length') ?? 0) > maxBytes) throw tooLarge();
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let bytes = 0;
  try {
    for await (const chunk of request.body ?? []) {
      bytes += chunk.byteLength;
      if (bytes > maxBytes) throw tooLarge();
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof Refusal) throw error;
    throw new Refusal('the body broke off'); // the sender went away: no fault of this side, and nobody reads the answer
  }
  return new Blob(chunks).text();
}
