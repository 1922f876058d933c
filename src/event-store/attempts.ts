/** Attempts as the store sees them: how one begins, and what the reports of consumers change. */
import {
  arrive,
  attemptedMeanwhile,
  awaitProof,
  begin,
  type Delivery,
  type DeliveryFacts,
  type EndpointNow,
  heldIfFailing,
  isLeasedAhead,
  notKept,
  recordResult,
  recordWaiting,
  takeBack,
  waitsForProof,
} from '../domain/delivery.ts';
import { leaseTokenTime } from '../domain/ids.ts';
import { takeTest } from '../domain/proof.ts';
import { isUnsigned } from '../domain/security-event-token.ts';
import type { SubscriptionRef } from '../domain/subscription.ts';
import type { Deliveries } from './deliveries/deliveries.ts';
import type { Health } from './endpoint/health.ts';
import type { Proofs } from './endpoint/proofs.ts';
import type { Owner } from './owner.ts';
import { type RetryLeases, retryOf } from './retry-leases.ts';
import type { AttemptReport, Caller, LeasedRetry, StartedAttempt, StoredReport } from './rpc.ts';
import { SIGNER_WAIT_MS } from './tuning.ts';

/** The parts of the store that attempts work on. */
interface AttemptParts {
  readonly deliveries: Deliveries;
  readonly health: Health;
  readonly proofs: Proofs;
  readonly owner: Owner;
  readonly retryLeases: RetryLeases;
  retryDelaysMs(): readonly number[];
  attemptLeaseMs(): number;
  retentionMs(): number;
  /** How long a probe may take to show a result, ms. */
  probePatienceMs(): number;
  endpointNow(now: number): EndpointNow;
  /** Whether the store has little room left (contract 10.9). */
  isScarce(): boolean;
}

export class Attempts {
  readonly #parts: AttemptParts;

  constructor(parts: AttemptParts) {
    this.#parts = parts;
  }

  /**
   * Begins the attempt of a dispatched delivery; `undefined` when the token is stale, the delivery must be held, its lease has not begun,
   * it has no place at the host of an endpoint in trouble or an earlier one, or the caller cannot sign its SET.
   */
  begin(
    eventId: string,
    token: string,
    now: number,
    { signs, hasNoPlace }: Caller,
  ): StartedAttempt | undefined {
    const { deliveries, attemptLeaseMs, endpointNow } = this.#parts;
    const delivery = deliveries.find(eventId);
    const begun = delivery && begin(delivery, token, now, attemptLeaseMs());
    if (delivery === undefined || begun === undefined) return undefined;
    // The endpoint may have begun to fail since the dispatch.
    const held = heldIfFailing(delivery, endpointNow(now));
    if (held !== delivery) {
      deliveries.put([held]);
      return undefined;
    }
    if (isLeasedAhead(delivery, now)) {
      // No attempt is early, and the message is gone: the alarm sends another when the lease begins.
      deliveries.rows.due.dispatched.bringForward(eventId, leaseTokenTime(token) ?? now);
      return undefined;
    }
    if (hasNoPlace === true && !this.#needsNoPlace(delivery, now)) {
      deliveries.put([takeBack(delivery, now)]);
      return undefined;
    }
    if (isUnsigned(begun.set) && signs !== true) {
      // A consumer of an earlier version would send the text as it is. The next one may be of this version.
      deliveries.rows.due.dispatched.postpone([eventId], now + SIGNER_WAIT_MS);
      return undefined;
    }
    // The report of the attempt writes that it began. Until then the row is a dispatch that nobody else begins.
    deliveries.rows.due.dispatched.begin(delivery, now, begun.dueAt ?? now);
    const { acceptedAt, endpoint, set, attempts, requestId } = begun;
    const facts = { eventId, acceptedAt, endpoint, set, attempt: attempts };
    return requestId === undefined ? facts : { ...facts, requestId };
  }

