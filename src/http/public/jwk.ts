/** The public keys of a customer (contract 6.3). */
import { createRoute, type OpenAPIHono } from '@hono/zod-openapi';
import { z } from 'zod';
import { ApiFailure } from '../../domain/errors.ts';
import { isUuid } from '../../domain/ids.ts';
import { publishedKeys } from '../../storage/signing-keys.ts';
import type { AppEnv } from '../kit/context.ts';
import { customerPath, jsonContent, problems } from '../kit/links.ts';

/** A next key is published long before it signs: listeners may keep what they read for this long. */
const CACHE_SECONDS = 300;

export const Jwks = z
  .object({
    keys: z.array(
      z.object({
        kty: z.literal('RSA'),
        use: z.literal('sig'),
        alg: z.literal('RS256'),
        kid: z.string(),
        n: z.string(),
        e: z.string(),
      }),
    ),
  })
  .meta({ id: 'JsonWebKeySet' });

const route = createRoute({
  method: 'get',
  path: '/{cid}/login/jwk',
  summary: 'Public keys',
  description: 'What security event tokens of this customer verify against.',
  tags: ['Keys'],
  request: { params: customerPath },
  responses: { 200: { description: 'The keys', content: jsonContent(Jwks) }, ...problems(404) },
});

export function addJwk(app: OpenAPIHono<AppEnv>): void {
  app.openapi(route, async (c) => {
    const { cid } = c.req.valid('param');
    const keys = isUuid(cid) ? await publishedKeys(c.get('services').db, cid, Date.now()) : undefined;
    if (keys === undefined) throw new ApiFailure({ code: 'not_found', what: 'Customer' });
    c.header('cache-control', `public, max-age=${CACHE_SECONDS}`);
    return c.json({ keys: keys as z.infer<typeof Jwks>['keys'] }, 200);
  });
}
