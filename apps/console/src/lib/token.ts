/** A security event token, decoded. */

export interface Decoded {
  readonly header: Readonly<Record<string, unknown>>;
  readonly claims: Readonly<Record<string, unknown>>;
  readonly hasSignature: boolean;
}

/** @returns undefined when it is no compact token */
export function decode(token: string): Decoded | undefined {
  const [header = '', claims = '', signature = ''] = token.split('.');
  try {
    return { header: part(header), claims: part(claims), hasSignature: signature !== '' };
  } catch {
    return undefined;
  }
}

function part(text: string): Record<string, unknown> {
  const bytes = Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (one) =>
    one.charCodeAt(0),
  );
  const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
  if (typeof value !== 'object' || value === null) throw new Error('no object');
  return value as Record<string, unknown>;
}

export type Verdict =
  | { readonly kind: 'valid'; readonly kid: string }
  | { readonly kind: 'invalid' }
  /** The key set has no such key. */
  | { readonly kind: 'no key' }
  /** The token was shown without a signature (contract 5.1). */
  | { readonly kind: 'no signature' }
  /** This browser does not know the algorithm of the key. */
  | { readonly kind: 'unknown algorithm'; readonly algorithm: string }
  /** Browsers offer WebCrypto over https and at localhost alone. */
  | { readonly kind: 'no WebCrypto' };
