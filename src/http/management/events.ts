/**
 * Events of a subscription over HTTP: read, history, redelivery (contract 5); the list is in `event-list.ts`. In this API an event is
 * one delivery to one subscription. The events that a producer publishes are in `publish.ts`.
 */
import { z } from 'zod';
import { DELIVERY_STATES, type Delivery, type HistoryEntry } from '../../domain/delivery.ts';
import { ApiFailure } from '../../domain/errors.ts';
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
import { eventHref } from '../kit/hrefs.ts';
import { collectionOf, link } from '../kit/links.ts';
import { idParam, notFound, type SubscriptionContext, withSubscription } from '../kit/load.ts';
import { problems } from '../kit/problems.ts';
import { declareRoute, forClients } from '../kit/route.ts';
import { eventPath, jsonContent, time, wholeNumber } from '../kit/schemas.ts';

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

const HistoryList = collectionOf('HistoryList', 'history', HistoryResource);

const common = { ...forClients('Events'), middleware: withSubscription };

export function addEvents(door: Door): void {
  addRead(door);
  addHistory(door);
  addRedeliver(door);
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
  const delivery = await c.get('services').eventStore(c.get('subscription')).read(id);
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
  const redelivery = await eventStore(subscription).redeliver(refOf(subscription), id);
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
