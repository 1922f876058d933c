/** The console as a browser uses it: with the cookies of one profile, from the page's own origin. */
import { asOperator, BASE_URL, type CallOptions, call, OPERATOR_TOKEN, type Reply } from './world.ts';

export type Ask = (method: string, path: string, options?: CallOptions) => Promise<Reply>;

export interface Browser {
  /** A call of the page, with the cookies of the profile. */
  ask(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Reply>;
  readonly cookies: Map<string, string>;
  /** A new access token of the session. */
  token(kind: 'customer' | 'operator'): Promise<string>;
}

/** @param send where its requests go: another isolate, or another environment */
export function newBrowser(send: Ask = call): Browser {
  const cookies = new Map<string, string>();
  const ask: Browser['ask'] = async (method, path, body, headers = {}) => {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const reply = await send(method, path, {
      headers: { 'sec-fetch-site': 'same-origin', ...(cookie === '' ? {} : { cookie }), ...headers },
      ...(body === undefined ? {} : { body }),
    });
    for (const text of reply.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(text) ?? [];
      if (/max-age=0(;|$)/i.test(text)) cookies.delete(name);
      else cookies.set(name, value);
    }
    return reply;
  };
  return {
    ask,
    cookies,
    token: async (kind) => {
      const reply = await ask('POST', '/console/token', { kind });
      if (reply.status !== 200) throw new Error(`${reply.status} ${JSON.stringify(reply.body)}`);
      return reply.body.access_token;
    },
  };
}

/** The code in the fragment of a link. */
export function codeOf(link: Reply): string {
  const [, code = ''] = /#\/sign-in\/(\w+)$/.exec(link.body.url) ?? [];
  if (code === '') throw new Error(`${link.status} ${JSON.stringify(link.body)}`);
  return code;
}

export const ORIGIN = new URL(BASE_URL).origin;

export const FORBIDDEN = { status: 403, body: { errors: 'Forbidden' } };

export const newLink = (customerId: string, body?: unknown) =>
  asOperator('POST', `/customers/${customerId}/console-links`, body);

export const newCode = async (customerId: string, body?: unknown) => codeOf(await newLink(customerId, body));

/** A browser in which a link of the customer was opened. */
export async function signedIn(customerId: string, body?: unknown): Promise<Browser> {
  const browser = newBrowser();
  const reply = await browser.ask('POST', '/console/session', { code: await newCode(customerId, body) });
  if (reply.status !== 201) throw new Error(`${reply.status} ${JSON.stringify(reply.body)}`);
  return browser;
}

export async function operatorSignedIn(browser = newBrowser()): Promise<Browser> {
  const reply = await browser.ask('POST', '/console/session', { operatorToken: OPERATOR_TOKEN });
  if (reply.status !== 201) throw new Error(`${reply.status} ${JSON.stringify(reply.body)}`);
  return browser;
}

export const subscriptionsOf = (customerId: string, token: string) =>
  call('GET', `/${customerId}/webhooks/subscriptions`, { token });
