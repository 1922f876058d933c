/** Deliveries, outcomes and subscriptions for the tests of the rules. */
import type { Outcome } from '../../src/domain/attempt.ts';
import type { AttemptResult, Circumstances, Delivery, DeliveryFacts } from '../../src/domain/delivery.ts';
import { arrive, begin, dispatch, recordResult } from '../../src/domain/delivery.ts';
import type { SigningKeyName } from '../../src/domain/signing-algorithm.ts';
import type { Subscription } from '../../src/domain/subscription.ts';

export const ACCEPTED = 1_700_000_000_000;
export const NOW = ACCEPTED + 50;
export const LEASE_MS = 40_000;
export const RETENTION_MS = 7 * 86_400_000;
export const POLICY = { delaysMs: [3000, 30_000, 300_000] };

export const FACTS: DeliveryFacts = {
  eventId: '018bcfe5-6800-7000-8000-000000000001',
  acceptedAt: ACCEPTED,
  endpoint: 'https://listener.example.com/hooks',
  set: 'header.payload.signature',
};

/** The key that signs in tests without keys. */
export const A_KEY: SigningKeyName = { algorithm: 'RS256', kid: 'kid' };

export const ok: Outcome = { kind: 'success', response: { statusCode: 204, headers: {} } };
export const unavailable: Outcome = { kind: 'http_error', response: { statusCode: 503, headers: {} } };
export const moved: Outcome = { kind: 'http_error', response: { statusCode: 301, headers: {} } };
export const timedOut: Outcome = { kind: 'timed_out', message: 'no answer within 10 s' };
export const ourFault: Outcome = { kind: 'our_fault', message: 'the name service gave no answer' };

export function at(now: number, enabled = true): Circumstances {
  return { now, enabled, policy: POLICY, retentionMs: RETENTION_MS };
}

export function result(attempt: number, outcome: Outcome, startedAt = NOW): AttemptResult {
  return { attempt, outcome, startedAt, durationMs: 41 };
}

const part = (value: object) => btoa(JSON.stringify(value)).replaceAll('=', '');

/** Text in the shape of a SET. It names its event, and its signature is not a real one. */
export function aSet(eventId: string, kid = 'kid'): string {
  return `${anUnsignedSet(eventId, kid)}${part({ signed: kid })}`;
}

/** Text in the shape of a SET with this `events` claim, for tests that read it. */
export function aSetWith(events: Readonly<Record<string, object>>, kid = 'kid'): string {
  const text = (value: object) => new TextEncoder().encode(JSON.stringify(value)).toBase64(BASE64URL);
  return `${text({ alg: 'RS256', kid })}.${text({ events })}.${text({ signed: kid })}`;
}

const BASE64URL = { alphabet: 'base64url', omitPadding: true } as const;

/** The same text as it is before it is signed. */
export function anUnsignedSet(eventId: string, kid = 'kid'): string {
  return `${part({ alg: 'RS256', kid })}.${part({ id: eventId })}.`;
}

/** How a consumer of these tests makes a SET that is signed later, and signs it. */
export const signing = {
  prepare: ({ id }: { readonly id: string }) => anUnsignedSet(id),
  signStored: async (set: string) => `${set}${part({ signed: 'kid' })}`,
};

/** Fails the test if a step changed nothing. */
export function changed(delivery: Delivery | undefined): Delivery {
  if (delivery === undefined) throw new Error('nothing changed');
  return delivery;
}

/** A delivery that waits for its second attempt. */
export function awaitingRetry(): Delivery {
  return changed(recordResult(undefined, FACTS, result(1, unavailable), at(NOW)));
}

/** A delivery whose first attempt began at `NOW` and is under way. */
export function executing(): Delivery {
  return changed(begin(dispatch(arrive(FACTS, NOW, true), 'token', NOW), 'token', NOW, LEASE_MS));
}

/** A new subscription to `entityCreated`, with new ids. */
export function aSubscription(now: number): Subscription {
  return {
    id: crypto.randomUUID(),
    customerId: crypto.randomUUID(),
    title: 'title',
    endpoint: 'https://listener.example/',
    events: ['entityCreated'],
    enabled: true,
    filter: null,
    filterSteps: 0,
    storeTenths: 0,
    health: 'healthy',
    healthSince: 0,
    shards: null,
    proof: null,
    version: 1,
    createdAt: now,
    updatedAt: now,
  };
}
