/**
 * Who may publish, as this isolate has judged it: tokens with the customers for which they were permitted to. A permission ends with
 * its token, with its client secret, and with what the isolate remembers of that secret: a revoked client publishes no longer by it
 * than by any other call (contract 2).
 */
import { BoundedCache } from '../../bounded-cache.ts';

/** The header `Authorization` with an access token. */
export const BEARER = /^Bearer ([A-Za-z0-9._-]{1,255})$/i;

const PUBLISHERS_MAX = 10_000;

interface Permission {
  readonly customerId: string;
  /** ms */
  readonly until: number;
}

/** By the key that signed the tokens: a new key knows none of them. */
const known = new WeakMap<Uint8Array, BoundedCache<Permission>>();

/** @param token that was just judged */
export function rememberPublisher(signingKey: Uint8Array, token: string, permission: Permission): void {
  const permissions = known.get(signingKey) ?? new BoundedCache<Permission>(PUBLISHERS_MAX);
  known.set(signingKey, permissions);
  permissions.set(token, permission);
}

/** Whether a token is known to permit publishing. If not, it has to be judged. */
export function isKnownPublisher(
  signingKey: Uint8Array,
  token: string,
  customerId: string,
  now: number,
): boolean {
  const permission = known.get(signingKey)?.get(token);
  return permission !== undefined && permission.customerId === customerId && permission.until > now;
}
