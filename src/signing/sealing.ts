/**
 * Private signing keys at rest: sealed as a compact JWE (RFC 7516), AES-256-GCM directly under
 * `KEY_ENCRYPTION_KEY`. The protected header names the key that sealed it and the customer and key it belongs to,
 * so that a sealed key moved to another row does not open.
 */
import { base64url, CompactEncrypt, compactDecrypt, decodeProtectedHeader } from 'jose';
import { z } from 'zod';

/** The keys that may have sealed something: the current one seals, each opens. */
export interface SealingKeys {
  readonly keyEncryptionKey: Uint8Array;
  readonly keyEncryptionKeyPrevious?: Uint8Array;
}

const Header = z.object({ kid: z.string(), owner: z.string() });

/** A short public name for a sealing key: the first 16 hex digits of its SHA-256. */
async function sealingKeyId(key: Uint8Array): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', key));
  return Array.from(digest.subarray(0, 8), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Seals a text; `owner` must be given again to open it. */
export async function seal(keys: SealingKeys, owner: string, text: string): Promise<string> {
  return await new CompactEncrypt(new TextEncoder().encode(text))
    .setProtectedHeader({ ...(await headerStart(keys)), owner: base64url.encode(owner) })
    .encrypt(keys.keyEncryptionKey);
}

/**
 * How everything sealed under the current key begins, and nothing sealed under another: it tells in a query which rows
 * wait to be sealed anew. The header begins with the key's name; whole groups of three bytes of it are whole groups of
 * four characters.
 */
export async function sealedPrefix(keys: SealingKeys): Promise<string> {
  const json = JSON.stringify(await headerStart(keys)).slice(0, -2); // without the last quote and brace
  return base64url.encode(json.slice(0, json.length - (json.length % 3)));
}

async function headerStart(keys: SealingKeys) {
  return { alg: 'dir', enc: 'A256GCM', kid: await sealingKeyId(keys.keyEncryptionKey) };
}

/**
 * Opens a sealed text.
 * @throws Error when it was sealed by neither key, for another owner, or was altered; without any secret in it
 */
export async function unseal(keys: SealingKeys, owner: string, sealed: string): Promise<string> {
  const header = Header.parse(decodeProtectedHeader(sealed));
  if (header.owner !== base64url.encode(owner)) throw new Error('sealed key belongs to another owner');
  const candidates = [keys.keyEncryptionKey, keys.keyEncryptionKeyPrevious];
  for (const key of candidates) {
    if (key !== undefined && (await sealingKeyId(key)) === header.kid) {
      const { plaintext } = await compactDecrypt(sealed, key, {
        keyManagementAlgorithms: ['dir'],
        contentEncryptionAlgorithms: ['A256GCM'],
      });
      return new TextDecoder().decode(plaintext);
    }
  }
  throw new Error(`no key encryption key with id ${header.kid}: set KEY_ENCRYPTION_KEY_PREVIOUS`);
}
