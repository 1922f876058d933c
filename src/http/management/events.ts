/**
 * Events of a subscription over HTTP: list, read, history, redelivery (contract 5). In this API an event is one
 * delivery to one subscription. The events that a producer publishes are in `publish.ts`.
 */
import { z } from 'zod';
import { DELIVERY_STATES, type Delivery, type HistoryEntry } from '../../domain/delivery.ts';
import { ApiFailure } from '../../domain/errors.ts';
import { isEventId } from '../../domain/ids.ts';
import { EVENTS_LIMIT_MAX } from '../../domain/limits.ts';
import { EVENT_ID_FORM } from '../../domain/schemas.ts';
import { refOf } from '../../domain/subscription.ts';
import { withSignatures } from '../../operations/show-deliveries.ts';
import { timestamp } from '../kit/context.ts';
import type { Door } from '../kit/door.ts';
import {
  AttemptError,
  EVENT_EXAMPLE,
  EventResource,
  eventResource,
  ListenerAnswer,
} from '../kit/event-resource.ts';
import { EXAMPLE } from '../kit/examples.ts';
import { eventHref, eventsHref } from '../kit/hrefs.ts';
import { type Pages, streamCollection } from '../kit/json-stream.ts';
import { collectionOf, type Links, link } from '../kit/links.ts';
import { idParam, notFound, type SubscriptionContext, withSubscription } from '../kit/load.ts';
import { problems } from '../kit/problems.ts';
import { declareRoute, forClients } from '../kit/route.ts';
import {
  eventPath,
  jsonContent,
  limitParameter,
  subscriptionPath,
  time,
  wholeNumber,
} from '../kit/schemas.ts';
import { takeUnit, takeUnits } from '../kit/work.ts';

/** Events in one answer of the event store; a list takes as many calls as it needs. */
const EVENTS_CHUNK = 200;
/**
 * Milliseconds. A list that takes longer ends early, with a `next` link. The clock of the platform stands still while a call
 * computes and moves on when it waits, so the units of work are the bound that holds; this one is for a store that is slow.
 */
const EVENTS_WITHIN_MS = 1000;

const HistoryResource = z
  .object({
    createdAt: time,
    state: z.enum(DELIVERY_STATES),
    attempts: wholeNumber,
    reason: z.string().optional().meta({ description: 'why the attempt or the event failed; for people' }),
    response: ListenerAnswer.optional(),
    error: AttemptError.optional(),
    durationMs: z.number().min(0).optional().meta({ description: 'milliseconds' }),
    nextAttemptAt: time.optional(),
  })
  .meta({ id: 'HistoryEntry' });

const EventList = collectionOf('EventList', 'events', EventResource);
const HistoryList = collectionOf('HistoryList', 'history', HistoryResource);

const eventId = z.string().refine(isEventId, { error: 'must be an event id' }).meta(EVENT_ID_FORM);

const EventsQuery = z.object({
  after: eventId.optional().meta({ description: 'only events after this id' }),
  before: eventId.optional().meta({ description: 'only events before this id' }),
  limit: limitParameter(EVENTS_LIMIT_MAX, 'at most so many events'),
  state: z
    .enum(DELIVERY_STATES, { error: `must be one of ${DELIVERY_STATES.join(', ')}` })
    .optional()
    .meta({ description: 'only events in this state' }),
});

const common = { ...forClients('Events'), middleware: withSubscription };

export function addEvents(door: Door): void {
  addList(door);
  addRead(door);
  addHistory(door);
  addRedeliver(door);
}

// --- The list -----------------------------------------------------------------------------------------

