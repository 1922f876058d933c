/** Sessions of the console over HTTP (contract 10.15): the page signs in, asks who it is, and signs out. */
import { z } from 'zod';
import {
  type ConsoleSession,
  consoleCaller,
  isReadOnly,
  SESSION_KINDS,
  scopeOfLink,
} from '../../domain/console.ts';
import { ApiFailure } from '../../domain/errors.ts';
import { isClientId } from '../../domain/ids.ts';
import {
  CONSOLE_BODY_MAX_BYTES,
  CONSOLE_SESSION_MS,
  CONSOLE_SESSIONS_MAX,
  FAILURES_MAX_PER_CLIENT,
} from '../../domain/limits.ts';
import { uuid } from '../../domain/schemas.ts';
import { logAudit } from '../../operations/audit-trail.ts';
import { hashConsoleSecret, operatorMark } from '../../signing/secrets.ts';
import {
  endSession,
  findConsoleLink,
  type NewSession,
  openByClient,
  openByLink,
  openByOperator,
} from '../../storage/console.ts';
import { findCustomer } from '../../storage/customers.ts';
import { consoleAudit, noteToken } from '../kit/audit.ts';
import { addRouteWithBody } from '../kit/body.ts';
import { type Found, judgeCredentials } from '../kit/client-credentials.ts';
import {
  forgetSession,
  giveCookie,
  newCookie,
  sentCookieHash,
  sessionOfCookie,
  takeCookie,
} from '../kit/console-sessions.ts';
import { type AppContext, callerKey, timestamp } from '../kit/context.ts';
import type { Door } from '../kit/door.ts';
import { EXAMPLE } from '../kit/examples.ts';
import type { Verdict } from '../kit/guesses.ts';
import { judgeOperatorToken } from '../kit/operator-token.ts';
import { problems } from '../kit/problems.ts';
import { logRefusal } from '../kit/refusals.ts';
import { declareOwnRoute, forAnybody, forConsole } from '../kit/route.ts';
import { id, jsonContent, time } from '../kit/schemas.ts';

const secretText = (max: number, description: string) =>
  z
    .string({ error: 'must be a string' })
    .min(1, { error: 'must not be empty' })
    .max(max, { error: `must be at most ${max} characters` })
    .meta({ description });

const ByCode = z.strictObject({ code: secretText(100, 'the code of a link, which works once') });
const ByClient = z.strictObject({
  clientId: secretText(64, 'of a client of the customer'),
  clientSecret: secretText(255, 'the secret of that client'),
  customerId: uuid,
});
const ByOperator = z.strictObject({ operatorToken: secretText(4000, 'OPERATOR_TOKEN') });

const SignIn = z
  .union([ByCode, ByClient, ByOperator], {
    error:
      'must be a JSON object with code alone, with clientId, clientSecret and customerId, or with operatorToken alone',
  })
  .meta({ id: 'ConsoleSignIn' });

const CustomerResource = z.object({
  kind: z.literal('customer'),
  customerId: id,
  customerName: z.string(),
  readOnly: z.boolean().meta({ description: 'whether the session can change nothing' }),
  expiresAt: time,
});
const OperatorResource = z.object({ kind: z.literal('operator'), expiresAt: time });
const SessionResource = z.union([CustomerResource, OperatorResource]).meta({ id: 'ConsoleSession' });
type SessionResource = z.infer<typeof SessionResource>;

const EXAMPLE_SESSION: SessionResource = {
  kind: 'customer',
  customerId: EXAMPLE.customer,
  customerName: 'Acme',
  readOnly: false,
  expiresAt: EXAMPLE.late,
};

const SETS_COOKIE = {
  'Set-Cookie': {
    description: 'the cookie of the session: Secure, HttpOnly, SameSite=Strict, Path=/',
    schema: { type: 'string' as const },
    example: '__Host-iwh-console=iwh_session_…; Max-Age=28800; Path=/; HttpOnly; Secure; SameSite=Strict',
  },
};

const whichKind = z.object({
  kind: z
    .enum(SESSION_KINDS, { error: 'must be customer or operator' })
    .meta({ description: 'the session of which cookie' }),
});

export function addSession(door: Door): void {
  addSignIn(door);
  addRead(door);
  addSignOut(door);
}

const signInRoute = declareOwnRoute({
  method: 'post',
  path: '/session',
  operationId: 'createConsoleSession',
  summary: 'Sign in to the console',
  description: 'With the code of a link, with the credentials of a client, or with the operator token.',
  ...forAnybody('Console'),
  request: {
    body: {
      content: jsonContent(SignIn, { code: `iwh_link_${'0123456789abcdef'.repeat(3)}` }),
      required: true,
    },
  },
  responses: {
    201: {
      description: 'The session',
      headers: SETS_COOKIE,
      content: jsonContent(SessionResource, EXAMPLE_SESSION),
    },
    ...problems(400, 403, 409, 413, 415),
  },
});

