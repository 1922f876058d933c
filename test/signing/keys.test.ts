import {
  CompactSign,
  calculateJwkThumbprint,
  compactVerify,
  exportJWK,
  generateKeyPair,
  importJWK,
} from 'jose';
import { beforeAll, describe, expect, it } from 'vitest';
import { makeEdDsaKeys, makeSigningKeys, openSigningKey, sealSigningKey } from '../../src/signing/keys.ts';
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
      expect(key).toMatchObject({ customerId: CUSTOMER, createdAt: NOW, algorithm: 'RS256' });
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

describe('the EdDSA keys of a customer', () => {
  it('a customer has two EdDSA keys: one that signs from the time given, and the next one', async () => {
    const pair = await makeEdDsaKeys(sealing, CUSTOMER, NOW, NOW + 5);
    const common = { customerId: CUSTOMER, algorithm: 'EdDSA', createdAt: NOW };
    expect(pair).toMatchObject({
      current: { ...common, role: 'current', currentSince: NOW + 5 },
      next: { ...common, role: 'next', currentSince: null },
    });
    for (const { kid, publicJwk } of Object.values(pair)) {
      expect(publicJwk).toEqual({
        kty: 'OKP',
        crv: 'Ed25519',
        use: 'sig',
        alg: 'EdDSA',
        kid,
        x: expect.stringMatching(/^[A-Za-z0-9_-]{43}$/),
      });
      const { kty, crv, x } = publicJwk as { kty: string; crv: string; x: string };
      const thumbprint = Uint8Array.fromBase64(await calculateJwkThumbprint({ kty, crv, x }), {
        alphabet: 'base64url',
      });
      expect(thumbprint.toHex().startsWith(kid)).toBe(true);
    }
    expect(pair.current.kid).not.toBe(pair.next.kid);
  });

  it('an opened EdDSA key signs what its public half verifies, and cannot be exported', async () => {
    const { current: made } = await makeEdDsaKeys(sealing, CUSTOMER, NOW, NOW);
    const key = await openSigningKey(sealing, CUSTOMER, made.kid, made.sealedPrivateKey);
    expect([key.extractable, key.type, key.usages]).toEqual([false, 'private', ['sign']]);
    const text = await new CompactSign(new Uint8Array([1, 2, 3]))
      .setProtectedHeader({ alg: 'EdDSA' })
      .sign(key);
    const publicKey = await importJWK(made.publicJwk as { kty: string }, 'EdDSA');
    expect([...(await compactVerify(text, publicKey)).payload]).toEqual([1, 2, 3]);
  });

  it('code that knows RS256 alone does not open an EdDSA key', async () => {
    const { privateKey } = await generateKeyPair('EdDSA', { extractable: true });
    await expect(importJWK(await exportJWK(privateKey), 'RS256')).rejects.toThrow();
  });

  it('a key of another kind is not sealed', async () => {
    const names = { customerId: CUSTOMER, kid: 'a'.repeat(40), role: 'next', createdAt: NOW } as const;
    const { privateKey } = await generateKeyPair('ES256', { extractable: true });
    for (const jwk of [
      await exportJWK(privateKey),
      { kty: 'OKP', crv: 'X25519', x: 'AA', d: 'AA' },
      { kty: 'oct', k: 'AA' },
    ]) {
      await expect(sealSigningKey(sealing, names, jwk)).rejects.toThrow('neither RSA nor Ed25519');
    }
  });
});
