/**
 * Seals private signing keys for storage: each is a compact JWE (RFC 7516), encrypted by AES-256-GCM directly under
 * `KEY_ENCRYPTION_KEY`. The protected header names the key encryption key, and the owner: the customer and key id that the
 * private key belongs to. So a sealed key that is moved to another row does not open.
 */
import { base64url, CompactEncrypt, compactDecrypt, decodeProtectedHeader } from 'jose';
import { z } from 'zod';

/** The key encryption keys: the current one seals, and both open. */
export interface SealingKeys {
  readonly keyEncryptionKey: Uint8Array;
  readonly keyEncryptionKeyPrevious?: Uint8Array;
}

const Header = z.object({ kid: z.string(), owner: z.string() });

/** The id of a key encryption key, which may be public: the first 16 hex digits of its SHA-256. */
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
 * The start of every text that is sealed under the current key, and of no other. A query uses it to find the rows that must
 * be sealed again. The protected header begins with the key's id. Base64url makes four characters of each three bytes, so
 * whole groups of three bytes have the same text whatever follows.
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
 * @throws Error when the text was sealed under neither key or for another owner, or was altered; it holds no secret
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
