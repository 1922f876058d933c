/**
 * The list of a subscription's events over HTTP (contract 5.2), and searches in it (contract 10.12). A list without parameters of a
 * search is read from the event store as in Webhooks v3: oldest first, each event whole.
 */
import { z } from 'zod';
import { DELIVERY_STATES } from '../../domain/delivery.ts';
import { isEventId } from '../../domain/ids.ts';
import { EVENTS_LIMIT_MAX } from '../../domain/limits.ts';
import { EVENT_ID_FORM, rfc3339 } from '../../domain/schemas.ts';
import { SHOWN_TYPES, type ShownType } from '../../domain/shown-type.ts';
import type { FoundPage, PageQuery, SearchQuery } from '../../event-store/rpc.ts';
import { withSignatures } from '../../operations/show-deliveries.ts';
import type { Door } from '../kit/door.ts';
import { EVENT_EXAMPLE, eventResource, eventSummary, ListedEvent } from '../kit/event-resource.ts';
import { EXAMPLE } from '../kit/examples.ts';
import { eventsHref } from '../kit/hrefs.ts';
import { type Pages, streamCollection } from '../kit/json-stream.ts';
import { collectionOf, type Links, link } from '../kit/links.ts';
import { type SubscriptionContext, withSubscription } from '../kit/load.ts';
import { problems } from '../kit/problems.ts';
import { declareRoute, forClients } from '../kit/route.ts';
import { jsonContent, limitParameter, subscriptionPath } from '../kit/schemas.ts';
import { takeUnit, takeUnits } from '../kit/work.ts';

/** Events in one answer of the event store; a list takes as many calls as it needs. */
const EVENTS_CHUNK = 200;
/**
 * Milliseconds. A list that takes longer ends early, with a `next` link. The clock of the platform stands still while a call
 * computes and moves on when it waits, so the units of work are the bound that holds; this one is for a store that is slow.
 */
const EVENTS_WITHIN_MS = 1000;

const EventList = collectionOf('EventList', 'events', ListedEvent);

const eventId = z.string().refine(isEventId, { error: 'must be an event id' }).meta(EVENT_ID_FORM);

const TYPES_PATTERN = new RegExp(`^(${SHOWN_TYPES.join('|')})(,(${SHOWN_TYPES.join('|')}))*$`);
/** Characters: each type three times, and more. */
const TYPES_LENGTH_MAX = 200;
const TYPES_FAULT = { error: `must be one or more of ${SHOWN_TYPES.join(', ')}, separated by commas` };
const types = z.string().max(TYPES_LENGTH_MAX, TYPES_FAULT).regex(TYPES_PATTERN, TYPES_FAULT);

const EventsQuery = z
  .object({
    after: eventId.optional().meta({ description: 'only events after this id' }),
    before: eventId.optional().meta({ description: 'only events before this id' }),
    limit: limitParameter(EVENTS_LIMIT_MAX, 'at most so many events'),
    state: z
      .enum(DELIVERY_STATES, { error: `must be one of ${DELIVERY_STATES.join(', ')}` })
      .optional()
      .meta({ description: 'only events in this state' }),
    order: z
      .enum(['asc', 'desc'], { error: 'must be asc or desc' })
      .optional()
      .meta({ description: '`desc`: newest first; then `before` takes the nearest older ones' }),
    type: types
      .optional()
      .meta({ description: 'only events of these types, separated by commas', examples: ['entityUpdated'] }),
    since: rfc3339.optional().meta({ description: 'only events with this createdAt or a later one' }),
    until: rfc3339.optional().meta({ description: 'only events with this createdAt or an earlier one' }),
    fields: z
      .enum(['summary'], { error: 'must be summary' })
      .optional()
      .meta({ description: 'each event without `request`, and with its `type`' }),
  })
  .refine(
    ({ since, until }) =>
      since === undefined || until === undefined || Date.parse(since) <= Date.parse(until),
    { path: ['until'], error: 'must not be before since' },
  );
type EventsQuery = z.infer<typeof EventsQuery>;

const route = declareRoute({
  method: 'get',
  path: '/subscriptions/{sid}/events',
  operationId: 'listEvents',
  summary: 'List events',
  description:
    'Oldest first unless `order` says otherwise, up to 1,000. `next` is present when there are, or may be, more. A list ends early when it takes long, goes through many events to find few, or needs more work than the customer has left.',
  ...forClients('Events'),
  middleware: withSubscription,
  request: { params: subscriptionPath, query: EventsQuery },
  responses: {
    200: {
      description: 'The events',
      content: jsonContent(EventList, {
        total: 1234,
        _links: {
          self: link(`${EXAMPLE.subscriptionPath}/events?limit=1`),
          next: link(`${EXAMPLE.subscriptionPath}/events?limit=1&after=${EXAMPLE.event}`),
        },
        _embedded: { events: [EVENT_EXAMPLE] },
      }),
    },
    ...problems(400, 403, 404, 429),
  },
});

export function addEventList(door: Door): void {
  door.openapi(route, (c) => {
    const store = c.get('services').eventStore(c.get('subscription'));
    return streamCollection(c, 'events', store.total(), eventPages(c, c.req.valid('query')));
  });
}

/**
 * Reads the events that a query asks for from the store, look by look.
 * @throws ApiFailure `too_many_requests` when the customer has no unit of work left: the store is not read then
 */