const listRoute = declareRoute({
  method: 'get',
  path: '/subscriptions/{sid}/events',
  operationId: 'listEvents',
  summary: 'List events',
  description:
    'Oldest first, up to 1,000. `next` is present when there are more. A list that takes long, or more work than the customer has left, ends early.',
  ...common,
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

function addList(door: Door): void {
  door.openapi(listRoute, (c) => {
    const store = c.get('services').eventStore(c.get('subscription').id);
    return streamCollection(c, 'events', store.total(), eventPages(c, c.req.valid('query')));
  });
}

/**
 * Reads the events that a query asks for from the store, chunk by chunk.
 * @throws ApiFailure `too_many_requests` when the customer has no unit of work left: the store is not read then
 */
async function* eventPages(c: SubscriptionContext, query: z.infer<typeof EventsQuery>): Pages<EventResource> {
  const { signer, eventStore } = c.get('services');
  const store = eventStore(c.get('subscription').id);
  const { before, state } = query;
  const filter = { ...(before === undefined ? {} : { before }), ...(state === undefined ? {} : { state }) };
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
  let cursor = query.after;
  for (;;) {
    // One event more than the page may show: if it comes, there are more.
    const asked = Math.min(left + 1, EVENTS_CHUNK);
    const after = cursor === undefined ? {} : { after: cursor };
    const chunk = await store.list({ ...filter, ...after, limit: asked });
    const shown = await withSignatures(signer, chunk.slice(0, left), mayShow);
    left -= shown.length;
    cursor = shown.at(-1)?.eventId ?? cursor;
    yield shown.map((delivery) => eventResource(c, delivery));
    if (chunk.length > shown.length) return listLinks(c, cursor);
    if (chunk.length < asked) return listLinks(c);
    if (isLate()) return listLinks(c, cursor);
  }
}

function listLinks(c: SubscriptionContext, nextAfter?: string): Links {
  const path = eventsHref(c.get('subscription'));
  const query = new URL(c.req.url).searchParams;
  const self = link(query.size === 0 ? path : `${path}?${query}`);
  if (nextAfter === undefined) return { self };
  query.set('after', nextAfter);
  return { self, next: link(`${path}?${query}`) };
}

// --- One event ----------------------------------------------------------------------------------------

const readRoute = declareRoute({
  method: 'get',
  path: '/subscriptions/{sid}/events/{eid}',
  operationId: 'getEvent',
  summary: 'Read an event',
  ...common,
  request: { params: eventPath },
  responses: {
    200: { description: 'The event', content: jsonContent(EventResource, EVENT_EXAMPLE) },
    ...problems(403, 404, 429),
  },
});

function addRead(door: Door): void {
  door.openapi(readRoute, async (c) => {
    const stored = await readDelivery(c);
    const [delivery = stored] = await withSignatures(c.get('services').signer, [stored]);
    return c.json(eventResource(c, delivery), 200);
  });
}

const historyRoute = declareRoute({
  method: 'get',
  path: '/subscriptions/{sid}/events/{eid}/history',
  operationId: 'getEventHistory',
  summary: "Read an event's history",
  description: 'One entry for each change of state, oldest first.',
  ...common,
  request: { params: eventPath },
  responses: {
    200: {
      description: 'The history',
      content: jsonContent(HistoryList, {
        total: 3,
        _links: { self: link(`${EXAMPLE.eventPath}/history`), event: link(EXAMPLE.eventPath) },
        _embedded: {
          history: [
            { createdAt: EXAMPLE.early, state: 'awaiting-executing', attempts: 0 },
            { createdAt: EXAMPLE.early, state: 'executing', attempts: 1 },
            {
              createdAt: EXAMPLE.early,
              state: 'awaiting-retry',
              attempts: 1,
              reason: 'HTTP 503',
              response: { statusCode: 503, headers: {} },
              durationMs: 41,
              nextAttemptAt: EXAMPLE.late,
            },
          ],
        },
      }),
    },
    ...problems(403, 404, 429),
  },
});

function addHistory(door: Door): void {
  door.openapi(historyRoute, async (c) => {
    const delivery = await readDelivery(c);
    const event = eventHref(c.get('subscription'), delivery.eventId);
    const history = delivery.history.map(historyResource);
    const _links = { self: link(`${event}/history`), event: link(event) };
    return c.json({ total: history.length, _links, _embedded: { history } }, 200);
  });
}

/** The delivery `{eid}` of the subscription. @throws ApiFailure `not_found` */
async function readDelivery(c: SubscriptionContext): Promise<Delivery> {
  const id = idParam(c, 'eid', 'Event');
  const delivery = await c.get('services').eventStore(c.get('subscription').id).read(id);
  if (delivery === undefined) throw notFound('Event');
  return delivery;
}

function historyResource(entry: HistoryEntry): z.infer<typeof HistoryResource> {
  const { at, state, attempts, response, nextAttemptAt, ...rest } = entry;
  return {
    createdAt: timestamp(at),
    state,
    attempts,
    ...rest,
    ...(response === undefined ? {} : { response: { ...response, headers: { ...response.headers } } }),
    ...(nextAttemptAt === undefined ? {} : { nextAttemptAt: timestamp(nextAttemptAt) }),
  };
}

// --- Redelivery ---------------------------------------------------------------------------------------

const redeliverRoute = declareRoute({
  method: 'post',
  path: '/subscriptions/{sid}/events/{eid}/redeliver',
  operationId: 'redeliverEvent',
  summary: 'Redeliver a failed event',
  description: 'Sends the stored token again, byte for byte; the schedule of attempts starts again.',
  ...common,
  request: { params: eventPath },
  responses: {
    202: {
      description: 'Scheduled',
      content: jsonContent(EventResource, { ...EVENT_EXAMPLE, state: 'awaiting-executing' }),
    },
    ...problems(403, 404, 409, 429),
  },
});

function addRedeliver(door: Door): void {
  door.openapi(redeliverRoute, async (c) => c.json(eventResource(c, await redeliver(c)), 202));
}

/** The delivery of an accepted redelivery. @throws ApiFailure for every other answer of the store */
async function redeliver(c: SubscriptionContext): Promise<Delivery> {
  const id = idParam(c, 'eid', 'Event');
  const { config, eventStore } = c.get('services');
  const subscription = c.get('subscription');
  const redelivery = await eventStore(subscription.id).redeliver(refOf(subscription), id);
  switch (redelivery.answer) {
    case 'accepted':
      return redelivery.delivery;
    case 'not found':
      throw notFound('Event');
    case 'not failed':
      throw new ApiFailure({
        code: 'conflict',
        details:
          redelivery.because === 'not kept'
            ? 'Event was not kept: its event store was full'
            : 'Event is not in a failed state',
      });
    case 'disabled':
      throw new ApiFailure({ code: 'conflict', details: 'Subscription is disabled' });
    case 'not verified':
      throw new ApiFailure({ code: 'conflict', details: 'Endpoint is not verified' });
    case 'too soon':
      throw new ApiFailure({
        code: 'too_many_requests',
        details: `One redelivery every ${config.redeliverIntervalMs / 1000} seconds`,
        retryAfterSeconds: Math.ceil(redelivery.waitMs / 1000),
      });
  }
}
