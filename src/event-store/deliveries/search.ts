/**
 * # Searches: lists in either order, of some types, of a span of time (contract 10.12)
 *
 * A search goes through deliveries by event id and keeps those that it looks for. Whatever a customer looks for, one look goes through
 * a bounded number of them (tuning.ts) and says how far it came; the caller goes on there.
 *
 * States and times are columns. A time also bounds the ids, because the time in an id is near the acceptance of its event. A
 * type is known only from the SET, so a search by type reads the SETs of all that it goes through.
 */
import { asListed, type Delivery } from '../../domain/delivery.ts';
import { eventIdFloor } from '../../domain/ids.ts';
import { EVENT_ID_MAX_FUTURE_MS, EVENT_ID_MAX_PAST_MS } from '../../domain/limits.ts';
import { expiresAt, type Retention } from '../../domain/retention.ts';
import { shownTypeOf } from '../../domain/shown-type.ts';
import type { FoundDelivery, FoundPage, Order, SearchQuery } from '../rpc.ts';
import {
  SEARCH_BITE,
  SEARCH_BITE_ROWS,
  SEARCH_BITES,
  SEARCH_CHARACTERS,
  SEGMENT_ID_MAX_SKEW_MS,
} from '../tuning.ts';
import type { Packs } from './packs.ts';
import type { LookedAt, Rows } from './rows.ts';
import type { Segments } from './segments.ts';

/** Deliveries in the order of the query, and how far they were looked for; without `upTo`, to the end. */
interface Looked {
  readonly deliveries: readonly Delivery[];
  readonly upTo?: string;
}

/** One look: it ends when the page is full, at the end of what is stored, or after so many bites or characters. */
export function search(
  rows: Rows,
  segments: Segments,
  packs: Packs,
  query: SearchQuery,
  retention: Retention,
): FoundPage {
  const found: FoundDelivery[] = [];
  let rest = query;
  for (let bites = 0, read = 0; bites < SEARCH_BITES && read < SEARCH_CHARACTERS; bites++) {
    // What is found twice counts as the later look found it.
    const { deliveries, upTo } = merged(query.order, [
      lookAtPacks(packs, rest, retention),
      lookAtRows(rows, rest, retention),
      lookAtFirstRetries(rows, rest),
      lookAtBegun(rows, rest, retention.now),
      lookAtSegments(segments, rest, retention),
    ]);
    for (const delivery of deliveries) {
      const one = query.isSummary || query.types !== undefined ? withType(delivery) : { delivery };
      if (query.types !== undefined && (one.type === undefined || !query.types.includes(one.type))) continue;
      found.push(query.isSummary ? withoutSet(one) : one);
      if (found.length === query.limit) return { found, upTo: delivery.eventId };
    }
    if (upTo === undefined) return { found };
    rest = beyond(rest, upTo);
    read += deliveries.reduce((sum, { set }) => sum + set.length, 0);
  }
  const upTo = cursorOf(rest);
  return upTo === undefined ? { found } : { found, upTo };
}

/** What a summary shows of a delivery. */
export function summaryOf(delivery: Delivery): FoundDelivery {
  return withoutSet(withType(delivery));
}

function withType(delivery: Delivery): FoundDelivery {
  const type = shownTypeOf(delivery.set);
  return type === undefined ? { delivery } : { delivery, type };
}

function withoutSet(found: FoundDelivery): FoundDelivery {
  return { ...found, delivery: { ...found.delivery, set: '' } };
}

/** Deliveries that have a row. */
function lookAtRows(rows: Rows, query: SearchQuery, { now, retentionMs }: Retention): Looked {
  const { order, since, until } = query;
  const isWanted = (row: LookedAt) =>
    isSought(row, query) && (expiresAt(row, retentionMs) ?? Number.POSITIVE_INFINITY) > now;
  // Most rows may be in another state only while a mark is on them; otherwise an index has those of the state.
  const isPicky = since !== undefined || until !== undefined || rows.disabled.mark !== undefined;
  const limit = isPicky ? SEARCH_BITE_ROWS : biteOf(query);
  const looked = rows.look({ ...idsWithin(query, EVENT_ID_MAX_PAST_MS), order, limit });
  const wanted = looked.filter(isWanted).map(({ eventId }) => eventId);
  const taken = wanted.slice(0, biteOf(query));
  const whole = rows.listed(taken);
  // An attempt that is under way is in memory: its delivery is shown in another state than its row has.
  const deliveries = taken
    .flatMap((eventId) => whole.get(eventId) ?? [])
    .filter((one) => isSought(one, query));
  if (taken.length < wanted.length) return upToLast(deliveries, taken.at(-1));
  return upToLast(deliveries, looked.length < limit ? undefined : looked.at(-1)?.eventId);
}

/** Deliveries that wait for their first retry. */
function lookAtFirstRetries(rows: Rows, query: SearchQuery): Looked {
  const limit = biteOf(query);
  const bite = rows.lookAtFirstRetries({ ...query, limit });
  const deliveries = bite.filter((delivery) => isSought(delivery, query));
  return upToLast(deliveries, bite.length < limit ? undefined : bite.at(-1)?.eventId);
}

