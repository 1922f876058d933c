/**
 * # Notices for the operator (contract 10.16)
 *
 * A notice says that the endpoint of a subscription began to fail, that it fails no longer, or that events of a subscription ended in
 * failure. It is a SET like every other, of one subscription that the operator has set up. A row in D1 (`NoticesSent`) says what the
 * operator knows of each subscription, and a notice is due when that differs from what the event store says now.
 *
 * - The id of a notice is made from what it says. A notice that is sent twice, by two consumers or after a death, is one event in the store
 *   of its subscription.
 * - A notice is sent first and noted in D1 afterwards. What dies in between is sent again; what could not be sent is due at the next visit.
 * - An endpoint that fails and recovers in turn has an allowance. What it leaves out is no news: the next notice says how things are.
 * - The subscription of the notices makes none itself, or its own trouble would go round for ever.
 */
import { noticeId } from './ids.ts';
import { DAY_MS, NOTICE_INTERVAL_MS, NOTICES_AT_ONCE } from './limits.ts';
import type { ShownState } from './proof.ts';
import { rfc3339Time } from './time.ts';

/** What the operator knows of a subscription by the notices that were sent. */
export interface NoticesSent {
  /** Since when its endpoint fails, ms; null: it does not. */
  readonly failingSince: number | null;
  /** Of the events that ended in failure, how many the notices have counted. */
  readonly ended: number;
  /** When the allowance of notices about its endpoint is whole again, ms. */
  readonly wholeAt: number;
}

export const NOTHING_SENT: NoticesSent = { failingSince: null, ended: 0, wholeAt: 0 };

/** What the event store of a subscription says of it now. */
export interface Standing {
  readonly state: ShownState;
  /** When this state began, ms; 0: it was never another. */
  readonly since: number;
  /** Events that have ended in failure, because they were held or attempted to their end; absent: the store does not count them. */
  readonly ended?: number;
}

/** A subscription as a notice names it. */
interface Named {
  readonly id: string;
  readonly customerId: string;
  readonly title: string;
}

/** A notice that is due. */
export interface DueNotice {
  readonly kind: 'endpointFailing' | 'endpointRecovered' | 'eventsExpired';
  /** When what it says happened, ms. */
  readonly at: number;
  /** What makes it another notice than those before it. */
  readonly key: string;
  /** Events that ended in failure since the last notice of this kind. */
  readonly count?: number;
  /** The same, since the event store began to count. */
  readonly total?: number;
  /** What is noted once it was sent. */
  readonly sent: NoticesSent;
}

/** @returns the notice about the endpoint that is due; `undefined` when there is no news, or no allowance left */
export function dueOfEndpoint(
  sent: NoticesSent,
  { state, since }: Standing,
  now: number,
): DueNotice | undefined {
  const isFailing = state === 'failing';
  if (isFailing ? sent.failingSince === since : sent.failingSince === null) return undefined;
  const wholeAt = Math.max(sent.wholeAt, now) + NOTICE_INTERVAL_MS;
  if (wholeAt - now > NOTICES_AT_ONCE * NOTICE_INTERVAL_MS) return undefined;
  // A store that was made again does not know when the trouble ended.
  const at = since === 0 ? now : since;
  return {
    kind: isFailing ? 'endpointFailing' : 'endpointRecovered',
    at,
    key: `${state} ${since === 0 ? `after ${sent.failingSince}` : since}`,
    sent: { ...sent, failingSince: isFailing ? since : null, wholeAt },
  };
}

/** @returns the notice about events that ended in failure, if there are such since the last one */
export function dueOfEvents(sent: NoticesSent, { ended = 0 }: Standing, now: number): DueNotice | undefined {
  // A store that was made again, or an older version of the code, began to count at 0.
  const counted = ended < sent.ended ? 0 : sent.ended;
  if (ended === counted) return undefined;
  const news = { count: ended - counted, total: ended };
  return {
    kind: 'eventsExpired',
    at: now,
    key: `ended ${counted} ${ended}`,
    ...news,
    sent: { ...sent, ended },
  };
}

/**
 * The event id of a notice: the same for the same notice, so that a repeat is harmless. Its time is when the thing happened. No id may be
 * older than a day (contract 10.1), so for older things it is that time and a whole number of half days: a repeat in the same half day has
 * the same id.
 */
export function noticeEventId(subscriptionId: string, { kind, key, at }: DueNotice, now: number): string {
  const halves = Math.max(0, Math.floor((now - at) / (DAY_MS / 2)));
  return noticeId(`${subscriptionId} ${kind} ${key}`, at + halves * (DAY_MS / 2));
}

/** The `events` claim of a notice. It has no personal data of ours; `title` is what people of the customer wrote. */
export function noticeClaim(
  eventId: string,
  { id, customerId, title }: Named,
  notice: DueNotice,
  { state, since }: Standing,
  waiting: number,
): Record<string, object> {
  const { kind, count, total } = notice;
  return {
    [kind]: {
      ...(count === undefined ? {} : { count }),
      customerId,
      id: eventId,
      ...(since === 0 ? {} : { since: rfc3339Time(since) }),
      state,
      subscriptionId: id,
      title,
      ...(total === undefined ? {} : { total }),
      waiting,
    },
  };
}
