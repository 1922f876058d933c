/**
 * First retries that are leased to the consumer that reported the failure: it sends them to the queue, with a delay, and so the alarm need not
 * ring for them (docs/decisions/0045-a-first-retry-is-sent-ahead.md). The row has the lease from the first moment. It begins when the
 * retry is due, so a message that is lost is sent again by the alarm as late as any other.
 *
 * No place at the host is asked for, so such an attempt begins only while its endpoint is healthy, and the present one (attempts.ts). Only retries of which
 * nearly all will begin are leased: the endpoint is healthy, the wait is short, and there is room for a row of `first_retries`.
 */
import { type Delivery, type EndpointNow, isLeasedAhead, leaseAhead } from '../domain/delivery.ts';
import { newLeaseToken } from '../domain/ids.ts';
import { SECOND_MS } from '../domain/limits.ts';
import { isFirstRetry } from './deliveries/first-retries.ts';
import type { LeasedRetry } from './rpc.ts';
import { SENT_AHEAD_MAX_MS } from './tuning.ts';

interface RetryLeaseParts {
  endpointNow(now: number): EndpointNow;
  /** Whether the store dispatches at all, and has room for more. */
  mayDispatch(now: number): boolean;
  /** How many more rows of `first_retries` there may be. */
  room(): number;
}

export class RetryLeases {
  readonly #parts: RetryLeaseParts;

  constructor(parts: RetryLeaseParts) {
    this.#parts = parts;
  }

  /** Leases those of the deliveries, which are about to be added in this order, that the consumer may send. @returns these alone */
  lease(added: Iterable<Delivery>, now: number): Delivery[] {
    const { endpointNow, mayDispatch, room } = this.#parts;
    const { state, endpoint } = endpointNow(now);
    if (state !== 'healthy' || !mayDispatch(now)) return [];
    const tokens = new Map<number, string>();
    const leased: Delivery[] = [];
    let left = room();
    for (const delivery of added) {
      if (!isFirstRetry(delivery) || left-- <= 0) continue;
      const dueAt = delivery.dueAt ?? now;
      // What is due at once is the alarm's: a lease that has begun is not answered (`retryOf`).
      const isSoon = dueAt > now && dueAt <= now + SENT_AHEAD_MAX_MS;
      if (delivery.endpoint !== endpoint || !isSoon) continue;
      const token = tokens.get(dueAt) ?? newLeaseToken(dueAt, crypto.getRandomValues(new Uint8Array(16)));
      tokens.set(dueAt, token);
      leased.push(leaseAhead(delivery, token));
    }
    return leased;
  }
}

/** What the consumer learns of a lease. One that has begun is the alarm's: its message may be on its way. */
export function retryOf(delivery: Delivery, now: number): LeasedRetry | undefined {
  const { eventId, leaseToken, dueAt } = delivery;
  if (leaseToken === null || !isLeasedAhead(delivery, now)) return undefined;
  return { eventId, leaseToken, delaySeconds: Math.ceil(((dueAt ?? now) - now) / SECOND_MS) };
}
