/** Subscriptions over HTTP (contract 3). */
import { z } from 'zod';
import { ApiFailure } from '../../domain/errors.ts';
import { worstSteps } from '../../domain/filter/filter.ts';
import { SUBSCRIPTIONS_PER_UNIT, TOMBSTONES_MAX_PER_CUSTOMER } from '../../domain/limits.ts';
import { refOf, type Subscription } from '../../domain/subscription.ts';
import { NewSubscription, SubscriptionChange } from '../../domain/subscription-body.ts';
import type { HealthReport } from '../../event-store/rpc.ts';
import { logError } from '../../log.ts';
import {
  asksForProof,
  changeSubscription,
  createStore,
  removeSubscription,
} from '../../operations/change-subscription.ts';
import { askForProof } from '../../operations/send-test.ts';
import { countSubscriptions, insertSubscription, listSubscriptions } from '../../storage/subscriptions.ts';
import { clientAudit } from '../kit/audit.ts';
import { addRouteWithBody } from '../kit/body.ts';
import type { AppContext } from '../kit/context.ts';
import type { Door } from '../kit/door.ts';
import { EXAMPLE } from '../kit/examples.ts';
import { subscriptionHref, subscriptionsHref } from '../kit/hrefs.ts';
import { collectionOf, type Links, link } from '../kit/links.ts';
import { idParam, notFound, withSubscription } from '../kit/load.ts';
import { linksOfNumberedPage, pageOrLast, pageParameter } from '../kit/paging.ts';
import { problems } from '../kit/problems.ts';
import { declareRoute, forClients } from '../kit/route.ts';
import { customerPath, jsonContent, locationOf, subscriptionPath } from '../kit/schemas.ts';
import { countTest } from '../kit/test-limit.ts';
import { takeUnits } from '../kit/work.ts';
import {
  FILTERS_TOO_LARGE,
  FILTERS_TOO_SLOW,
  faultsBeyondSchema,
  TITLE_TAKEN,
} from './subscription-faults.ts';
import { SUBSCRIPTION_EXAMPLE, SubscriptionResource, subscriptionResource } from './subscription-resource.ts';

const FIRST_VERSION = 1;
const BORN_HEALTHY: HealthReport = { state: 'healthy', since: 0, waiting: 0 };

const SubscriptionList = collectionOf('SubscriptionList', 'subscriptions', SubscriptionResource);
const NEW_EXAMPLE = {
  title: 'Profile sync',
  endpoint: EXAMPLE.endpoint,
  events: ['entityUpdated'],
  filter: { properties: { entityUpdated: { properties: { entityType: { const: 'user' } } } } },
};
const CHANGE_EXAMPLE = { enabled: false };

const common = forClients('Subscriptions');

export function addSubscriptions(door: Door): void {
  addList(door);
  addCreate(door);
  addRead(door);
  addChange(door);
  addDelete(door);
}

const listRoute = declareRoute({
  method: 'get',
  path: '/subscriptions',
  operationId: 'listSubscriptions',
  summary: 'List subscriptions',
  description:
    'All subscriptions, oldest first; with `page`, a hundred at a time. An invalid page number means the last page.',
  ...common,
  request: { params: customerPath, query: z.object({ page: pageParameter }) },
  responses: {
    200: {
      description: 'The subscriptions',
      content: jsonContent(SubscriptionList, {
        total: 1,
        _links: { self: link(`/${EXAMPLE.customer}/webhooks/subscriptions`) },
        _embedded: { subscriptions: [{ ...SUBSCRIPTION_EXAMPLE, health: { state: 'healthy' } }] },
      }),
    },
    ...problems(403, 429),
  },
});

function addList(door: Door): void {
  door.openapi(listRoute, async (c) => {
    const { cid } = c.req.valid('param');
    const asked = c.req.valid('query').page;
    return c.json(asked === undefined ? await listAll(c, cid) : await listPage(c, cid, asked), 200);
  });
}

async function listAll(c: AppContext, customerId: string) {
  const { db } = c.get('services');
  await takeUnits(c, unitsOf(await countSubscriptions(db, customerId)));
  const all = await listSubscriptions(db, customerId);
  return collection(c, all, all.length, { self: link(subscriptionsHref(customerId)) });
}

