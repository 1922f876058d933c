/** Signing keys of all customers over HTTP (contract 10.2). */
import { createRoute, type OpenAPIHono } from '@hono/zod-openapi';
import { z } from 'zod';
import { resealSigningKeys } from '../../operations/reseal-keys.ts';
import type { AppEnv } from '../kit/context.ts';
import { jsonContent, problems } from '../kit/links.ts';

const number = z.number().int();

const Reseal = z
  .object({
    total: number.meta({ description: 'private keys there are' }),
    resealed: number.meta({ description: 'sealed anew by this call' }),
    remaining: number.meta({ description: 'not sealed under the current key yet; call again until it is 0' }),
    unreadable: number.meta({ description: 'of these, keys that neither key opens; the log names them' }),
  })
  .meta({ id: 'Reseal' });

const resealRoute = createRoute({
  method: 'post',
  path: '/signing-keys/reseal',
  summary: 'Seal every private key anew',
  description:
    'Under the current KEY_ENCRYPTION_KEY, so that KEY_ENCRYPTION_KEY_PREVIOUS can be removed. Safe to repeat; repeat it until remaining is 0.',
  tags: ['Operator'],
  security: [{ operator: [] }],
  responses: { 200: { description: 'How far it is', content: jsonContent(Reseal) }, ...problems(403) },
});

export function addSigningKeys(app: OpenAPIHono<AppEnv>): void {
  app.openapi(resealRoute, async (c) =>
    c.json(await resealSigningKeys(c.get('services').db, c.get('services').config, Date.now), 200),
  );
}
