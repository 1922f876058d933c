/** Turns what went wrong into one or two lines: what it is, and what to do. */
import { OPERATIONS, WebhooksError } from '@identity-webhooks/client';
import { Failure, interrupted } from './failure.ts';
import { EVERYTHING, isThisMachine, type Settings } from './settings.ts';
import type { World } from './world.ts';

/** Whose credentials a call carried. */
export type Caller = { readonly role: 'customer' | 'operator'; readonly settings: Settings };

/** What to do about a conflict, by the text of its `details` (contract 8). */
const CONFLICTS: readonly (readonly [RegExp, string])[] = [
  [/^Subscription is disabled/, 'Enable it first: iw subscriptions enable SUBSCRIPTION'],
  [/^Endpoint is not verified/, 'Its endpoint must answer a test first: iw subscriptions test SUBSCRIPTION'],
  [
    /^Event is not in a failed state/,
    'Only failed events are redelivered: iw events list SUBSCRIPTION --state failure',
  ],
  [/^Too many active exports/, 'Wait for it, or cancel it: iw exports list SUBSCRIPTION'],
  [/^Too many active redeliveries/, 'Wait for it, or cancel it: iw redeliveries list SUBSCRIPTION'],
  [/^Export is not completed/, 'Wait until it is: iw exports show SUBSCRIPTION EXPORT'],
  [/^Too many subscriptions: /, 'Delete some, or ask the operator for a higher limit (MAX_SUBSCRIPTIONS).'],
  [/^Too many clients/, 'Delete some: iw clients list'],
  [/^A customer with this id exists/, 'An erased id is free again after 60 seconds.'],
];

/** @returns what to print and how to exit; any other error unchanged: it is a fault of this program */
export async function explain(error: unknown, caller: Caller | undefined, world: World): Promise<unknown> {
  if (world.signal.aborted)
    return error instanceof Failure && error.exit === 'interrupted' ? error : interrupted();
  if (!(error instanceof WebhooksError)) return explainFile(error);
  const { exit, message, hint } = await lines(error, caller, world);
  return new Failure(exit, message, hint, {
    cause: error,
    answer: { status: error.status, requestId: error.requestId },
  });
}

interface Lines {
  readonly exit: Failure['exit'];
  readonly message: string;
  readonly hint?: string;
}

async function lines(error: WebhooksError, caller: Caller | undefined, world: World): Promise<Lines> {
  const { trouble, detail, operation } = error;
  const url = caller?.settings.url ?? 'the service';
  switch (trouble.kind) {
    case 'credentials':
      return await credentials(caller, world);
    case 'forbidden':
      return forbidden(error, caller);
    case 'invalid':
      return operation === 'createToken' ? badScope(error, caller) : invalid(error);
    case 'not-found':
      return notFound(error, caller);
    case 'conflict':
      return {
        exit: 'failed',
        message: `Refused: ${detail ?? 'the state of the resource does not allow it'}.`,
        ...hintOf(CONFLICTS.find(([text]) => text.test(detail ?? ''))?.[1]),
      };
    case 'too-large':
      return {
        exit: 'failed',
        message: 'The body is too large for the service.',
        hint: 'Send less in one call.',
      };
    case 'too-many-requests':
      return {
        exit: 'tooManyRequests',
        message: `Too many requests${detail === undefined ? '' : `: ${detail}`}.`,
        hint: `Try again in ${trouble.retryAfterSeconds} s.`,
      };
    case 'unavailable':
      return {
        exit: 'unreachable',
        message: `${url} is briefly away (${error.status}).`,
        hint: `Try again in ${trouble.retryAfterSeconds} s.`,
      };
    case 'unreachable':
      return {
        exit: 'unreachable',
        ...noAnswer(url, error.cause),
      };
    case 'unexpected':
      return unexpected(error, url);
  }
}

const hintOf = (hint: string | undefined) => (hint === undefined ? {} : { hint });

