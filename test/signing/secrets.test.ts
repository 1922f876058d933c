import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { equalSecrets, hashSecret, randomAlphanumerics } from '../../src/signing/secrets.ts';

describe('random alphanumerics', () => {
  it.each([0, 1, 32, 1000])('random alphanumerics are exactly %i lower-case letters and digits', (length) => {
    expect(randomAlphanumerics(length)).toMatch(new RegExp(`^[a-z0-9]{${length}}$`));
  });

  it('random alphanumerics are never the same twice', () => {
    expect(new Set(Array.from({ length: 100 }, () => randomAlphanumerics(32))).size).toBe(100);
  });

  it('random alphanumerics favour no character', () => {
    const counts = new Map<string, number>();
    const text = Array.from({ length: 36 }, () => randomAlphanumerics(1000)).join('');
    for (const character of text) counts.set(character, (counts.get(character) ?? 0) + 1);
    expect(counts.size).toBe(36);
    // A thousand of each is expected. Chance alone never differs from that by eight standard deviations.
    for (const [character, count] of counts) {
      expect(Math.abs(count - 1000), character).toBeLessThan(250);
    }
  });
});

describe('the hash of a secret', () => {
  it('the hash of a secret is 64 hex digits, and the same every time', async () => {
    const hash = await hashSecret('customer', 'client', 'secret');
    expect(hash).toMatch(/^[0-9a-f]{64}$/);
    expect(await hashSecret('customer', 'client', 'secret')).toBe(hash);
  });

  it('the hash of a secret differs for each customer, client and secret, however their letters split', async () => {
    const hashes = await Promise.all([
      hashSecret('customer', 'client', 'secret'),
      hashSecret('other', 'client', 'secret'),
      hashSecret('customer', 'other', 'secret'),
      hashSecret('customer', 'client', 'other'),
      hashSecret('customerc', 'lient', 'secret'),
      hashSecret('customer', 'client","secret', ''),
    ]);
    expect(new Set(hashes).size).toBe(hashes.length);
  });
});

describe('two secrets', () => {
  it('two secrets are equal when all their characters are equal', async () => {
    expect(await equalSecrets('secret é', 'secret é')).toBe(true);
    expect(await equalSecrets('', '')).toBe(true);
  });

  it('two secrets are compared by their SHA-256, in constant time', async () => {
    const compare = vi.spyOn(crypto.subtle, 'timingSafeEqual');
    onTestFinished(() => compare.mockRestore());
    expect(await equalSecrets('secret', 'a much longer secret')).toBe(false);
    expect(compare.mock.calls.map((sides) => sides.map((side) => side.byteLength))).toEqual([[32, 32]]);
  });

  it.each([
    ['secret', 'secreT'],
    ['secret', 'secret '],
    ['secret', ''],
    ['', 'secret'],
    ['secret', 'a much longer secret'],
  ])('the secrets %j and %j are not equal', async (one, other) => {
    expect(await equalSecrets(one, other)).toBe(false);
  });
});
