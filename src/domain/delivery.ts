/**
 * # Delivery: one event for one subscription
 *
 * Actors: the *consumer* makes attempts. The *event store* keeps the delivery and decides. The *alarm* of the store hands
 * due deliveries back to a consumer. (The API calls a delivery "event", contract 5.)
 *
 *     arrived ──► awaiting-executing ──► executing ──► success
 *                        ▲                  │  ▲
 *                        │                  ▼  │
 *               redelivery asked      awaiting-retry      executing | awaiting-* ──► failure
 *
 * A delivery is written down only when somebody must remember it. Most deliveries are already final when the store first
 * sees them; their earlier states follow from the facts that the consumer brings. A delivery that is not final has a
 * `dueAt`, the time at which the store must act: dispatch it, or take an attempt for lapsed because its consumer died. A
 * dispatched delivery has a lease token, and the two together say when it is dispatched again because the message was lost
 * (`sendAgainAt`). The alarm goes by these alone, so no delivery can be stuck.
 *
 * Attempts are numbered over the delivery's life. A *run* is one pass of the schedule, and `runBase` counts the attempts made
 * before it. Correctness rests on these rules, not on messages arriving once or in order:
 *
 * - a success of any attempt of the current run is final and absorbs, also a late one: it ends a wait for a retry, and it
 *   replaces a failure (contract 5.3);
 * - else the first result for an attempt number wins, and any later one is dropped;
 * - an attempt begins only with the lease token of its own dispatch, and takes the token away, so a message delivered twice
 *   or late begins nothing. The store writes that down with the report of the attempt; until then it is in memory
 *   (event-store/deliveries/dispatched.ts).
 *
 * An attempt that failed for a reason of ours (`our_fault`) is not charged: it is made again after a wait, under its own
 * number, as if it had lapsed. Until then the delivery stays in `executing`. When that was the first attempt, straight from
 * the queue, the delivery is stored as if nobody had attempted it.
 *
 * Leases only save duplicates: a lapsed attempt is made again under its own number (delivery is at least once,
 * contract 6.4). Every function here is pure and returns a new value; `undefined` means "nothing changes".
 */
import {
  type AttemptError,
  type ListenerOutcome,
  type ListenerResponse,
  type OurFault,
  type Outcome,
  reasonOf,
  visible,
} from './attempt.ts';
import type { HealthState } from './endpoint-health.ts';
import { leaseTokenTime } from './ids.ts';
import { DISPATCH_LEASE_MS, dispatchLeaseMs } from './leases.ts';
import { EVENT_MAX_AGE_MS } from './limits.ts';
import { nextAttemptAt, ourFaultWaitMs, type RetryPolicy } from './retry-policy.ts';

export const DELIVERY_STATES = [
  'awaiting-executing',
  'executing',
  'awaiting-retry',
  'success',
  'failure',
] as const;
export type DeliveryState = (typeof DELIVERY_STATES)[number];

/** One change of state (contract 5.3); times in ms. */
export interface HistoryEntry {
  readonly at: number;
  readonly state: DeliveryState;
  readonly attempts: number;
  readonly reason?: string;
  readonly response?: ListenerResponse;
  readonly error?: AttemptError;
  readonly durationMs?: number;
  readonly nextAttemptAt?: number;
}

/** What never changes about a delivery, fixed when it arrives (contract 3.5). */
export interface DeliveryFacts {
  readonly eventId: string;
  /** When the event was accepted, ms: shown as `createdAt`, and expiry goes by it. */
  readonly acceptedAt: number;
  readonly endpoint: string;
  /**
   * The compact SET, sent again byte for byte. A packed delivery (event-store/deliveries/segments.ts) is never sent again:
   * its SET comes from the store without the signature and ends with the dot; `operations/show-deliveries.ts` makes it whole.
   * So does the SET of a delivery that nobody has signed yet: the consumer that begins its attempt signs it. Empty for a failure whose SET found no room (`notKept`).
   */
  readonly set: string;
  /** A test: it goes out even while its endpoint is failing (contract 10.4). */
  readonly neverHeld?: true;
  /** The request that published the event, for the log alone (contract 10.5). Absent: not known, or packed with other successes. */
  readonly requestId?: string;
}

