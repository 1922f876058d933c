import { execFileSync } from 'node:child_process';
import { CompactSign, exportJWK, generateKeyPair, type JWK } from 'jose';
import { beforeAll, describe, expect, it } from 'vitest';
import { curlOf, quoted } from '../src/lib/curl.ts';
import { decode } from '../src/lib/token.ts';
import { verify } from '../src/lib/verify.ts';

const CLAIMS = {
  iss: 'https://w.example/c/webhooks',
  aud: ['https://x.example/ü'],
  iat: 1,
  events: { test: { id: 'E' } },
};
let token: string;
let keys: JWK[];

beforeAll(async () => {
  const { publicKey, privateKey } = await generateKeyPair('RS256');
  keys = [{ ...(await exportJWK(publicKey)), kid: 'k1' }];
  token = await new CompactSign(new TextEncoder().encode(JSON.stringify(CLAIMS)))
    .setProtectedHeader({ alg: 'RS256', kid: 'k1', typ: 'secevent+jwt' })
    .sign(privateKey);
});

describe('a token in the browser', () => {
  it('header and claims are read, letters of every script too', () => {
    expect(decode(token)).toEqual({
      header: { alg: 'RS256', kid: 'k1', typ: 'secevent+jwt' },
      claims: CLAIMS,
      hasSignature: true,
    });
  });

  it.each(['', 'a.b.c', 'e30', 'bnVsbA.bnVsbA.x'])('%j is no token', (text) => {
    expect(decode(text)).toBeUndefined();
  });

  it('the signature of the named key is valid', async () => {
    expect(await verify(token, keys)).toEqual({ kind: 'valid', kid: 'k1' });
  });

  it('a token that was changed is invalid', async () => {
    const [header, , signature] = token.split('.');
    const other = Buffer.from(JSON.stringify({ ...CLAIMS, iat: 2 })).toString('base64url');
    expect(await verify(`${header}.${other}.${signature}`, keys)).toEqual({ kind: 'invalid' });
  });

  it('a token whose key is no longer published cannot be judged', async () => {
    expect(await verify(token, [])).toEqual({ kind: 'no key' });
  });

  it('a token that is shown without its signature is not called invalid', async () => {
    expect(await verify(token.slice(0, token.lastIndexOf('.') + 1), keys)).toEqual({ kind: 'no signature' });
  });

  it('another algorithm than that of the key is invalid, whatever the token names', async () => {
    const [, payload, signature] = token.split('.');
    for (const alg of ['none', 'HS256', 'EdDSA', 'RS512']) {
      const header = Buffer.from(JSON.stringify({ alg, kid: 'k1' })).toString('base64url');
      expect(await verify(`${header}.${payload}.${signature}`, keys), alg).toEqual({ kind: 'invalid' });
    }
  });

  it('a token that is signed with EdDSA is valid by its key, and invalid when it names RS256', async () => {
    const { publicKey, privateKey } = await generateKeyPair('EdDSA');
    const all = [...keys, { ...(await exportJWK(publicKey)), kid: 'k2' }];
    const signed = await new CompactSign(new TextEncoder().encode(JSON.stringify(CLAIMS)))
      .setProtectedHeader({ alg: 'EdDSA', kid: 'k2', typ: 'secevent+jwt' })
      .sign(privateKey);
    expect(await verify(signed, all)).toEqual({ kind: 'valid', kid: 'k2' });
    const [, payload, signature] = signed.split('.');
    const header = Buffer.from(JSON.stringify({ alg: 'RS256', kid: 'k2' })).toString('base64url');
    expect(await verify(`${header}.${payload}.${signature}`, all)).toEqual({ kind: 'invalid' });
  });

  it('a key that the browser does not know leaves the token unjudged', async () => {
    const unknown = [{ kty: 'OKP', crv: 'Ed448', x: 'AA', kid: 'k1' }];
    expect(await verify(token, unknown)).toEqual({ kind: 'not supported', algorithm: 'EdDSA' });
  });
});

describe('the curl command', () => {
  it('a shell gives back every text that was quoted', () => {
    for (const text of ["it's", '$(rm -rf x) `id` "y" \\ ; & |', '\n', "''"]) {
      expect(execFileSync('/bin/sh', ['-c', `printf %s ${quoted(text)}`]).toString()).toBe(text);
    }
  });

  it('the command repeats the request, and leaves to curl what curl makes', () => {
    const command = curlOf({
      endpoint: 'https://x.example/a?b=1',
      headers: {
        Accept: '*/*',
        'Content-Length': '5',
        Host: 'x.example',
        'Content-Type': 'application/secevent+jwt',
      },
      payload: 'a.b.c',
    });
    expect(command.split(' \\\n')).toEqual([
      "curl -sS -i -X POST 'https://x.example/a?b=1'",
      "  -H 'Accept: */*'",
      "  -H 'Content-Type: application/secevent+jwt'",
      "  --data-binary 'a.b.c'",
    ]);
  });
});
