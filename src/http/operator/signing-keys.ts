/** Signing keys over HTTP: rotating those of a customer (contract 6.3), resealing those of all (contract 10.2). */
import { z } from 'zod';
import { resealSigningKeys } from '../../operations/reseal-keys.ts';
import { rotateSigningKeys } from '../../operations/rotate-keys.ts';
import { publishedKeys } from '../../storage/signing-keys.ts';
import { theOperator } from '../kit/audit.ts';
import type { Door } from '../kit/door.ts';
import { JWKS_EXAMPLE, Jwks, jwksResource } from '../kit/jwks.ts';
import { notFound, withCustomer } from '../kit/load.ts';
import { problems } from '../kit/problems.ts';
import { declareOwnRoute, forOperator } from '../kit/route.ts';
import { customerPath, jsonContent, wholeNumber } from '../kit/schemas.ts';

const Reseal = z
  .object({
    total: wholeNumber.meta({ description: 'private keys in all' }),
    resealed: wholeNumber.meta({ description: 'sealed again by this call' }),
    remaining: wholeNumber.meta({
      description: 'not sealed under the current key yet; repeat the call until this is 0',
    }),
    unreadable: wholeNumber.meta({
      description: 'of those remaining, keys that neither sealing key opens; the log names them',
    }),
  })
  .meta({ id: 'Reseal' });

const common = forOperator();

export function addSigningKeys(door: Door): void {
  addRotate(door);
  addReseal(door);
}

const rotateRoute = declareOwnRoute({
  method: 'post',
  path: '/customers/{cid}/signing-keys/rotate',
  operationId: 'rotateSigningKeys',
  summary: "Rotate a customer's signing keys",
  description:
    'The next key signs from now on. The key that signed before stays published for 35 days. EdDSA keys rotate with the RSA keys.',
  ...common,
  middleware: withCustomer,
  request: { params: customerPath },
  responses: {
    200: { description: 'The public keys', content: jsonContent(Jwks, JWKS_EXAMPLE) },
    ...problems(403, 404),
  },
});

function addRotate(door: Door): void {
  door.openapi(rotateRoute, async (c) => {
    const { config, db } = c.get('services');
    const { id } = c.get('customer');
    const now = Date.now();
    const rotated = await rotateSigningKeys(db, config, id, now, theOperator(c));
    c.get('isolate').customers.forget(id);
    const keys = rotated ? await publishedKeys(db, id, now) : undefined;
    if (keys === undefined) throw notFound('Customer'); // erased while the call was under way
    return c.json(jwksResource(keys), 200);
  });
}

const resealRoute = declareOwnRoute({
  method: 'post',
  path: '/signing-keys/reseal',
  operationId: 'resealSigningKeys',
  summary: 'Seal every private key again',
  description:
    'Seals them under the current KEY_ENCRYPTION_KEY, so that KEY_ENCRYPTION_KEY_PREVIOUS can be removed. Safe to repeat: repeat the call until `remaining` is 0.',
  ...common,
  responses: {
    200: {
      description: 'The progress',
      content: jsonContent(Reseal, { total: 3, resealed: 3, remaining: 0, unreadable: 0 }),
    },
    ...problems(403),
  },
});

function addReseal(door: Door): void {
  door.openapi(resealRoute, async (c) => {
    const { config, db } = c.get('services');
    return c.json(await resealSigningKeys(db, config, Date.now, theOperator(c)), 200);
  });
}
