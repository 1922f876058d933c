/**
 * Access tokens by the client credentials grant (contract 2; RFC 6749, 4.4). Errors are those of RFC 6749, 5.2.
 *
 * A request is decided first, step by step; then `issue` gives the token or `refuse` says why there is none. No other
 * function answers.
 */
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { z } from 'zod';
import { isClientId, isUuid } from '../../domain/ids.ts';
import {
  ACCESS_TOKEN_LIFETIME_SECONDS,
  BODY_MAX_BYTES,
  SCOPE_MAX_CHARACTERS,
  TOKEN_SCOPE_MAX_CHARACTERS,
} from '../../domain/limits.ts';
import { covers, parseScopes } from '../../domain/scope.ts';
import { issueAccessToken } from '../../signing/access-token.ts';
import type { Credential } from '../../storage/clients.ts';
import { noteToken } from '../kit/audit.ts';
import { readBody } from '../kit/body.ts';
import { type Found, judgeCredentials, type SentCredentials } from '../kit/client-credentials.ts';
import { type AppContext, param } from '../kit/context.ts';
import type { Door } from '../kit/door.ts';
import { problems } from '../kit/problems.ts';
import { declareRoute } from '../kit/route.ts';
import { cacheControl, customerPath, jsonContent } from '../kit/schemas.ts';

const SCOPE_EXAMPLE = '*:webhooks/**';

const TokenRequest = z
  .object({
    grant_type: z.literal('client_credentials'),
    scope: z
      .string()
      .min(1)
      .max(SCOPE_MAX_CHARACTERS)
      .meta({ examples: [SCOPE_EXAMPLE] }),
  })
  .meta({ id: 'TokenRequest' });

const TokenAnswer = z
  .object({
    access_token: z.string().max(255),
    expires_in: z
      .literal(ACCESS_TOKEN_LIFETIME_SECONDS)
      .meta({ type: 'integer', enum: [3600], description: 'seconds' }),
    token_type: z.literal('Bearer'),
    scope: z.string(),
  })
  .meta({ id: 'AccessToken' });

const OAuthError = z
  .object({
    error: z.enum([
      'invalid_request',
      'unsupported_grant_type',
      'invalid_scope',
      'invalid_client',
      'temporarily_unavailable',
    ]),
    error_description: z.string().optional().meta({ description: 'for people' }),
  })
  .meta({ id: 'OAuthError' });

const CHALLENGE = 'Basic realm="identity-webhooks", charset="UTF-8"';

/**
 * The descriptions of `invalid_client`. One says what is wrong with the form of a request, which the caller knows anyway. All that
 * needed a look-up, or could have, share the last one: it does not tell a wrong secret from an unknown client or customer.
 */
const REFUSALS = {
  absent: 'send client id and secret in HTTP Basic: credentials in the body are not read',
  malformed: 'the Basic credentials must be base64 of the client id, a colon and the secret, in UTF-8',
  wrong: 'the customer has no client with this id and secret',
} as const;

export function addTokens(door: Door): void {
  declare(door);
  door.post('/:cid/login/token', async (c) => {
    c.header('pragma', 'no-cache');
    const decision = await decide(c);
    return decision.kind === 'granted' ? await issue(c, decision) : refuse(c, decision);
  });
}

/** The route is declared for the document and handled by hand: its errors are not those of contract 8. */
function declare(door: Door): void {
  door.openAPIRegistry.registerPath(
    declareRoute({
      method: 'post',
      path: '/{cid}/login/token',
      operationId: 'createToken',
      summary: 'Get an access token',
      tags: ['Access tokens'],
      security: [{ client: [] }],
      request: {
        params: customerPath,
        body: {
          content: {
            'application/x-www-form-urlencoded': {
              schema: TokenRequest,
              example: { grant_type: 'client_credentials', scope: SCOPE_EXAMPLE },
            },
          },
          required: true,
        },
      },
      responses: {
        200: {
          description: 'An access token',
          headers: cacheControl('no-store'),
          content: jsonContent(TokenAnswer, {
            access_token: 'iwt…',
            expires_in: ACCESS_TOKEN_LIFETIME_SECONDS,
            token_type: 'Bearer',
            scope: SCOPE_EXAMPLE,
          }),
        },
        400: {
          description: 'One of the errors of RFC 6749, 5.2',
          content: jsonContent(OAuthError, {
            error: 'invalid_scope',
            error_description: 'the client is not allowed the scope GET:other',
          }),
        },
        401: {
          description: 'The client is missing, unknown or wrong',
          headers: {
            'WWW-Authenticate': {
              description: 'how to send the credentials',
              schema: { type: 'string' },
              example: CHALLENGE,
            },
          },
          content: jsonContent(OAuthError, { error: 'invalid_client', error_description: REFUSALS.absent }),
        },
        ...problems(413, 429),
        429: {
          description: 'Too many failed authentications; the credentials were not checked',
          headers: {
            'Retry-After': {
              description: 'seconds to wait before the same call',
              required: true,
              schema: { type: 'integer', minimum: 0 },
              example: 45,
            },
          },
          content: jsonContent(OAuthError, { error: 'temporarily_unavailable' }),
        },
      },
    }),
  );
}

