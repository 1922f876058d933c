/**
 * The guard of the console's door (contract 10.15): calls that carry a cookie come from our own pages. A browser says where a request
 * comes from: by `Sec-Fetch-Site`, and older ones by `Origin`. No answer has a CORS header, so no other page reads one.
 */
import { createMiddleware } from 'hono/factory';
import { ApiFailure } from '../../domain/errors.ts';
import type { AppContext, AppEnv } from './context.ts';
import { logRefusal } from './refusals.ts';

/** The page itself. Links from everywhere lead to it; opening it changes nothing, and shows nothing without a call. */
export const PAGE_PATHS: readonly string[] = ['/console', '/console/', '/console/index.html'];

export const refuseCrossSite = createMiddleware<AppEnv>(async (c, next) => {
  if (!isReading(c) || !PAGE_PATHS.includes(c.req.path)) {
    if (!isSameOrigin(c)) {
      logRefusal(c, 'console', 'cross-site');
      throw new ApiFailure({ code: 'forbidden' });
    }
  }
  await next();
});

function isReading(c: AppContext): boolean {
  return c.req.method === 'GET' || c.req.method === 'HEAD';
}

function isSameOrigin(c: AppContext): boolean {
  const site = c.req.header('sec-fetch-site');
  if (site !== undefined) return site === 'same-origin';
  const origin = c.req.header('origin');
  // Browsers leave it out of a reading call to their own origin, and of no call that may change something.
  if (origin === undefined) return isReading(c);
  return [c.get('services').config.baseUrl, c.req.url].some((url) => new URL(url).origin === origin);
}
