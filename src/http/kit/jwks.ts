/** Public signing keys of a customer, as the API shows them (contract 6.3). */
import { z } from 'zod';
import { EXAMPLE } from './examples.ts';

const kid = z.string().meta({ pattern: '^[0-9a-f]{40}$', examples: [EXAMPLE.key] });

const RsaKey = z
  .object({
    kty: z.literal('RSA'),
    use: z.literal('sig'),
    alg: z.literal('RS256'),
    kid,
    n: z.string(),
    e: z.string(),
  })
  .meta({ id: 'RsaKey' });

const Ed25519Key = z
  .object({
    kty: z.literal('OKP'),
    crv: z.literal('Ed25519'),
    use: z.literal('sig'),
    alg: z.literal('EdDSA'),
    kid,
    x: z.string(),
  })
  .meta({ id: 'Ed25519Key' });

export const Jwks = z
  .object({ keys: z.array(z.discriminatedUnion('kty', [RsaKey, Ed25519Key])) })
  .meta({ id: 'JsonWebKeySet' });

/** One key instead of three, and a short one. */
export const JWKS_EXAMPLE: z.infer<typeof Jwks> = {
  keys: [{ kty: 'RSA', use: 'sig', alg: 'RS256', kid: EXAMPLE.key, n: 'yJ2…', e: 'AQAB' }],
};

/** @param keys public keys of D1. `signing/keys.ts` made them, so they have exactly these members. */
export function jwksResource(keys: readonly JsonWebKey[]): z.infer<typeof Jwks> {
  return { keys: keys as z.infer<typeof Jwks>['keys'] };
}
