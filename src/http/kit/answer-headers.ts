/** Headers of every answer (contract 1): what a browser must not do with it, and that no cache keeps it. */
import { createMiddleware } from 'hono/factory';
import type { AppEnv } from './context.ts';

/** No route can take these back. */
const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'origin-agent-cluster': '?1',
  'referrer-policy': 'no-referrer',
  'strict-transport-security': 'max-age=15552000; includeSubDomains',
  'x-content-type-options': 'nosniff',
  'x-dns-prefetch-control': 'off',
  'x-download-options': 'noopen',
  'x-frame-options': 'SAMEORIGIN',
  'x-permitted-cross-domain-policies': 'none',
  'x-xss-protection': '0',
};

/** What an answer has that no cache may keep. */
export const NOT_CACHED = { ...SECURITY_HEADERS, 'cache-control': 'no-store' };

export const addSecurityHeaders = createMiddleware<AppEnv>(async (c, next) => {
  await next();
  const { headers } = c.res;
  for (const name in SECURITY_HEADERS) headers.set(name, SECURITY_HEADERS[name] ?? '');
});

/**
 * No cache keeps an answer, except one whose route says so itself: a new route cannot be forgotten. What a cache keeps, it gives to others,
 * so the id that one caller chose is not in it.
 */
export const noStore = createMiddleware<AppEnv>(async (c, next) => {
  await next();
  const control = c.res.headers.get('cache-control');
  if (control === null) c.header('cache-control', 'no-store');
  else if (control.startsWith('public')) c.header('x-caller-request-id', undefined);
});