/** Deliveries whose attempt is under way, in memory alone. The attempts under way at once are bounded. */
function lookAtBegun(rows: Rows, query: SearchQuery, now: number): Looked {
  const { order, state, after = '', before = '~' } = query;
  if (state !== 'executing') return { deliveries: [] };
  const begun = rows.due.dispatched.begun(now).filter((eventId) => eventId > after && eventId < before);
  begun.sort((a, b) => (isBefore(order, a, b) ? -1 : 1));
  const taken = begun.slice(0, biteOf(query));
  const whole = rows.listed(taken);
  const deliveries = taken
    .flatMap((eventId) => whole.get(eventId) ?? [])
    .filter((one) => isSought(one, query));
  return upToLast(deliveries, taken.length < begun.length ? taken.at(-1) : undefined);
}

/** Deliveries that succeeded at once. */
function lookAtSegments(segments: Segments, query: SearchQuery, { now, retentionMs }: Retention): Looked {
  if (query.state !== undefined && query.state !== 'success') return { deliveries: [] };
  const since = Math.max(query.since ?? 0, now - retentionMs + 1);
  const limit = biteOf(query);
  const { after, before } = idsWithin({ ...query, since }, SEGMENT_ID_MAX_SKEW_MS);
  const page = segments.page({
    order: query.order,
    after,
    before,
    acceptedAfter: since - 1,
    acceptedUntil: query.until ?? Number.POSITIVE_INFINITY,
    limit,
  });
  const deliveries = page.map(asListed);
  return upToLast(deliveries, deliveries.length < limit ? undefined : deliveries.at(-1)?.eventId);
}

/** Held deliveries that nobody has attempted, and those of them that failed without an attempt. */
function lookAtPacks(packs: Packs, query: SearchQuery, retention: Retention): Looked {
  const { state } = query;
  if (state !== undefined && state !== 'awaiting-executing' && state !== 'failure') return { deliveries: [] };
  const limit = biteOf(query);
  const within = idsWithin(query, SEGMENT_ID_MAX_SKEW_MS);
  const bite = packs.page(state && state !== 'failure', { ...within, limit }, retention);
  const deliveries = bite.filter((delivery) => isSought(delivery, query)).map(asListed);
  return upToLast(deliveries, bite.length < limit ? undefined : bite.at(-1)?.eventId);
}

/** Whether a delivery has the state and the time of acceptance that the query names. */
function isSought(
  one: Pick<Delivery, 'state' | 'acceptedAt'>,
  { state, since = 0, until = Number.POSITIVE_INFINITY }: SearchQuery,
): boolean {
  return (state === undefined || one.state === state) && one.acceptedAt >= since && one.acceptedAt <= until;
}

/** Looks at different places as one: it has come as far as the one that has come least far. Two of them may find the same delivery. */
function merged(order: Order, looks: readonly Looked[]): Looked {
  const [end] = looks.flatMap(({ upTo }) => upTo ?? []).sort((a, b) => (isBefore(order, a, b) ? -1 : 1));
  const found = new Map(looks.flatMap((look) => look.deliveries).map((one) => [one.eventId, one]));
  const deliveries = [...found.values()]
    .filter(({ eventId }) => end === undefined || !isBefore(order, end, eventId))
    .sort((a, b) => (isBefore(order, a.eventId, b.eventId) ? -1 : 1));
  return upToLast(deliveries, end);
}

function isBefore(order: Order, a: string, b: string): boolean {
  return order === 'asc' ? a < b : a > b;
}

function upToLast(deliveries: readonly Delivery[], upTo: string | undefined): Looked {
  return upTo === undefined ? { deliveries } : { deliveries, upTo };
}

/** Deliveries that one bite reads whole. A search by type reads as many as it can, because it may throw most of them away. */
function biteOf({ types, limit }: SearchQuery): number {
  return types === undefined ? Math.min(limit, SEARCH_BITE) : SEARCH_BITE;
}

/**
 * The query with the ids to which its times bound it.
 * @param lateMs how long before its acceptance the time in an id may be; after it, five minutes
 */
function idsWithin(query: SearchQuery, lateMs: number): SearchQuery {
  const { since, until, after, before } = query;
  const low = since === undefined ? undefined : eventIdFloor(since - lateMs - 1);
  const high = until === undefined ? undefined : eventIdFloor(until + EVENT_ID_MAX_FUTURE_MS + 1);
  const greatest = [after ?? [], low ?? []].flat().sort().at(-1);
  const least = [before ?? [], high ?? []].flat().sort()[0];
  return {
    ...query,
    ...(greatest === undefined ? {} : { after: greatest }),
    ...(least === undefined ? {} : { before: least }),
  };
}

function beyond(query: SearchQuery, eventId: string): SearchQuery {
  return query.order === 'asc' ? { ...query, after: eventId } : { ...query, before: eventId };
}

function cursorOf({ order, after, before }: SearchQuery): string | undefined {
  return order === 'asc' ? after : before;
}
