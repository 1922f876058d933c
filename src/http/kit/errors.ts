/**
 * Errors on the wire: the one table from error code to status and body (contract 8). Little on the wire,
 * everything in the log.
 */
import { HTTPException } from 'hono/http-exception';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { ConfigError } from '../../config.ts';
import { type ApiError, ApiFailure, type Fault, faultsOf, outageBehind } from '../../domain/errors.ts';
import { logError } from '../../log.ts';
import type { AppContext } from './context.ts';

interface WireError {
  readonly status: ContentfulStatusCode;
  readonly body: object;
  readonly headers?: Readonly<Record<string, string>>;
}

function onTheWire(error: ApiError): WireError {
  switch (error.code) {
    case 'invalid_json':
      return {
        status: 400,
        body: {
          type: '/invalid-request-body',
          status: 400,
          title: 'Invalid request body',
          details: 'Request body is not valid JSON',
        },
      };
    case 'invalid_body':
      return { status: 400, body: validationError('invalid-body-params', error.faults) };
    case 'invalid_query':
      return { status: 400, body: validationError('invalid-query-params', error.faults) };
    case 'forbidden':
      return { status: 403, body: { errors: 'Forbidden' } };
    case 'not_found':
      return {
        status: 404,
        body: { type: '/not-found', status: 404, title: 'Not Found', details: `${error.what} not found` },
      };
    case 'method_not_allowed': {
      const allow = error.allow.join(', ');
      return {
        status: 405,
        body: {
          type: '/method-not-allowed',
          status: 405,
          title: 'Method Not Allowed',
          details: `This resource allows ${allow}`,
        },
        headers: { allow },
      };
    }
    case 'conflict':
      return { status: 409, body: { status: 409, title: 'Conflict', details: error.details } };
    case 'body_too_large':
      return {
        status: 413,
        body: { type: '/payload-too-large', status: 413, title: 'Payload Too Large', details: error.details },
      };
    case 'unsupported_media_type':
      return {
        status: 415,
        body: {
          type: '/unsupported-media-type',
          status: 415,
          title: 'Unsupported Media Type',
          details: error.details,
        },
      };
    case 'too_many_requests':
      return {
        status: 429,
        body: { type: '/too-many-requests', status: 429, title: 'Too Many Requests', details: error.details },
        headers: { 'retry-after': String(error.retryAfterSeconds) },
      };
    case 'internal':
      return {
        status: 500,
        body: {
          type: '/internal-server-error',
          status: 500,
          title: 'Internal Server Error',
          details: 'Something went wrong on our side; the X-Request-Id of this answer names it in our log',
        },
      };
    case 'unavailable':
      return {
        status: 503,
        body: {
          type: '/service-unavailable',
          status: 503,
          title: 'Service Unavailable',
          details: error.details,
        },
        headers: { 'retry-after': String(error.retryAfterSeconds) },
      };
  }
}

function validationError(member: string, faults: readonly Fault[]) {
  return {
    type: '/validation-error',
    status: 400,
    title: 'Bad Request',
    [member]: faults.map(({ name, reason }) => ({ name, reason })),
  };
}

/** Answers with an error of the table. */
export function answerError(c: AppContext, error: ApiError): Response {
  const { status, body, headers } = onTheWire(error);
  return c.json(body, status, headers === undefined ? {} : { ...headers });
}

/** Hono's error handler: expected failures answer as they are; outages 503; anything else is a bug, 500. */
export function handleError(error: Error, c: AppContext): Response {
  if (error instanceof ApiFailure) return answerError(c, error.error);
  if (error instanceof HTTPException && error.status < 500) {
    if (error.status === 415) return answerError(c, { code: 'unsupported_media_type', details: MEDIA_TYPE });
    return answerError(c, { code: 'invalid_json' });
  }
  const fields = { requestId: c.get('requestId'), method: c.req.method };
  if (error instanceof ConfigError) {
    logError('configuration is wrong', error, fields);
    return answerError(c, { code: 'internal' });
  }
  if (outageBehind(error) !== undefined) {
    logError('a store or queue is away', error, fields);
    return answerError(c, {
      code: 'unavailable',
      details: 'A part of the service is briefly away; try again',
      retryAfterSeconds: 5,
    });
  }
  logError('request failed', error, fields);
  return answerError(c, { code: 'internal' });
}

/** What a JSON body must be sent as. */
export const MEDIA_TYPE = 'Content-Type must be application/json';

/** Validation hook of every declared route: a fault of a query or a body, all at once. */
export function refuseInvalid(
  result: { success: true } | { success: false; target: string; error: { issues: readonly Issue[] } },
): void {
  if (result.success) return;
  const code = result.target === 'query' ? 'invalid_query' : 'invalid_body';
  throw new ApiFailure({ code, faults: faultsOf(result.error.issues) });
}

interface Issue {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}
