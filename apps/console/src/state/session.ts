/** Who is signed in. A customer and an operator may be, side by side: each kind has a session and an access token of its own. */
import { type Signal, signal } from '@preact/signals';
import { Access, type Kind, post, reach } from '../lib/access.ts';
import { CallError, errorOf } from '../lib/errors.ts';
import { presentOf } from '../lib/present-session.ts';
import { permits } from '../lib/scope.ts';

export interface Session {
  readonly kind: Kind;
  readonly expiresAt: string;
  readonly customerId: string;
  readonly customerName: string;
  readonly readOnly: boolean;
}

export type SessionState =
  | { readonly state: 'unknown' }
  /** `ended`: nobody signed out. */
  | { readonly state: 'none'; readonly note?: string; readonly ended?: true }
  | { readonly state: 'failed'; readonly error: CallError }
  | { readonly state: 'open'; readonly session: Session; readonly scope: string };

export const sessions: Readonly<Record<Kind, Signal<SessionState>>> = {
  customer: signal<SessionState>({ state: 'unknown' }),
  operator: signal<SessionState>({ state: 'unknown' }),
};

const browser = { fetch: (url: string, init?: RequestInit) => fetch(url, init), now: () => Date.now() };

export const access: Readonly<Record<Kind, Access>> = {
  customer: new Access('customer', {
    ...browser,
    ended: () => end('customer'),
    refused: () => void compare('customer'),
  }),
  operator: new Access('operator', {
    ...browser,
    ended: () => end('operator'),
    refused: () => void compare('operator'),
  }),
};

function end(kind: Kind): void {
  access[kind].forget();
  if (sessions[kind].value.state === 'open')
    sessions[kind].value = {
      state: 'none',
      note: 'Your session has ended. Sign in again; you stay on this page.',
      ended: true,
    };
}

/** A refusal may be news of the session: it was ended elsewhere, or another tab has signed in as another customer. */
async function compare(kind: Kind): Promise<void> {
  const before = sessions[kind].peek();
  if (before.state !== 'open') return;
  const answer = await reach(browser, `/console/session?kind=${kind}`).catch(() => undefined);
  const body: unknown = await answer?.json().catch(() => undefined);
  if (answer === undefined || sessions[kind].peek() !== before) return;
  const present = presentOf(before.session.customerId ?? '', answer.status, body);
  if (present.kind === 'ended') end(kind);
  if (present.kind !== 'other') return;
  access[kind].forget();
  const note = `Another tab has signed in as “${present.customerName}”, and a browser is one customer at a time. Reload the page to go on as that customer.`;
  sessions[kind].value = { state: 'none', note };
}

/** Finds out whether there is a session. */
export async function look(kind: Kind): Promise<void> {
  const state = sessions[kind];
  try {
    const answer = await reach(browser, `/console/session?kind=${kind}`, { credentials: 'same-origin' });
    if (answer.status === 403) state.value = { state: 'none' };
    else if (!answer.ok) throw await errorOf(answer);
    else await opened((await answer.json()) as Session);
  } catch (error) {
    state.value = { state: 'failed', error: asCallError(error) };
  }
}

export type Credentials =
  | { readonly code: string }
  | { readonly clientId: string; readonly clientSecret: string; readonly customerId: string }
  | { readonly operatorToken: string };

/** @throws CallError when they are refused, or nothing answers */
export async function signIn(credentials: Credentials): Promise<Session> {
  const answer = await reach(browser, '/console/session', post(credentials));
  if (!answer.ok) throw await errorOf(answer);
  const session = (await answer.json()) as Session;
  await opened(session);
  return session;
}

export async function signOut(kind: Kind): Promise<void> {
  const answer = await reach(browser, `/console/session?kind=${kind}`, {
    method: 'DELETE',
    credentials: 'same-origin',
  });
  if (!answer.ok && answer.status !== 403) throw await errorOf(answer);
  access[kind].forget();
  sessions[kind].value = { state: 'none', note: 'You are signed out.' };
}

async function opened(session: Session): Promise<void> {
  const own = access[session.kind];
  own.forget();
  await own.open();
  sessions[session.kind].value = { state: 'open', session, scope: own.scope };
}

export function asCallError(error: unknown): CallError {
  return error instanceof CallError ? error : new CallError('The page has a fault. Reload it.');
}

/** The customer whose pages are shown. Its pages are rendered only while there is a session. */
export function customer() {
  const state = sessions.customer.value;
  const session = state.state === 'open' ? state.session : undefined;
  const scope = state.state === 'open' ? state.scope : '';
  const id = session?.customerId ?? '';
  return {
    id,
    name: session?.customerName ?? '',
    api: access.customer,
    /** The path of a call: `at('subscriptions', sid)`. */
    at: (...segments: readonly string[]) => `/${id}/webhooks/${segments.map(encodeURIComponent).join('/')}`,
    /** Whether the session may make a call; its button is left out otherwise. */
    may: (method: string, ...segments: readonly string[]) =>
      permits(scope, method, ['webhooks', ...segments].join('/')),
  };
}
