/**
 * Access tokens (contract 2). To a client a token is opaque text; to us it is a compact JWS (HS256 under
 * `TOKEN_SIGNING_KEY`) of at most 255 characters. A token names the client secret, or the session of the console, for which it was
 * issued, so that it ends when that does. The customer and the scope are read with the secret or the session, not from the token.
 */
import { CompactSign, compactVerify } from 'jose';
import { z } from 'zod';
import { BoundedCache } from '../bounded-cache.ts';
import { ACCESS_TOKEN_MAX_CHARACTERS } from '../domain/limits.ts';

export type AccessToken = ClientToken | SessionToken;

interface ClientToken {
  readonly kind: 'client';
  /** Id of the client secret for which it was issued. */
  readonly secretId: string;
  /** Seconds since 1970. */
  readonly expiresAt: number;
  /** The scope that was asked for; empty when it is the client's own. */
  readonly scope: string;
}

interface SessionToken {
  readonly kind: 'session';
  /** Id of the session of the console for which it was issued (contract 10.15). */
  readonly sessionId: string;
  /** Seconds since 1970. */
  readonly expiresAt: number;
}

/** The two differ in their second member. An earlier version of the service, which knows the first form alone, refuses the other. */
const Claims = z.union([
  z.tuple([z.string(), z.number(), z.string()]),
  z.tuple([z.literal('session'), z.string(), z.number()]),
]);

/** Verified tokens that an isolate remembers, of at most 255 characters each. */
const TOKENS_REMEMBERED_MAX = 10_000;

/** Imported keys by their bytes, so that a key is imported once and not with every call. */
const keys = new WeakMap<Uint8Array, Promise<CryptoKey>>();

function imported(bytes: Uint8Array): Promise<CryptoKey> {
  let key = keys.get(bytes);
  if (key === undefined) {
    key = crypto.subtle.importKey('raw', bytes, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign', 'verify']);
    keys.set(bytes, key);
  }
  return key;
}

/** @throws Error when the token would be too long */
export async function issueAccessToken(key: Uint8Array, token: AccessToken): Promise<string> {
  const claims: z.infer<typeof Claims> =
    token.kind === 'client'
      ? [token.secretId, token.expiresAt, token.scope]
      : ['session', token.sessionId, token.expiresAt];
  const text = await new CompactSign(new TextEncoder().encode(JSON.stringify(claims)))
    .setProtectedHeader({ alg: 'HS256' })
    .sign(await imported(key));
  // A longer token would be refused when it comes back. `TOKEN_SCOPE_MAX_CHARACTERS` keeps tokens short enough.
  if (text.length > ACCESS_TOKEN_MAX_CHARACTERS) throw new Error('the access token is too long');
  return text;
}

/** @returns `malformed` for a text that we did not sign, and `expired` for a token of ours that has ended at `nowMs` */
export async function readAccessToken(
  key: Uint8Array,
  text: string,
  nowMs: number,
): Promise<AccessToken | 'malformed' | 'expired'> {
  const token = remembered(key).get(text) ?? (await verified(key, text));
  if (token === undefined) return 'malformed';
  return token.expiresAt * 1000 > nowMs ? token : 'expired';
}

/** Tokens of ours that were verified, by the key that signed them: a token never changes. */
const tokens = new WeakMap<Uint8Array, BoundedCache<AccessToken>>();

function remembered(key: Uint8Array): BoundedCache<AccessToken> {
  let known = tokens.get(key);
  if (known === undefined) {
    known = new BoundedCache(TOKENS_REMEMBERED_MAX);
    tokens.set(key, known);
  }
  return known;
}

async function verified(key: Uint8Array, text: string): Promise<AccessToken | undefined> {
  let payload: Uint8Array;
  try {
    payload = (await compactVerify(text, await imported(key), { algorithms: ['HS256'] })).payload;
  } catch {
    return undefined;
  }
  const claims = Claims.safeParse(JSON.parse(new TextDecoder().decode(payload)));
  if (!claims.success) return undefined;
  const token = tokenOf(claims.data);
  remembered(key).set(text, token);
  return token;
}

function tokenOf(claims: z.infer<typeof Claims>): AccessToken {
  if (typeof claims[1] === 'string') {
    const [, sessionId, expiresAt] = claims as [string, string, number];
    return { kind: 'session', sessionId, expiresAt };
  }
  const [secretId, expiresAt, scope] = claims as [string, number, string];
  return { kind: 'client', secretId, expiresAt, scope };
}
