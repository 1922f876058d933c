/**
 * Signs SETs. An isolate opens a private key once and keeps it while there is room; a batch reads all keys that are not open
 * yet in one query. A signer holds the keys that it opened itself until its invocation ends, whatever the isolate drops.
 * RS256 (RFC 8017, 8.2) and EdDSA (RFC 8032, 5.1.6) are deterministic: the same content and key give the same bytes, so a repeated
 * attempt sends exactly what the first one sent.
 *
 * The key decides its algorithm. A SET that names another one for the key is not signed.
 */
import { BoundedCache } from '../bounded-cache.ts';
import {
  keyNameOf,
  type SetContent,
  setHeader,
  setPayload,
  signingInput,
  unsigned,
} from '../domain/security-event-token.ts';
import type { SigningKeyName } from '../domain/signing-algorithm.ts';
import { logError } from '../log.ts';
import type { SealedKey } from '../storage/signing-keys.ts';
import { algorithmOf, openSigningKey } from './keys.ts';
import type { SealingKeys } from './sealing.ts';

/** Opened private keys that an isolate keeps. */
const SIGNING_KEYS_OPENED_MAX = 5000;

const openedKeys = new BoundedCache<CryptoKey>(SIGNING_KEYS_OPENED_MAX);
/** The id of the key that was taken last for each customer, by customer id. */
const takenKeys = new BoundedCache<string>(SIGNING_KEYS_OPENED_MAX);
const encoder = new TextEncoder();

/** Signs for one invocation. */
export interface Signer {
  /**
   * Opens the keys of a batch, as far as this isolate does not have them. The log names a key that does not open: signing with
   * that key fails, and nothing else does.
   * @throws what reading the keys throws
   */
  open(kids: readonly string[]): Promise<void>;
  /** Opens keys that were read together with something else, as far as this isolate does not have them. */
  take(keys: readonly SealedKey[]): Promise<void>;
  /** Whether this isolate has the key that last signed for a customer, as far as it knows. */
  holdsKeyOf(customerId: string): boolean;
  /**
   * Signs one SET with a key that `open` opened.
   * @returns the compact serialisation (RFC 7515, 7.1)
   * @throws Error when the key is not open, or has another algorithm than its name says
   */
  sign(key: SigningKeyName, content: SetContent): Promise<string>;
  /** The SET that `sign` would make, without its signature: somebody signs it when it is sent. No key has to be open. */
  prepare(key: SigningKeyName, content: SetContent): string;
  /**
   * Signs a SET that is stored without its signature. If it was sent before, the result has the same bytes.
   * @param set a compact SET that ends with its second dot
   * @returns the whole SET; `set` itself when its key is not open, or has another algorithm than the SET names
   */
  signAgain(set: string): Promise<string>;
}

/**
 * @param options the service's URL, for the SET's header and issuer, and the key encryption keys
 * @param loadKeys reads sealed private keys by id; unknown ids are left out
 * @param cache keys that this isolate has opened; tests bring a small one
 */
export function createSigner(
  options: SealingKeys & { readonly baseUrl: string },
  loadKeys: (kids: readonly string[]) => Promise<SealedKey[]>,
  cache: BoundedCache<CryptoKey> = openedKeys,
): Signer {
  const { baseUrl } = options;
  const opened = new Map<string, CryptoKey>();
  const textOf = (key: SigningKeyName, content: SetContent) => ({
    header: JSON.stringify(setHeader(baseUrl, content.customerId, key)),
    payload: setPayload(baseUrl, content),
  });
  /** The open key of this name, if it has this algorithm. */
  const find = ({ kid, algorithm }: { readonly kid: string; readonly algorithm: string }) => {
    const key = opened.get(kid);
    return key !== undefined && algorithmOf(key) === algorithm ? key : undefined;
  };
  const openSealed = async ({ kid, customerId, sealedPrivateKey }: SealedKey) => {
    try {
      const key = await openSigningKey(options, customerId, kid, sealedPrivateKey);
      opened.set(kid, key);
      cache.set(kid, key);
    } catch (error) {
      logError('signing key does not open', error, { customerId, kid });
    }
  };
  /** Takes what the isolate has. @returns what it lacks */
  const lacking = (kids: Iterable<string>) =>
    [...new Set(kids)].filter((kid) => {
      const key = opened.get(kid) ?? cache.get(kid);
      if (key !== undefined) opened.set(kid, key);
      return key === undefined;
    });
  return {
    async open(kids) {
      const missing = lacking(kids);
      if (missing.length === 0) return;
      for (const key of await loadKeys(missing)) await openSealed(key);
    },

    async take(keys) {
      const missing = lacking(keys.map(({ kid }) => kid));
      for (const key of keys) {
        if (missing.includes(key.kid)) await openSealed(key);
        if (opened.has(key.kid)) takenKeys.set(key.customerId, key.kid);
      }
    },

    holdsKeyOf(customerId) {
      const kid = takenKeys.get(customerId);
      return kid !== undefined && cache.get(kid) !== undefined;
    },

    async sign(name, content) {
      const key = find(name);
      if (key === undefined) throw new Error(`signing key ${name.kid} is not open for ${name.algorithm}`);
      return await sign(key, signingInput(textOf(name, content)));
    },

    prepare: (name, content) => unsigned(textOf(name, content)),

    async signAgain(set) {
      const key = find(keyNameOf(set));
      return key === undefined ? set : await sign(key, set.slice(0, -1));
    },
  };
}

/** The signature of a key over a signing input (RFC 7515, 5.1; RFC 7518, 3.3; RFC 8037, 3.1). @returns the compact serialisation */
async function sign(key: CryptoKey, input: string): Promise<string> {
  const signature = await crypto.subtle.sign(key.algorithm.name, key, encoder.encode(input));
  return `${input}.${new Uint8Array(signature).toBase64({ alphabet: 'base64url', omitPadding: true })}`;
}