export interface Delivery extends DeliveryFacts {
  readonly state: DeliveryState;
  /** Attempts made, redeliveries included. */
  readonly attempts: number;
  /** Attempts made before the current run of the schedule. */
  readonly runBase: number;
  readonly updatedAt: number;
  /** When the store must act next, ms; null exactly when the state is final. Of a dispatched delivery see `sendAgainAt`. */
  readonly dueAt: number | null;
  /** Set while a dispatch is on its way that has not begun an attempt. */
  readonly leaseToken: string | null;
  /**
   * `held`: waits for its failing endpoint (contract 10.4); `dueAt` is when it has waited too long. `never`: goes out in
   * whatever state the endpoint is, because it is a test, a redelivery or a probe.
   */
  readonly hold: 'possible' | 'held' | 'never';
  /** The bulk redelivery that asked for the current run (contract 10.3). */
  readonly redeliveryId: string | null;
  /**
   * The proof that the delivery waits for (contract 10.8); of a test, the proof that its success gives. Null: it may be sent.
   * While it waits, `dueAt` is when it has waited too long.
   */
  readonly proof: number | null;
  /**
   * How the store keeps the delivery, when that is not a row with a signed SET. `unsigned`: its row has a SET that nobody has signed
   * yet. `packed`: it is in a pack (event-store/deliveries/packs.ts), unsigned as well.
   */
  readonly form?: 'unsigned' | 'packed';
  /** When the delivery has waited too long, ms: counted from the first time that it was held. Absent: it was never held. */
  readonly heldUntil?: number;
  readonly history: readonly HistoryEntry[];
}

/** The result of one attempt, as its consumer saw it; times in ms. */
export interface AttemptResult {
  readonly attempt: number;
  readonly startedAt: number;
  readonly durationMs: number;
  readonly outcome: Outcome;
}

/** What a decision depends on besides the delivery itself. */
export interface Circumstances {
  readonly now: number;
  readonly enabled: boolean;
  readonly policy: RetryPolicy;
  /** An attempt that is not made for this long, for reasons of ours, ends its delivery; ms. */
  readonly retentionMs: number;
}

/** What decides whether a failing endpoint holds a delivery: the endpoint as its store knows it now. */
export interface EndpointNow {
  readonly state: HealthState;
  /** The present URL; a delivery to an earlier one is not held for this one. */
  readonly endpoint: string;
  /** Whether the subscription is enabled. */
  readonly enabled: boolean;
  /** When a delivery that is held now for the first time has waited too long, ms. */
  readonly holdUntil: number;
}

export const DISABLED = 'subscription disabled';
const ENDPOINT_FAILING = 'endpoint failing';
const NOT_VERIFIED = 'endpoint not verified';
const STORE_FULL = 'event store full';
const TOO_OLD = 'event too old';
/** Why deliveries fail that were held and never attempted. */
export type HeldFailure = typeof DISABLED | typeof ENDPOINT_FAILING | typeof TOO_OLD;
const UNKNOWN = `result of the attempt unknown; ${TOO_OLD}`;

export function isFinal(state: DeliveryState): boolean {
  return state === 'success' || state === 'failure';
}

/** A delivery that was not attempted yet: due at once, or a failure at once when the subscription is disabled. */
export function arrive(facts: DeliveryFacts, now: number, enabled: boolean): Delivery {
  const arrived: Delivery = {
    eventId: facts.eventId,
    acceptedAt: facts.acceptedAt,
    endpoint: facts.endpoint,
    set: facts.set,
    ...(facts.requestId === undefined ? {} : { requestId: facts.requestId }),
    state: 'awaiting-executing',
    attempts: 0,
    runBase: 0,
    updatedAt: facts.acceptedAt,
    dueAt: now,
    leaseToken: null,
    hold: facts.neverHeld === true ? 'never' : 'possible',
    redeliveryId: null,
    proof: null,
    history: [{ at: facts.acceptedAt, state: 'awaiting-executing', attempts: 0 }],
  };
  return enabled ? arrived : fail(arrived, now, DISABLED);
}

/**
 * The rule of contract 10.4: a failing endpoint holds the deliveries that nobody has attempted yet.
 * @returns the delivery held; the same delivery when the rule does not apply
 */
