/**
 * Where an event went, over HTTP (contract 10.13): its deliveries, one for each subscription that has it. Nobody keeps a list of them, so
 * a page asks the event stores of some subscriptions.
 */
import { createMiddleware } from 'hono/factory';
import { z } from 'zod';
import { isEventId } from '../../domain/ids.ts';
import { DELIVERIES_LIMIT_MAX, STORES_PER_UNIT } from '../../domain/limits.ts';
import type { FoundDelivery } from '../../event-store/rpc.ts';
import { findDeliveries } from '../../operations/find-deliveries.ts';
import { listSubscriptionNames, type SubscriptionName } from '../../storage/subscriptions.ts';
import { type AppContext, type AppEnv, param } from '../kit/context.ts';
import type { Door } from '../kit/door.ts';
import { EVENT_SUMMARY_EXAMPLE, EventSummary, eventSummary } from '../kit/event-resource.ts';
import { EXAMPLE } from '../kit/examples.ts';
import { deliveriesHref, subscriptionHref } from '../kit/hrefs.ts';
import { Link, link } from '../kit/links.ts';
import { notFound } from '../kit/load.ts';
import { problems } from '../kit/problems.ts';
import { declareOwnRoute, forClients } from '../kit/route.ts';
import { afterSubscription, customerEventPath, id, jsonContent, limitParameter } from '../kit/schemas.ts';
import { takeUnits } from '../kit/work.ts';

const DeliveryResource = EventSummary.extend({
  subscription: z.object({ id, title: z.string() }),
  _links: EventSummary.shape._links.extend({ subscription: Link }),
}).meta({ id: 'Delivery' });
type DeliveryResource = z.infer<typeof DeliveryResource>;

const DeliveryList = z
  .object({
    id,
    _links: z.object({ self: Link, next: Link.optional() }),
    _embedded: z.object({ deliveries: z.array(DeliveryResource) }),
  })
  .meta({ id: 'DeliveryList' });

const DeliveriesQuery = z.object({
  after: afterSubscription,
  limit: limitParameter(
    DELIVERIES_LIMIT_MAX,
    `at most so many subscriptions; ${DELIVERIES_LIMIT_MAX} without it`,
  ),
});

/** A 404 comes before a 400 of the query (contract 8). */
const withEventId = createMiddleware<AppEnv>(async (c, next) => {
  if (!isEventId(param(c, 'eid'))) throw notFound('Event');
  await next();
});

const SELF = `/${EXAMPLE.customer}/webhooks/events/${EXAMPLE.event}`;

const route = declareOwnRoute({
  method: 'get',
  path: '/events/{eid}',
  operationId: 'listDeliveries',
  summary: 'Find out where an event went',
  description:
    'The deliveries of one event, one for each subscription that has it. A page asks the event stores of up to `limit` subscriptions, so it may be empty and still have `next`.',
  ...forClients('Events'),
  middleware: withEventId,
  request: {
    params: customerEventPath,
    query: DeliveriesQuery,
  },
  responses: {
    200: {
      description: 'The deliveries',
      content: jsonContent(DeliveryList, {
        id: EXAMPLE.event,
        _links: { self: link(SELF), next: link(`${SELF}?after=${EXAMPLE.subscription}`) },
        _embedded: {
          deliveries: [
            {
              ...EVENT_SUMMARY_EXAMPLE,
              subscription: { id: EXAMPLE.subscription, title: 'Profile sync' },
              _links: { ...EVENT_SUMMARY_EXAMPLE._links, subscription: link(EXAMPLE.subscriptionPath) },
            },
          ],
        },
      }),
    },
    ...problems(400, 403, 404, 429),
  },
});

export function addDeliveries(door: Door): void {
  door.openapi(route, async (c) => {
    const { cid, eid } = c.req.valid('param');
    const { after, limit } = c.req.valid('query');
    const size = limit === undefined ? DELIVERIES_LIMIT_MAX : Number(limit);
    await takeUnits(c, 1);
    const names = await findSubscriptions(c, cid, after, size + 1);
    const asked = names.slice(0, size);
    await takeUnits(c, Math.ceil(asked.length / STORES_PER_UNIT) - 1);
    const found = await findDeliveries(c.get('services'), asked, eid);
    const deliveries = asked.flatMap((name) => {
      const delivery = found.get(name.id);
      return delivery === undefined ? [] : [deliveryResource(cid, name, delivery)];
    });
    const next = names.length > size ? asked.at(-1)?.id : undefined;
    return c.json({ id: eid, _links: linksOf(c, cid, eid, next), _embedded: { deliveries } }, 200);
  });
}

/** @throws ApiFailure `not_found` when `after` is no subscription of the customer, nor was one in the last 30 days */
async function findSubscriptions(
  c: AppContext,
  customerId: string,
  after: string | undefined,
  limit: number,
) {
  const names = await listSubscriptionNames(c.get('services').db, customerId, limit, after);
  if (names === undefined) throw notFound('Subscription');
  return names;
}

function deliveryResource(
  customerId: string,
  { id, title }: SubscriptionName,
  found: FoundDelivery,
): DeliveryResource {
  const { _links, ...summary } = eventSummary({ customerId, id }, found);
  const subscription = link(subscriptionHref({ customerId, id }));
  return { ...summary, subscription: { id, title }, _links: { ..._links, subscription } };
}

function linksOf(c: AppContext, customerId: string, eventId: string, nextAfter: string | undefined) {
  const path = deliveriesHref(customerId, eventId);
  const query = new URL(c.req.url).searchParams;
  const self = link(query.size === 0 ? path : `${path}?${query}`);
  if (nextAfter === undefined) return { self };
  query.set('after', nextAfter);
  return { self, next: link(`${path}?${query}`) };
}
