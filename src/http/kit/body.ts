/** Bodies: bounded before they are read, JSON by their media type, then parsed (order of contract 8). */

import { bodyLimit } from 'hono/body-limit';
import { createMiddleware } from 'hono/factory';
import { ApiFailure } from '../../domain/errors.ts';
import { BODY_MAX_BYTES } from '../../domain/limits.ts';
import type { AppEnv } from './context.ts';
import { MEDIA_TYPE } from './errors.ts';

const JSON_MEDIA_TYPE = /^application\/(json|merge-patch\+json)\s*(;|$)/i;

/** Refuses a larger body: 413, before it is read whole. */
export function limitBody(maxBytes: number, hint = '') {
  return bodyLimit({
    maxSize: maxBytes,
    onError: () => {
      throw new ApiFailure({
        code: 'body_too_large',
        details: `The body must be at most ${maxBytes} bytes${hint}`,
      });
    },
  });
}

/** Refuses a body that is not sent as JSON: 415. An empty one without media type passes, to be told so later. */
export const requireJson = createMiddleware<AppEnv>(async (c, next) => {
  const type = c.req.header('content-type');
  const empty = type === undefined && (await c.req.arrayBuffer()).byteLength === 0;
  if (!empty && !JSON_MEDIA_TYPE.test(type ?? '')) {
    throw new ApiFailure({ code: 'unsupported_media_type', details: MEDIA_TYPE });
  }
  if (type !== undefined && !/^[\w./+-]+$/.test(type)) {
    // The validators behind know fewer spellings of parameters than RFC 9110, 5.6.6; JSON needs none.
    const headers = new Headers(c.req.raw.headers);
    headers.set('content-type', type.split(';', 1)[0]?.trim() ?? '');
    // From the bytes: whoever came before may have read the stream.
    const body = await c.req.arrayBuffer();
    c.req.raw = new Request(c.req.raw.url, { method: c.req.method, headers, body });
  }
  await next();
});

/** The body as JSON, in UTF-8 (RFC 8259, 8.1). @throws ApiFailure `invalid_json` */
export async function readJson(request: { arrayBuffer(): Promise<ArrayBuffer> }): Promise<unknown> {
  const bytes = await request.arrayBuffer();
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(bytes));
  } catch {
    throw new ApiFailure({ code: 'invalid_json' });
  }
}

/** 400 for a required body that is no JSON at all, an empty one included. */
export const requireValidJson = createMiddleware<AppEnv>(async (c, next) => {
  await readJson(c.req);
  await next();
});

/** A body that may be left out: none at all counts as an empty object, whatever it is said to be. */
export const orEmptyObject = createMiddleware<AppEnv>(async (c, next) => {
  if ((await c.req.arrayBuffer()).byteLength === 0) {
    const headers = new Headers(c.req.raw.headers);
    headers.set('content-type', 'application/json');
    headers.delete('content-length');
    c.req.raw = new Request(c.req.raw.url, { method: c.req.method, headers, body: '{}' });
    c.req.bodyCache = {};
  }
  await next();
});

/** What every route with a small JSON body puts first. */
export const jsonBody = [limitBody(BODY_MAX_BYTES), requireJson, requireValidJson];
