/**
 * The parts of a living store, put together. Here is who gets what of whom; what a call does with the parts is in
 * living-store.ts.
 */
import type { Config } from '../config.ts';
import type { EndpointNow } from '../domain/delivery.ts';
import { attemptLeaseMs, claimMs, dispatchPlacesLeaseMs, longestAttemptMs } from '../domain/leases.ts';
import type { HostLimitRpc } from '../host-limit/rpc.ts';
import type { Dispatch } from '../outbound/queues.ts';
import { Admissions } from './admission.ts';
import { Alarm } from './alarm.ts';
import { Attempts } from './attempts.ts';
import type { StoreDatabase } from './database.ts';
import { Deliveries } from './deliveries/deliveries.ts';
import { FiguresReport } from './deliveries/figures.ts';
import { Summaries } from './deliveries/summary.ts';
import { Deadlines } from './duties/deadlines.ts';
import { Disabling } from './duties/disabling.ts';
import { Dispatching } from './duties/dispatch.ts';
import { Sweep } from './duties/sweep.ts';
import { Backlog } from './endpoint/backlog.ts';
import { Health } from './endpoint/health.ts';
import { Proofs } from './endpoint/proofs.ts';
import { Exports } from './jobs/exports.ts';
import { Redeliveries } from './jobs/redeliveries.ts';
import type { Owner } from './owner.ts';
import { Pauses } from './pauses.ts';
import { Reading } from './reading.ts';
import { RetryLeases } from './retry-leases.ts';
import { Room } from './room.ts';
import type { RedeliveryParts } from './single-redelivery.ts';
import { isVerified, type StandingParts } from './standing.ts';
import { DRAIN_STEP_MS } from './tuning.ts';
import { WriteCheck } from './write-check.ts';

/** What a living store needs of the object it lives in. */
export interface Surroundings {
  readonly state: DurableObjectState;
  readonly database: StoreDatabase;
  readonly owner: Owner;
  /** Sends dispatches to the queue of their lane. @throws Outage when the queue does not take them */
  send(dispatches: readonly Dispatch[]): Promise<void>;
  /** The limit of a host for a customer. */
  limit(customerId: string, host: string): HostLimitRpc;
  /** @throws ConfigError while the configuration is wrong */
  config(): Config;
}

export type Parts = ReturnType<typeof assemble>;

/** Puts the parts of a store together. It reads no row: each part does when it is asked. */
export function assemble({ state, database, owner, send, limit, config }: Surroundings) {
  const leaseMs = () => attemptLeaseMs(config().attemptTimeoutMs);
  const retentionMs = () => config().retentionMs;
  const probePatienceMs = () => leaseMs() + DRAIN_STEP_MS;
  const room = new Room(database, owner);
  const isFull = () => room.isFull();
  const deliveries = new Deliveries(database, Date.now());
  const reading = new Reading(deliveries, retentionMs);
  const { rows, packs, merging, sorting, counting } = deliveries;
  const health = new Health(database, () => owner.isHome);
  const proofs = new Proofs(
    database,
    (proof) => rows.facts.names(proof),
    () => config().verifyEndpoints,
  );
  const standing: StandingParts = { owner, health, proofs };
  const writeCheck = new WriteCheck(database);
  const admissions = new Admissions({
    known: (eventIds) => deliveries.known(eventIds),
    isOpen: () => owner.enabled && health.current.state === 'healthy',
    isFailing: () => owner.enabled && health.current.state === 'failing',
    endpoint: () => owner.ref?.endpoint,
    isFull,
    claimMs: () => claimMs(config().attemptTimeoutMs),
    attemptLeaseMs: leaseMs,
    checkWrites: (eventIds, now) => writeCheck.check(eventIds, now),
  });
  const endpointNow = (now: number): EndpointNow => {
    const { enabled, ref } = owner;
    const known = health.current.state;
    // An endpoint that has not answered for seconds, or is not verified, is treated like a slow one before a time limit says so.
    const isDoubtful = admissions.unanswered.areSlow(now) || !isVerified(standing, ref);
    const shown = known === 'healthy' && isDoubtful ? 'slow' : known;
    return { state: shown, endpoint: ref?.endpoint ?? '', enabled, holdUntil: now + retentionMs() };
  };
  const retryLeases = new RetryLeases({
    endpointNow,
    mayDispatch: (now) => dispatch.mayDispatch(now),
    room: () => rows.due.roomForFirstRetries,
  });
  const attempts = new Attempts({
    deliveries,
    retryLeases,
    health,
    proofs,
    owner,
    retryDelaysMs: () => config().retryDelaysMs,
    attemptLeaseMs: leaseMs,
    retentionMs,
    probePatienceMs,
    endpointNow,
    isScarce: () => room.isScarce(),
  });
  const exports = new Exports(
    database,
    deliveries,
    () => config().userAgent,
    isFull,
    () => owner.isHome,
  );
  const redeliveries = new Redeliveries(database, deliveries, retentionMs, () => proofs.given(), isFull);
  const summaries = new Summaries(
    database,
    deliveries,
    (after) => exports.countExported(after),
    () => owner.deletedAt !== null,
  );
  const dispatch = new Dispatching({
    deliveries: rows,
    send,
    ref: () => owner.ref,
    shards: () => owner.shards,
    endpointNow,
    isGiven: (proof) => proofs.isGiven(proof),
    countEnded: (count) => health.countEnded(count),
    limit,
    leaseMs: () => dispatchPlacesLeaseMs(longestAttemptMs(config().attemptTimeoutMs)),
  });
  const backlog = new Backlog({
    database,
    deliveries,
    redeliveries,
    health,
    proofs,
    endpointNow,
    probePatienceMs,
    waitsForHost: (endpoint) => dispatch.waitsForHost(endpoint),
    shards: () => owner.shards,
  });
  const sweep = new Sweep(database, deliveries, exports, redeliveries, retentionMs);
  const disabling = new Disabling(database, deliveries);
  const deadlines = new Deadlines(database, packs, health, endpointNow);
  const redelivery: RedeliveryParts = { owner, proofs, deliveries, dispatch };
  // In this order: the backlog makes deliveries due, which the same alarm then dispatches.
  const duties = [
    disabling,
    deadlines,
    backlog,
    dispatch,
    exports,
    sweep,
    redeliveries,
    sorting,
    merging,
    counting,
  ];
  const names = () => ({ customerId: owner.ref?.customerId, subscriptionId: owner.ref?.subscriptionId });
  const alarm = new Alarm(state.storage, duties, new Pauses(database), names, () => database.writes);
  return {
    room,
    deliveries,
    reading,
    health,
    proofs,
    standing,
    writeCheck,
    admissions,
    attempts,
    exports,
    redeliveries,
    redelivery,
    summaries,
    figures: new FiguresReport(deliveries),
    dispatch,
    alarm,
    names,
  };
}
