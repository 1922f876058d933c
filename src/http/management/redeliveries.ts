/** Bulk redelivery over HTTP (contract 10.3). */
import { z } from 'zod';
import { ApiFailure } from '../../domain/errors.ts';
import { RedeliverySpan } from '../../domain/redelivery.ts';
import { refOf, type Subscription } from '../../domain/subscription.ts';
import type { RedeliveryJob, Span } from '../../event-store/rpc.ts';
import { findSubscription } from '../../storage/subscriptions.ts';
import { addRouteWithBody } from '../kit/body.ts';
import { timestamp } from '../kit/context.ts';
import type { Door } from '../kit/door.ts';
import { EXAMPLE } from '../kit/examples.ts';
import { subscriptionHref } from '../kit/hrefs.ts';
import { collectionOf, Link, link } from '../kit/links.ts';
import { idParam, notFound, type SubscriptionContext, withSubscription } from '../kit/load.ts';
import { problems } from '../kit/problems.ts';
import { declareOwnRoute, forClients } from '../kit/route.ts';
import { id, jsonContent, locationOf, subscriptionPath, time, wholeNumber } from '../kit/schemas.ts';
import { takeUnits } from '../kit/work.ts';

const RedeliveryResource = z
  .object({
    id,
    createdAt: time,
    updatedAt: time,
    state: z.enum(['processing', 'completed', 'canceled']),
    total: wholeNumber.meta({ description: 'failed events of the span when the job began' }),
    redelivered: wholeNumber.meta({ description: 'events that the job has released so far' }),
    succeeded: wholeNumber,
    failed: wholeNumber,
    _links: z.object({ self: Link, redeliveries: Link, subscription: Link }),
  })
  .meta({ id: 'Redelivery' });

const REDELIVERY_EXAMPLE: z.infer<typeof RedeliveryResource> = {
  id: EXAMPLE.job,
  createdAt: EXAMPLE.early,
  updatedAt: EXAMPLE.late,
  state: 'processing',
  total: 120,
  redelivered: 31,
  succeeded: 29,
  failed: 1,
  _links: {
    self: link(`${EXAMPLE.subscriptionPath}/redeliveries/${EXAMPLE.job}`),
    redeliveries: link(`${EXAMPLE.subscriptionPath}/redeliveries`),
    subscription: link(EXAMPLE.subscriptionPath),
  },
};
const RedeliveryList = collectionOf('RedeliveryList', 'redeliveries', RedeliveryResource);

const path = '/subscriptions/{sid}/redeliveries';
const jobPath = subscriptionPath.extend({
  redeliveryId: id.meta({ description: 'bulk redelivery id', examples: [EXAMPLE.job] }),
});
const common = { ...forClients('Redeliveries'), middleware: withSubscription };

export function addRedeliveries(door: Door): void {
  addStart(door);
  addList(door);
  addRead(door);
  addCancel(door);
}

const startRoute = declareOwnRoute({
  method: 'post',
  path,
  operationId: 'startRedelivery',
  summary: 'Redeliver failed events',
  description:
    'Redelivers every event in `failure` of the span, oldest first, at a pace that the listener can take; without a body, every event in `failure`. One job at a time.',
  ...common,
  request: {
    params: subscriptionPath,
    body: {
      content: jsonContent(RedeliverySpan, { since: EXAMPLE.early, until: EXAMPLE.late }),
      required: false,
    },
  },
  responses: {
    202: {
      description: 'The job',
      headers: locationOf('the job', REDELIVERY_EXAMPLE._links.self.href),
      content: jsonContent(RedeliveryResource, REDELIVERY_EXAMPLE),
    },
    ...problems(400, 403, 404, 409, 413, 415, 429),
  },
});

function addStart(door: Door): void {
  addRouteWithBody(
    door,
    startRoute,
    async (c) => {
      const { since, until } = c.req.valid('json');
      const job = await start(c, {
        since: since === undefined ? 0 : Date.parse(since),
        until: until === undefined ? Number.MAX_SAFE_INTEGER : Date.parse(until),
      });
      const resource = redeliveryResource(c.get('subscription'), job);
      c.header('location', resource._links.self.href);
      return c.json(resource, 202);
    },
    { emptyIsObject: 'always' },
  );
}

