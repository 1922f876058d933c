/** Access tokens by the client credentials grant (contract 2; RFC 6749, 4.4). Errors are those of RFC 6749, 5.2. */
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { z } from 'zod';
import {
  ACCESS_TOKEN_LIFETIME_SECONDS,
  BODY_MAX_BYTES,
  TOKEN_SCOPE_MAX_CHARACTERS,
} from '../../domain/limits.ts';
import { covers, parseScopes } from '../../domain/scope.ts';
import { issueAccessToken } from '../../signing/access-token.ts';
import { equalSecrets, hashSecret } from '../../signing/secrets.ts';
import { type Credential, findCredentials } from '../../storage/clients.ts';
import { readBody } from '../kit/body.ts';
import { type AppContext, param } from '../kit/context.ts';
import type { Door } from '../kit/door.ts';
import { jsonContent } from '../kit/schemas.ts';

const TokenRequest = z
  .object({
    grant_type: z.literal('client_credentials'),
    scope: z.string().meta({ example: '*:webhooks/**' }),
  })
  .meta({ id: 'TokenRequest' });

const TokenAnswer = z
  .object({
    access_token: z.string(),
    expires_in: z.literal(ACCESS_TOKEN_LIFETIME_SECONDS),
    token_type: z.literal('Bearer'),
    scope: z.string(),
  })
  .meta({ id: 'AccessToken' });

const OAuthError = z
  .object({ error: z.string(), error_description: z.string().optional() })
  .meta({ id: 'OAuthError' });

export function addTokens(door: Door): void {
  declare(door);
  door.post('/:cid/login/token', async (c) => {
    const body = await readBody(c, BODY_MAX_BYTES);
    c.header('cache-control', 'no-store');
    c.header('pragma', 'no-cache');
    const basic = basicCredentials(c.req.header('authorization'));
    const credential = basic === undefined ? undefined : await authenticate(c, basic);
    if (credential === undefined) return await refuseClient(c, basic?.clientId ?? '');
    return await grant(c, credential, body);
  });
}

/** The route is declared for the document and handled by hand: its errors are not those of contract 8. */
function declare(door: Door): void {
  door.openAPIRegistry.registerPath({
    method: 'post',
    path: '/{cid}/login/token',
    summary: 'Get an access token',
    tags: ['Access tokens'],
    security: [{ client: [] }],
    request: {
      params: z.object({ cid: z.uuid() }),
      body: { content: { 'application/x-www-form-urlencoded': { schema: TokenRequest } }, required: true },
    },
    responses: {
      200: { description: 'An access token', content: jsonContent(TokenAnswer) },
      400: { description: 'One of the errors of RFC 6749, 5.2', content: jsonContent(OAuthError) },
      401: { description: 'invalid_client', content: jsonContent(OAuthError) },
      429: {
        description: 'Too many failed authentications; see Retry-After',
        content: jsonContent(OAuthError),
      },
    },
  });
}

async function grant(c: AppContext, credential: Credential, body: Uint8Array): Promise<Response> {
  const type = c.req.header('content-type') ?? '';
  if (!/^application\/x-www-form-urlencoded\s*(;|$)/i.test(type)) {
    return refuse(c, 400, 'invalid_request', 'Content-Type must be application/x-www-form-urlencoded');
  }
  const form = new URLSearchParams(new TextDecoder().decode(body));
  const grantTypes = form.getAll('grant_type');
  const scopes = form.getAll('scope');
  if (grantTypes.length > 1 || scopes.length > 1) {
    return refuse(c, 400, 'invalid_request', 'a parameter is given more than once');
  }
  if (!grantTypes[0]) return refuse(c, 400, 'invalid_request', 'grant_type is required');
  if (grantTypes[0] !== TokenRequest.shape.grant_type.value) {
    return refuse(c, 400, 'unsupported_grant_type', 'grant_type must be client_credentials');
  }
  const scope = (scopes[0] ?? '').trim();
  const asked = parseScopes(scope);
  if (asked === undefined) {
    return refuse(c, 400, 'invalid_scope', 'scope is required, e.g. *:webhooks/**');
  }
  const allowed = parseScopes(credential.scope) ?? [];
  if (!asked.every((one) => covers(allowed, one))) {
    return refuse(c, 400, 'invalid_scope', 'the client is not allowed this scope');
  }
  const own = scope === credential.scope;
  if (!own && scope.length > TOKEN_SCOPE_MAX_CHARACTERS) {
    return refuse(c, 400, 'invalid_scope', `scope must be at most ${TOKEN_SCOPE_MAX_CHARACTERS} characters`);
  }
  const token = await issueAccessToken(c.get('services').config.tokenSigningKey, {
    secretId: credential.secretId,
    expiresAt: Math.floor(Date.now() / 1000) + ACCESS_TOKEN_LIFETIME_SECONDS,
    scope: own ? '' : scope,
  });
  return c.json(
    { access_token: token, expires_in: ACCESS_TOKEN_LIFETIME_SECONDS, token_type: 'Bearer', scope },
    200,
  );
}

/** The credential whose secret was sent; `undefined` when there is none. Takes the same steps for unknown clients. */
async function authenticate(c: AppContext, basic: BasicCredentials): Promise<Credential | undefined> {
  const customerId = param(c, 'cid');
  let right: Credential | undefined;
  for (const { clientId, secret } of readings(basic)) {
    const found = await findCredentials(c.get('services').db, customerId, clientId, Date.now());
    const hash = await hashSecret(customerId, clientId, secret);
    for (const credential of found) {
      if (await equalSecrets(hash, credential.secretHash)) right = credential;
    }
  }
  return right;
}

interface BasicCredentials {
  readonly clientId: string;
  readonly secret: string;
}

/**
 * RFC 6749, 2.3.1 has clients form-encode id and secret before they join them (RFC 7617), and many clients do not. So
 * two readings are tried: the text as sent, and the decoded text if it differs.
 */
function readings(sent: BasicCredentials): BasicCredentials[] {
  try {
    const decoded = {
      clientId: decodeURIComponent(sent.clientId.replaceAll('+', ' ')),
      secret: decodeURIComponent(sent.secret.replaceAll('+', ' ')),
    };
    const same = decoded.clientId === sent.clientId && decoded.secret === sent.secret;
    return same ? [sent] : [sent, decoded];
  } catch {
    return [sent];
  }
}

/** The user-id and password of a Basic header (RFC 7617), as sent. */
function basicCredentials(header: string | undefined): BasicCredentials | undefined {
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

/** Answers 401, or 429 after too many failures. Correct credentials are never refused (contract 2). */
async function refuseClient(c: AppContext, clientId: string): Promise<Response> {
  const address = c.req.header('cf-connecting-ip') ?? 'unknown';
  const [byClient, byAddress] = await Promise.all([
    c.get('services').rateLimits.failedAuthByClient.limit({ key: `${param(c, 'cid')}/${clientId}` }),
    c.get('services').rateLimits.failedAuthByAddress.limit({ key: address }),
  ]);
  if (!byClient.success || !byAddress.success) {
    c.header('retry-after', '60');
    return refuse(c, 429, 'temporarily_unavailable', 'too many failed authentications; try again later');
  }
  c.header('www-authenticate', 'Basic realm="identity-webhooks", charset="UTF-8"');
  return refuse(c, 401, 'invalid_client');
}

function refuse(c: AppContext, status: ContentfulStatusCode, error: string, description?: string): Response {
  return c.json({ error, ...(description === undefined ? {} : { error_description: description }) }, status);
}
