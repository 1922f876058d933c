/**
 * The security event token (SET, RFC 8417) of a notification. Header and claims are exactly those of contract 6.2, with
 * their keys in that order. This file makes the text; `signing/signer.ts` signs it.
 */
import type { IdentityEvent } from './event.ts';
import { notificationId } from './ids.ts';
import type { SigningAlgorithm, SigningKeyName } from './signing-algorithm.ts';

/** What a SET says, whichever key signs it. */
export interface SetContent {
  readonly customerId: string;
  readonly subscriptionId: string;
  readonly eventId: string;
  /** The endpoint URL as configured. */
  readonly endpoint: string;
  /** When the event was accepted, ms. */
  readonly acceptedAt: number;
  /** When the event happened, ms. */
  readonly occurredAt: number;
  /** The `events` claim: exactly one member, type → object. */
  readonly events: Readonly<Record<string, object>>;
}

interface SetHeader {
  readonly alg: SigningAlgorithm;
  readonly jku: string;
  readonly kid: string;
  readonly typ: 'secevent+jwt';
}

/** The protected header, with its members in the order in which they are written. */
export function setHeader(
  baseUrl: string,
  customerId: string,
  { algorithm, kid }: SigningKeyName,
): SetHeader {
  return { alg: algorithm, jku: `${baseUrl}/${customerId}/login/jwk`, kid, typ: 'secevent+jwt' };
}

/** The claims as JSON text, keys sorted at each level. */
export function setPayload(baseUrl: string, content: SetContent): string {
  return JSON.stringify({
    aud: [content.endpoint],
    events: content.events,
    iat: seconds(content.acceptedAt),
    iss: `${baseUrl}/${content.customerId}/webhooks`,
    jti: notificationId(content.subscriptionId, content.eventId),
    toe: seconds(content.occurredAt),
  });
}

/**
 * The `events` claim of an entity event; also what a filter is evaluated against (contract 4).
 * @param captureDomain for the default of `globalSub`
 */
export function eventsClaim(event: IdentityEvent, captureDomain: string): Record<string, object> {
  const { captureApplicationId, captureClientId, entityType, id, sub } = event;
  const globalSub =
    event.globalSub ?? `capture-v1://${captureDomain}/${captureApplicationId}/${entityType}/${sub}`;
  return {
    [event.type]: {
      ...(event.attributes === undefined ? {} : { attributes: event.attributes }),
      captureApplicationId,
      captureClientId,
      entityType,
      globalSub,
      id,
      sub,
    },
  };
}

/** The signed part of a SET as text. With the signing key, it makes the whole SET again (see `setText`). */
interface SetText {
  readonly header: string;
  readonly payload: string;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const BASE64URL = { alphabet: 'base64url', omitPadding: true } as const;

/**
 * A SET without its signature, as text that can be stored: RS256 (RFC 8017, 8.2) and EdDSA (RFC 8032, 5.1.6) are deterministic, so the
 * key and the text make the same signature again, byte for byte.
 * @param set a compact SET, also one that is not signed
 * @returns `undefined` when the text would not make the same bytes again
 */
export function setText(set: string): SetText | undefined {
  const [header = '', payload = '', signature, ...rest] = set.split('.');
  if (signature === undefined || rest.length > 0) return undefined;
  try {
    const text = { header: textOf(header), payload: textOf(payload) };
    return signingInput(text) === `${header}.${payload}` ? text : undefined;
  } catch {
    return undefined;
  }
}

/** The start of a compact SET, up to the second dot: what its signature is over (RFC 7515, 5.1). */
export function signingInput({ header, payload }: SetText): string {
  return `${base64url(header)}.${base64url(payload)}`;
}

/** A SET that nobody has signed yet, or that is stored without its signature: it ends with its second dot. */
export function unsigned(text: SetText): string {
  return `${signingInput(text)}.`;
}

/** Whether a compact SET lacks its signature. */
export function isUnsigned(set: string): boolean {
  return set.endsWith('.');
}

/** The signing key that a compact SET names. @throws SyntaxError when the text is not a compact SET */
export function keyNameOf(set: string): { readonly kid: string; readonly algorithm: string } {
  const { kid, alg } = JSON.parse(textOf(set.slice(0, set.indexOf('.')))) as SetHeader;
  return { kid, algorithm: alg };
}

/** The id of the signing key that a compact SET names. @throws SyntaxError when the text is not a compact SET */
export function keyIdOf(set: string): string {
  return keyNameOf(set).kid;
}

/** The claims of a compact SET as JSON text. @throws SyntaxError or TypeError when the text is not a compact SET */
export function payloadOf(set: string): string {
  return textOf(set.split('.')[1] ?? '');
}

function textOf(part: string): string {
  return decoder.decode(Uint8Array.fromBase64(part, BASE64URL));
}

function base64url(text: string): string {
  return encoder.encode(text).toBase64(BASE64URL);
}

function seconds(ms: number): number {
  return Math.floor(ms / 1000);
}