function addSignIn(door: Door): void {
  addRouteWithBody(
    door,
    signInRoute,
    async (c) => {
      const body = c.req.valid('json');
      if ('code' in body) return c.json(await signInByLink(c, body.code), 201);
      if ('operatorToken' in body) return c.json(await signInAsOperator(c, body.operatorToken), 201);
      return c.json(await signInByClient(c, body), 201);
    },
    { maxBytes: CONSOLE_BODY_MAX_BYTES },
  );
}

async function signInByLink(c: AppContext, code: string): Promise<SessionResource> {
  const { db, rateLimits } = c.get('services');
  const limit = {
    key: `console ${callerKey(c)}`,
    failuresMax: FAILURES_MAX_PER_CLIENT,
    shared: rateLimits.failedAuthByClient,
  };
  const judging = c.get('isolate').guesses.judge([limit], async () => {
    const codeHash = await hashConsoleSecret('code', code);
    return await findConsoleLink(db, codeHash, Date.now());
  });
  // A caller who goes away does not end the judgement, so that its failure is counted.
  c.executionCtx.waitUntil(judging.catch(() => undefined));
  const verdict = await judging;
  if (verdict.kind !== 'right') return refuseCode(c, verdict);
  const link = verdict.value;
  const { customerId } = link;
  const session = await newSession(c, 'customer', link.id);
  const facts = { customerId, clientId: consoleCaller(link.id), target: link.id };
  const audit = consoleAudit(c, 'console-signed-in', 'client', facts);
  const result = await openByLink(db, link, session, audit);
  if (result === 'gone') return refuseCode(c, { kind: 'wrong' }); // another call used it meanwhile
  if (result === 'too many') return tooMany();
  logAudit(audit);
  return await signedIn(c, { ...session, kind: 'customer', customerId, scope: scopeOfLink(link.readOnly) });
}

/** @throws ApiFailure the same for a code that is unknown, used or over */
function refuseCode(c: AppContext, verdict: Exclude<Verdict<unknown>, { kind: 'right' }>): never {
  const outcome = verdict.kind === 'wrong' ? 'wrong code' : 'not judged';
  noteToken(c, { event: 'console-refused', actor: 'stranger', outcome });
  if (verdict.kind === 'not judged') throw tooManyGuesses(verdict.retryAfterSeconds);
  logRefusal(c, 'console', 'wrong code');
  throw new ApiFailure({ code: 'forbidden' });
}

async function signInByClient(c: AppContext, sent: z.output<typeof ByClient>): Promise<SessionResource> {
  const { customerId, clientId, clientSecret } = sent;
  let found: Found = {};
  const verdict: Verdict<{ readonly secretId: string; readonly scope: string }> = isClientId(clientId)
    ? await judgeCredentials(c, customerId, { clientId, secrets: [clientSecret] }, (ids) => {
        found = ids;
      })
    : { kind: 'wrong' };
  if (verdict.kind !== 'right') return refuseClient(c, found, verdict);
  const { secretId, scope } = verdict.value;
  const session = await newSession(c, 'customer', crypto.randomUUID());
  const audit = consoleAudit(c, 'console-signed-in', 'client', { customerId, clientId, target: session.id });
  const result = await openByClient(c.get('services').db, { customerId, secretId }, session, audit);
  if (result === 'gone') return refuseClient(c, found, { kind: 'wrong' }); // its secret ended meanwhile
  if (result === 'too many') return tooMany();
  logAudit(audit);
  return await signedIn(c, { ...session, kind: 'customer', customerId, scope });
}

function refuseClient(
  c: AppContext,
  found: Found,
  verdict: Exclude<Verdict<unknown>, { kind: 'right' }>,
): never {
  const outcome = verdict.kind === 'wrong' ? 'wrong credentials' : 'not judged';
  noteToken(c, { event: 'token-refused', actor: 'stranger', outcome, ...found });
  if (verdict.kind === 'not judged') throw tooManyGuesses(verdict.retryAfterSeconds);
  logRefusal(c, 'console', 'wrong credentials', found);
  throw new ApiFailure({ code: 'forbidden' });
}