async function listPage(c: AppContext, customerId: string, asked: string) {
  const { db } = c.get('services');
  const total = await countSubscriptions(db, customerId);
  const page = pageOrLast(asked, total);
  await takeUnits(c, unitsOf(page.limit));
  const rows = await listSubscriptions(db, customerId, page);
  return collection(c, rows, total, linksOfNumberedPage(subscriptionsHref(customerId), page, total));
}

/** Units of work for a list of so many subscriptions: their filters may have a megabyte, and all customers share D1's one thread. */
function unitsOf(rows: number): number {
  return Math.max(1, Math.ceil(rows / SUBSCRIPTIONS_PER_UNIT));
}

function collection(c: AppContext, rows: readonly Subscription[], total: number, links: Links) {
  const subscriptions = rows.map((row) => subscriptionResource(asNoted(c, row)));
  return { total, _links: links, _embedded: { subscriptions } };
}

/** A subscription with the state that D1 has. Nothing is unverified while verification is off, though D1 may say so for a day. */
function asNoted(c: AppContext, row: Subscription): Subscription {
  const isOver = row.health === 'unverified' && !c.get('services').config.verifyEndpoints;
  return isOver ? { ...row, health: 'healthy' } : row;
}

const createSubscriptionRoute = declareRoute({
  method: 'post',
  path: '/subscriptions',
  operationId: 'createSubscription',
  summary: 'Create a subscription',
  ...common,
  request: {
    params: customerPath,
    body: { content: jsonContent(NewSubscription, NEW_EXAMPLE), required: true },
  },
  responses: {
    201: {
      description: 'The subscription',
      headers: locationOf('the subscription', EXAMPLE.subscriptionPath),
      content: jsonContent(SubscriptionResource, SUBSCRIPTION_EXAMPLE),
    },
    ...problems(400, 403, 409, 413, 415, 429),
  },
});

function addCreate(door: Door): void {
  addRouteWithBody(
    door,
    createSubscriptionRoute,
    async (c) => {
      await takeUnits(c, 1);
      const now = Date.now();
      const { title, endpoint, events, enabled, filter } = c.req.valid('json');
      const services = c.get('services');
      const needsProof = services.config.verifyEndpoints;
      const subscription: Subscription = {
        id: crypto.randomUUID(),
        customerId: c.req.valid('param').cid,
        title,
        endpoint,
        events,
        enabled,
        filter: filter ?? null,
        filterSteps: worstSteps(filter ?? null),
        storeTenths: 0,
        health: needsProof ? 'unverified' : 'healthy',
        healthSince: 0,
        proof: needsProof ? FIRST_VERSION : null,
        shards: null,
        version: FIRST_VERSION,
        createdAt: now,
        updatedAt: now,
      };
      if (needsProof && enabled) await countTest(c, subscription.customerId);
      await insert(c, subscription);
      if (needsProof) await askForProof(services, subscription, now);
      c.header('location', subscriptionHref(subscription));
      if (needsProof) return c.json(await shown(c, subscription), 201);
      c.executionCtx.waitUntil(createStore(services, subscription));
      return c.json(subscriptionResource(subscription, BORN_HEALTHY), 201);
    },
    { moreFaults: faultsBeyondSchema },
  );
}

async function insert(c: AppContext, subscription: Subscription): Promise<void> {
  const { config, db } = c.get('services');
  switch (await insertSubscription(db, subscription, config.maxSubscriptions)) {
    case 'created':
      return;
    case 'no customer':
      throw new ApiFailure({ code: 'forbidden' }); // erased while the call was under way
    case 'duplicate title':
      throw new ApiFailure({ code: 'invalid_body', faults: [TITLE_TAKEN] });
    case 'filters too slow':
      throw new ApiFailure({ code: 'invalid_body', faults: [FILTERS_TOO_SLOW] });
    case 'filters too large':
      throw new ApiFailure({ code: 'invalid_body', faults: [FILTERS_TOO_LARGE] });
    case 'too many':
      throw new ApiFailure({
        code: 'conflict',
        details: `Too many subscriptions: at most ${config.maxSubscriptions}`,
      });
    case 'too many deleted':
      throw new ApiFailure({
        code: 'conflict',
        details: `Too many subscriptions deleted in 30 days: at most ${TOMBSTONES_MAX_PER_CUSTOMER}; wait, or ask the operator`,
      });
  }
}

