/** Events of a subscription over HTTP: list, one, history (contract 5.1 to 5.3). */
import { createRoute, type OpenAPIHono } from '@hono/zod-openapi';
import { z } from 'zod';
import { DELIVERY_STATES, type Delivery, type HistoryEntry } from '../../domain/delivery.ts';
import { describeDelivery } from '../../domain/delivery-view.ts';
import { ApiFailure } from '../../domain/errors.ts';
import { isEventId, isUuid } from '../../domain/ids.ts';
import { EVENTS_LIMIT_MAX, EVENTS_PAGE_MAX } from '../../domain/limits.ts';
import { refOf, type Subscription } from '../../domain/subscription.ts';
import { withSignatures } from '../../operations/show-deliveries.ts';
import { type AppContext, type AppEnv, param, timestamp } from '../kit/context.ts';
import {
  collectionOf,
  eventPath,
  jsonContent,
  Link,
  link,
  problems,
  subscriptionPath,
} from '../kit/links.ts';
import { notFound, type SubscriptionContext, withSubscription } from '../kit/load.ts';
import { subscriptionHref } from './subscriptions.ts';

/** Events that one call of the store reads for a page. */
const EVENTS_CHUNK = 200;
/** A page that takes longer ends early, with `next`: every call answers within 10 s (contract 1), and each SET is signed. */
const EVENTS_WITHIN_MS = 8000;

const time = z.string().meta({ format: 'date-time' });
const AnswerSchema = z.object({ statusCode: z.number().int(), headers: z.record(z.string(), z.string()) });
const ErrorSchema = z.object({
  code: z.enum(['timed_out', 'unreachable', 'invalid_response', 'blocked']),
  message: z.string(),
});

export const EventResource = z
  .object({
    id: z.string(),
    createdAt: time,
    updatedAt: time,
    state: z.enum(DELIVERY_STATES),
    attempts: z.number().int(),
    nextAttemptAt: time.optional(),
    request: z.object({
      endpoint: z.string(),
      headers: z.record(z.string(), z.string()),
      payload: z.string().meta({ description: 'the compact SET' }),
    }),
    response: AnswerSchema.optional(),
    error: ErrorSchema.optional(),
    _links: z.object({ self: Link, redeliver: Link, history: Link }),
  })
  .meta({ id: 'Event' });

const HistoryResource = z
  .object({
    createdAt: time,
    state: z.enum(DELIVERY_STATES),
    attempts: z.number().int(),
    reason: z.string().optional(),
    response: AnswerSchema.optional(),
    error: ErrorSchema.optional(),
    durationMs: z.number().optional(),
    nextAttemptAt: time.optional(),
  })
  .meta({ id: 'HistoryEntry' });

const eventId = z.string().refine(isEventId, { error: 'must be an event id' });

const EventsQuery = z.object({
  after: eventId.optional().meta({ description: 'only events after this id' }),
  before: eventId.optional().meta({ description: 'only events before this id' }),
  limit: z
    .string()
    .refine((text) => /^\d{1,4}$/.test(text) && Number(text) >= 1 && Number(text) <= EVENTS_LIMIT_MAX, {
      error: `must be a whole number from 1 to ${EVENTS_LIMIT_MAX}`,
    })
    .optional(),
  state: z.enum(DELIVERY_STATES, { error: `must be one of ${DELIVERY_STATES.join(', ')}` }).optional(),
});

const common = { tags: ['Events'], security: [{ token: [] }], middleware: withSubscription };

const listRoute = createRoute({
  method: 'get',
  path: '/subscriptions/{sid}/events',
  summary: 'List events',
  description:
    'Oldest first, up to 10,000 without `limit`; `next` is there when there is more. A page that takes long ends early.',
  ...common,
  request: { params: subscriptionPath, query: EventsQuery },
  responses: {
    200: { description: 'The events', content: jsonContent(collectionOf('events', EventResource)) },
    ...problems(400, 403, 404, 429),
  },
});

const readRoute = createRoute({
  method: 'get',
  path: '/subscriptions/{sid}/events/{eid}',
  summary: 'Read an event',
  ...common,
  request: { params: eventPath },
  responses: {
    200: { description: 'The event', content: jsonContent(EventResource) },
    ...problems(403, 404, 429),
  },
});

const historyRoute = createRoute({
  method: 'get',
  path: '/subscriptions/{sid}/events/{eid}/history',
  summary: "Read an event's history",
  description: 'One entry for each change of state, oldest first.',
  ...common,
  request: { params: eventPath },
  responses: {
    200: { description: 'The history', content: jsonContent(collectionOf('history', HistoryResource)) },
    ...problems(403, 404, 429),
  },
});

const redeliverRoute = createRoute({
  method: 'post',
  path: '/subscriptions/{sid}/events/{eid}/redeliver',
  summary: 'Redeliver a failed event',
  description: 'The stored token is sent again, byte for byte, and the schedule starts anew.',
  ...common,
  request: { params: eventPath },
  responses: {
    202: { description: 'Scheduled', content: jsonContent(EventResource) },
    ...problems(403, 404, 409, 429),
  },
});

