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

/** @param keys as `signing/keys.ts` made them: that file, and not the type, says that they are RSA keys with these members */
export function jwksResource(keys: readonly JsonWebKey[]): z.infer<typeof Jwks> {
  return { keys: keys as z.infer<typeof Jwks>['keys'] };
}