export function heldIfFailing(delivery: Delivery, endpoint: EndpointNow): Delivery {
  const isHoldable =
    delivery.hold === 'possible' &&
    delivery.proof === null &&
    delivery.state === 'awaiting-executing' &&
    delivery.attempts === 0;
  const applies = endpoint.enabled && endpoint.state === 'failing' && delivery.endpoint === endpoint.endpoint;
  if (!isHoldable || !applies) return delivery;
  const heldUntil = delivery.heldUntil ?? inLife(delivery, endpoint.holdUntil);
  return { ...delivery, hold: 'held', leaseToken: null, heldUntil, dueAt: heldUntil };
}

/**
 * The rule of contract 10.9: the store has little room left, and the delivery would only wait. It fails at once, and its SET is
 * not kept.
 */
export function notKept(facts: DeliveryFacts, now: number, enabled: boolean): Delivery {
  const reason = enabled ? STORE_FULL : `${DISABLED}; ${STORE_FULL}`;
  return { ...fail(arrive(facts, now, true), now, reason), set: '' };
}

/** Whether the SET of a delivery was kept: without it, it cannot be sent. */
export function isKept({ set }: Pick<Delivery, 'set'>): boolean {
  return set !== '';
}

/**
 * The rule of contract 10.8: a delivery that has just arrived waits for the proof of its endpoint. A test goes out, because its
 * success is the proof.
 * @param waitUntil when it has waited too long, ms
 */
export function awaitProof(delivery: Delivery, proof: number, waitUntil: number): Delivery {
  const isWaiting = delivery.dueAt !== null && delivery.hold !== 'never';
  if (!isWaiting) return { ...delivery, proof };
  const heldUntil = inLife(delivery, waitUntil);
  return { ...delivery, proof, heldUntil, dueAt: heldUntil };
}

/** Whether a delivery must not be sent before a proof is given. A test, which names the proof that it gives, waits for none. */
export function waitsForProof({ proof, hold }: Delivery): boolean {
  return proof !== null && hold !== 'never';
}

/**
 * The result of an attempt arrived for a delivery that waits for a proof. A consumer that knew only an earlier version of the
 * subscription made it. Its success ends the delivery, and proves nothing: it may be another endpoint's. Anything else changes
 * nothing, and the delivery goes on waiting.
 * @returns the delivery that the result is of; `undefined`: the result changes nothing
 */
export function attemptedMeanwhile(
  delivery: Delivery,
  isProven: boolean,
  isSuccess: boolean,
): Delivery | undefined {
  if (!waitsForProof(delivery)) return delivery;
  return isProven || isSuccess ? { ...delivery, proof: null } : undefined;
}

/** Releases a held delivery, or one whose endpoint is verified now. @param asProbe the delivery is not held again, though the endpoint is still failing */
export function releaseHeld(delivery: Delivery, now: number, asProbe: boolean): Delivery {
  // A row of an earlier version has no `heldUntil`; what is held is due when it has waited too long.
  const heldUntil = delivery.heldUntil ?? delivery.dueAt ?? now;
  return { ...delivery, hold: asProbe ? 'never' : 'possible', proof: null, heldUntil, dueAt: now };
}

/** A held delivery has failed without an attempt. */
export function failHeld(delivery: Delivery, at: number, reason: HeldFailure): Delivery {
  return fail(delivery, at, reason);
}

/**
 * What becomes of held deliveries whose time is over, of which the last was accepted at `acceptedUntil`, ms. The rule is that of
 * `dispatchOrHold`; deliveries that the backlog is releasing go on, until they are too old.
 * @returns why they fail, or until when they may go on waiting, ms
 */
export function endOfHold(
  acceptedUntil: number,
  now: number,
  endpoint: EndpointNow,
): { readonly reason: HeldFailure } | { readonly until: number } {
  const until = endOfLife({ acceptedAt: acceptedUntil });
  if (now >= until) return { reason: TOO_OLD };
  return endpoint.state === 'failing' ? { reason: ENDPOINT_FAILING } : { until };
}

/**
 * What the alarm does with a due delivery: it dispatches it, holds it, or ends it.
 * @param token the lease token of this dispatch
 * @param isProven whether the proof that the delivery waits for was given
 * @returns the delivery to store; dispatched exactly when it has a lease token; `undefined`: nothing changes
 */
