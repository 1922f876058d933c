/**
 * Sessions of the console in a request (contract 10.15): the cookie that carries one, and what an isolate remembers of those whose access
 * tokens it saw. A token names a session by its id, a cookie by a secret of which D1 has the hash. A cookie alone opens `/console` and
 * nothing else: the other doors read the Authorization header only.
 */
import { parse, serialize } from 'hono/utils/cookie';
import { BoundedCache } from '../../bounded-cache.ts';
import type { ConsoleSession, SessionKind } from '../../domain/console.ts';
import { ApiFailure } from '../../domain/errors.ts';
import { CREDENTIAL_CACHE_MS, SECOND_MS } from '../../domain/limits.ts';
import { hashConsoleSecret, operatorMark, randomAlphanumerics } from '../../signing/secrets.ts';
import { findSessionOfCookie, findSessionOfToken } from '../../storage/console.ts';
import type { Database } from '../../storage/database.ts';
import { type AppContext, callerKey } from './context.ts';

/**
 * A browser can have a session of each kind. The prefix of their names makes the browser refuse a cookie unless it is Secure, for `/`, and
 * for this host alone (RFC 6265bis, 4.1.3.2).
 */
const COOKIES: Record<SessionKind, string> = {
  customer: '__Host-iwh-console',
  operator: '__Host-iwh-operator',
};
/** What we make has a prefix, by which secret scanners know it. */
const COOKIE_PREFIX = 'iwh_session_';
/** Alphanumerics after the prefix; 248 bits. */
const COOKIE_LENGTH = 48;
const COOKIE_FORM = new RegExp(`^${COOKIE_PREFIX}[a-z0-9]{${COOKIE_LENGTH}}$`);

/** By their ids, cached for `CREDENTIAL_CACHE_MS`: a token of a session that was ended works for so long. */
const sessions = new BoundedCache<{ session: ConsoleSession; until: number }>(10_000);

/** The session that a token names, as old as `CREDENTIAL_CACHE_MS` at most. It may have ended by its time. */
export async function sessionOfToken(
  db: Database,
  id: string,
  now: number,
): Promise<ConsoleSession | undefined> {
  const known = sessions.get(id);
  if (known !== undefined && known.until > now) return known.session;
  const session = await findSessionOfToken(db, id);
  if (session === undefined) sessions.delete(id);
  else sessions.set(id, { session, until: now + CREDENTIAL_CACHE_MS });
  return session;
}

/** Must be called after a session was ended. */
export function forgetSession(id: string): void {
  sessions.delete(id);
}

export const newCookie = (): string => `${COOKIE_PREFIX}${randomAlphanumerics(COOKIE_LENGTH)}`;

/** The hash of the cookie that a request brings, if it has the form of ours. */
export async function sentCookieHash(c: AppContext, kind: SessionKind): Promise<string | undefined> {
  const name = COOKIES[kind];
  const cookie = parse(c.req.header('cookie') ?? '', name)[name] ?? '';
  return COOKIE_FORM.test(cookie) ? await hashConsoleSecret('cookie', cookie) : undefined;
}

/** @param expiresAt ms */
export function giveCookie(c: AppContext, kind: SessionKind, cookie: string, expiresAt: number): void {
  writeCookie(c, kind, cookie, Math.floor((expiresAt - Date.now()) / SECOND_MS));
}

/** Makes the browser forget the cookie. */
export function takeCookie(c: AppContext, kind: SessionKind): void {
  writeCookie(c, kind, '', 0);
}

function writeCookie(c: AppContext, kind: SessionKind, value: string, maxAge: number): void {
  const attributes = { path: '/', secure: true, httpOnly: true, sameSite: 'Strict', maxAge } as const;
  c.header('set-cookie', serialize(COOKIES[kind], value, attributes), { append: true });
}

/**
 * The session of the cookie that a request brings. A cookie that is good for nothing is taken from the browser.
 * @throws ApiFailure `too_many_requests` when the address looks up too many
 */
export async function sessionOfCookie(c: AppContext, kind: SessionKind): Promise<ConsoleSession | undefined> {
  const hash = await sentCookieHash(c, kind);
  if (hash === undefined) return undefined;
  const { config, db, rateLimits } = c.get('services');
  // Anybody can make up cookies, and D1 has one thread that every delivery needs.
  if (!(await rateLimits.publicLookUps.limit({ key: callerKey(c) })).success) {
    throw new ApiFailure({
      code: 'too_many_requests',
      details: 'More than 200 look-ups in 10 seconds from this address',
      retryAfterSeconds: 10,
    });
  }
  const session = await findSessionOfCookie(db, kind, hash, Date.now());
  if (session !== undefined && (await isGood(session, config))) return session;
  takeCookie(c, kind);
  return undefined;
}

/** A session of the operator ends with the `OPERATOR_TOKEN` that opened it. */
async function isGood(
  session: ConsoleSession,
  config: { readonly operatorToken?: string; readonly tokenSigningKey: Uint8Array },
): Promise<boolean> {
  if (session.kind === 'customer') return true;
  const { operatorToken, tokenSigningKey } = config;
  return (
    operatorToken !== undefined &&
    session.operatorMark === (await operatorMark(tokenSigningKey, operatorToken))
  );
}