async function start(c: SubscriptionContext, span: Span): Promise<RedeliveryJob> {
  await takeUnits(c, 1);
  const subscription = c.get('subscription');
  const store = c.get('services').eventStore(subscription.id);
  const started = await store.startRedelivery(refOf(subscription), span);
  switch (started.answer) {
    case 'started':
      return started.job;
    case 'not verified':
      throw new ApiFailure({ code: 'conflict', details: 'Endpoint is not verified' });
    case 'active':
      throw new ApiFailure({ code: 'conflict', details: 'Too many active redeliveries' });
    case 'disabled':
      // The store of a subscription that was deleted while the body arrived says the same.
      throw (await isDeleted(c))
        ? notFound('Subscription')
        : new ApiFailure({ code: 'conflict', details: 'Subscription is disabled' });
  }
}

async function isDeleted(c: SubscriptionContext): Promise<boolean> {
  const { customerId, id } = c.get('subscription');
  return (await findSubscription(c.get('services').db, customerId, id)) === undefined;
}

const listRoute = declareOwnRoute({
  method: 'get',
  path,
  operationId: 'listRedeliveries',
  summary: 'List bulk redeliveries',
  ...common,
  request: { params: subscriptionPath },
  responses: {
    200: {
      description: 'The jobs of the last seven days, oldest first',
      content: jsonContent(RedeliveryList, {
        total: 1,
        _links: { self: link(`${EXAMPLE.subscriptionPath}/redeliveries`) },
        _embedded: { redeliveries: [REDELIVERY_EXAMPLE] },
      }),
    },
    ...problems(403, 404, 429),
  },
});

function addList(door: Door): void {
  door.openapi(listRoute, async (c) => {
    const subscription = c.get('subscription');
    const jobs = await c.get('services').eventStore(subscription.id).redeliveries();
    const redeliveries = jobs.map((job) => redeliveryResource(subscription, job));
    const self = link(redeliveriesHref(subscription));
    return c.json({ total: redeliveries.length, _links: { self }, _embedded: { redeliveries } }, 200);
  });
}

const readRoute = declareOwnRoute({
  method: 'get',
  path: `${path}/{redeliveryId}`,
  operationId: 'getRedelivery',
  summary: 'Read a bulk redelivery',
  ...common,
  request: { params: jobPath },
  responses: {
    200: { description: 'The job', content: jsonContent(RedeliveryResource, REDELIVERY_EXAMPLE) },
    ...problems(403, 404, 429),
  },
});

function addRead(door: Door): void {
  door.openapi(readRoute, async (c) =>
    c.json(redeliveryResource(c.get('subscription'), await readJob(c)), 200),
  );
}

const cancelRoute = declareOwnRoute({
  method: 'delete',
  path: `${path}/{redeliveryId}`,
  operationId: 'cancelRedelivery',
  summary: 'Cancel a bulk redelivery',
  description: 'Events that the job has released already are still sent.',
  ...common,
  request: { params: jobPath },
  responses: { 204: { description: 'Canceled' }, ...problems(403, 404, 409, 429) },
});

function addCancel(door: Door): void {
  door.openapi(cancelRoute, async (c) => {
    const id = idParam(c, 'redeliveryId', 'Redelivery');
    const state = await c.get('services').eventStore(c.get('subscription').id).cancelRedelivery(id);
    if (state === undefined) throw notFound('Redelivery');
    if (state === 'completed') throw new ApiFailure({ code: 'conflict', details: 'Redelivery is completed' });
    return c.body(null, 204);
  });
}

/** The job `{redeliveryId}` of the subscription. @throws ApiFailure `not_found` */
async function readJob(c: SubscriptionContext): Promise<RedeliveryJob> {
  const id = idParam(c, 'redeliveryId', 'Redelivery');
  const jobs = await c.get('services').eventStore(c.get('subscription').id).redeliveries(id);
  const job = jobs.find((one) => one.id === id);
  if (job === undefined) throw notFound('Redelivery');
  return job;
}

function redeliveriesHref(subscription: Subscription): string {
  return `${subscriptionHref(subscription)}/redeliveries`;
}

function redeliveryResource(
  subscription: Subscription,
  job: RedeliveryJob,
): z.infer<typeof RedeliveryResource> {
  const { id, createdAt, updatedAt, state, total, redelivered, succeeded, failed } = job;
  return {
    id,
    createdAt: timestamp(createdAt),
    updatedAt: timestamp(updatedAt),
    state,
    total,
    redelivered,
    succeeded,
    failed,
    _links: {
      self: link(`${redeliveriesHref(subscription)}/${id}`),
      redeliveries: link(redeliveriesHref(subscription)),
      subscription: link(subscriptionHref(subscription)),
    },
  };
}
