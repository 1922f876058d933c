/**
 * Signs SETs. Private keys are opened once per isolate and key id; a batch's unknown ones in one query.
 * RS256 is deterministic: the same content and key give the same bytes (design: a repeat is byte-identical).
 */
import type { Config } from '../config.ts';
import {
  keyIdOf,
  type SetContent,
  setHeader,
  setPayload,
  signingInput,
} from '../domain/security-event-token.ts';
import { logError } from '../log.ts';
import type { SealedKey } from '../storage/signing-keys.ts';
import { openSigningKey } from './keys.ts';

/** Opened private keys that an isolate keeps. */
const SIGNING_KEYS_OPENED_MAX = 5000;

const opened = new Map<string, CryptoKey>();
const encoder = new TextEncoder();

/** Where sealed keys come from; `storage/signing-keys.ts` fits. */
export type LoadKeys = (kids: readonly string[]) => Promise<SealedKey[]>;

/**
 * Opens the keys of a batch that this isolate has not opened yet. A key that does not open is logged and left
 * out: signing with it fails, and nothing else does.
 * @throws whatever `load` throws
 */
export async function openKeys(config: Config, kids: readonly string[], load: LoadKeys): Promise<void> {
  if (opened.size >= SIGNING_KEYS_OPENED_MAX) opened.clear();
  const missing = [...new Set(kids)].filter((kid) => !opened.has(kid));
  if (missing.length === 0) return;
  for (const { kid, customerId, sealedPrivateKey } of await load(missing)) {
    try {
      opened.set(kid, await openSigningKey(config, customerId, kid, sealedPrivateKey));
    } catch (error) {
      logError('signing key does not open', error, { customerId, kid });
    }
  }
}

/**
 * Signs one SET with a key opened before.
 * @returns the compact serialisation
 * @throws Error when the key was not opened
 */
export async function signSet(config: Config, kid: string, content: SetContent): Promise<string> {
  const key = opened.get(kid);
  if (key === undefined) throw new Error(`signing key ${kid} is not there`);
  const header = JSON.stringify(setHeader(config.baseUrl, content.customerId, kid));
  return await sign(key, signingInput({ header, payload: setPayload(config.baseUrl, content) }));
}

/**
 * Makes a SET whole that was stored without its signature: the same bytes as were sent.
 * @param unsigned a compact SET that ends with its second dot
 * @returns it with the signature; as it is when its key was not opened
 */
export async function signAgain(unsigned: string): Promise<string> {
  const key = opened.get(keyIdOf(unsigned));
  return key === undefined ? unsigned : await sign(key, unsigned.slice(0, -1));
}

/** RS256 over a signing input (RFC 7515, 5.1; RFC 7518, 3.3). @returns the compact serialisation */
async function sign(key: CryptoKey, input: string): Promise<string> {
  const signature = await crypto.subtle.sign('RSASSA-PKCS1-v1_5', key, encoder.encode(input));
  return `${input}.${new Uint8Array(signature).toBase64({ alphabet: 'base64url', omitPadding: true })}`;
}
