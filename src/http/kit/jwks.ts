/** Public signing keys of a customer, as the API shows them (contract 6.3). */
import { z } from 'zod';

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

/** @param keys public keys of D1. `signing/keys.ts` made them, so they are RSA keys with exactly these members. */
export function jwksResource(keys: readonly JsonWebKey[]): z.infer<typeof Jwks> {
  return { keys: keys as z.infer<typeof Jwks>['keys'] };
}
