/** Subscriptions over HTTP (contract 3). */
import { createRoute, type OpenAPIHono } from '@hono/zod-openapi';
import { createMiddleware } from 'hono/factory';
import { z } from 'zod';
import { checkEndpointUrl } from '../domain/endpoint.ts';
import { ApiFailure, type Fault, faultsOf } from '../domain/errors.ts';
import { EVENT_TYPES } from '../domain/event.ts';
import { isUuid } from '../domain/ids.ts';
import { NewSubscription, type Subscription } from '../domain/subscription.ts';
import {
  countSubscriptions,
  findSubscription,
  insertSubscription,
  listSubscriptions,
  titleIsTaken,
} from '../storage/subscriptions.ts';
import { jsonBody, readJson } from './body.ts';
import { type AppContext, type AppEnv, param, timestamp } from './context.ts';
import {
  collectionOf,
  customerPath,
  jsonContent,
  Link,
  link,
  pageParameter,
  problems,
  subscriptionPath,
} from './hal.ts';

const PAGE_SIZE = 100;

export const SubscriptionResource = z
  .object({
    _links: z.object({ self: Link, events: Link, test: Link, summary: Link }),
    createdAt: z.string().meta({ format: 'date-time' }),
    customerId: z.string(),
    enabled: z.boolean(),
    endpoint: z.string(),
    events: z.array(z.enum(EVENT_TYPES)),
    id: z.string(),
    title: z.string(),
    updatedAt: z.string().meta({ format: 'date-time' }),
  })
  .meta({ id: 'Subscription' });

export function subscriptionResource(subscription: Subscription): z.infer<typeof SubscriptionResource> {
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
  path: '/{cid}/webhooks/subscriptions',
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
  path: '/{cid}/webhooks/subscriptions',
  summary: 'Create a subscription',
  tags: ['Subscriptions'],
  security: [{ token: [] }],
  middleware: [...jsonBody, allFaultsOf(NewSubscription)],
  request: { params: customerPath, body: { content: jsonContent(NewSubscription), required: true } },
  responses: {
    201: { description: 'The subscription; Location names it', content: jsonContent(SubscriptionResource) },
    ...problems(400, 403, 409, 413, 415, 429),
  },
});

const readRoute = createRoute({
  method: 'get',
  path: '/{cid}/webhooks/subscriptions/{sid}',
  summary: 'Read a subscription',
  tags: ['Subscriptions'],
  security: [{ token: [] }],
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

  app.openapi(creationRoute, async (c) => {
    const { cid } = c.req.valid('param');
    const now = Date.now();
    const { title, endpoint, events, enabled } = c.req.valid('json');
    const id = crypto.randomUUID();
    const subscription: Subscription = {
      id,
      customerId: cid,
      title,
      endpoint,
      events,
      enabled,
      version: 1,
      createdAt: now,
      updatedAt: now,
    };
    await insert(c, subscription);
    c.header('location', subscriptionHref(subscription));
    return c.json(subscriptionResource(subscription), 201);
  });

  app.openapi(readRoute, async (c) => c.json(subscriptionResource(await requireSubscription(c)), 200));
}

/** The subscription of the path. @throws ApiFailure `not_found`: also for one of another customer */
export async function requireSubscription(c: AppContext): Promise<Subscription> {
  const id = param(c, 'sid');
  const found = isUuid(id) ? await findSubscription(c.get('db'), param(c, 'cid'), id) : undefined;
  if (found === undefined) throw new ApiFailure({ code: 'not_found', what: 'Subscription' });
  return found;
}

async function listAll(c: AppContext, cid: string) {
  const all = await listSubscriptions(c.get('db'), cid);
  return collection(all, all.length, { self: link(listHref(cid)) });
}

async function listPage(c: AppContext, cid: string, asked: string) {
  const db = c.get('db');
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
  return { total, _links: links, _embedded: { subscriptions: rows.map(subscriptionResource) } };
}

function listHref(cid: string, page?: number): string {
  return `/${cid}/webhooks/subscriptions${page === undefined ? '' : `?page=${page}`}`;
}

async function insert(c: AppContext, subscription: Subscription): Promise<void> {
  const { maxSubscriptions } = c.get('config');
  switch (await insertSubscription(c.get('db'), subscription, maxSubscriptions)) {
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

const TITLE_TAKEN: Fault = { name: 'title', reason: 'is already used by another subscription' };

/**
 * Refuses a body with every fault at once: those of its schema, and those that need configuration, D1 or a name
 * server. What passes has passed the schema, which the route then applies again to get its value.
 */
function allFaultsOf(schema: z.ZodType) {
  return createMiddleware<AppEnv>(async (c, next) => {
    const body = await readJson(c.req);
    const parsed = schema.safeParse(body);
    const faults = parsed.success ? [] : faultsOf(parsed.error.issues);
    const all = [...faults, ...(await faultsBeyondSchema(c, body, faults))];
    if (all.length > 0) throw new ApiFailure({ code: 'invalid_body', faults: all });
    await next();
  });
}

async function faultsBeyondSchema(c: AppContext, body: unknown, faults: readonly Fault[]): Promise<Fault[]> {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return [];
  const { title, endpoint } = body as Record<string, unknown>;
  const sound = (name: string) => !faults.some((fault) => fault.name === name);
  const found: Fault[] = [];
  if (typeof endpoint === 'string' && sound('endpoint')) found.push(...(await endpointFaults(c, endpoint)));
  if (typeof title === 'string' && sound('title')) {
    if (await titleIsTaken(c.get('db'), param(c, 'cid'), title)) found.push(TITLE_TAKEN);
  }
  return found;
}

/** Contract 3.3: the URL's form, then every address its host resolves to. */
async function endpointFaults(c: AppContext, endpoint: string): Promise<Fault[]> {
  const { allowPrivateEndpoints } = c.get('config');
  const refuse = (reason: string): Fault[] => [{ name: 'endpoint', reason }];
  const url = checkEndpointUrl(endpoint, allowPrivateEndpoints);
  if (!url.ok) return refuse(url.reason);
  if (allowPrivateEndpoints) return [];
  const verdict = await c.get('checkAddress')(url.hostname);
  switch (verdict.kind) {
    case 'public':
      return [];
    case 'blocked':
      return refuse('must name a host whose addresses are all public');
    case 'no answer':
    case 'resolver away':
      return refuse('must name a host that can be resolved');
  }
}
