/**
 * Lists of the deliveries that have a row, as a customer sees them (contract 5.1).
 *
 * A list shows the last answer, and no history. A history may be hundreds of kilobytes, so deliveries are read some at a time, and
 * only what is shown of each is kept: a chunk of a list must fit into one answer of the event store, which may have 32 MiB.
 *
 * That an attempt is under way may be in memory alone (dispatched.ts). Its delivery is in `executing`, and in no list of another state.
 */
import { asListed, type Delivery } from '../../domain/delivery.ts';
import type { PageQuery } from '../rpc.ts';
import { DELIVERIES_BITE } from '../tuning.ts';
import type { DispatchedDeliveries } from './dispatched.ts';

interface ListParts {
  /** Where deliveries are: each gives the first ones of a page, in order of event id, with their histories. */
  readonly sources: readonly ((query: PageQuery) => Delivery[])[];
  readonly dispatched: DispatchedDeliveries;
  find(eventIds: readonly string[]): Iterable<Delivery>;
}

/** The first deliveries of a page, in order of event id. */
export function listedPage(query: PageQuery, { sources, dispatched, find }: ListParts): Delivery[] {
  const { after = '', before = '~', state, limit } = query;
  const now = Date.now();
  const listed: Delivery[] = [];
  for (const source of sources) {
    for (let cursor = after, left = limit; left > 0; ) {
      const asked = Math.min(left, DELIVERIES_BITE);
      const bite = source({ ...query, after: cursor, limit: asked });
      const shown = bite
        .map((delivery) => dispatched.asBegun(delivery, now))
        .filter((delivery) => state === undefined || delivery.state === state);
      listed.push(...shown.map(asListed));
      left -= shown.length;
      if (bite.length < asked) break;
      cursor = bite.at(-1)?.eventId ?? cursor;
    }
  }
  if (state === 'executing') {
    // The row of an attempt that is made again under its number says so.
    const known = new Set(listed.map(({ eventId }) => eventId));
    const begun = dispatched
      .begun(now)
      .filter((eventId) => eventId > after && eventId < before && !known.has(eventId));
    for (const delivery of find(begun.sort().slice(0, limit))) listed.push(asListed(delivery));
  }
  return listed.sort((a, b) => (a.eventId < b.eventId ? -1 : 1)).slice(0, limit);
}