async function signInAsOperator(c: AppContext, text: string): Promise<SessionResource> {
  const { config, db } = c.get('services');
  const { operatorToken } = config;
  if (operatorToken === undefined) throw new ApiFailure({ code: 'forbidden' });
  await judgeOperatorToken(c, 'console', text, operatorToken);
  const session = await newSession(c, 'operator', crypto.randomUUID());
  const facts = { clientId: consoleCaller(session.id), target: session.id };
  const audit = consoleAudit(c, 'operator-signed-in', 'operator', facts);
  const mark = await operatorMark(config.tokenSigningKey, operatorToken);
  if ((await openByOperator(db, mark, session, audit)) === 'too many') return tooMany();
  logAudit(audit);
  giveCookie(c, 'operator', session.cookie, session.expiresAt);
  return { kind: 'operator', expiresAt: timestamp(session.expiresAt) };
}

interface FreshSession extends NewSession {
  /** Only this answer shows it. */
  readonly cookie: string;
}

async function newSession(
  c: AppContext,
  kind: ConsoleSession['kind'],
  sessionId: string,
): Promise<FreshSession> {
  const cookie = newCookie();
  const createdAt = Date.now();
  return {
    id: sessionId,
    cookie,
    cookieHash: await hashConsoleSecret('cookie', cookie),
    createdAt,
    expiresAt: createdAt + CONSOLE_SESSION_MS,
    replaced: await sentCookieHash(c, kind),
  };
}

async function signedIn(
  c: AppContext,
  session: FreshSession & { readonly kind: 'customer'; readonly customerId: string; readonly scope: string },
): Promise<SessionResource> {
  const customer = await findCustomer(c.get('services').db, session.customerId);
  if (customer === undefined) throw new ApiFailure({ code: 'forbidden' }); // erased a moment ago
  giveCookie(c, 'customer', session.cookie, session.expiresAt);
  return resourceOf({ ...session, customerName: customer.name });
}

function tooMany(): never {
  throw new ApiFailure({
    code: 'conflict',
    details: `Too many sessions: at most ${CONSOLE_SESSIONS_MAX} at once; sign out of some, or wait until some end`,
  });
}

function tooManyGuesses(retryAfterSeconds: number): ApiFailure {
  return new ApiFailure({
    code: 'too_many_requests',
    details: 'Too many failed sign-ins in a minute from this address',
    retryAfterSeconds,
  });
}

const readRoute = declareOwnRoute({
  method: 'get',
  path: '/session',
  operationId: 'getConsoleSession',
  summary: 'Who is signed in?',
  ...forConsole(),
  request: { query: whichKind },
  responses: {
    200: { description: 'The session', content: jsonContent(SessionResource, EXAMPLE_SESSION) },
    ...problems(400, 403),
  },
});

function addRead(door: Door): void {
  door.openapi(readRoute, async (c) => {
    const session = await sessionOfCookie(c, c.req.valid('query').kind);
    if (session === undefined) throw new ApiFailure({ code: 'forbidden' });
    return c.json(resourceOf(session), 200);
  });
}

const signOutRoute = declareOwnRoute({
  method: 'delete',
  path: '/session',
  operationId: 'deleteConsoleSession',
  summary: 'Sign out',
  description: 'The access tokens of the session end within 60 seconds.',
  ...forConsole(),
  request: { query: whichKind },
  responses: { 204: { description: 'Signed out' }, ...problems(400, 403) },
});

function addSignOut(door: Door): void {
  door.openapi(signOutRoute, async (c) => {
    const { kind } = c.req.valid('query');
    const session = await sessionOfCookie(c, kind);
    takeCookie(c, kind);
    if (session !== undefined) await end(c, session);
    return c.body(null, 204);
  });
}

async function end(c: AppContext, session: ConsoleSession): Promise<void> {
  const who =
    session.kind === 'customer'
      ? { customerId: session.customerId, clientId: session.clientId ?? consoleCaller(session.id) }
      : { clientId: consoleCaller(session.id) };
  const actor = session.kind === 'customer' ? 'client' : 'operator';
  const audit = consoleAudit(c, 'console-signed-out', actor, { ...who, target: session.id });
  if (await endSession(c.get('services').db, session.id, audit)) logAudit(audit);
  forgetSession(session.id);
}

type Shown =
  | { readonly kind: 'operator'; readonly expiresAt: number }
  | {
      readonly kind: 'customer';
      readonly customerId: string;
      readonly customerName: string;
      readonly scope: string;
      readonly expiresAt: number;
    };

function resourceOf(session: Shown): SessionResource {
  const expiresAt = timestamp(session.expiresAt);
  if (session.kind === 'operator') return { kind: 'operator', expiresAt };
  const { kind, customerId, customerName, scope } = session;
  return { kind, customerId, customerName, readOnly: isReadOnly(scope), expiresAt };
}
