/** Subscriptions over HTTP (contract 3). */
import { createRoute, type OpenAPIHono } from '@hono/zod-openapi';
import { z } from 'zod';
import { HEALTH_STATES } from '../../domain/endpoint-health.ts';
import { ApiFailure } from '../../domain/errors.ts';
import { EVENT_TYPES } from '../../domain/event.ts';
import { isUuid } from '../../domain/ids.ts';
import { NewSubscription, refOf, type Subscription, SubscriptionChange } from '../../domain/subscription.ts';
import type { HealthReport } from '../../event-store/rpc.ts';
import { logError } from '../../log.ts';
import { eraseStores } from '../../operations/erase.ts';
import {
  countSubscriptions,
  deleteSubscription,
  insertSubscription,
  listSubscriptions,
  updateSubscription,
} from '../../storage/subscriptions.ts';
import { addRouteWithBody } from '../kit/body.ts';
import { type AppContext, type AppEnv, param, timestamp } from '../kit/context.ts';
import {
  collectionOf,
  customerPath,
  jsonContent,
  Link,
  link,
  pageParameter,
  problems,
  subscriptionPath,
} from '../kit/links.ts';
import { notFound, type SubscriptionContext, withSubscription } from '../kit/load.ts';
import { faultsBeyondSchema, TITLE_TAKEN } from './subscription-body.ts';

const PAGE_SIZE = 100;

export const SubscriptionResource = z
  .object({
    _links: z.object({ self: Link, events: Link, test: Link, summary: Link }),
    createdAt: z.string().meta({ format: 'date-time' }),
    customerId: z.string(),
    enabled: z.boolean(),
    endpoint: z.string(),
    events: z.array(z.enum(EVENT_TYPES)),
    filter: z.record(z.string(), z.unknown()).optional(),
    health: z
      .object({
        state: z.enum(HEALTH_STATES),
        since: z.string().meta({ format: 'date-time' }).optional(),
        waiting: z.number().int().meta({ description: 'events that are not final' }).optional(),
      })
      .meta({ description: 'How the endpoint fares; a list shows the state alone' }),
    id: z.string(),
    title: z.string(),
    updatedAt: z.string().meta({ format: 'date-time' }),
  })
  .meta({ id: 'Subscription' });

/** @param report what its event store says of the endpoint; absent in a list, which asks none */
export function subscriptionResource(
  subscription: Subscription,
  report?: HealthReport,
): z.infer<typeof SubscriptionResource> {
  const self = subscriptionHref(subscription);
  return {
    _links: {
      self: link(self),
      events: link(`${self}/events`),
      test: link(`${self}/test`),
      summary: link(`${self}/summary`),
    },
    createdAt: timestamp(subscription.createdAt),
    customerId: subscription.customerId,
    enabled: subscription.enabled,
    endpoint: subscription.endpoint,
    events: [...subscription.events],
    ...(subscription.filter === null ? {} : { filter: { ...subscription.filter } }),
    health:
      report === undefined
        ? { state: subscription.health }
        : {
            state: report.state,
            since: timestamp(Math.max(report.since, subscription.createdAt)),
            waiting: report.waiting,
          },
    id: subscription.id,
    title: subscription.title,
    updatedAt: timestamp(subscription.updatedAt),
  };
}

export function subscriptionHref({ customerId, id }: { customerId: string; id: string }): string {
  return `/${customerId}/webhooks/subscriptions/${id}`;
}

const listRoute = createRoute({
  method: 'get',
  path: '/subscriptions',
  summary: 'List subscriptions',
  description:
    'All, oldest first; with `page` a hundred at a time. An invalid page number answers the last page.',
  tags: ['Subscriptions'],
  security: [{ token: [] }],
  request: { params: customerPath, query: z.object({ page: pageParameter }) },
  responses: {
    200: {
      description: 'The subscriptions',
      content: jsonContent(collectionOf('subscriptions', SubscriptionResource)),
    },
    ...problems(403, 429),
  },
});

const creationRoute = createRoute({
  method: 'post',
  path: '/subscriptions',
  summary: 'Create a subscription',
  tags: ['Subscriptions'],
  security: [{ token: [] }],
  request: { params: customerPath, body: { content: jsonContent(NewSubscription), required: true } },
  responses: {
    201: { description: 'The subscription; Location names it', content: jsonContent(SubscriptionResource) },
    ...problems(400, 403, 409, 413, 415, 429),
  },
});

const changeRoute = createRoute({
  method: 'patch',
  path: '/subscriptions/{sid}',
  summary: 'Modify a subscription',
  description: 'A merge patch: only supplied members change.',
  tags: ['Subscriptions'],
  security: [{ token: [] }],
  middleware: withSubscription,
  request: {
    params: subscriptionPath,
    body: {
      content: {
        'application/merge-patch+json': { schema: SubscriptionChange },
        'application/json': { schema: SubscriptionChange },
      },
      required: true,
    },
  },
  responses: {
    200: { description: 'The subscription as it is now', content: jsonContent(SubscriptionResource) },
    ...problems(400, 403, 404, 413, 415, 429),
  },
});

const deleteRoute = createRoute({
  method: 'delete',
  path: '/subscriptions/{sid}',
  summary: 'Delete a subscription',
  description: 'And every stored event of it.',
  tags: ['Subscriptions'],
  security: [{ token: [] }],
  request: { params: subscriptionPath },
  responses: { 204: { description: 'Deleted' }, ...problems(403, 404, 429) },
});