export function dispatchOrHold(
  delivery: Delivery,
  token: string,
  now: number,
  endpoint: EndpointNow,
  isProven: boolean,
): Delivery | undefined {
  if (!endpoint.enabled) return disable(delivery, now);
  if (now >= endOfLife(delivery))
    return fail(delivery, now, delivery.state === 'executing' ? UNKNOWN : TOO_OLD);
  const isWaiting = waitsForProof(delivery);
  // A delivery that waits is due when it has waited for as long as events are kept (contract 10.4 and 10.8).
  if (isWaiting && !isProven) return fail(delivery, now, NOT_VERIFIED);
  if (endpoint.state === 'failing' && (isWaiting || delivery.hold === 'held'))
    return fail(delivery, now, ENDPOINT_FAILING);
  const ready = isWaiting ? { ...delivery, proof: null } : delivery;
  const held = heldIfFailing(ready, endpoint);
  return held === ready ? dispatch(ready, token, now) : held;
}

/**
 * Leases a due delivery to the queue. The first dispatch only adds the token, whose time begins the lease: `dueAt` has an index, and
 * to write it is a row more. A further dispatch keeps the unspent token, so that one that was merely slow still counts.
 */
export function dispatch(delivery: Delivery, token: string, now: number): Delivery {
  const hold = delivery.hold === 'held' ? 'possible' : delivery.hold;
  const { leaseToken } = delivery;
  if (leaseToken === null) return { ...delivery, hold, leaseToken: token };
  const leaseMs = dispatchLeaseMs(now - (leaseTokenTime(leaseToken) ?? now));
  return { ...delivery, hold, dueAt: inLife(delivery, now + leaseMs) };
}

/**
 * Leases a delivery that waits for its retry to the consumer that reported the failure, which sends it to the queue with a delay.
 * @param token its time is when the retry is due: then the lease begins
 */
export function leaseAhead(delivery: Delivery, token: string): Delivery {
  return { ...delivery, leaseToken: token };
}

/** Whether the lease of a delivery has yet to begin: its message waits in the queue until the retry is due. */
export function isLeasedAhead({ leaseToken }: Pick<Delivery, 'leaseToken'>, now: number): boolean {
  return leaseToken !== null && (leaseTokenTime(leaseToken) ?? 0) > now;
}

/** Takes a dispatch back: the delivery is due, and its token is worth nothing any more. */
export function takeBack(delivery: Delivery, now: number): Delivery {
  return { ...delivery, leaseToken: null, dueAt: Math.min(delivery.dueAt ?? now, now) };
}

/**
 * When the store acts on a dispatch that has not begun, ms: it sends it again, or ends a delivery that is too old.
 * @returns `undefined` for a delivery that is not dispatched
 */
export function sendAgainAt(
  delivery: Pick<Delivery, 'acceptedAt' | 'leaseToken' | 'dueAt'>,
): number | undefined {
  const { leaseToken, dueAt } = delivery;
  if (leaseToken === null) return undefined;
  const sentAt = leaseTokenTime(leaseToken);
  // It was due when it was first sent, so a later time is that of a further dispatch.
  return sentAt === undefined || (dueAt ?? 0) > sentAt
    ? (dueAt ?? 0)
    : inLife(delivery, sentAt + DISPATCH_LEASE_MS);
}

/**
 * Begins the attempt a dispatch was for.
 * @param leaseMs how long the consumer may take before the attempt counts as lapsed
 * @returns the delivery in `executing`; `undefined` for a stale token
 */
export function begin(delivery: Delivery, token: string, now: number, leaseMs: number): Delivery | undefined {
  if (isFinal(delivery.state) || delivery.leaseToken === null || delivery.leaseToken !== token)
    return undefined;
  const leased = { ...delivery, leaseToken: null, dueAt: inLife(delivery, now + leaseMs) };
  // A lapsed attempt is made again under its own number.
  if (delivery.state === 'executing') return leased;
  return start(leased, now);
}

/**
 * Records the result of an attempt.
 * @param existing the delivery as stored; absent for a first attempt straight from the queue
 * @returns the delivery to store; `undefined` when the result is a repeat or too late
 */
