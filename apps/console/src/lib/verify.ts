/** Verifies a security event token with the customer's published keys. */
import { compactVerify, importJWK, type JWK } from 'jose';
import { decode, type Verdict } from './token.ts';

export async function verify(token: string, keys: readonly JWK[]): Promise<Verdict> {
  const decoded = decode(token);
  if (decoded === undefined) return { kind: 'invalid' };
  if (!decoded.hasSignature) return { kind: 'no signature' };
  if (globalThis.crypto?.subtle === undefined) return { kind: 'no WebCrypto' };
  const jwk = keys.find(({ kid }) => kid === decoded.header['kid']);
  if (jwk === undefined) return { kind: 'no key' };
  // The key decides the algorithm, never the token.
  const algorithm = jwk.kty === 'OKP' ? 'EdDSA' : 'RS256';
  let key: CryptoKey | Uint8Array;
  try {
    key = await importJWK(jwk, algorithm);
  } catch {
    return { kind: 'not supported', algorithm };
  }
  try {
    await compactVerify(token, key, { algorithms: [algorithm] });
    return { kind: 'valid', kid: jwk.kid ?? '' };
  } catch {
    return { kind: 'invalid' };
  }
}
