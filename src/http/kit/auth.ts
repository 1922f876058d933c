/** Who may call: a client or a session of the console with an access token (contract 2 and 10.15), or the operator (contract 10.2). */
import type { Context } from 'hono';
import { createMiddleware } from 'hono/factory';
import { consoleCaller } from '../../domain/console.ts';
import { ApiFailure } from '../../domain/errors.ts';
import { ACCESS_TOKEN_MAX_CHARACTERS, CREDENTIAL_CACHE_MS } from '../../domain/limits.ts';
import { parseScopes, permits } from '../../domain/scope.ts';
import { type AccessToken, readAccessToken } from '../../signing/access-token.ts';
import { operatorMark } from '../../signing/secrets.ts';
import type { Credential } from '../../storage/clients.ts';
import { sessionOfToken } from './console-sessions.ts';
import { type AppContext, type AppEnv, param } from './context.ts';
import { readCredential } from './first-read.ts';
import { judgeOperatorToken } from './operator-token.ts';
import { BEARER, rememberPublisher } from './publishers.ts';
import { logRefusal, type Refusal } from './refusals.ts';

/**
 * The guard of the management door. It answers 403 unless the token is valid, belongs to the customer of the path, and
 * its scope covers the call; a caller without this right learns nothing of what exists (contract 2). Then it counts the
 * calls of the customer, publishing excepted (contract 8).
 */
export const authorizeClient = createMiddleware<AppEnv>(async (c, next) => {
  const customerId = param(c, 'cid');
  const verdict = await judgeToken(c, customerId);
  const { clientId } = verdict;
  if ('reason' in verdict) {
    logRefusal(c, 'management', verdict.reason, { customerId, clientId });
    throw new ApiFailure({ code: 'forbidden' });
  }
  c.set('clientId', clientId);
  const publishing = c.req.method === 'POST' && c.req.path === `/${customerId}/webhooks/events`;
  if (publishing) {
    const { tokenSigningKey } = c.get('services').config;
    rememberPublisher(tokenSigningKey, verdict.token, { customerId, until: verdict.until });
  }
  if (
    !publishing &&
    !(await c.get('services').rateLimits.managementCalls.limit({ key: customerId })).success
  ) {
    throw new ApiFailure({
      code: 'too_many_requests',
      details: 'More than 1000 calls in 10 seconds',
      retryAfterSeconds: 10,
    });
  }
  await next();
});

type Verdict =
  | { readonly reason: Refusal; readonly clientId?: string }
  | {
      readonly clientId: string;
      readonly token: string;
      /** Until when the same call with the same token need not be judged again, ms. */
      readonly until: number;
    };

/** Why the call is refused, or that it is permitted; with the client if it is known. */
async function judgeToken(c: Context<AppEnv>, customerId: string): Promise<Verdict> {
  const header = c.req.header('authorization') ?? '';
  if (header === '') return { reason: 'missing' };
  const bearer = BEARER.exec(header);
  if (bearer?.[1] === undefined) return { reason: 'malformed' };
  const now = Date.now();
  const token = await readAccessToken(c.get('services').config.tokenSigningKey, bearer[1], now);
  if (typeof token === 'string') return { reason: token };
  const right = await rightOf(c, customerId, token, now);
  if (right === undefined) return { reason: 'revoked' };
  const { clientId } = right;
  if (right.customerId !== customerId) return { reason: 'other customer', clientId };
  if (right.expiresAt !== null && right.expiresAt <= now) return { reason: 'revoked', clientId };
  const scopes = parseScopes(right.scope);
  const path = c.req.path.slice(customerId.length + 2);
  if (scopes === undefined || !permits(scopes, c.req.method, path)) return { reason: 'scope', clientId };
  return { clientId, token: bearer[1], until: endOf(c, token, right) };
}

/** Until when a token that was just judged need not be judged again for the same call, ms. Sessions are judged each time. */
function endOf(c: AppContext, token: AccessToken, { expiresAt }: Right): number {
  if (token.kind !== 'client') return 0;
  const judged = c.get('isolate').credentials.get(token.secretId)?.until ?? 0;
  return Math.min(judged, token.expiresAt * 1000, expiresAt ?? Number.POSITIVE_INFINITY);
}

