import { env } from 'cloudflare:workers';
import { createLocalJWKSet, decodeProtectedHeader, jwtVerify } from 'jose';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { BoundedCache } from '../../src/bounded-cache.ts';
import { readConfig } from '../../src/config.ts';
import { notificationId } from '../../src/domain/ids.ts';
import { makeSigningKey, openSigningKey, sealSigningKey } from '../../src/signing/keys.ts';
import { createSigner } from '../../src/signing/signer.ts';
import type { SealedKey } from '../../src/storage/signing-keys.ts';

const config = readConfig(env);
const CUSTOMER = 'b18fc81d-457e-4a40-ac87-2b78bd946fa2';

const content = {
  customerId: CUSTOMER,
  subscriptionId: '3d9a1f6e-52c4-4b0a-9d57-6f2e8c1b7a90',
  eventId: '018bcfe5-6800-7000-8000-000000000001',
  endpoint: 'https://listener.example.com/hööks',
  acceptedAt: 1_700_000_000_999,
  occurredAt: 1_700_000_000_000,
  events: { test: { id: '018bcfe5-6800-7000-8000-000000000001' } },
};

/** A signer that has opened these keys. */
async function signerOf(...keys: SealedKey[]) {
  const signer = createSigner(config, async () => keys);
  await signer.open(keys.map(({ kid }) => kid));
  return signer;
}
const newKey = () => makeSigningKey(config, CUSTOMER, 'current', 1);

describe('a signed SET', () => {
  it('a signed SET verifies against the public key and has the given content', async () => {
    const key = await newKey();
    const signer = await signerOf(key);
    const set = await signer.sign(key, content);
    const jwks = createLocalJWKSet({ keys: [{ ...key.publicJwk, kty: 'RSA' }] });
    const { payload, protectedHeader } = await jwtVerify(set, jwks, {
      typ: 'secevent+jwt',
      issuer: `http://webhooks.test/${CUSTOMER}/webhooks`,
      audience: content.endpoint,
    });
    expect(payload).toEqual({
      aud: [content.endpoint],
      events: content.events,
      iat: 1_700_000_000,
      iss: `http://webhooks.test/${CUSTOMER}/webhooks`,
      jti: notificationId(content.subscriptionId, content.eventId),
      toe: 1_700_000_000,
    });
    expect(protectedHeader).toEqual(decodeProtectedHeader(set));
  });

  it('a signed SET has the header of the contract, byte for byte', async () => {
    const key = await newKey();
    const signer = await signerOf(key);
    const [header = ''] = (await signer.sign(key, content)).split('.');
    expect(atob(header.replaceAll('-', '+').replaceAll('_', '/'))).toBe(
      `{"alg":"RS256","jku":"http://webhooks.test/${CUSTOMER}/login/jwk","kid":"${key.kid}","typ":"secevent+jwt"}`,
    );
  });

  it('a SET that is signed again is the same, byte for byte', async () => {
    const key = await newKey();
    const signer = await signerOf(key);
    const [one, other] = [await signer.sign(key, content), await signer.sign(key, content)];
    expect(one).toBe(other);
    expect(await signer.sign(key, { ...content, acceptedAt: 1 })).not.toBe(one);
  });
});

/** The key pair of RFC 8037, appendix A: test vector 1 of RFC 8032 has the same. */
const RFC_KEY = {
  kty: 'OKP',
  crv: 'Ed25519',
  d: 'nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A',
  x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo',
};