async function* eventPages(c: SubscriptionContext, query: EventsQuery): Pages<ListedEvent> {
  const looks = isSearch(query) ? new SearchLooks(c, query) : new ListLooks(c, query);
  const startedAt = Date.now();
  const isLate = () => Date.now() - startedAt > EVENTS_WITHIN_MS;
  await takeUnits(c, 1);
  let isPaid = true;
  const mayShow = async () => {
    if (!isPaid) return !isLate() && (await takeUnit(c));
    isPaid = false;
    return true;
  };
  let left = query.limit === undefined ? EVENTS_LIMIT_MAX : Number(query.limit);
  let cursor = looks.isDown ? query.before : query.after;
  for (;;) {
    // One event more than the page may show: if it comes, there are more.
    const page = await looks.look(cursor, Math.min(left + 1, EVENTS_CHUNK));
    const shown = await looks.show(page.found.slice(0, left), mayShow);
    left -= shown.length;
    yield shown;
    if (shown.length < page.found.length) return linksOf(c, looks.isDown, shown.at(-1)?.id ?? cursor);
    if (page.upTo === undefined) return linksOf(c, looks.isDown);
    cursor = page.upTo;
    if (isLate()) return linksOf(c, looks.isDown, cursor);
    if (looks.areCounted) {
      // To look once more only to learn whether there are more may be a long search.
      if (left === 0 || !(await takeUnit(c))) return linksOf(c, looks.isDown, cursor);
      isPaid = true;
    }
  }
}

/** Whether a query has a parameter of contract 10.12. */
function isSearch({ order, type, since, until, fields }: EventsQuery): boolean {
  return [order, type, since, until, fields].some((parameter) => parameter !== undefined);
}

type MayShow = () => Promise<boolean>;

/** The list of Webhooks v3. */
class ListLooks {
  readonly isDown = false;
  /** A look takes no unit of work by itself. */
  readonly areCounted = false;
  readonly #c: SubscriptionContext;
  readonly #query: Omit<PageQuery, 'after' | 'limit'>;

  constructor(c: SubscriptionContext, { before, state }: EventsQuery) {
    this.#c = c;
    this.#query = { ...(before === undefined ? {} : { before }), ...(state === undefined ? {} : { state }) };
  }

  async look(after: string | undefined, limit: number): Promise<FoundPage> {
    const store = this.#c.get('services').eventStore(this.#c.get('subscription'));
    const chunk = await store.list({ ...this.#query, ...(after === undefined ? {} : { after }), limit });
    const last = chunk.length < limit ? undefined : chunk.at(-1)?.eventId;
    const found = chunk.map((delivery) => ({ delivery }));
    return last === undefined ? { found } : { found, upTo: last };
  }

  async show(found: FoundPage['found'], mayShow: MayShow): Promise<ListedEvent[]> {
    return await showWhole(this.#c, found, mayShow);
  }
}

/** A search (contract 10.12). */
class SearchLooks {
  readonly isDown: boolean;
  readonly areCounted = true;
  readonly #c: SubscriptionContext;
  readonly #query: Omit<SearchQuery, 'limit'>;

  constructor(c: SubscriptionContext, query: EventsQuery) {
    const { after, before, state, order = 'asc', type, since, until, fields } = query;
    this.#c = c;
    this.isDown = order === 'desc';
    this.#query = {
      order,
      isSummary: fields === 'summary',
      ...(after === undefined ? {} : { after }),
      ...(before === undefined ? {} : { before }),
      ...(state === undefined ? {} : { state }),
      ...(type === undefined ? {} : { types: type.split(',') as ShownType[] }),
      ...(since === undefined ? {} : { since: Date.parse(since) }),
      ...(until === undefined ? {} : { until: Date.parse(until) }),
    };
  }

  async look(cursor: string | undefined, limit: number): Promise<FoundPage> {
    const from = cursor === undefined ? {} : { [this.isDown ? 'before' : 'after']: cursor };
    const store = this.#c.get('services').eventStore(this.#c.get('subscription'));
    return await store.search({ ...this.#query, ...from, limit });
  }

  /** A summary needs no signature: all of a look are shown for the unit of the look. */
  async show(found: FoundPage['found'], mayShow: MayShow): Promise<ListedEvent[]> {
    if (!this.#query.isSummary) return await showWhole(this.#c, found, mayShow);
    return found.map((one) => eventSummary(this.#c.get('subscription'), one));
  }
}

async function showWhole(
  c: SubscriptionContext,
  found: FoundPage['found'],
  mayShow: MayShow,
): Promise<ListedEvent[]> {
  const deliveries = found.map(({ delivery }) => delivery);
  const shown = await withSignatures(c.get('services').signer, deliveries, mayShow);
  return shown.map((delivery) => eventResource(c, delivery));
}

/** @param cursor where the next page begins; absent: there is none */
function linksOf(c: SubscriptionContext, isDown: boolean, cursor?: string): Links {
  const path = eventsHref(c.get('subscription'));
  const query = new URL(c.req.url).searchParams;
  const self = link(query.size === 0 ? path : `${path}?${query}`);
  if (cursor === undefined) return { self };
  query.set(isDown ? 'before' : 'after', cursor);
  return { self, next: link(`${path}?${query}`) };
}