/** The token endpoint answers alike for a wrong secret and an unknown customer (contract 2); the public keys do not (6.3). */
async function credentials(caller: Caller | undefined, world: World): Promise<Lines> {
  const { url, customer, clientId } = caller?.settings ?? {};
  const keys = await world
    .fetch(new Request(`${url}/${customer}/login/jwk`, { signal: AbortSignal.timeout(5000) }))
    .catch(() => undefined);
  await keys?.body?.cancel();
  return keys?.status === 404
    ? {
        exit: 'notAuthorised',
        message: `${url} has no customer ${customer}.`,
        hint: pathHint(url) ?? 'Check the customer id and the URL; the operator has both.',
      }
    : {
        exit: 'notAuthorised',
        message: `The id or the secret of the client is wrong (client ${clientId}, customer ${customer}, at ${url}).`,
        hint: 'Log in with the right ones: iw login. Or ask the operator for a new secret.',
      };
}

function forbidden({ operation, status }: WebhooksError, caller: Caller | undefined): Lines {
  // Access tokens are refused with a 401 (contract 2).
  if (operation === 'createToken') return somethingElse(caller?.settings.url ?? 'the service', status);
  if (caller?.role === 'operator') {
    return {
      exit: 'notAuthorised',
      message: 'The operator token is wrong.',
      hint: 'Log in with the OPERATOR_TOKEN of this deployment: iw login --operator',
    };
  }
  const scope = caller?.settings.scope ?? EVERYTHING;
  const [method, path] = OPERATIONS[operation as keyof typeof OPERATIONS] ?? ['*', '/{cid}/webhooks/**'];
  // A scope is a method and what follows the customer's id (contract 2).
  const needed = `${method}:${path.replace('/{cid}/', '').replaceAll(/\{\w+\}/g, '*')}`;
  return {
    exit: 'notAuthorised',
    message: `Not permitted: the call needs the scope ${needed}, and this profile asks for ${scope}.`,
    hint: 'Log in with a wider --scope, or ask the operator for a client that may do this.',
  };
}

function badScope({ detail }: WebhooksError, caller: Caller | undefined): Lines {
  const scope = caller?.settings.scope ?? EVERYTHING;
  return detail === 'invalid_scope'
    ? {
        exit: 'notAuthorised',
        message: `The client may not ask for the scope ${scope}.`,
        hint: 'Log in with the scope that the operator gave it: iw login --scope SCOPE',
      }
    : {
        exit: 'failed',
        message: `The service gives no access token: ${detail ?? 'it refuses the request'}.`,
      };
}

function invalid({ trouble, detail }: WebhooksError): Lines {
  const faults = trouble.kind === 'invalid' ? trouble.faults : [];
  const shown = faults.slice(0, 10).map(({ name, reason }) => `${name} ${reason}`);
  const more = faults.length > shown.length ? `; and ${faults.length - shown.length} more` : '';
  return {
    exit: 'failed',
    message: `Refused: ${faults.length === 0 ? (detail ?? 'the request has a fault') : shown.join('; ') + more}.`,
  };
}

function notFound({ detail, operation }: WebhooksError, caller: Caller | undefined): Lines {
  const url = caller?.settings.url ?? 'the service';
  if (detail === undefined || operation === 'createToken') return somethingElse(url);
  if (detail !== 'Route not found') return { exit: 'notFound', message: `${detail}.` };
  // With a path too many, every call leads to no route.
  const hint = pathHint(url);
  if (hint !== undefined) {
    return { exit: 'unreachable', message: `${url} does not know this call.`, hint };
  }
  return caller?.role === 'operator'
    ? {
        exit: 'notAuthorised',
        message: `${url} has no operator API.`,
        hint: 'It has one when the secret OPERATOR_TOKEN is set there.',
      }
    : {
        exit: 'unreachable',
        message: `${url} does not know this call.`,
        hint: 'Is the URL right? The service may also be older than this iw.',
      };
}

function unexpected(error: WebhooksError, url: string): Lines {
  return error.status !== undefined && error.status >= 500 && error.detail !== undefined
    ? {
        exit: 'failed',
        message: `${url} failed (${error.status}).`,
        hint: `Give the operator this id of the request: ${error.requestId ?? 'none was sent'}`,
      }
    : somethingElse(url, error.status);
}