const readRoute = declareRoute({
  method: 'get',
  path: '/subscriptions/{sid}',
  operationId: 'getSubscription',
  summary: 'Read a subscription',
  ...common,
  middleware: withSubscription,
  request: { params: subscriptionPath },
  responses: {
    200: {
      description: 'The subscription',
      content: jsonContent(SubscriptionResource, SUBSCRIPTION_EXAMPLE),
    },
    ...problems(403, 404, 429),
  },
});

function addRead(door: Door): void {
  door.openapi(readRoute, async (c) => {
    const subscription = c.get('subscription');
    return c.json(await shown(c, subscription), 200);
  });
}

const changeRoute = declareRoute({
  method: 'patch',
  path: '/subscriptions/{sid}',
  operationId: 'updateSubscription',
  summary: 'Modify a subscription',
  description: 'A merge patch (RFC 7396): only the members that are supplied change.',
  ...common,
  middleware: withSubscription,
  request: {
    params: subscriptionPath,
    body: {
      content: {
        'application/merge-patch+json': { schema: SubscriptionChange, example: CHANGE_EXAMPLE },
        ...jsonContent(SubscriptionChange, CHANGE_EXAMPLE),
      },
      required: true,
    },
  },
  responses: {
    200: {
      description: 'The subscription as it is now',
      content: jsonContent(SubscriptionResource, { ...SUBSCRIPTION_EXAMPLE, ...CHANGE_EXAMPLE }),
    },
    ...problems(400, 403, 404, 413, 415, 429),
  },
});

function addChange(door: Door): void {
  addRouteWithBody(
    door,
    changeRoute,
    async (c) => {
      const found = c.get('subscription');
      const services = c.get('services');
      const change = c.req.valid('json');
      if (asksForProof(services.config, found, change)) await countTest(c, found.customerId);
      const changed = await changeSubscription(services, found, change, Date.now());
      switch (changed.result) {
        case 'not found':
          throw notFound('Subscription'); // deleted while the call was under way
        case 'duplicate title':
          throw new ApiFailure({ code: 'invalid_body', faults: [TITLE_TAKEN] });
        case 'filters too slow':
          throw new ApiFailure({ code: 'invalid_body', faults: [FILTERS_TOO_SLOW] });
        case 'filters too large':
          throw new ApiFailure({ code: 'invalid_body', faults: [FILTERS_TOO_LARGE] });
        case 'updated': {
          const { subscription, health } = changed;
          return c.json(await shown(c, subscription, health), 200);
        }
      }
    },
    { moreFaults: faultsBeyondSchema },
  );
}

const deleteRoute = declareRoute({
  method: 'delete',
  path: '/subscriptions/{sid}',
  operationId: 'deleteSubscription',
  summary: 'Delete a subscription',
  description: 'Deletes every stored event of it, too.',
  ...common,
  request: { params: subscriptionPath },
  responses: { 204: { description: 'Deleted' }, ...problems(403, 404, 429) },
});

function addDelete(door: Door): void {
  door.openapi(deleteRoute, async (c) => {
    const { cid } = c.req.valid('param');
    const id = idParam(c, 'sid', 'Subscription');
    const audit = clientAudit(c, 'subscription-deleted', { customerId: cid, target: id });
    const removed = await removeSubscription(c.get('services'), cid, id, Date.now(), audit);
    if (!removed) throw notFound('Subscription');
    return c.body(null, 204);
  });
}

/**
 * A subscription with the state that its event store reports.
 * @param health if the store has said it already
 */
async function shown(c: AppContext, subscription: Subscription, health?: HealthReport) {
  return subscriptionResource(asNoted(c, subscription), health ?? (await healthOf(c, subscription)));
}

/** The health of the endpoint; `undefined` while the event store is away: the subscription can be read all the same. */
async function healthOf(c: AppContext, subscription: Subscription): Promise<HealthReport | undefined> {
  try {
    return await c.get('services').eventStore(subscription).health(refOf(subscription));
  } catch (error) {
    logError('event store not asked for health', error, { subscriptionId: subscription.id });
    return undefined;
  }
}
