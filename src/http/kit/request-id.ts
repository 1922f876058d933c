/** The ids of a request (contract 8): ours, which nobody else can choose, and the caller's beside it. */
import { createMiddleware } from 'hono/factory';
import type { AppContext, AppEnv } from './context.ts';

/** The form of a caller's id that is kept: harmless in a header and in a log line. */
const CALLER_REQUEST_ID = /^[A-Za-z0-9_=-]{1,255}$/;

/** Gives the request an id of ours and keeps the caller's, if it has the known form. The answer has both. */
export const identifyRequest = createMiddleware<AppEnv>(async (c, next) => {
  const requestId = crypto.randomUUID();
  c.set('requestId', requestId);
  c.header('x-request-id', requestId);
  const sent = callerIdOf(c.req.raw.headers);
  if (sent !== undefined) {
    c.set('callerRequestId', sent);
    c.header('x-caller-request-id', sent);
  }
  await next();
});

/** The caller's id, if it has the known form. */
export function callerIdOf(headers: Headers): string | undefined {
  const sent = headers.get('x-request-id') ?? '';
  return CALLER_REQUEST_ID.test(sent) ? sent : undefined;
}

/** The fields by which a log line names a request. */
export function idsOf(c: AppContext): { requestId: string; callerRequestId: string | undefined } {
  return { requestId: c.get('requestId'), callerRequestId: c.get('callerRequestId') };
}
