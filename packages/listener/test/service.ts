/** The part of the service that a listener meets: a key, its JWKS, and tokens signed with it. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, type JWK, type JWTHeaderParameters, SignJWT } from 'jose';

export const ENDPOINT = 'https://listener.example/hooks';

export type Algorithm = 'RS256' | 'EdDSA';

export interface Service {
  readonly jwksUrl: string;
  readonly issuer: string;
  /** A token as the service sends it, with the claims and header parameters given instead of its own. */
  sign(claims?: object, header?: Partial<JWTHeaderParameters>): Promise<string>;
  /** Signs with a new key from now on, and publishes it beside the old ones. @returns its id */
  rotate(algorithm?: Algorithm): Promise<string>;
  /** How often the JWKS was asked for. */
  asked(): number;
  /** Answers instead of the JWKS; `undefined` brings the JWKS back. */
  interfere(answer?: { readonly status: number; readonly body: string }): void;
  close(): Promise<void>;
}

/** @param algorithm of its first key */
export async function startService(algorithm: Algorithm = 'RS256'): Promise<Service> {
  const published: JWK[] = [];
  let signing: { readonly alg: Algorithm; readonly kid: string; readonly privateKey: CryptoKey };
  let asked = 0;
  let instead: { readonly status: number; readonly body: string } | undefined;
  const rotate = async (alg: Algorithm = 'RS256') => {
    const { privateKey, publicKey } = await generateKeyPair(alg);
    const kid = `key-${published.length + 1}`;
    published.push({ ...(await exportJWK(publicKey)), kid, alg, use: 'sig' });
    signing = { alg, kid, privateKey };
    return kid;
  };
  await rotate(algorithm);
  const server = createServer((_, response) => {
    asked++;
    const { status, body } = instead ?? { status: 200, body: JSON.stringify({ keys: published }) };
    response.writeHead(status, { 'content-type': 'application/json' }).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const issuer = `${url}/customer/webhooks`;
  return {
    jwksUrl: `${url}/customer/login/jwk`,
    issuer,
    rotate,
    asked: () => asked,
    interfere: (answer) => {
      instead = answer;
    },
    sign: (claims, header) =>
      new SignJWT({
        iss: issuer,
        aud: [ENDPOINT],
        iat: 1_800_000_000,
        jti: crypto.randomUUID(),
        events: { entityCreated: { id: crypto.randomUUID() } },
        ...claims,
      })
        .setProtectedHeader({ alg: signing.alg, kid: signing.kid, typ: 'secevent+jwt', ...header })
        .sign(signing.privateKey),
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
