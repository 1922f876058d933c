/** The public keys of a customer (contract 6.3). */
import { ApiFailure } from '../../domain/errors.ts';
import { KEY_SET_CACHE_MS, KEY_SET_STALE_MS, SECOND_MS } from '../../domain/limits.ts';
import { publishedKeys } from '../../storage/signing-keys.ts';
import { type AppContext, callerKey } from '../kit/context.ts';
import type { Door } from '../kit/door.ts';
import { JWKS_EXAMPLE, Jwks, jwksResource } from '../kit/jwks.ts';
import { idParam, notFound } from '../kit/load.ts';
import { problems } from '../kit/problems.ts';
import { declareRoute, forAnybody } from '../kit/route.ts';
import { cacheControl, customerPath, jsonContent } from '../kit/schemas.ts';

const STALE_IF_ERROR = `stale-if-error=${KEY_SET_STALE_MS / SECOND_MS}`;
/** For listeners and their caches: a key is published long before it signs. */
const CACHE_CONTROL = `public, max-age=300, ${STALE_IF_ERROR}`;
/** For the platform's cache alone, which takes the header out: what this isolate remembers is as old again. */
const PLATFORM_CACHE_CONTROL = `public, max-age=${KEY_SET_CACHE_MS / SECOND_MS}, ${STALE_IF_ERROR}`;

const route = declareRoute({
  method: 'get',
  path: '/{cid}/login/jwk',
  operationId: 'getPublicKeys',
  summary: 'Public keys',
  description: 'Listeners verify the security event tokens of this customer with these keys.',
  ...forAnybody('Keys'),
  request: { params: customerPath },
  responses: {
    200: {
      description: 'The keys',
      headers: cacheControl(CACHE_CONTROL),
      content: jsonContent(Jwks, JWKS_EXAMPLE),
    },
    ...problems(404, 429),
  },
});

export function addJwk(door: Door): void {
  door.openapi(route, async (c) => {
    const id = idParam(c, 'cid', 'Customer');
    const keys = await c.get('isolate').customers.publishedKeys(id, async () => {
      await admitLookUp(c);
      return await publishedKeys(c.get('services').db, id, Date.now());
    });
    if (keys === undefined) throw notFound('Customer');
    c.header('cache-control', CACHE_CONTROL);
    c.header('cloudflare-cdn-cache-control', PLATFORM_CACHE_CONTROL);
    return c.json(jwksResource(keys), 200);
  });
}

/** Asked before D1 is: anybody may ask for any id. @throws ApiFailure `too_many_requests` */
async function admitLookUp(c: AppContext): Promise<void> {
  const { success } = await c.get('services').rateLimits.publicLookUps.limit({ key: callerKey(c) });
  if (success) return;
  throw new ApiFailure({
    code: 'too_many_requests',
    details: 'More than 200 look-ups of keys in 10 seconds from one address',
    retryAfterSeconds: 10,
  });
}