export function addEvents(app: OpenAPIHono<AppEnv>): void {
  app.openapi(listRoute, async (c) => {
    const query = c.req.valid('query');
    const limit = query.limit === undefined ? EVENTS_PAGE_MAX : Number(query.limit);
    const events = await streamEvents(c, query, limit);
    // Streamed as the schema of this route says; a stream has no static type.
    return events as never;
  });

  app.openapi(readRoute, async (c) => {
    const subscription = c.get('subscription');
    const config = c.get('services').config;
    const stored = await requireDelivery(c, subscription);
    const [delivery = stored] = await withSignatures(c.get('services').signer, [stored]);
    return c.json(eventResource(subscription, delivery, config.userAgent), 200);
  });

  app.openapi(historyRoute, async (c) => {
    const subscription = c.get('subscription');
    const delivery = await requireDelivery(c, subscription);
    const self = eventHref(subscription, delivery.eventId);
    const history = delivery.history.map(historyResource);
    return c.json(
      {
        total: history.length,
        _links: { self: link(`${self}/history`), event: link(self) },
        _embedded: { history },
      },
      200,
    );
  });

  app.openapi(redeliverRoute, async (c) => {
    const subscription = c.get('subscription');
    const delivery = await redeliver(c, subscription);
    return c.json(eventResource(subscription, delivery, c.get('services').config.userAgent), 202);
  });
}

/** The delivery of an accepted redelivery. @throws ApiFailure for every other answer of the store */
async function redeliver(c: AppContext, subscription: Subscription): Promise<Delivery> {
  const id = param(c, 'eid');
  if (!isUuid(id)) throw notFound('Event');
  const redelivery = await c.get('services').eventStore(subscription.id).redeliver(refOf(subscription), id);
  switch (redelivery.answer) {
    case 'accepted':
      return redelivery.delivery;
    case 'not found':
      throw notFound('Event');
    case 'not failed':
      throw new ApiFailure({ code: 'conflict', details: 'Event is not in a failed state' });
    case 'disabled':
      throw new ApiFailure({ code: 'conflict', details: 'Subscription is disabled' });
    case 'too soon': {
      const retryAfterSeconds = Math.ceil(redelivery.waitMs / 1000);
      const details = `One redelivery every ${c.get('services').config.redeliverIntervalMs / 1000} seconds`;
      throw new ApiFailure({ code: 'too_many_requests', details, retryAfterSeconds });
    }
  }
}

/** A delivery as the API shows it (contract 5.1). */
export function eventResource(
  subscription: Subscription,
  delivery: Delivery,
  userAgent: string,
): z.infer<typeof EventResource> {
  const self = eventHref(subscription, delivery.eventId);
  return {
    ...describeDelivery(delivery, userAgent),
    _links: { self: link(self), redeliver: link(`${self}/redeliver`), history: link(`${self}/history`) },
  };
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

export function eventHref(subscription: Subscription, eventId: string): string {
  return `${subscriptionHref(subscription)}/events/${eventId}`;
}

async function requireDelivery(c: AppContext, subscription: Subscription): Promise<Delivery> {
  const id = param(c, 'eid');
  const delivery = isUuid(id) ? await c.get('services').eventStore(subscription.id).read(id) : undefined;
  if (delivery === undefined) throw notFound('Event');
  return delivery;
}

/**
 * The list as a stream, read from the store chunk by chunk, so that memory stays flat. The links come last in
 * the text: whether there is more is known only then.
 */
async function streamEvents(
  c: SubscriptionContext,
  query: z.infer<typeof EventsQuery>,
  limit: number,
): Promise<Response> {
  const { after, before, state } = query;
  const subscription = c.get('subscription');
  const store = c.get('services').eventStore(subscription.id);
  const filter = {
    ...(before === undefined ? {} : { before }),
    ...(state === undefined ? {} : { state }),
  };
  const config = c.get('services').config;
  const startedAt = Date.now();
  // One more than asked for tells whether there is more.
  const read = (cursor: string | undefined, left: number) =>
    store.list({
      ...filter,
      ...(cursor === undefined ? {} : { after: cursor }),
      limit: Math.min(left + 1, EVENTS_CHUNK),
    });

  const [total, first] = await Promise.all([store.total(), read(after, limit)]);
  const encoder = new TextEncoder();
  let chunk = first;
  let left = limit;
  let cursor = after;
  let started = false;

  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const shown = await withSignatures(c.get('services').signer, chunk.slice(0, left));
      const text = shown.map((delivery) =>
        JSON.stringify(eventResource(subscription, delivery, config.userAgent)),
      );
      const opening = started ? (text.length > 0 ? ',' : '') : `{"total":${total},"_embedded":{"events":[`;
      left -= shown.length;
      cursor = shown.at(-1)?.eventId ?? cursor;
      const isLate = started && Date.now() - startedAt > EVENTS_WITHIN_MS;
      const more = chunk.length > shown.length || (isLate && chunk.length === EVENTS_CHUNK);
      const ended = more || chunk.length < Math.min(left + shown.length + 1, EVENTS_CHUNK);
      const links = ended
        ? `]},"_links":${JSON.stringify(listLinks(c, subscription, more ? cursor : undefined))}}`
        : '';
      started = true;
      controller.enqueue(encoder.encode(opening + text.join(',') + links));
      if (ended) controller.close();
      else chunk = await read(cursor, left);
    },
  });
  return c.body(body, 200, { 'content-type': 'application/json' });
}

function listLinks(c: AppContext, subscription: Subscription, nextAfter: string | undefined) {
  const path = `${subscriptionHref(subscription)}/events`;
  const query = new URL(c.req.url).searchParams;
  const self = query.size === 0 ? path : `${path}?${query}`;
  if (nextAfter === undefined) return { self: link(self) };
  query.set('after', nextAfter);
  return { self: link(self), next: link(`${path}?${query}`) };
}