type Decision = Granted | Refused;

interface Granted {
  readonly kind: 'granted';
  readonly credential: Credential;
  /** As it was asked for. */
  readonly scope: string;
}

type Refused =
  /** The request brings no credentials that a client could have. Nothing was looked up. */
  | { readonly kind: 'no credentials'; readonly because: keyof typeof REFUSALS }
  | ({ readonly kind: 'wrong credentials' } & Found)
  /** Too many failures came before. Whether the credentials are right was not looked up. */
  | { readonly kind: 'not judged'; readonly retryAfterSeconds: number }
  | BadRequest;

/** The credentials are right, the request is not. */
interface BadRequest extends Found {
  readonly kind: 'bad request';
  readonly error: 'invalid_request' | 'unsupported_grant_type' | 'invalid_scope';
  readonly description: string;
}

async function decide(c: AppContext): Promise<Decision> {
  const sent = sentCredentials(c.req.header('authorization'));
  if (typeof sent === 'string') return { kind: 'no credentials', because: sent };
  if (!isUuid(param(c, 'cid'))) return { kind: 'no credentials', because: 'wrong' };
  let found: Found = {};
  const judging = judgeCredentials(c, param(c, 'cid'), sent, (ids) => {
    found = ids;
  });
  const verdict = await judging;
  switch (verdict.kind) {
    case 'wrong':
      return { kind: 'wrong credentials', ...found };
    case 'not judged':
      return verdict;
    case 'right':
      return readGrant(c, verdict.value, await readBody(c, BODY_MAX_BYTES));
  }
}

function readGrant(c: AppContext, credential: Credential, body: Uint8Array): Granted | BadRequest {
  const bad = (error: BadRequest['error'], description: string): BadRequest => ({
    kind: 'bad request',
    customerId: credential.customerId,
    clientId: credential.clientId,
    error,
    description,
  });
  const type = c.req.header('content-type') ?? '';
  if (!/^application\/x-www-form-urlencoded\s*(;|$)/i.test(type)) {
    return bad('invalid_request', 'Content-Type must be application/x-www-form-urlencoded');
  }
  const form = new URLSearchParams(new TextDecoder().decode(body));
  const grantTypes = form.getAll('grant_type');
  const scopes = form.getAll('scope');
  if (grantTypes.length > 1) return bad('invalid_request', 'grant_type is given more than once');
  if (scopes.length > 1) return bad('invalid_request', 'scope is given more than once');
  if (!grantTypes[0]) return bad('invalid_request', 'grant_type is required: client_credentials');
  if (grantTypes[0] !== TokenRequest.shape.grant_type.value) {
    return bad('unsupported_grant_type', 'grant_type must be client_credentials');
  }
  const scope = (scopes[0] ?? '').trim();
  if (scope === '') return bad('invalid_scope', `scope is required, such as ${SCOPE_EXAMPLE}`);
  if (scope !== credential.scope && scope.length > TOKEN_SCOPE_MAX_CHARACTERS) {
    return bad('invalid_scope', `scope must be at most ${TOKEN_SCOPE_MAX_CHARACTERS} characters`);
  }
  const asked = parseScopes(scope);
  if (asked === undefined) {
    return bad(
      'invalid_scope',
      `scope must be METHOD:path-glob, several separated by spaces, such as ${SCOPE_EXAMPLE}`,
    );
  }
  const allowed = parseScopes(credential.scope) ?? [];
  const refused = asked.find((one) => !covers(allowed, one));
  if (refused !== undefined) {
    // The grammar of scopes has no character that RFC 6749, 5.2 keeps out of a description.
    const text = `${refused.method}:${refused.segments.join('/')}`;
    return bad('invalid_scope', `the client is not allowed the scope ${text}`);
  }
  return { kind: 'granted', credential, scope };
}