describe('a SET that is signed with EdDSA', () => {
  const newEdDsaKey = () => makeSigningKey(config, CUSTOMER, 'current', 1, 'EdDSA');

  it('a SET that is signed with EdDSA verifies against the public key, and its header says so', async () => {
    const key = await newEdDsaKey();
    const set = await (await signerOf(key)).sign(key, content);
    const jwks = createLocalJWKSet({ keys: [{ ...key.publicJwk, kty: 'OKP' }] });
    const { payload } = await jwtVerify(set, jwks, { typ: 'secevent+jwt', algorithms: ['EdDSA'] });
    expect(payload['events']).toEqual(content.events);
    const [header = '', , signature = ''] = set.split('.');
    expect(atob(header.replaceAll('-', '+').replaceAll('_', '/'))).toBe(
      `{"alg":"EdDSA","jku":"http://webhooks.test/${CUSTOMER}/login/jwk","kid":"${key.kid}","typ":"secevent+jwt"}`,
    );
    expect(Uint8Array.fromBase64(signature, { alphabet: 'base64url' })).toHaveLength(64);
  });

  it('a SET that is signed with EdDSA again is the same, byte for byte', async () => {
    const key = await newEdDsaKey();
    const signer = await signerOf(key);
    const set = await signer.sign(key, content);
    expect(await signer.sign(key, content)).toBe(set);
    expect(await signer.signAgain(signer.prepare(key, content))).toBe(set);
    expect(await signer.sign(key, { ...content, acceptedAt: 1 })).not.toBe(set);
  });

  it('the signer makes the SET of the vector with the key of RFC 8037', async () => {
    const kid = '90facafea9b1556698540f70c0117a22ea37bd5c';
    const signer = createSigner({ ...config, baseUrl: 'https://webhooks.example.com' }, async () => [
      await sealSigningKey(config, { customerId: CUSTOMER, kid, role: 'current', createdAt: 1 }, RFC_KEY),
    ]);
    await signer.open([kid]);
    const vector = {
      ...content,
      endpoint: 'https://listener.example.com/hooks',
      acceptedAt: content.occurredAt,
    };
    const set = await signer.sign({ algorithm: 'EdDSA', kid }, vector);
    const [header = '', payload = '', signature] = set.split('.');
    expect(atob(header.replaceAll('-', '+').replaceAll('_', '/'))).toBe(
      '{"alg":"EdDSA","jku":"https://webhooks.example.com/b18fc81d-457e-4a40-ac87-2b78bd946fa2/login/jwk","kid":"90facafea9b1556698540f70c0117a22ea37bd5c","typ":"secevent+jwt"}',
    );
    expect(atob(payload.replaceAll('-', '+').replaceAll('_', '/'))).toBe(
      '{"aud":["https://listener.example.com/hooks"],"events":{"test":{"id":"018bcfe5-6800-7000-8000-000000000001"}},"iat":1700000000,"iss":"https://webhooks.example.com/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks","jti":"09b92291-a28f-525b-8095-82046f6b0d00","toe":1700000000}',
    );
    expect(signature).toBe(
      'nbxyX-a7LNSJHSozY8m60KW1Cwn17w3ldtqUGcnOWf5dIS2OvIFBdxmSxAZwWEw4tidhwPSvSyZNCfHCZOkTBQ',
    );
  });

  it('the signer makes the known signature of RFC 8037, appendix A.4', async () => {
    const kid = 'rfc8037';
    const key = await sealSigningKey(
      config,
      { customerId: CUSTOMER, kid, role: 'current', createdAt: 1 },
      RFC_KEY,
    );
    const opened = await openSigningKey(config, CUSTOMER, kid, key.sealedPrivateKey);
    const input = 'eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc';
    const signature = await crypto.subtle.sign(
      opened.algorithm.name,
      opened,
      new TextEncoder().encode(input),
    );
    expect(new Uint8Array(signature).toBase64({ alphabet: 'base64url', omitPadding: true })).toBe(
      'hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg',
    );
  });
});

describe('the algorithm of a signature', () => {
  it.each([
    ['RS256', 'EdDSA'],
    ['EdDSA', 'RS256'],
  ] as const)('a key for %s signs no SET whose header names %s', async (algorithm, other) => {
    const key = await makeSigningKey(config, CUSTOMER, 'current', 1, algorithm);
    const signer = await signerOf(key);
    const wrong = { algorithm: other, kid: key.kid };
    await expect(signer.sign(wrong, content)).rejects.toThrow(`is not open for ${other}`);
    const stored = signer.prepare(wrong, content);
    expect(await signer.signAgain(stored)).toBe(stored);
    for (const alg of ['none', 'HS256', 'Ed25519', '']) {
      const [, payload = ''] = stored.split('.');
      const forged = `${btoa(JSON.stringify({ alg, kid: key.kid })).replaceAll('=', '')}.${payload}.`;
      expect(await signer.signAgain(forged)).toBe(forged);
    }
    expect(await signer.signAgain(signer.prepare(key, content))).toBe(await signer.sign(key, content));
  });

  it('a batch with keys of both algorithms signs each SET with its own', async () => {
    const keys = [await newKey(), await makeSigningKey(config, CUSTOMER, 'current', 1, 'EdDSA')];
    const signer = await signerOf(...keys);
    const jwks = createLocalJWKSet({
      keys: keys.map(({ publicJwk }) => ({ ...publicJwk, kty: publicJwk.kty ?? '' })),
    });
    for (const key of keys) {
      const { protectedHeader } = await jwtVerify(await signer.sign(key, content), jwks);
      expect(protectedHeader).toMatchObject({ alg: key.algorithm, kid: key.kid });
    }
  });
});