export function recordResult(
  existing: Delivery | undefined,
  facts: DeliveryFacts,
  result: AttemptResult,
  circumstances: Circumstances,
): Delivery | undefined {
  const { outcome } = result;
  if (outcome.kind === 'our_fault')
    return notCharged(existing, facts, result.attempt, outcome, circumstances);
  const delivery = existing ?? arrive(facts, circumstances.now, true);
  if (result.attempt <= delivery.runBase) return undefined; // of an earlier run
  const isNext = result.attempt === delivery.attempts + 1;
  const ended = (begun: Delivery) => end(begun, outcome, result.durationMs, circumstances);
  if (outcome.kind === 'success') {
    if (delivery.state === 'success') return undefined;
    // An attempt that this delivery knows nothing of was made before it was deleted and its event came once more.
    return ended(result.attempt > delivery.attempts ? start(delivery, result.startedAt) : delivery);
  }
  if (isFinal(delivery.state)) return undefined;
  if (delivery.state === 'executing') {
    return result.attempt === delivery.attempts ? ended(delivery) : undefined;
  }
  return isNext ? ended(start(delivery, result.startedAt)) : undefined;
}

/**
 * An attempt failed for a reason of ours (contract 6.4): it is made again after a wait, under its own number.
 * `updatedAt` of a delivery in `executing` is when the attempt began for the first time, so the wait needs no column.
 * @returns `undefined` when the attempt has a result, was dispatched again meanwhile, or belongs to a stored delivery that
 *   has its own time already
 */
function notCharged(
  existing: Delivery | undefined,
  facts: DeliveryFacts,
  attempt: number,
  outcome: OurFault,
  { now, enabled, retentionMs }: Circumstances,
): Delivery | undefined {
  if (existing === undefined) {
    const arrived = arrive(facts, now, enabled);
    return enabled ? { ...arrived, dueAt: inLife(arrived, now + ourFaultWaitMs(0)) } : arrived;
  }
  const isUnderWay = existing.state === 'executing' && existing.attempts === attempt;
  if (!isUnderWay || existing.leaseToken !== null) return undefined;
  if (!enabled) return fail(existing, now, `${reasonOf(outcome)}; ${DISABLED}`);
  const waitedMs = now - existing.updatedAt;
  if (waitedMs >= retentionMs) return fail(existing, now, reasonOf(outcome));
  return { ...existing, dueAt: inLife(existing, now + ourFaultWaitMs(waitedMs)) };
}

/**
 * Records that an attempt is under way and has had no answer yet, so that it survives its consumer. It counts as lapsed at
 * `lapsesAt`, ms.
 * @returns the delivery in `executing`; `undefined` when the attempt has ended, or was made again under its number
 */
export function recordWaiting(
  existing: Delivery | undefined,
  facts: DeliveryFacts,
  { attempt, startedAt }: Pick<AttemptResult, 'attempt' | 'startedAt'>,
  lapsesAt: number,
): Delivery | undefined {
  const delivery = existing ?? arrive(facts, startedAt, true);
  if (isFinal(delivery.state) || attempt <= delivery.runBase) return undefined;
  if (delivery.state === 'executing' && attempt === delivery.attempts) {
    // It had lapsed, and was dispatched again: that dispatch has a lease of its own.
    if (delivery.leaseToken !== null) return undefined;
    return { ...delivery, dueAt: inLife(delivery, lapsesAt) };
  }
  if (delivery.state === 'executing' || attempt !== delivery.attempts + 1) return undefined;
  return { ...start(delivery, startedAt), leaseToken: null, dueAt: inLife(delivery, lapsesAt) };
}

/**
 * The subscription was disabled (contract 3.6). What becomes of a delivery, and where that is decided:
 *
 *     it waits (held, due, dispatched)   failure at once          here, called by event-store/deliveries/disabled.ts
 *     its attempt is under way           a success counts;        `end`, below
 *                                        a failure is final
 *     ... and no result comes            failure when it lapses   here, called by `dispatchOrHold`
 *     its event waits for a slot         deferred, then failure   `Gate` in delivery/first-attempts.ts
 *     its event arrives afterwards       deferred, then failure   `admit`, then `arrive`, above
 */