const readRoute = createRoute({
  method: 'get',
  path: '/subscriptions/{sid}',
  summary: 'Read a subscription',
  tags: ['Subscriptions'],
  security: [{ token: [] }],
  middleware: withSubscription,
  request: { params: subscriptionPath },
  responses: {
    200: { description: 'The subscription', content: jsonContent(SubscriptionResource) },
    ...problems(403, 404, 429),
  },
});

export function addSubscriptions(app: OpenAPIHono<AppEnv>): void {
  app.openapi(listRoute, async (c) => {
    const { cid } = c.req.valid('param');
    const asked = c.req.valid('query').page;
    return c.json(asked === undefined ? await listAll(c, cid) : await listPage(c, cid, asked), 200);
  });

  addRouteWithBody(
    app,
    creationRoute,
    async (c) => {
      const { cid } = c.req.valid('param');
      const now = Date.now();
      const { title, endpoint, events, enabled, filter } = c.req.valid('json');
      const id = crypto.randomUUID();
      const subscription: Subscription = {
        id,
        customerId: cid,
        title,
        endpoint,
        events,
        enabled,
        filter: filter ?? null,
        health: 'healthy',
        version: 1,
        createdAt: now,
        updatedAt: now,
      };
      await insert(c, subscription);
      c.header('location', subscriptionHref(subscription));
      return c.json(subscriptionResource(subscription, { state: 'healthy', since: 0, waiting: 0 }), 201);
    },
    { moreFaults: faultsBeyondSchema },
  );

  app.openapi(readRoute, async (c) => {
    const subscription = c.get('subscription');
    return c.json(subscriptionResource(subscription, await healthOf(c, subscription)), 200);
  });

  addRouteWithBody(
    app,
    changeRoute,
    async (c) => {
      const changed = await change(c, c.req.valid('json'));
      return c.json(subscriptionResource(changed, await healthOf(c, changed)), 200);
    },
    { moreFaults: faultsBeyondSchema },
  );

  app.openapi(deleteRoute, async (c) => {
    const id = param(c, 'sid');
    const deleted = isUuid(id)
      ? await deleteSubscription(c.get('services').db, param(c, 'cid'), id, Date.now())
      : undefined;
    if (deleted === undefined) throw notFound('Subscription');
    // If this dies, the tombstone stands and the cron erases the store.
    await eraseStores(c.get('services'), [deleted]);
    return c.body(null, 204);
  });
}

/** What the event store says of the endpoint; `undefined` while it is away: the subscription can be read all the same. */
async function healthOf(c: AppContext, { id }: Subscription): Promise<HealthReport | undefined> {
  try {
    return await c.get('services').eventStore(id).health();
  } catch (error) {
    logError('event store not asked for health', error, { subscriptionId: id });
    return undefined;
  }
}

/** Changes D1, then tells the event store: if that is cut short, the store learns of it with the next event. */
async function change(c: SubscriptionContext, body: SubscriptionChange): Promise<Subscription> {
  const found = c.get('subscription');
  if (Object.keys(body).length === 0) return found;
  const result = await updateSubscription(c.get('services').db, found.customerId, found.id, body, Date.now());
  switch (result.result) {
    case 'not found':
      throw notFound('Subscription');
    case 'duplicate title':
      throw new ApiFailure({ code: 'invalid_body', faults: [TITLE_TAKEN] });
    case 'updated':
      break;
  }
  const { subscription } = result;
  if (subscription.enabled !== found.enabled || subscription.endpoint !== found.endpoint) {
    try {
      await c.get('services').eventStore(subscription.id).adopt(refOf(subscription));
    } catch (error) {
      logError('event store not told of a change', error, { subscriptionId: subscription.id });
    }
  }
  return subscription;
}

async function listAll(c: AppContext, cid: string) {
  const all = await listSubscriptions(c.get('services').db, cid);
  return collection(all, all.length, { self: link(listHref(cid)) });
}

async function listPage(c: AppContext, cid: string, asked: string) {
  const db = c.get('services').db;
  const total = await countSubscriptions(db, cid);
  const last = Math.max(1, Math.ceil(total / PAGE_SIZE));
  const number = /^\d{1,9}$/.test(asked) ? Number(asked) : 0;
  const page = number >= 1 && number <= last ? number : last;
  const rows = await listSubscriptions(db, cid, { limit: PAGE_SIZE, offset: (page - 1) * PAGE_SIZE });
  return collection(rows, total, {
    self: link(listHref(cid, page)),
    first: link(listHref(cid, 1)),
    ...(page > 1 ? { prev: link(listHref(cid, page - 1)) } : {}),
    ...(page < last ? { next: link(listHref(cid, page + 1)) } : {}),
    last: link(listHref(cid, last)),
  });
}

function collection(rows: readonly Subscription[], total: number, links: Record<string, Link>) {
  return { total, _links: links, _embedded: { subscriptions: rows.map((row) => subscriptionResource(row)) } };
}

function listHref(cid: string, page?: number): string {
  return `/${cid}/webhooks/subscriptions${page === undefined ? '' : `?page=${page}`}`;
}

async function insert(c: AppContext, subscription: Subscription): Promise<void> {
  const { maxSubscriptions } = c.get('services').config;
  switch (await insertSubscription(c.get('services').db, subscription, maxSubscriptions)) {
    case 'created':
      return;
    case 'no customer':
      throw new ApiFailure({ code: 'forbidden' }); // erased while the call was under way
    case 'duplicate title':
      throw new ApiFailure({ code: 'invalid_body', faults: [TITLE_TAKEN] });
    case 'too many':
      throw new ApiFailure({
        code: 'conflict',
        details: `Too many subscriptions: at most ${maxSubscriptions}`,
      });
  }
}
