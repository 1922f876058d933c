/**
 * Dispatched attempts: begin, post, settle. An event store's alarm dispatched the deliveries, as ids and a lease token; the
 * store has the content. A delivery that has begun has spent its token, so a message that comes twice begins nothing.
 */

import type { Outcome } from '../domain/attempt.ts';
import { dispatchPlacesLeaseMs } from '../domain/leases.ts';
import { type Recipient, refOf, type SubscriptionRef } from '../domain/subscription.ts';
import type { Caller, StartedAttempt } from '../event-store/rpc.ts';
import type { Dispatch } from '../outbound/queues.ts';
import { Begins } from './begins.ts';
import { type Disposition, DONE, FAILED, LATER } from './disposition.ts';
import { DispatchPlaces } from './host-share.ts';
import { type Invocation, logFailedCall } from './invocation.ts';
import { SETTLE_DISPATCHED_MS } from './tuning.ts';

/** What this version of the consumer can do. */
const CALLER: Caller = { signs: true };

/** Nothing was sent: the attempt is made again. */
const NO_SLOT: Outcome = { kind: 'our_fault', message: 'no connection was free' };

/**
 * Makes the attempts of one message. Those that cannot start here are sent on with their token, which stays good. Never
 * rejects.
 * @returns `failed` when the store or the queue was away. If the result of an attempt that began is lost, the store has it
 *   made again when its lease lapses
 */
export async function deliverDispatched(
  invocation: Invocation,
  subscription: Recipient,
  dispatch: Dispatch,
): Promise<Disposition> {
  const ref = refOf(subscription);
  const store = invocation.ports.store(subscription);
  const reporter = invocation.reporter(store, subscription, dispatch.eventIds.length, SETTLE_DISPATCHED_MS);
  const isInTrouble = dispatch.unhealthy === true;
  const places = placesOf(invocation, dispatch);
  const caller: Caller = places === undefined ? { ...CALLER, hasNoPlace: true } : CALLER;

  const begins = new Begins(
    dispatch.eventIds,
    (eventIds) => invocation.answerOf(store.begin(ref, dispatch.token, eventIds, caller)),
    // Of an endpoint in trouble the store keeps a window: nothing begins there before it has a slot.
    () => (isInTrouble ? 0 : invocation.startsSoon(ref)),
  );

  async function begin(eventId: string): Promise<StartedAttempt | Disposition> {
    try {
      return (await begins.begin(eventId)) ?? DONE;
    } catch (error) {
      logFailedCall('begin', ref, error);
      return FAILED;
    }
  }

  /** Its token is spent: the store has the attempt made again soon, and does not wait until it lapses. */
  async function giveBack({ attempt, ...facts }: StartedAttempt): Promise<Disposition> {
    const result = { attempt, startedAt: invocation.ports.now(), durationMs: 0, outcome: NO_SLOT };
    places?.leave();
    await invocation.report(reporter, { ...facts, kind: 'attempted', result }, ref);
    return DONE;
  }

  async function deliver(eventId: string): Promise<Disposition> {
    const slot = await invocation.takeSlot(ref, isInTrouble, false);
    if ('kind' in slot) {
      const begun = await begins.giveUp(eventId);
      if (begun !== undefined) return await giveBack(begun);
      reporter.expectOneLess();
      return slot.kind === 'to store' ? LATER : slot;
    }
    await invocation.memory.room();
    const begun = await begin(eventId);
    if ('kind' in begun) {
      slot.release();
      reporter.expectOneLess();
      // What failed here comes again with its place.
      if (begun.kind === 'done') places?.leave();
      return begun;
    }
    const { attempt, ...facts } = begun;
    const made = await invocation.request({
      ref,
      facts,
      attempt,
      slot,
      reporter,
      isInTrouble,
      place: places,
    });
    // The token is spent: delivering the message again would do nothing.
    return made.kind === 'failed' ? DONE : made;
  }

  const each = await Promise.all(dispatch.eventIds.map(deliver));
  places?.end();
  if (each.some(({ kind }) => kind === 'failed')) return FAILED;
  const later = dispatch.eventIds.filter((_, index) => each[index]?.kind === 'later');
  return later.length === 0 ? DONE : await sendOn(invocation, ref, { ...dispatch, eventIds: later }, each);
}

/** Returns the places of a dispatch that nobody works on: its subscription is gone. */
export function returnPlaces(invocation: Invocation, dispatch: Dispatch): void {
  const places = placesOf(invocation, dispatch);
  for (const _ of dispatch.eventIds) places?.leave();
  places?.end();
}

/** Deliveries that are sent on take their places with them. */
function placesOf({ ports }: Invocation, { customerId, places }: Dispatch): DispatchPlaces | undefined {
  if (places === undefined) return undefined;
  const limit = ports.host(customerId, places.host);
  const leaseMs = dispatchPlacesLeaseMs(ports.longestAttemptMs);
  return new DispatchPlaces(limit, places.id, leaseMs, (work) => ports.waitUntil(work));
}

/** Deliveries for an endpoint that does not answer go on in the queue of endpoints in trouble, where they delay no other's. */
async function sendOn(
  { ports }: Invocation,
  ref: SubscriptionRef,
  dispatch: Dispatch,
  each: readonly Disposition[],
): Promise<Disposition> {
  const waitMs = Math.max(...each.map((one) => (one.kind === 'later' ? one.waitMs : 0)));
  const rest = waitMs > 0 ? { ...dispatch, unhealthy: true as const } : dispatch;
  try {
    await ports.sendDispatches([rest], Math.ceil(waitMs / 1000));
    return DONE;
  } catch (error) {
    logFailedCall('sendDispatches', ref, error);
    return FAILED;
  }
}
