/** The part of the service that a listener meets: a key, its JWKS, and tokens signed with it. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, type JWTHeaderParameters, SignJWT } from 'jose';

export const ENDPOINT = 'https://listener.example/hooks';

export interface Service {
  readonly jwksUrl: string;
  readonly issuer: string;
  /** A token as the service sends it, with the claims and header parameters given instead of its own. */
  sign(claims?: object, header?: Partial<JWTHeaderParameters>): Promise<string>;
  close(): Promise<void>;
}

/** @param publishes whether its JWKS is to be had */
export async function startService(publishes = true): Promise<Service> {
  const { privateKey, publicKey } = await generateKeyPair('RS256');
  const jwk = { ...(await exportJWK(publicKey)), kid: 'key-1', alg: 'RS256', use: 'sig' };
  const server = createServer((_, response) => {
    if (!publishes) return response.writeHead(503).end();
    return response
      .writeHead(200, { 'content-type': 'application/json' })
      .end(JSON.stringify({ keys: [jwk] }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const issuer = `${url}/customer/webhooks`;
  return {
    jwksUrl: `${url}/customer/login/jwk`,
    issuer,
    sign: (claims, header) =>
      new SignJWT({
        iss: issuer,
        aud: [ENDPOINT],
        iat: 1_800_000_000,
        jti: crypto.randomUUID(),
        events: { entityCreated: { id: crypto.randomUUID() } },
        ...claims,
      })
        .setProtectedHeader({ alg: 'RS256', kid: 'key-1', typ: 'secevent+jwt', ...header })
        .sign(privateKey),
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
