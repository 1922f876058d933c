/** The errors of the client: one class, and a closed list of kinds to switch over. */

/** One fault of a request (contract 8). */
export interface Fault {
  readonly in: 'body' | 'query';
  /** The member or the parameter, such as `title` or `[3].attributes`. */
  readonly name: string;
  readonly reason: string;
}

/** What is wrong, by kind. `requestId` names the request in the service's log. */
export type Trouble =
  /** 400: the request has faults. Nothing was changed. */
  | { readonly kind: 'invalid'; readonly faults: readonly Fault[] }
  /** 401 of the token endpoint: the id or the secret of the client is wrong. */
  | { readonly kind: 'credentials' }
  /** 403: the token may not make this call. The answer says nothing of what exists. */
  | { readonly kind: 'forbidden' }
  /** 404: there is no such resource. */
  | { readonly kind: 'not-found' }
  /** 409: the state of the resource does not allow it. `type` says which rule. */
  | { readonly kind: 'conflict'; readonly type: string | undefined }
  /** 413: the body is too large; split it. */
  | { readonly kind: 'too-large' }
  /** 429, after all retries. */
  | { readonly kind: 'too-many-requests'; readonly retryAfterSeconds: number }
  /** 503, or 5xx of something before the service, after all retries. */
  | { readonly kind: 'unavailable'; readonly retryAfterSeconds: number }
  /** No answer came: the network, a time limit, an address that is wrong. */
  | { readonly kind: 'unreachable' }
  /** Any other answer: a fault of the service, or something else than the service answered. */
  | { readonly kind: 'unexpected' };

/** Thrown for each answer that is no success. */
export class WebhooksError extends Error {
  override readonly name = 'WebhooksError';
  /** The operation that was called, as in the OpenAPI document; `createToken` when there was no access token for it. */
  readonly operation: string;
  /** Undefined when no answer came. */
  readonly status: number | undefined;
  readonly trouble: Trouble;
  /** What the service says of it, for people: `details` (contract 8), or `error` at the token endpoint (contract 2). */
  readonly detail: string | undefined;
  /** The `X-Request-Id` of the answer. */
  readonly requestId: string | undefined;

  constructor(
    operation: string,
    message: string,
    trouble: Trouble,
    answer: Response | undefined,
    more: { readonly detail?: string | undefined; readonly cause?: unknown } = {},
  ) {
    super(`${operation}: ${message}`, { cause: more.cause });
    this.operation = operation;
    this.detail = more.detail;
    this.trouble = trouble;
    this.status = answer?.status;
    this.requestId = answer?.headers.get('x-request-id') ?? undefined;
  }
}

/** @param what the operation, for the message */
export async function errorOf(what: string, answer: Response): Promise<WebhooksError> {
  const text = await answer.text().catch(() => '');
  const body = parsed(text);
  const trouble = troubleOf(answer, body);
  const detail = [body.title, body.details, body.error, body.error_description].filter(isText).join(': ');
  const faults =
    trouble.kind === 'invalid' ? trouble.faults.map(({ name, reason }) => `${name} ${reason}`) : [];
  const message = [`the service answered ${answer.status}`, detail, faults.join('; ')];
  return new WebhooksError(what, message.filter(isText).join('. '), trouble, answer, {
    detail: [body.details, body.error].find(isText),
  });
}

/** The body of a success. @throws WebhooksError when it is no JSON: something else than the service answered */
export async function bodyOf(what: string, answer: Response): Promise<unknown> {
  try {
    return await answer.json();
  } catch (error) {
    throw new WebhooksError(what, 'the answer is not JSON', { kind: 'unexpected' }, answer, { cause: error });
  }
}

function troubleOf(answer: Response, body: Body): Trouble {
  switch (answer.status) {
    case 400:
      return { kind: 'invalid', faults: [...faultsIn('body', body), ...faultsIn('query', body)] };
    case 401:
      return { kind: 'credentials' };
    case 403:
      return { kind: 'forbidden' };
    case 404:
      return { kind: 'not-found' };
    case 409:
      return { kind: 'conflict', type: isText(body.type) ? body.type : undefined };
    case 413:
      return { kind: 'too-large' };
    case 429:
      return { kind: 'too-many-requests', retryAfterSeconds: retryAfterSeconds(answer) };
    case 502:
    case 503:
    case 504:
      return { kind: 'unavailable', retryAfterSeconds: retryAfterSeconds(answer) };
    default:
      return { kind: 'unexpected' };
  }
}

/** The `Retry-After` of an answer in seconds, 1 without a number. */
export function retryAfterSeconds(answer: Response): number {
  const seconds = Number(answer.headers.get('retry-after') ?? Number.NaN);
  return Number.isFinite(seconds) && seconds >= 0 ? seconds : 1;
}

/** What an error may say, unchecked (contract 8; RFC 6749, 5.2 at the token endpoint). */
type Body = Partial<
  Record<
    | 'title'
    | 'details'
    | 'type'
    | 'error'
    | 'error_description'
    | 'invalid-body-params'
    | 'invalid-query-params',
    unknown
  >
>;

const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';

function parsed(text: string): Body {
  try {
    const body: unknown = JSON.parse(text);
    return typeof body === 'object' && body !== null ? (body as Body) : {};
  } catch {
    return {};
  }
}

function faultsIn(part: Fault['in'], body: Body): Fault[] {
  const list = body[`invalid-${part}-params`];
  if (!Array.isArray(list)) return [];
  return list.map(({ name, reason }: Fault) => ({ in: part, name, reason }));
}
