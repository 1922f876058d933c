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
  keys = [{ ...(await exportJWK(publicKey)), kid: 'k1', alg: 'RS256' }];
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

  it('the signature of an Ed25519 key is valid, too', async () => {
    const { publicKey, privateKey } = await generateKeyPair('EdDSA');
    const signed = await new CompactSign(new TextEncoder().encode(JSON.stringify(CLAIMS)))
      .setProtectedHeader({ alg: 'EdDSA', kid: 'k2' })
      .sign(privateKey);
    const jwk = { ...(await exportJWK(publicKey)), kid: 'k2', alg: 'EdDSA' };
    expect(await verify(signed, [...keys, jwk])).toEqual({ kind: 'valid', kid: 'k2' });
  });

  it('a key of a kind that the browser does not know leaves the question open', async () => {
    const strange = { kty: 'OKP', crv: 'Ed999', x: 'AA', kid: 'k1', alg: 'RS256' };
    expect(await verify(token, [strange])).toEqual({ kind: 'unknown algorithm', algorithm: 'RS256' });
  });

  it('another algorithm than that of the key is invalid', async () => {
    const header = Buffer.from(JSON.stringify({ alg: 'none', kid: 'k1' })).toString('base64url');
    expect(await verify(`${header}.${token.split('.')[1]}.x`, keys)).toEqual({ kind: 'invalid' });
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
