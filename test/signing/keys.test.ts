import { CompactSign, calculateJwkThumbprint, compactVerify, importJWK } from 'jose';
import { beforeAll, describe, expect, it } from 'vitest';
import { makeSigningKeys, openSigningKey } from '../../src/signing/keys.ts';
import type { NewSigningKey } from '../../src/storage/signing-keys.ts';

const sealing = { keyEncryptionKey: new Uint8Array(32).fill(7) };
const CUSTOMER = 'b18fc81d-457e-4a40-ac87-2b78bd946fa2';
const NOW = 1_769_860_800_000;

let keys: NewSigningKey[];
let current: NewSigningKey;
beforeAll(async () => {
  keys = await makeSigningKeys(sealing, CUSTOMER, NOW);
  current = keys[0] as NewSigningKey;
});

describe('the signing keys of a new customer', () => {
  it('a new customer has three signing keys: current, next and reserve', () => {
    expect(keys.map((key) => key.role)).toEqual(['current', 'next', 'reserve']);
    for (const key of keys)
      expect(key).toMatchObject({ customerId: CUSTOMER, createdAt: NOW, retiredAt: null });
  });

  it('each signing key has its own id: the first 40 hex digits of its thumbprint', async () => {
    expect(new Set(keys.map((key) => key.kid)).size).toBe(3);
    for (const { kid, publicJwk } of keys) {
      expect(kid).toMatch(/^[0-9a-f]{40}$/);
      const { kty, n, e } = publicJwk as { kty: string; n: string; e: string };
      const thumbprint = await calculateJwkThumbprint({ kty, n, e });
      const digest = atob(thumbprint.replaceAll('-', '+').replaceAll('_', '/'));
      const hex = Array.from(digest, (digit) => digit.charCodeAt(0).toString(16).padStart(2, '0')).join('');
      expect(hex.startsWith(kid)).toBe(true);
    }
  });

  it('signing keys are published with exactly the documented members, none of them private', () => {
    for (const { kid, publicJwk } of keys) {
      expect(publicJwk).toEqual({
        kty: 'RSA',
        use: 'sig',
        alg: 'RS256',
        kid,
        n: expect.stringMatching(/^[A-Za-z0-9_-]{342}$/),
        e: 'AQAB',
      });
    }
  });

  it('the private halves of new signing keys are sealed', () => {
    for (const { sealedPrivateKey } of keys) {
      const [header = ''] = sealedPrivateKey.split('.');
      expect(sealedPrivateKey).not.toContain('"d"');
      expect(JSON.parse(atob(header.replaceAll('-', '+').replaceAll('_', '/')))).toMatchObject({
        enc: 'A256GCM',
      });
    }
  });
});

describe('a sealed signing key', () => {
  it('an opened signing key signs what its public half verifies, and cannot be exported', async () => {
    const key = await openSigningKey(sealing, CUSTOMER, current.kid, current.sealedPrivateKey);
    const text = await new CompactSign(new Uint8Array([1, 2, 3]))
      .setProtectedHeader({ alg: 'RS256' })
      .sign(key);
    const { payload } = await compactVerify(
      text,
      await importJWK(current.publicJwk as { kty: string }, 'RS256'),
    );
    expect([...payload]).toEqual([1, 2, 3]);
    expect(key.extractable).toBe(false);
    expect(key.type).toBe('private');
  });

  it('a sealed signing key does not open for another customer or under another key id', async () => {
    const { kid, sealedPrivateKey } = current;
    await expect(openSigningKey(sealing, crypto.randomUUID(), kid, sealedPrivateKey)).rejects.toThrow();
    await expect(openSigningKey(sealing, CUSTOMER, keys[1]?.kid ?? '', sealedPrivateKey)).rejects.toThrow();
  });
});