/** The one place where a token is given. */
async function issue(c: AppContext, { credential, scope }: Granted): Promise<Response> {
  const token = await issueAccessToken(c.get('services').config.tokenSigningKey, {
    kind: 'client',
    secretId: credential.secretId,
    expiresAt: Math.floor(Date.now() / 1000) + ACCESS_TOKEN_LIFETIME_SECONDS,
    scope: scope === credential.scope ? '' : scope,
  });
  const { customerId, clientId } = credential;
  noteToken(c, { event: 'token-issued', actor: 'client', outcome: 'done', customerId, clientId });
  return c.json(
    { access_token: token, expires_in: ACCESS_TOKEN_LIFETIME_SECONDS, token_type: 'Bearer', scope },
    200,
  );
}

/** The one place where a token is refused. */
function refuse(c: AppContext, refused: Refused): Response {
  const { kind: outcome } = refused;
  const actor = outcome === 'bad request' ? 'client' : 'stranger';
  noteToken(c, { event: 'token-refused', actor, outcome, ...knownIds(c, refused) });
  switch (refused.kind) {
    case 'bad request':
      return answer(c, 400, refused.error, refused.description);
    case 'no credentials':
    case 'wrong credentials':
      c.header('www-authenticate', CHALLENGE);
      return answer(
        c,
        401,
        'invalid_client',
        REFUSALS[refused.kind === 'no credentials' ? refused.because : 'wrong'],
      );
    case 'not judged':
      c.header('retry-after', String(refused.retryAfterSeconds));
      return answer(
        c,
        429,
        'temporarily_unavailable',
        'too many failed authentications from this address; the credentials were not checked',
      );
  }
}

/** The ids that the trail names: only those that exist, as far as that is known without another query. */
function knownIds(c: AppContext, refused: Refused): Found {
  switch (refused.kind) {
    case 'no credentials':
      return {};
    case 'not judged': {
      const customerId = param(c, 'cid');
      return c.var.isolate.customers.wasFound(customerId) ? { customerId } : {};
    }
    case 'wrong credentials':
    case 'bad request': {
      const { customerId, clientId } = refused;
      return { customerId, clientId };
    }
  }
}

function answer(c: AppContext, status: ContentfulStatusCode, error: string, description: string): Response {
  return c.json({ error, error_description: description }, status);
}

/**
 * The credentials of a Basic header (RFC 7617). RFC 6749, 2.3.1 has clients form-encode id and secret before they join
 * them, and many clients do not. So the text is read as sent, and decoded. At most one client id is possible: the
 * characters of an id are the same in both readings, so a text that decoding changes is no id as it was sent.
 * @returns why there are no credentials that a client could have. An id that no client can have is `wrong`, like any unknown id
 */
function sentCredentials(header: string | undefined): SentCredentials | keyof typeof REFUSALS {
  if (!/^Basic /i.test(header ?? '')) return 'absent';
  const sent = userAndPassword(header);
  if (sent === undefined) return 'malformed';
  const possible = [sent, ...decoded(sent)].filter(({ clientId }) => isClientId(clientId));
  const [first] = possible;
  if (first === undefined) return 'wrong';
  return { clientId: first.clientId, secrets: [...new Set(possible.map(({ secret }) => secret))] };
}

interface UserAndPassword {
  readonly clientId: string;
  readonly secret: string;
}

function decoded(sent: UserAndPassword): readonly UserAndPassword[] {
  try {
    const decode = (text: string) => decodeURIComponent(text.replaceAll('+', ' '));
    return [{ clientId: decode(sent.clientId), secret: decode(sent.secret) }];
  } catch {
    return [];
  }
}

/** The user-id and password of a Basic header (RFC 7617), as sent. */
function userAndPassword(header: string | undefined): UserAndPassword | undefined {
  const match = /^Basic +([A-Za-z0-9+/_-]+=*) *$/i.exec(header ?? '');
  if (match?.[1] === undefined) return undefined;
  try {
    const bytes = Uint8Array.from(atob(match[1].replaceAll('-', '+').replaceAll('_', '/')), (character) =>
      character.charCodeAt(0),
    );
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    const colon = text.indexOf(':');
    if (colon < 1) return undefined;
    return { clientId: text.slice(0, colon), secret: text.slice(colon + 1) };
  } catch {
    return undefined;
  }
}