function somethingElse(url: string, status?: number): Lines {
  return {
    exit: 'unreachable',
    message: `Something else than the service answers at ${url}${status === undefined ? '' : ` (${status})`}.`,
    hint: pathHint(url) ?? 'Check the URL: it is the BASE_URL of the deployment, without a path of the API.',
  };
}

/** @returns what to do about a URL with a path: a BASE_URL may have one, but seldom has */
function pathHint(url = ''): string | undefined {
  if (!URL.canParse(url)) return undefined;
  const { pathname, origin } = new URL(url);
  return pathname === '/' ? undefined : `The URL has a path. Did you mean ${origin}?`;
}

/** No answer came: what that may mean, and what to try. */
function noAnswer(url: string, cause: unknown): Pick<Lines, 'message' | 'hint'> {
  const code = codeOf(cause);
  const { protocol, host } = URL.canParse(url) ? new URL(url) : { protocol: '', host: '' };
  if (/^ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG)$/.test(code) && protocol === 'https:') {
    return {
      message: `No answer from ${url}: what listens there does not speak https.`,
      hint: isThisMachine(new URL(url)) ? `Did you mean http://${host}?` : 'Is the port right?',
    };
  }
  const isCut = /^(ECONNRESET|UND_ERR_SOCKET|HPE_\w+)$/.test(code);
  if (isCut && protocol === 'http:') {
    return {
      message: `No answer from ${url}: the connection broke off.`,
      hint: `Does the service still run? If it speaks https: https://${host}`,
    };
  }
  if (/CERT|VERIFY/.test(code)) {
    return {
      message: `No answer from ${url}: its certificate is not trusted (${code}).`,
      hint: 'Is the URL right? The certificate of an authority of your own: NODE_EXTRA_CA_CERTS=FILE',
    };
  }
  return {
    message: `No answer from ${url}: ${reasonOf(cause)}.`,
    hint: 'Is the URL right, and does the service run?',
  };
}

/** The innermost code of the system. */
function codeOf(cause: unknown): string {
  if (!(cause instanceof Error)) return '';
  const inner = codeOf(cause.cause);
  return inner === '' ? String((cause as NodeJS.ErrnoException).code ?? '') : inner;
}

/** Why there was no answer, in the words of the system: `ECONNREFUSED`, `ENOTFOUND`, a certificate. */
function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return 'the connection failed';
  if (cause.name === 'TimeoutError') return 'it takes too long';
  const { code } = cause as NodeJS.ErrnoException;
  const reasons: Readonly<Record<string, string>> = {
    ECONNREFUSED: 'the connection is refused',
    ECONNRESET: 'the connection broke off',
    UND_ERR_SOCKET: 'the connection broke off',
    ENOTFOUND: 'the host name does not exist',
    EAI_AGAIN: 'the host name cannot be looked up now',
    ETIMEDOUT: 'it takes too long',
    UND_ERR_CONNECT_TIMEOUT: 'it takes too long',
    EHOSTUNREACH: 'there is no way to this host',
    ENETUNREACH: 'there is no way to this host',
  };
  if (code !== undefined && reasons[code] !== undefined) return reasons[code];
  if (cause.cause !== undefined) return reasonOf(cause.cause);
  return code === undefined ? cause.message : `${cause.message} (${code})`;
}

/** Files that a person named: not there, or not permitted. */
function explainFile(error: unknown): unknown {
  const { code, path, syscall } = error as NodeJS.ErrnoException;
  if (typeof code !== 'string' || typeof path !== 'string' || syscall === undefined) return error;
  const reasons: Readonly<Record<string, string>> = {
    ENOENT: 'does not exist',
    EACCES: 'may not be read or written',
    EEXIST: 'exists already',
    EISDIR: 'is a folder',
    ENOTDIR: 'is in something that is no folder',
    EROFS: 'is where nothing may be written',
    ENOSPC: 'has no room: the disk is full',
  };
  const reason = reasons[code];
  return reason === undefined
    ? error
    : new Failure('usage', `${path} ${reason}.`, undefined, { cause: error });
}