describe('signing keys', () => {
  it('signing keys are loaded once, several of them in one query', async () => {
    const keys = [await newKey(), await newKey()];
    const asked: (readonly string[])[] = [];
    const load = async (kids: readonly string[]): Promise<SealedKey[]> => {
      asked.push(kids);
      return keys.filter((key) => kids.includes(key.kid));
    };
    const kids = keys.map((key) => key.kid);
    await createSigner(config, load).open([...kids, ...kids]);
    await createSigner(config, load).open(kids);
    expect(asked).toEqual([kids]);
  });

  it('a signing key that does not open is logged without a secret, and the others still sign', async () => {
    const logged = vi.spyOn(console, 'error').mockImplementation(() => {});
    onTestFinished(() => logged.mockRestore());
    const [good, bad] = [await newKey(), await newKey()];
    const moved = { ...bad, sealedPrivateKey: good.sealedPrivateKey };
    const signer = createSigner(config, async () => [moved, good]);
    await signer.open([bad.kid, good.kid]);
    expect(await signer.sign(good, content)).toBeTruthy();
    await expect(signer.sign(bad, content)).rejects.toThrow(`signing key ${bad.kid} is not open`);
    expect(logged).toHaveBeenCalledTimes(1);
    const line = String(logged.mock.calls[0]);
    expect(JSON.parse(line)).toMatchObject({ level: 'error', customerId: CUSTOMER, kid: bad.kid });
    expect(line).not.toContain(good.sealedPrivateKey.split('.')[3]);
  });

  it('a signing key that the database does not have signs nothing', async () => {
    const signer = createSigner(config, async () => []);
    await signer.open(['unknown']);
    await expect(signer.sign({ algorithm: 'RS256', kid: 'unknown' }, content)).rejects.toThrow('is not open');
  });

  it('a signing key is loaded again after the database was away', async () => {
    const key = await newKey();
    const away = () => Promise.reject(new Error('the database is away'));
    await expect(createSigner(config, away).open([key.kid])).rejects.toThrow('the database is away');
    const signer = await signerOf(key);
    expect(await signer.sign(key, content)).toBeTruthy();
  });

  it('a batch of more customers than the cache has room for is signed with every key', async () => {
    const keys = await Promise.all(Array.from({ length: 5 }, newKey));
    const cache = new BoundedCache<CryptoKey>(2);
    const load = async (kids: readonly string[]) => keys.filter(({ kid }) => kids.includes(kid));
    const signer = createSigner(config, load, cache);
    await signer.open(keys.map(({ kid }) => kid));
    expect(cache.size).toBe(2);
    for (const key of keys) expect(await signer.sign(key, content)).toBeTruthy();
  });

  it('an invocation keeps a key that it found in the cache, while others fill the cache', async () => {
    const [mine, ...others] = await Promise.all(Array.from({ length: 4 }, newKey));
    if (mine === undefined) throw new Error('no key');
    const cache = new BoundedCache<CryptoKey>(2);
    const load = async (kids: readonly string[]) => [mine, ...others].filter(({ kid }) => kids.includes(kid));
    await createSigner(config, load, cache).open([mine.kid]);
    const signer = createSigner(config, async () => [], cache);
    await signer.open([mine.kid]);
    await createSigner(config, load, cache).open(others.map(({ kid }) => kid));
    expect(cache.get(mine.kid)).toBeUndefined();
    expect(await signer.sign(mine, content)).toBeTruthy();
  });

  it('an invocation keeps its keys while others fill the cache', async () => {
    const [mine, ...others] = await Promise.all(Array.from({ length: 4 }, newKey));
    if (mine === undefined) throw new Error('no key');
    const cache = new BoundedCache<CryptoKey>(2);
    const load = async (kids: readonly string[]) => [mine, ...others].filter(({ kid }) => kids.includes(kid));
    const signer = createSigner(config, load, cache);
    await signer.open([mine.kid]);
    await createSigner(config, load, cache).open(others.map(({ kid }) => kid));
    expect(cache.get(mine.kid)).toBeUndefined();
    const set = await signer.sign(mine, content);
    expect(await signer.signAgain(set.replace(/[^.]*$/, ''))).toBe(set);
  });
});
