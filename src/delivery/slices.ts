/**
 * Slices: messages of `webhook-slices`, which say "these subscriptions still have to receive these events".
 *
 * A wide message is split into slices before anything of it is delivered. So many consumers share it, and narrow messages do
 * not wait behind it. What an invocation cannot finish is sent on as a slice as well. Events keep their ids and their time of
 * acceptance, so a repeat is harmless: the event store answers that it has them.
 */
import type { IdentityEvent } from '../domain/event.ts';
import type { Recipient } from '../domain/subscription.ts';
import { type PackedEvents, packEvents, SLICE_MAX_SUBSCRIPTIONS, type SliceOf } from '../outbound/queues.ts';
import { type Addressed, recipients, widthOf } from './route.ts';
import { SLICE_DELIVERIES, SLICE_FILTER_STEPS, SLICES_MAX } from './tuning.ts';

/**
 * Packs events of one message for some subscriptions, into several slices if they are many.
 * @param deliveries of one slice, at most
 */
export function* slicesFor(
  events: readonly IdentityEvent[],
  subscriptions: readonly string[],
  deliveries: number,
  marks: Omit<SliceOf, 'subscriptions'>,
): Iterable<PackedEvents> {
  const size = Math.min(SLICE_MAX_SUBSCRIPTIONS, Math.max(1, Math.floor(deliveries / events.length)));
  for (let start = 0; start < subscriptions.length; start += size) {
    yield* slicesOf(events, { subscriptions: subscriptions.slice(start, start + size), ...marks });
  }
}

/** Packs events of one message into slices for the same subscriptions: several if the events are many. */
function slicesOf(events: readonly IdentityEvent[], slice: SliceOf): PackedEvents[] {
  const [first] = events;
  if (first === undefined) return [];
  return packEvents(events, first.acceptedAt).map((packed) => ({ ...packed, ...slice }));
}

/**
 * Splits a wide group by subscription, into parts of about equal size.
 * @param audience all subscriptions of the customer
 */
export function* split(group: Addressed, audience: readonly Recipient[]): Iterable<PackedEvents> {
  const subscriptions = recipients(group, audience).map(({ id }) => id);
  const { deliveries, steps } = widthOf(group, audience);
  const parts = Math.min(SLICES_MAX, Math.max(deliveries / SLICE_DELIVERIES, steps / SLICE_FILTER_STEPS));
  const size = Math.min(
    SLICE_MAX_SUBSCRIPTIONS,
    Math.ceil(subscriptions.length / Math.max(1, Math.ceil(parts))),
  );
  for (let start = 0; start < subscriptions.length; start += size) {
    yield* slicesOf(group.events, { subscriptions: subscriptions.slice(start, start + size) });
  }
}