  /** Whether an attempt may begin without a place at its host. Of an earlier endpoint the store does not know whether it is healthy. */
  #needsNoPlace({ endpoint }: Delivery, now: number): boolean {
    const present = this.#parts.endpointNow(now);
    return present.state === 'healthy' && present.endpoint === endpoint;
  }

  /**
   * Stores what reports change, and what they show about the endpoint.
   * @param ref the version of the subscription that the reports are of
   * @returns one answer for each, in order; and the first retries that the caller sends
   */
  record(
    ref: SubscriptionRef,
    sent: readonly AttemptReport[],
    now: number,
    { sendsRetries }: Caller,
  ): { readonly settled: StoredReport[]; readonly retries: LeasedRetry[] } {
    const { deliveries, proofs } = this.#parts;
    const reports = sent.map(ofThisVersion);
    const stored = deliveries.findAll(reports.map(({ eventId }) => eventId));
    // All are written together, so that those that are packed can share a segment or a pack.
    const arrived = new Map<string, Delivery>();
    const updated = new Map<string, Delivery>();
    let ended = 0;
    const settled = reports.map((report): StoredReport => {
      const { eventId } = report;
      const known = arrived.get(eventId) ?? updated.get(eventId) ?? stored.get(eventId);
      const existing = known && signedBy(known, report);
      const waitMs = this.#testWaitMs(report, existing, now);
      if (waitMs !== undefined) return { eventId, state: 'dropped', attempts: 0, waitMs };
      const changed = this.#changedBy(ref, report, existing, now);
      if (changed === undefined) return { eventId, state: 'dropped', attempts: existing?.attempts ?? 0 };
      // Only a test still names a proof when it succeeds.
      if (changed.state === 'success' && changed.proof !== null) proofs.give(changed.proof, now);
      (stored.has(eventId) ? updated : arrived).set(eventId, changed);
      if (this.#hasEnded(report, known, changed)) ended++;
      const { state, attempts, dueAt, hold } = changed;
      const hasNext = dueAt !== null && hold !== 'held' && !waitsForProof(changed);
      return { eventId, state, attempts, ...(hasNext ? { nextAttemptAt: dueAt } : {}) };
    });
    // A retry goes out ahead only if the endpoint is healthy after these reports.
    this.#observeHealth(reports, settled, now, ended);
    const leased = sendsRetries === true ? this.#parts.retryLeases.lease(arrived.values(), now) : [];
    for (const delivery of leased) arrived.set(delivery.eventId, delivery);
    deliveries.write([...updated.values()], [...arrived.values()]);
    if (sendsRetries !== true) return { settled, retries: [] };
    // The answer to the first of two equal calls may be lost: the second has the same leases.
    const repeated = [...stored.values()].filter(({ eventId }) => !updated.has(eventId));
    return { settled, retries: [...leased, ...repeated].flatMap((one) => retryOf(one, now) ?? []) };
  }

  /** Whether an attempt was the last: its delivery is a failure now, and not because the subscription is disabled. */
  #hasEnded({ kind }: AttemptReport, before: Delivery | undefined, after: Delivery): boolean {
    return (
      kind === 'attempted' &&
      this.#parts.owner.enabled &&
      after.state === 'failure' &&
      before?.state !== 'failure'
    );
  }

  /** @returns the delivery to store; `undefined` when the report changes nothing */
  #changedBy(
    ref: SubscriptionRef,
    report: AttemptReport,
    existing: Delivery | undefined,
    now: number,
  ): Delivery | undefined {
    const { owner, retryDelaysMs, retentionMs, attemptLeaseMs, endpointNow } = this.#parts;
    const { enabled } = owner;
    let changed: Delivery | undefined;
    if (report.kind === 'deferred') {
      if (existing !== undefined) return undefined;
      if (this.#isNotKept(report, now)) return notKept(report, now, enabled);
      changed = this.#arrived(ref, arrive(report, now, enabled), now);
      return heldIfFailing(changed, endpointNow(now));
    }
    const isSuccess = report.kind === 'attempted' && report.result.outcome.kind === 'success';
    const delivery = existing && attemptedMeanwhile(existing, this.#isProven(existing), isSuccess);
    if (existing !== undefined && delivery === undefined) return undefined;
    switch (report.kind) {
      case 'attempted': {
        const policy = { delaysMs: retryDelaysMs() };
        const circumstances = { now, enabled, policy, retentionMs: retentionMs() };
        changed = recordResult(delivery, report, report.result, circumstances);
        break;
      }
      case 'waiting':
        changed = recordWaiting(delivery, report, report, now + attemptLeaseMs());
        break;
    }
    return changed && heldIfFailing(changed, endpointNow(now));
  }

  /** Whether a delivery would only wait, in a store that has little room left. A test goes out, and there are few. */
  #isNotKept({ neverHeld }: DeliveryFacts, now: number): boolean {
    const { owner, endpointNow, isScarce } = this.#parts;
    if (neverHeld === true || !isScarce()) return false;
    return !owner.enabled || endpointNow(now).state !== 'healthy';
  }

  #isProven({ proof }: Delivery): boolean {
    return proof === null || this.#parts.proofs.isGiven(proof);
  }

  /** A delivery that was just stored waits for the proof of its endpoint, unless the proof was given (contract 10.8). */
  #arrived(ref: SubscriptionRef, delivery: Delivery, now: number): Delivery {
    const { owner, proofs, endpointNow } = this.#parts;
    const proof = owner.proofOf(ref);
    if (proof === null || proofs.isGiven(proof)) return delivery;
    proofs.ask(proof, delivery.endpoint, now);
    if (delivery.hold === 'never') proofs.markTested(proof);
    return awaitProof(delivery, proof, endpointNow(now).holdUntil);
  }

  /** Counts a new test (contract 3.7). @returns how long its caller must wait; `undefined`: the test may be stored */
  #testWaitMs(report: AttemptReport, existing: Delivery | undefined, now: number): number | undefined {
    if (report.kind !== 'deferred' || report.neverHeld !== true || existing !== undefined) return undefined;
    const { owner } = this.#parts;
    const taken = takeTest(owner.testsWholeAt, now);
    if ('waitMs' in taken) return taken.waitMs;
    owner.markTested(taken.wholeAt);
    return undefined;
  }

  /** A report that changed nothing shows nothing new; a result of an earlier endpoint shows nothing about this one. */
  #observeHealth(
    reports: readonly AttemptReport[],
    each: readonly StoredReport[],
    now: number,
    ended: number,
  ): void {
    const { owner, health } = this.#parts;
    const results = reports.flatMap((report, index) => {
      if (report.kind !== 'attempted' || each[index]?.state === 'dropped') return [];
      return report.endpoint === owner.ref?.endpoint ? [report.result] : [];
    });
    health.observe(results, now, ended);
    this.#awaitOurFaults(reports, each);
  }

  /** An attempt that is made again for a reason of ours will be a probe itself: no other one is released before it. */
  #awaitOurFaults(reports: readonly AttemptReport[], each: readonly StoredReport[]): void {
    const { owner, health, probePatienceMs } = this.#parts;
    if (health.current.state !== 'failing') return;
    const times = reports.flatMap((report, index) => {
      if (report.kind !== 'attempted' || report.result.outcome.kind !== 'our_fault') return [];
      const isOfThisEndpoint = report.endpoint === owner.ref?.endpoint;
      return isOfThisEndpoint ? (each[index]?.nextAttemptAt ?? []) : [];
    });
    if (times.length > 0) health.probed(Math.max(...times), probePatienceMs());
  }
}

/** The delivery with its signature, when the report brings it: the store keeps it unsigned, and the consumer has signed it. */
function signedBy(delivery: Delivery, { set }: DeliveryFacts): Delivery {
  return isUnsigned(delivery.set) && set.startsWith(delivery.set) ? { ...delivery, set } : delivery;
}

/** A consumer of version 0.1.0 reports that the name service is away by a mark on `unreachable`. */
function ofThisVersion(report: AttemptReport): AttemptReport {
  if (report.kind !== 'attempted') return report;
  const { outcome } = report.result;
  if (outcome.kind !== 'unreachable' || !('resolverAway' in outcome)) return report;
  return {
    ...report,
    result: { ...report.result, outcome: { kind: 'our_fault', message: outcome.message } },
  };
}
