import { env } from 'cloudflare:workers';
import { createLocalJWKSet, decodeProtectedHeader, jwtVerify } from 'jose';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { BoundedCache } from '../../src/bounded-cache.ts';
import { readConfig } from '../../src/config.ts';
import { notificationId } from '../../src/domain/ids.ts';
import { makeSigningKey } from '../../src/signing/keys.ts';
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
    const set = await signer.sign(key.kid, content);
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
    const [header = ''] = (await signer.sign(key.kid, content)).split('.');
    expect(atob(header.replaceAll('-', '+').replaceAll('_', '/'))).toBe(
      `{"alg":"RS256","jku":"http://webhooks.test/${CUSTOMER}/login/jwk","kid":"${key.kid}","typ":"secevent+jwt"}`,
    );
  });

  it('a SET that is signed again is the same, byte for byte', async () => {
    const key = await newKey();
    const signer = await signerOf(key);
    const [one, other] = [await signer.sign(key.kid, content), await signer.sign(key.kid, content)];
    expect(one).toBe(other);
    expect(await signer.sign(key.kid, { ...content, acceptedAt: 1 })).not.toBe(one);
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
    expect(await signer.sign(good.kid, content)).toBeTruthy();
    await expect(signer.sign(bad.kid, content)).rejects.toThrow(`signing key ${bad.kid} is not open`);
    expect(logged).toHaveBeenCalledTimes(1);
    const line = String(logged.mock.calls[0]);
    expect(JSON.parse(line)).toMatchObject({ level: 'error', customerId: CUSTOMER, kid: bad.kid });
    expect(line).not.toContain(good.sealedPrivateKey.split('.')[3]);
  });

  it('a signing key that the database does not have signs nothing', async () => {
    const signer = createSigner(config, async () => []);
    await signer.open(['unknown']);
    await expect(signer.sign('unknown', content)).rejects.toThrow('is not open');
  });

  it('a signing key is loaded again after the database was away', async () => {
    const key = await newKey();
    const away = () => Promise.reject(new Error('the database is away'));
    await expect(createSigner(config, away).open([key.kid])).rejects.toThrow('the database is away');
    const signer = await signerOf(key);
    expect(await signer.sign(key.kid, content)).toBeTruthy();
  });

  it('a batch of more customers than the cache has room for is signed with every key', async () => {
    const keys = await Promise.all(Array.from({ length: 5 }, newKey));
    const cache = new BoundedCache<CryptoKey>(2);
    const load = async (kids: readonly string[]) => keys.filter(({ kid }) => kids.includes(kid));
    const signer = createSigner(config, load, cache);
    await signer.open(keys.map(({ kid }) => kid));
    expect(cache.size).toBe(2);
    for (const { kid } of keys) expect(await signer.sign(kid, content)).toBeTruthy();
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
    expect(await signer.sign(mine.kid, content)).toBeTruthy();
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
    const set = await signer.sign(mine.kid, content);
    expect(await signer.signAgain(set.replace(/[^.]*$/, ''))).toBe(set);
  });
});
