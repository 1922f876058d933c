/**
 * `GET /console/` (contract 10.15): the page of the console. Its file is a static asset; its answer comes from here, because the headers
 * depend on the configuration. What the page loads are assets of their own, which never come here.
 */
import { createMiddleware } from 'hono/factory';
import type { AppEnv } from '../kit/context.ts';
import { PAGE_PATHS } from '../kit/cross-site.ts';
import type { Door } from '../kit/door.ts';

const PAGE = '/console/';

const NOT_BUILT =
  'This deployment has no console: public/console/ is not built. `npm start` and `npm run deploy` build it.\n';

/** The page is no call of the API, so it is no route of the document. */
export function addPage(door: Door): void {
  door.use(page);
}

const page = createMiddleware<AppEnv>(async (c, next) => {
  const { path, method } = c.req;
  if (!PAGE_PATHS.includes(path) || (method !== 'GET' && method !== 'HEAD')) return await next();
  if (path !== PAGE) return c.redirect(PAGE, 308);
  const { assets, config } = c.get('services');
  const file = await assets.fetch(new Request(new URL(PAGE, c.req.url)));
  if (file.status !== 200) return c.text(NOT_BUILT, 404);
  c.header('content-security-policy', policyOf(config.consoleFrameAncestors));
  return c.html(await file.text(), 200);
});

function policyOf(frameAncestors: string): string {
  return [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "connect-src 'self'",
    "img-src 'self' data:",
    "base-uri 'none'",
    "form-action 'none'",
    `frame-ancestors ${frameAncestors}`,
  ].join('; ');
}
