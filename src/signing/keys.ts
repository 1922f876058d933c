/** Makes, seals and opens the signing keys of customers (contract 6.3): RSA with 2048 bits for RS256, Ed25519 for EdDSA (RFC 8037). */
import { calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK, type JWK } from 'jose';
import type { SigningAlgorithm } from '../domain/signing-algorithm.ts';
import type { NewSigningKey } from '../storage/signing-keys.ts';
import { type SealingKeys, seal, unseal } from './sealing.ts';

type Role = NewSigningKey['role'];

/** How keys of each algorithm are made. */
const GENERATION = {
  RS256: { modulusLength: 2048 },
  EdDSA: { crv: 'Ed25519' },
} as const satisfies Record<SigningAlgorithm, object>;

/**
 * Makes one key pair, its private half sealed. `kid` is the start of its RFC 7638 thumbprint: 40 hex digits.
 * @param signsFrom when a current key begins to sign, ms
 */
export async function makeSigningKey(
  sealing: SealingKeys,
  customerId: string,
  role: Role,
  now: number,
  algorithm: SigningAlgorithm = 'RS256',
  signsFrom: number = now,
): Promise<NewSigningKey> {
  const pair = await generateKeyPair(algorithm, { ...GENERATION[algorithm], extractable: true });
  const kid = hex(await calculateJwkThumbprint(await exportJWK(pair.publicKey))).slice(0, 40);
  return await sealSigningKey(
    sealing,
    { customerId, kid, role, createdAt: now },
    await exportJWK(pair.privateKey),
    signsFrom,
  );
}

/** A key pair as it is stored: the public half as it is published, the private half sealed. The pair says which algorithm it is for. */
export async function sealSigningKey(
  sealing: SealingKeys,
  names: Pick<NewSigningKey, 'customerId' | 'kid' | 'role' | 'createdAt'>,
  privateJwk: JWK,
  signsFrom: number = names.createdAt,
): Promise<NewSigningKey> {
  return {
    ...names,
    ...publicHalf(privateJwk, names.kid),
    sealedPrivateKey: await seal(sealing, owner(names.customerId, names.kid), JSON.stringify(privateJwk)),
    currentSince: names.role === 'current' ? signsFrom : null,
  };
}

/** The two EdDSA keys of a customer: one signs from `signsFrom` (ms) on, and one after it. */
export async function makeEdDsaKeys(
  sealing: SealingKeys,
  customerId: string,
  now: number,
  signsFrom: number,
): Promise<{ readonly current: NewSigningKey; readonly next: NewSigningKey }> {
  return {
    current: await makeSigningKey(sealing, customerId, 'current', now, 'EdDSA', signsFrom),
    next: await makeSigningKey(sealing, customerId, 'next', now, 'EdDSA'),
  };
}

/** The three RSA keys of a new customer: one signs now, and two will sign after it. */
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
  const jwk = JSON.parse(await unseal(sealing, owner(customerId, kid), sealed)) as JWK;
  const key = await importJWK(jwk, publicHalf(jwk, kid).algorithm, { extractable: false });
  if (key instanceof Uint8Array) throw new Error('sealed key is a secret');
  return key;
}

/** The algorithm that an opened key signs by. */
export function algorithmOf(key: CryptoKey): SigningAlgorithm {
  return key.algorithm.name === 'Ed25519' ? 'EdDSA' : 'RS256';
}

/** @throws Error when the key is of no kind that we make */
function publicHalf({ kty, crv, n, e, x }: JWK, kid: string) {
  const common = { use: 'sig', kid };
  if (kty === 'RSA' && n !== undefined && e !== undefined) {
    const publicJwk: JsonWebKey = { kty, ...common, alg: 'RS256', n, e };
    return { algorithm: 'RS256', publicJwk } as const;
  }
  if (kty === 'OKP' && crv === 'Ed25519' && x !== undefined) {
    const publicJwk: JsonWebKey = { kty, crv, ...common, alg: 'EdDSA', x };
    return { algorithm: 'EdDSA', publicJwk } as const;
  }
  throw new Error('the key is neither RSA nor Ed25519');
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
