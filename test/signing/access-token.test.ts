import { base64url, CompactSign } from 'jose';
import { describe, expect, it } from 'vitest';
import { ACCESS_TOKEN_MAX_CHARACTERS, TOKEN_SCOPE_MAX_CHARACTERS } from '../../src/domain/limits.ts';
import { issueAccessToken, readAccessToken } from '../../src/signing/access-token.ts';

const KEY = new Uint8Array(32).fill(1);
const OTHER_KEY = new Uint8Array(32).fill(2);
const NOW = 1_769_860_800_000;

const token = {
  kind: 'client',
  secretId: '3d9a1f6e-52c4-4b0a-9d57-6f2e8c1b7a90',
  expiresAt: NOW / 1000 + 3600,
  scope: 'GET:webhooks/**',
} as const;

const sessionToken = {
  kind: 'session',
  sessionId: '5b0d8e0a-93a1-4f6e-9d0c-2f7a1c3e4b58',
  expiresAt: NOW / 1000 + 600,
} as const;

/** A token signed as ours are, with this header and these claims. */
async function forge(header: { alg: string }, claims: unknown, key = KEY): Promise<string> {
  const bytes = new TextEncoder().encode(JSON.stringify(claims));
  return await new CompactSign(bytes).setProtectedHeader(header).sign(key);
}

const claims = [token.secretId, token.expiresAt, token.scope];

describe('an access token', () => {
  it('reading an access token gives the values it was issued with', async () => {
    for (const one of [token, sessionToken]) {
      expect(await readAccessToken(KEY, await issueAccessToken(KEY, one), NOW)).toEqual(one);
    }
  });

  it('an access token of a session ends at its time, to the millisecond', async () => {
    const text = await issueAccessToken(KEY, sessionToken);
    const end = sessionToken.expiresAt * 1000;
    expect(await readAccessToken(KEY, text, end - 1)).toEqual(sessionToken);
    expect(await readAccessToken(KEY, text, end)).toBe('expired');
  });

  it('an access token has at most 255 characters, with the longest scope too', async () => {
    expect(ACCESS_TOKEN_MAX_CHARACTERS).toBe(255);
    const scope = `GET:${'a'.repeat(TOKEN_SCOPE_MAX_CHARACTERS - 4)}`;
    expect((await issueAccessToken(KEY, { ...token, scope })).length).toBeLessThanOrEqual(255);
  });

  it('an access token fits into an Authorization header without encoding', async () => {
    expect(await issueAccessToken(KEY, token)).toMatch(/^[A-Za-z0-9._~+/-]+=*$/);
  });

  it('an access token ends at its time, to the millisecond', async () => {
    const text = await issueAccessToken(KEY, token);
    const end = token.expiresAt * 1000;
    expect(await readAccessToken(KEY, text, end - 1)).toEqual(token);
    expect(await readAccessToken(KEY, text, end)).toBe('expired');
  });

  it('an access token signed with another key is refused', async () => {
    expect(await readAccessToken(KEY, await issueAccessToken(OTHER_KEY, token), NOW)).toBe('malformed');
  });

  it('an access token is refused when any part of it was changed', async () => {
    const parts = (await issueAccessToken(KEY, token)).split('.');
    const other = await issueAccessToken(KEY, { ...token, scope: '*:**' });
    for (const [index, part] of other.split('.').entries()) {
      if (part !== parts[index]) {
        expect(await readAccessToken(KEY, parts.with(index, part).join('.'), NOW)).toBe('malformed');
      }
    }
    for (const [index, part] of parts.entries()) {
      const altered = parts.with(index, (part.startsWith('A') ? 'B' : 'A') + part.slice(1)).join('.');
      expect(await readAccessToken(KEY, altered, NOW)).toBe('malformed');
    }
  });

  it('an access token without a signature or with another algorithm is refused', async () => {
    const payload = base64url.encode(JSON.stringify(claims));
    const none = base64url.encode('{"alg":"none"}');
    for (const text of [`${none}.${payload}.`, `${none}.${payload}`, `${none}.${payload}.AAAA`]) {
      expect(await readAccessToken(KEY, text, NOW)).toBe('malformed');
    }
    const longKey = new Uint8Array(64).fill(1);
    expect(await readAccessToken(longKey, await forge({ alg: 'HS512' }, claims, longKey), NOW)).toBe(
      'malformed',
    );
  });

  it('a token with other claims is refused, even under our key', async () => {
    expect(await readAccessToken(KEY, await forge({ alg: 'HS256' }, claims), NOW)).toEqual(token);
    const others = [
      null,
      5,
      {},
      [],
      claims.slice(0, 2),
      [...claims, 'more'],
      [1, token.expiresAt, ''],
      ['x', null, ''],
      ['client', 'x', token.expiresAt],
      ['session', 'x'],
      ['session', 'x', token.expiresAt, ''],
    ];
    for (const other of others) {
      expect(
        await readAccessToken(KEY, await forge({ alg: 'HS256' }, other), NOW),
        JSON.stringify(other),
      ).toBe('malformed');
    }
  });

  it.each([
    ['nothing', ''],
    ['one dot', '.'],
    ['two dots', '..'],
    ['three dots', '...'],
    ['a word', 'nonsense'],
    ['three letters', 'a.b.c'],
    ['three letters beyond ASCII', 'é.é.é'],
    ['10,000 letters', 'x'.repeat(10_000)],
  ])('a token made of %s is refused', async (_, text) => {
    expect(await readAccessToken(KEY, text, NOW)).toBe('malformed');
  });
});
