/** Lists and searches over several stores, in order of event id. */
import type { Delivery } from '../../domain/delivery.ts';
import type { EventStoreRpc, FoundDelivery, FoundPage, PageQuery, SearchQuery } from '../rpc.ts';

/** How many deliveries more than its share a store is asked for at once: shares are never quite equal. */
const SPARE = 10;

/** A store, and what it has brought that is not listed yet. */
interface Source {
  readonly store: EventStoreRpc;
  waiting: Delivery[];
  after: string | undefined;
  isAtEnd: boolean;
}

/**
 * The first deliveries of a list. A store is asked for its share, and again when that is used up: so the stores together send about
 * twice as many as the page has, and not the whole page each.
 */
export async function listOf(stores: readonly EventStoreRpc[], query: PageQuery): Promise<Delivery[]> {
  const share = Math.min(query.limit, Math.ceil(query.limit / stores.length) + SPARE);
  const sources = stores.map(
    (store): Source => ({ store, waiting: [], after: query.after, isAtEnd: query.limit <= 0 }),
  );
  const listed: Delivery[] = [];
  while (listed.length < query.limit) {
    await Promise.all(sources.map((source) => refill(source, query, share)));
    const heads = sources.flatMap(({ waiting }) => waiting[0] ?? []);
    if (heads.length === 0) break;
    const first = heads.reduce((a, b) => (b.eventId < a.eventId ? b : a));
    listed.push(first);
    // An event may be in two stores after a rollback (decision 0042).
    for (const { waiting } of sources) if (waiting[0]?.eventId === first.eventId) waiting.shift();
  }
  return listed;
}

async function refill(source: Source, query: PageQuery, share: number): Promise<void> {
  const { store, waiting, after, isAtEnd } = source;
  if (waiting.length > 0 || isAtEnd) return;
  const page = await store.list({ ...query, ...(after === undefined ? {} : { after }), limit: share });
  source.waiting = page;
  source.after = page.at(-1)?.eventId ?? after;
  source.isAtEnd = page.length < share;
}

/**
 * One look of a search. Each store has looked up to an event id of its own: what lies beyond the nearest of them is left for the next
 * look, because other stores may have something before it.
 */
export async function searchOf(stores: readonly EventStoreRpc[], query: SearchQuery): Promise<FoundPage> {
  // Whole deliveries may have large SETs: all stores together bring twice the page.
  const limit = query.isSummary
    ? query.limit
    : Math.min(query.limit, Math.ceil((2 * query.limit) / stores.length));
  const pages = await Promise.all(stores.map((store) => store.search({ ...query, limit })));
  const isDown = query.order === 'desc';
  const isBefore = (a: string, b: string) => (isDown ? a > b : a < b);
  const ends = pages.flatMap(({ upTo }) => upTo ?? []);
  const nearest = ends.reduce<string | undefined>(
    (a, b) => (a === undefined || isBefore(b, a) ? b : a),
    undefined,
  );
  const byId = new Map<string, FoundDelivery>();
  for (const one of pages.flatMap(({ found }) => found)) {
    const { eventId } = one.delivery;
    if (nearest === undefined || !isBefore(nearest, eventId)) byId.set(eventId, one);
  }
  const found = [...byId.values()].sort((a, b) =>
    isBefore(a.delivery.eventId, b.delivery.eventId) ? -1 : 1,
  );
  const shown = found.slice(0, query.limit);
  const upTo = shown.length < found.length ? shown.at(-1)?.delivery.eventId : nearest;
  return upTo === undefined ? { found: shown } : { found: shown, upTo };
}
