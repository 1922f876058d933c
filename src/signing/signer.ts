/**
 * Signs SETs. An isolate opens a private key once and keeps it while there is room; a batch reads all keys that are not open
 * yet in one query. A signer holds the keys that it opened itself until its invocation ends, whatever the isolate drops.
 * RS256 is deterministic (RFC 8017, 8.2): the same content and key give the same bytes, so a repeated attempt sends
 * exactly what the first one sent.
 */
import { BoundedCache } from '../bounded-cache.ts';
import {
  keyIdOf,
  type SetContent,
  setHeader,
  setPayload,
  signingInput,
  unsigned,
} from '../domain/security-event-token.ts';
import { logError } from '../log.ts';
import type { SealedKey } from '../storage/signing-keys.ts';
import { openSigningKey } from './keys.ts';
import type { SealingKeys } from './sealing.ts';

/** Opened private keys that an isolate keeps. */
const SIGNING_KEYS_OPENED_MAX = 5000;

const openedKeys = new BoundedCache<CryptoKey>(SIGNING_KEYS_OPENED_MAX);
const encoder = new TextEncoder();

/** Signs for one invocation. */
export interface Signer {
  /**
   * Opens the keys of a batch, as far as this isolate does not have them. The log names a key that does not open: signing with
   * that key fails, and nothing else does.
   * @throws what reading the keys throws
   */
  open(kids: readonly string[]): Promise<void>;
  /**
   * Signs one SET with a key that `open` opened.
   * @returns the compact serialisation (RFC 7515, 7.1)
   * @throws Error when the key is not open
   */
  sign(kid: string, content: SetContent): Promise<string>;
  /** The SET that `sign` would make, without its signature: somebody signs it when it is sent. No key has to be open. */
  prepare(kid: string, content: SetContent): string;
  /**
   * Signs a SET that is stored without its signature. If it was sent before, the result has the same bytes.
   * @param set a compact SET that ends with its second dot
   * @returns the whole SET; `set` itself when its key is not open
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
  const textOf = (kid: string, content: SetContent) => ({
    header: JSON.stringify(setHeader(baseUrl, content.customerId, kid)),
    payload: setPayload(baseUrl, content),
  });
  return {
    async open(kids) {
      const missing: string[] = [];
      for (const kid of new Set(kids)) {
        const key = opened.get(kid) ?? cache.get(kid);
        if (key === undefined) missing.push(kid);
        else opened.set(kid, key);
      }
      if (missing.length === 0) return;
      for (const { kid, customerId, sealedPrivateKey } of await loadKeys(missing)) {
        try {
          const key = await openSigningKey(options, customerId, kid, sealedPrivateKey);
          opened.set(kid, key);
          cache.set(kid, key);
        } catch (error) {
          logError('signing key does not open', error, { customerId, kid });
        }
      }
    },

    async sign(kid, content) {
      const key = opened.get(kid);
      if (key === undefined) throw new Error(`signing key ${kid} is not open`);
      return await sign(key, signingInput(textOf(kid, content)));
    },

    prepare: (kid, content) => unsigned(textOf(kid, content)),

    async signAgain(set) {
      const key = opened.get(keyIdOf(set));
      return key === undefined ? set : await sign(key, set.slice(0, -1));
    },
  };
}

/** RS256 over a signing input (RFC 7515, 5.1; RFC 7518, 3.3). @returns the compact serialisation */
async function sign(key: CryptoKey, input: string): Promise<string> {
  const signature = await crypto.subtle.sign('RSASSA-PKCS1-v1_5', key, encoder.encode(input));
  return `${input}.${new Uint8Array(signature).toBase64({ alphabet: 'base64url', omitPadding: true })}`;
}
