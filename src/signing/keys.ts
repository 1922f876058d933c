/** Makes, seals and opens the signing keys of customers: RSA with 2048 bits, for RS256 (contract 6.3). */
import { calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK, type JWK } from 'jose';
import type { NewSigningKey } from '../storage/signing-keys.ts';
import { type SealingKeys, seal, unseal } from './sealing.ts';

type Role = NewSigningKey['role'];

/** Makes one key pair, its private half sealed. `kid` is the start of its RFC 7638 thumbprint: 40 hex digits. */
export async function makeSigningKey(
  sealing: SealingKeys,
  customerId: string,
  role: Role,
  now: number,
): Promise<NewSigningKey> {
  const pair = await generateKeyPair('RS256', { modulusLength: 2048, extractable: true });
  const kid = hex(await calculateJwkThumbprint(await exportJWK(pair.publicKey))).slice(0, 40);
  return await sealSigningKey(
    sealing,
    { customerId, kid, role, createdAt: now },
    await exportJWK(pair.privateKey),
  );
}

/** A key pair as it is stored: the public half as it is published, the private half sealed. */
export async function sealSigningKey(
  sealing: SealingKeys,
  names: Pick<NewSigningKey, 'customerId' | 'kid' | 'role' | 'createdAt'>,
  privateJwk: JWK,
): Promise<NewSigningKey> {
  const { kty, n, e } = privateJwk;
  if (kty !== 'RSA' || n === undefined || e === undefined) throw new Error('the key is not RSA');
  return {
    ...names,
    publicJwk: { kty, use: 'sig', alg: 'RS256', kid: names.kid, n, e } as JsonWebKey,
    sealedPrivateKey: await seal(sealing, owner(names.customerId, names.kid), JSON.stringify(privateJwk)),
    retiredAt: null,
    currentSince: names.role === 'current' ? names.createdAt : null,
  };
}

/** The three keys of a new customer: one signs now, and two will sign after it. */
export async function makeSigningKeys(
  sealing: SealingKeys,
  customerId: string,
  now: number,
): Promise<NewSigningKey[]> {
  const roles: Role[] = ['current', 'next', 'reserve'];
  return await Promise.all(roles.map((role) => makeSigningKey(sealing, customerId, role, now)));
}

/**
 * Opens a sealed private key for signing. The opened key cannot be exported.
 * @throws Error when it does not open (see `unseal`)
 */
export async function openSigningKey(
  sealing: SealingKeys,
  customerId: string,
  kid: string,
  sealed: string,
): Promise<CryptoKey> {
  const jwk = JSON.parse(await unseal(sealing, owner(customerId, kid), sealed)) as object;
  const key = await importJWK(jwk, 'RS256', { extractable: false });
  if (key instanceof Uint8Array) throw new Error('sealed key is not RSA');
  return key;
}

/**
 * Seals a private key again, under the current key encryption key.
 * @throws Error when it does not open (see `unseal`)
 */
export async function resealSigningKey(
  sealing: SealingKeys,
  customerId: string,
  kid: string,
  sealed: string,
): Promise<string> {
  const name = owner(customerId, kid);
  return await seal(sealing, name, await unseal(sealing, name, sealed));
}

/** The name under which a private key is sealed: a sealed key opens only for its own customer and key id. */
function owner(customerId: string, kid: string): string {
  return `${customerId}/${kid}`;
}

function hex(thumbprint: string): string {
  const binary = atob(thumbprint.replaceAll('-', '+').replaceAll('_', '/'));
  return Array.from(binary, (character) => character.charCodeAt(0).toString(16).padStart(2, '0')).join('');
}