export function disable(delivery: Delivery, now: number): Delivery | undefined {
  if (isFinal(delivery.state)) return undefined;
  if (delivery.state === 'executing' && (delivery.dueAt ?? 0) > now) return undefined;
  const reason = delivery.state === 'executing' ? `result of the attempt unknown; ${DISABLED}` : DISABLED;
  return fail(delivery, now, reason);
}

/**
 * Begins a new run of the schedule for a failed delivery, because somebody asked (contract 5.4 and 10.3). The caller makes sure
 * that the delivery waits for no proof.
 * @param redeliveryId the bulk redelivery that asked
 * @returns `undefined` for a delivery in any other state, and for one whose SET was not kept
 */
export function redeliver(
  delivery: Delivery,
  now: number,
  redeliveryId: string | null = null,
): Delivery | undefined {
  if (delivery.state !== 'failure' || !isKept(delivery)) return undefined;
  const { attempts } = delivery;
  return append(
    { ...delivery, runBase: attempts, dueAt: now, hold: 'never', redeliveryId, proof: null },
    { at: now, state: 'awaiting-executing', attempts },
  );
}

/** The answer or error of the last attempt, from the history. */
export function lastAnswer(delivery: Delivery): Pick<HistoryEntry, 'response' | 'error'> {
  for (let index = delivery.history.length - 1; index >= 0; index--) {
    const entry = delivery.history[index];
    if (entry?.response) return { response: entry.response };
    if (entry?.error) return { error: entry.error };
  }
  return {};
}

/** A delivery as a list shows it (contract 5.1): of its history, the last entry and the one with the last answer or error. */
export function asListed(delivery: Delivery): Delivery {
  const { history } = delivery;
  const last = history.length - 1;
  const answered = history.findLastIndex(
    ({ response, error }) => response !== undefined || error !== undefined,
  );
  return { ...delivery, history: history.filter((_, index) => index === last || index === answered) };
}

function start(delivery: Delivery, at: number): Delivery {
  const attempts = delivery.attempts + 1;
  // A first attempt may turn out to have been made while its delivery was held: the delivery is no longer held then.
  const hold = delivery.hold === 'held' ? 'possible' : delivery.hold;
  return append({ ...delivery, attempts, hold }, { at, state: 'executing', attempts });
}

function end(
  delivery: Delivery,
  outcome: ListenerOutcome,
  durationMs: number,
  { now, enabled, policy }: Circumstances,
): Delivery {
  const idle = { ...delivery, leaseToken: null };
  const facts = { at: now, attempts: delivery.attempts, ...visible(outcome), durationMs };
  if (outcome.kind === 'success') {
    return append({ ...idle, dueAt: null }, { ...facts, state: 'success' });
  }
  const planned = nextAttemptAt(policy, delivery.attempts - delivery.runBase, outcome, now);
  const next = planned && inLife(delivery, planned);
  if (next === undefined || !enabled) {
    const reason = next === undefined ? reasonOf(outcome) : `${reasonOf(outcome)}; ${DISABLED}`;
    return append({ ...idle, dueAt: null }, { ...facts, state: 'failure', reason });
  }
  return append(
    { ...idle, dueAt: next },
    { ...facts, state: 'awaiting-retry', reason: reasonOf(outcome), nextAttemptAt: next },
  );
}

/** No event is kept longer than this (contract 5), so what is not final by then fails. */
function endOfLife({ acceptedAt }: Pick<DeliveryFacts, 'acceptedAt'>): number {
  return acceptedAt + EVENT_MAX_AGE_MS;
}

/** A time at which the store must act, but not after the end of the delivery's life. */
function inLife(delivery: Pick<DeliveryFacts, 'acceptedAt'>, at: number): number {
  return Math.min(at, endOfLife(delivery));
}

function fail(delivery: Delivery, now: number, reason: string): Delivery {
  return append(
    { ...delivery, dueAt: null, leaseToken: null, hold: 'possible' },
    { at: now, state: 'failure', attempts: delivery.attempts, reason },
  );
}

function append(delivery: Delivery, entry: HistoryEntry): Delivery {
  return { ...delivery, state: entry.state, updatedAt: entry.at, history: [...delivery.history, entry] };
}