/** What a token is good for. */
interface Right {
  /** `undefined`: a token of the operator. */
  readonly customerId: string | undefined;
  readonly clientId: string;
  readonly scope: string;
  /** ms; null: it has no end. */
  readonly expiresAt: number | null;
}

/** @returns `undefined` when the secret or the session that the token names is gone */
async function rightOf(
  c: Context<AppEnv>,
  customerId: string,
  token: AccessToken,
  now: number,
): Promise<Right | undefined> {
  if (token.kind === 'client') {
    const credential = await credentialOf(c, customerId, token.secretId, now);
    if (credential === undefined) return undefined;
    return { ...credential, scope: token.scope === '' ? credential.scope : token.scope };
  }
  const session = await sessionOfToken(c.get('services').db, token.sessionId, now);
  if (session === undefined) return undefined;
  const { id, expiresAt } = session;
  if (session.kind === 'operator') {
    return { customerId: undefined, clientId: consoleCaller(id), scope: '', expiresAt };
  }
  const { clientId = consoleCaller(id), scope } = session;
  return { customerId: session.customerId, clientId, scope, expiresAt };
}

async function credentialOf(
  c: Context<AppEnv>,
  customerId: string,
  secretId: string,
  now: number,
): Promise<Credential | undefined> {
  const { credentials } = c.get('isolate');
  const known = credentials.get(secretId);
  if (known !== undefined && known.until > now) return known.credential;
  const credential = await readCredential(c, customerId, secretId);
  if (credential === undefined) credentials.delete(secretId);
  else credentials.set(secretId, { credential, until: now + CREDENTIAL_CACHE_MS });
  return credential;
}

/**
 * The guard of the operator door. Without a configured token, every path behind it is a 404. It takes the operator's token, and tokens
 * of the operator's sessions in the console. After too many wrong tokens from an address, the operator's token is not compared from
 * there for a while (contract 10.2). A token that we signed is no guess, so it does not count.
 */
export const authorizeOperator = createMiddleware<AppEnv>(async (c, next) => {
  const { operatorToken } = c.get('services').config;
  if (operatorToken === undefined) throw new ApiFailure({ code: 'not_found', what: 'Route' });
  const header = c.req.header('authorization') ?? '';
  const text = /^Bearer (.+)$/i.exec(header)?.[1];
  if (text === undefined) {
    logRefusal(c, 'operator', header === '' ? 'missing' : 'malformed');
    throw new ApiFailure({ code: 'forbidden' });
  }
  const signed = await signedToken(c, text);
  if (signed === undefined) await judgeOperatorToken(c, 'operator', text, operatorToken);
  else if (signed === 'expired') refuse(c, 'expired');
  else c.set('clientId', await judgeSession(c, signed.sessionId, operatorToken));
  await next();
});

/** @returns `undefined` for a text that is no token of a session of ours */
async function signedToken(c: AppContext, text: string) {
  if (text.length > ACCESS_TOKEN_MAX_CHARACTERS || text.split('.').length !== 3) return undefined;
  const token = await readAccessToken(c.get('services').config.tokenSigningKey, text, Date.now());
  if (token === 'expired') return token;
  return token !== 'malformed' && token.kind === 'session' ? token : undefined;
}

/** @returns the name under which the trail knows the session */
async function judgeSession(c: AppContext, sessionId: string, operatorToken: string): Promise<string> {
  const { config, db } = c.get('services');
  const now = Date.now();
  const session = await sessionOfToken(db, sessionId, now);
  const clientId = consoleCaller(sessionId);
  if (session === undefined || session.expiresAt <= now) return refuse(c, 'revoked', clientId);
  if (session.kind !== 'operator') return refuse(c, 'scope', clientId);
  // The session ends with the token that opened it.
  const mark = await operatorMark(config.tokenSigningKey, operatorToken);
  if (session.operatorMark !== mark) return refuse(c, 'revoked', clientId);
  return clientId;
}

function refuse(c: AppContext, reason: Refusal, clientId?: string): never {
  logRefusal(c, 'operator', reason, { clientId });
  throw new ApiFailure({ code: 'forbidden' });
}
