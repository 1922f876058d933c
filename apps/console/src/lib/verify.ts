/** Verifies a security event token with the customer's published keys. */
import { compactVerify, importJWK, type JWK } from 'jose';
import { decode, type Verdict } from './token.ts';

/** Of contract 6.3. A key says which of them it is for. */
const ALGORITHMS = ['RS256', 'EdDSA'];

export async function verify(token: string, keys: readonly JWK[]): Promise<Verdict> {
  const decoded = decode(token);
  if (decoded === undefined) return { kind: 'invalid' };
  if (!decoded.hasSignature) return { kind: 'no signature' };
  if (globalThis.crypto?.subtle === undefined) return { kind: 'no WebCrypto' };
  const { kid, alg } = decoded.header;
  const jwk = keys.find((key) => key.kid === kid);
  if (jwk === undefined) return { kind: 'no key' };
  if (jwk.alg === undefined || jwk.alg !== alg || !ALGORITHMS.includes(jwk.alg)) return { kind: 'invalid' };
  const key = await importJWK(jwk, jwk.alg).catch(() => undefined);
  if (key === undefined) return { kind: 'unknown algorithm', algorithm: jwk.alg };
  try {
    await compactVerify(token, key, { algorithms: [jwk.alg] });
    return { kind: 'valid', kid: jwk.kid ?? '' };
  } catch {
    return { kind: 'invalid' };
  }
}
