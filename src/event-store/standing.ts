/** What the store says of the endpoint of a version: whether it may get events, and the state that the subscription shows. */
import type { SubscriptionRef } from '../domain/subscription.ts';
import type { Health } from './endpoint/health.ts';
import type { Proofs } from './endpoint/proofs.ts';
import type { Owner } from './owner.ts';
import type { Room } from './room.ts';
import type { HealthNote } from './rpc.ts';

export interface StandingParts {
  readonly owner: Owner;
  readonly health: Health;
  readonly proofs: Proofs;
}

/** A proof that the store has not learned of yet. */
const NEVER_ASKED = { askedAt: 0, givenAt: null, isTested: false };

/** Whether the endpoint of a version may get events (contract 10.8). */
export function isVerified({ owner, proofs }: StandingParts, ref: SubscriptionRef | undefined): boolean {
  const proof = ref && owner.proofOf(ref);
  return proof == null || proofs.isGiven(proof);
}

/** @param ref the caller's version, when that may be newer than the store's */
export function standingOf({ owner, health, proofs }: StandingParts, ref?: SubscriptionRef): HealthNote {
  const { state, since } = health.current;
  const newest = owner.newestOf(ref);
  const proof = newest && owner.proofOf(newest);
  if (proof == null) return { state, since };
  const { askedAt, givenAt, isTested } = proofs.find(proof) ?? NEVER_ASKED;
  if (givenAt !== null) return { state, since: Math.max(since, givenAt), proof };
  if (proofs.isGiven(proof)) return { state, since };
  return { state: 'unverified', since: askedAt, ...(isTested ? {} : { isUntested: true as const }) };
}

/** What the store reports to be noted in D1: the health of the endpoint, how full the store is, and what has failed in it. */
export function noteOf(parts: StandingParts, room: Room): HealthNote {
  const { ended } = parts.health;
  return { ...standingOf(parts), storeTenths: room.tenths, ...(ended === 0 ? {} : { ended }) };
}
