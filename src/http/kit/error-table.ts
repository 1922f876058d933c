/**
 * The table of errors (contract 8): for each code of `ApiError` its status, body and headers, and what they mean to a
 * client. `errors.ts` answers by this table and `docs/errors.md` is made from it, so the file imports types alone and
 * runs in Node.
 */
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import type { ApiError, Fault } from '../../domain/errors.ts';

interface WireError {
  readonly status: ContentfulStatusCode;
  readonly body: object;
  readonly headers: Readonly<Record<string, string>>;
}

export interface ErrorRow<Failure extends ApiError> {
  readonly status: ContentfulStatusCode;
  readonly body: (error: Failure) => object;
  readonly headers?: (error: Failure) => Readonly<Record<string, string>>;
  /** When the service answers so. */
  readonly when: string;
  /** What a client does then. */
  readonly client: string;
  readonly example: Failure;
}

type ErrorTable = {
  readonly [Code in ApiError['code']]: ErrorRow<Extract<ApiError, { code: Code }>>;
};

export const ERRORS: ErrorTable = {
  invalid_json: {
    status: 400,
    body: () =>
      problem(400, '/invalid-request-body', 'Invalid request body', 'Request body is not valid JSON'),
    when: 'A body is required and is empty, is not JSON, or is not UTF-8.',
    client: 'Correct the program that makes the body. The same call fails again.',
    example: { code: 'invalid_json' },
  },
  invalid_body: {
    status: 400,
    body: ({ faults }) => validationError('invalid-body-params', faults),
    when: 'A body is JSON, and members of it break their rules. The answer names every fault, not only the first; of more than 100 it names 100, and a last entry of `body` says how many more there are at least. `body` names the body as a whole. A title that another subscription has is a fault of `title`.',
    client: 'Show the reasons to the person who chose the values. The same call fails again.',
    example: {
      code: 'invalid_body',
      faults: [
        { name: 'title', reason: 'is already used by another subscription' },
        { name: 'events[1]', reason: 'must be one of entityCreated, entityUpdated, entityDeleted' },
      ],
    },
  },
  invalid_query: {
    status: 400,
    body: ({ faults }) => validationError('invalid-query-params', faults),
    when: 'Parameters of the query break their rules, or a call of the operator, of the console, of bulk redelivery, of filter tests or of where an event went does not have them. The answer names every fault, 100 at most.',
    client: 'Correct the parameters. The same call fails again.',
    example: {
      code: 'invalid_query',
      faults: [{ name: 'limit', reason: 'must be a whole number from 1 to 1000' }],
    },
  },
  forbidden: {
    status: 403,
    body: () => ({ errors: 'Forbidden' }),
    when: 'The access token is missing, malformed, unknown, expired, of another customer, or its scope does not cover the call; or the operator token is missing or wrong. At the console: there is no session, the code or the credentials are wrong, or another page calls. The answer is the same whether the resource exists or not.',
    client:
      'Get a new access token and repeat the call once. If it fails again, the client lacks the right: ask the operator.',
    example: { code: 'forbidden' },
  },
  not_found: {
    status: 404,
    body: ({ what }) => problem(404, '/not-found', 'Not Found', `${what} not found`),
    when: 'There is no such route, or no such resource, or the resource belongs to another customer. Events, exports and bulk redeliveries end after their retention.',
    client: 'Treat the resource as gone.',
    example: { code: 'not_found', what: 'Subscription' },
  },
  method_not_allowed: {
    status: 405,
    body: ({ allow }) =>
      problem(405, '/method-not-allowed', 'Method Not Allowed', `This resource allows ${allow.join(', ')}`),
    headers: ({ allow }) => ({ allow: allow.join(', ') }),
    when: 'The route exists, and not with this method.',
    client: 'Use a method of the `Allow` header.',
    example: { code: 'method_not_allowed', allow: ['GET', 'HEAD', 'POST'] },
  },
  conflict: {
    status: 409,
    // The one problem without a `type`: the contract's documents show it so.
    body: ({ details }) => ({ status: 409, title: 'Conflict', details }),
    when: 'The state of the resource does not allow the call: an event is not in a failed state, a subscription is disabled, a job is completed or another one is active, an id is taken, the customer with this id was erased a moment ago, or there are as many subscriptions, clients, links or sessions as there may be.',
    client: 'Read the resource, change its state if that is wanted, and repeat the call.',
    example: { code: 'conflict', details: 'Event is not in a failed state' },
  },
  body_too_large: {
    status: 413,
    body: ({ details }) => problem(413, '/payload-too-large', 'Payload Too Large', details),
    when: 'A body has more bytes than its route accepts.',
    client: 'Send less in one call. When publishing, split the events into several calls.',
    example: {
      code: 'body_too_large',
      details: 'The body must be at most 240000 bytes; split it into several calls',
    },
  },
  unsupported_media_type: {
    status: 415,
    body: ({ details }) => problem(415, '/unsupported-media-type', 'Unsupported Media Type', details),
    when: 'A body is not sent as `application/json` or `application/merge-patch+json`.',
    client: 'Send the header that `details` asks for.',
    example: { code: 'unsupported_media_type', details: 'Content-Type must be application/json' },
  },
  too_many_requests: {
    status: 429,
    body: ({ details }) => problem(429, '/too-many-requests', 'Too Many Requests', details),
    headers: ({ retryAfterSeconds }) => ({ 'retry-after': String(retryAfterSeconds) }),
    when: 'A customer makes more management calls than it may, or has more events signed for its lists than it may, an address brings too many wrong operator tokens or codes, or asks for too many key sets or sessions, or a customer redelivers events of one subscription too soon after another, or starts an export too soon after the last completed one or while 100 completed ones are kept. Publishing is never refused so.',
    client: 'Wait as many seconds as `Retry-After` says, and repeat the call.',
    example: {
      code: 'too_many_requests',
      details: 'One redelivery every 60 seconds',
      retryAfterSeconds: 45,
    },
  },
  internal: {
    status: 500,
    body: () =>
      problem(
        500,
        '/internal-server-error',
        'Internal Server Error',
        'Something went wrong on our side; the X-Request-Id of this answer names it in our log',
      ),
    when: 'The service has a fault or is configured wrongly. The log has the reason under the request id.',
    client: 'Report the `X-Request-Id` to the operator. Repeating the call seldom helps.',
    example: { code: 'internal' },
  },
  unavailable: {
    status: 503,
    body: ({ details }) => problem(503, '/service-unavailable', 'Service Unavailable', details),
    headers: ({ retryAfterSeconds }) => ({ 'retry-after': String(retryAfterSeconds) }),
    when: 'The database, an event store or a queue is briefly away. The call may or may not have taken effect.',
    client:
      'Wait as many seconds as `Retry-After` says, and repeat the call. Publish again with the same event ids: then the repeat makes no second event.',
    example: {
      code: 'unavailable',
      details: 'The queue is briefly away; repeat with the same ids',
      retryAfterSeconds: 2,
    },
  },
};

/** An error as the table says it is answered. */
export function onTheWire(error: ApiError): WireError {
  // The row of a code takes the error of this code. The type of the table says so; here TypeScript cannot follow it.
  const { status, body, headers } = ERRORS[error.code] as ErrorRow<ApiError>;
  return { status, body: body(error), headers: headers?.(error) ?? {} };
}

function problem(status: number, type: string, title: string, details: string) {
  return { type, status, title, details };
}

function validationError(member: string, faults: readonly Fault[]) {
  return {
    type: '/validation-error',
    status: 400,
    title: 'Bad Request',
    [member]: faults.map(({ name, reason }) => ({ name, reason })),
  };
}
