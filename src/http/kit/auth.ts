/** Who may call: a client with an access token (contract 2), or the operator with a token (contract 10.2). */
import { createMiddleware } from 'hono/factory';
import { BoundedCache } from '../../bounded-cache.ts';
import { ApiFailure } from '../../domain/errors.ts';
import { CREDENTIAL_CACHE_MS, FAILURES_MAX_PER_CLIENT } from '../../domain/limits.ts';
import { parseScopes, permits } from '../../domain/scope.ts';
import { readAccessToken } from '../../signing/access-token.ts';
import { equalSecrets } from '../../signing/secrets.ts';
import { type Credential, findCredential } from '../../storage/clients.ts';
import type { Database } from '../../storage/database.ts';
import { noteToken } from './audit.ts';
import { type AppContext, type AppEnv, callerKey, param } from './context.ts';
import { logRefusal, type Refusal } from './refusals.ts';

/** Credentials by the id of their secret, cached for `CREDENTIAL_CACHE_MS`: a revoked secret works for so long (contract 2). */
const credentials = new BoundedCache<{ credential: Credential; until: number }>(10_000);

/**
 * The guard of the management door. It answers 403 unless the token is valid, belongs to the customer of the path, and
 * its scope covers the call; a caller without this right learns nothing of what exists (contract 2). Then it counts the
 * calls of the customer, publishing excepted (contract 8).
 */
export const authorizeClient = createMiddleware<AppEnv>(async (c, next) => {
  const customerId = param(c, 'cid');
  const { reason, clientId } = await judgeToken(c, customerId);
  if (reason !== undefined) {
    logRefusal(c, 'management', reason, { customerId, clientId });
    throw new ApiFailure({ code: 'forbidden' });
  }
  c.set('clientId', clientId);
  const publishing = c.req.method === 'POST' && c.req.path === `/${customerId}/webhooks/events`;
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

/** Why the call is refused, `undefined` when it is permitted; and the client if it is known. */
async function judgeToken(
  c: AppContext,
  customerId: string,
): Promise<{ reason?: Refusal; clientId?: string }> {
  const header = c.req.header('authorization') ?? '';
  if (header === '') return { reason: 'missing' };
  const bearer = /^Bearer ([A-Za-z0-9._-]{1,255})$/i.exec(header);
  if (bearer?.[1] === undefined) return { reason: 'malformed' };
  const now = Date.now();
  const token = await readAccessToken(c.get('services').config.tokenSigningKey, bearer[1], now);
  if (typeof token === 'string') return { reason: token };
  const credential = await credentialOf(c.get('services').db, token.secretId, now);
  if (credential === undefined) return { reason: 'revoked' };
  const { clientId } = credential;
  if (credential.customerId !== customerId) return { reason: 'other customer', clientId };
  if (credential.expiresAt !== null && credential.expiresAt <= now) return { reason: 'revoked', clientId };
  const scopes = parseScopes(token.scope === '' ? credential.scope : token.scope);
  const path = c.req.path.slice(customerId.length + 2);
  if (scopes === undefined || !permits(scopes, c.req.method, path)) return { reason: 'scope', clientId };
  return { clientId };
}

async function credentialOf(db: Database, secretId: string, now: number): Promise<Credential | undefined> {
  const known = credentials.get(secretId);
  if (known !== undefined && known.until > now) return known.credential;
  const credential = await findCredential(db, secretId);
  if (credential === undefined) credentials.delete(secretId);
  else credentials.set(secretId, { credential, until: now + CREDENTIAL_CACHE_MS });
  return credential;
}

/**
 * The guard of the operator door. Without a configured token, every path behind it is a 404. After too many wrong tokens
 * from an address, tokens from there are not compared for a while (contract 10.2).
 */
export const authorizeOperator = createMiddleware<AppEnv>(async (c, next) => {
  const { operatorToken } = c.get('services').config;
  if (operatorToken === undefined) throw new ApiFailure({ code: 'not_found', what: 'Route' });
  const header = c.req.header('authorization') ?? '';
  const token = /^Bearer (.+)$/i.exec(header)?.[1];
  if (token === undefined) {
    logRefusal(c, 'operator', header === '' ? 'missing' : 'malformed');
    throw new ApiFailure({ code: 'forbidden' });
  }
  const shared = c.get('services').rateLimits.failedAuthByClient;
  const limit = { key: `operator ${callerKey(c)}`, failuresMax: FAILURES_MAX_PER_CLIENT, shared };
  const verdict = await c
    .get('isolate')
    .guesses.judge([limit], async () => ((await equalSecrets(token, operatorToken)) ? true : undefined));
  if (verdict.kind === 'wrong') {
    logRefusal(c, 'operator', 'wrong token');
    noteToken(c, { event: 'operator-refused', actor: 'stranger', outcome: 'wrong token' });
    throw new ApiFailure({ code: 'forbidden' });
  }
  if (verdict.kind === 'not judged') {
    noteToken(c, { event: 'operator-refused', actor: 'stranger', outcome: 'not judged' });
    throw new ApiFailure({
      code: 'too_many_requests',
      details: `${FAILURES_MAX_PER_CLIENT} wrong operator tokens in a minute from this address`,
      retryAfterSeconds: verdict.retryAfterSeconds,
    });
  }
  await next();
});
