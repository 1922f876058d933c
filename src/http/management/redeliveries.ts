/** Bulk redelivery over HTTP (contract 10.3). */
import { z } from 'zod';
import { ApiFailure } from '../../domain/errors.ts';
import { DRY_RUN_LOOKS_MAX } from '../../domain/limits.ts';
import { RedeliverySpan } from '../../domain/redelivery.ts';
import { refOf, type Subscription } from '../../domain/subscription.ts';
import type { RedeliveryJob, RedeliveryPreview, Span, SpanEnd } from '../../event-store/rpc.ts';
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
import { takeUnit, takeUnits } from '../kit/work.ts';

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

const SpanEndResource = z.object({ id, createdAt: time });

const PreviewResource = z
  .object({
    // Not a literal: generated clients read one of a boolean as a text.
    dryRun: z.boolean().meta({ description: 'true' }),
    total: wholeNumber.meta({ description: 'failed events of the span that a job would redeliver' }),
    exact: z.boolean().meta({ description: 'false: there may be more, so every figure means "at least"' }),
    oldest: SpanEndResource.optional().meta({ description: 'of these, the event that was accepted first' }),
    newest: SpanEndResource.optional().meta({ description: 'the event that was accepted last' }),
    leftOut: z
      .object({
        notKept: wholeNumber.meta({ description: 'events whose SETs found no room' }),
        notVerified: wholeNumber.meta({
          description: 'events that waited in vain for a proof of an endpoint',
        }),
      })
      .meta({ description: 'failed events of the span that no job redelivers' }),
    _links: z.object({ redeliveries: Link, subscription: Link }),
  })
  .meta({ id: 'RedeliveryPreview' });

const PREVIEW_EXAMPLE: z.infer<typeof PreviewResource> = {
  dryRun: true,
  total: 118,
  exact: true,
  oldest: { id: EXAMPLE.event, createdAt: EXAMPLE.early },
  newest: { id: '01890a5d-c01e-7a2b-9f31-5d4b8a6c7e10', createdAt: EXAMPLE.late },
  leftOut: { notKept: 2, notVerified: 0 },
  _links: {
    redeliveries: link(`${EXAMPLE.subscriptionPath}/redeliveries`),
    subscription: link(EXAMPLE.subscriptionPath),
  },
};

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
    'Redelivers every event in `failure` of the span, oldest first, at a pace that the listener can take; without a body, every event in `failure`. One job at a time. With `"dryRun": true` nothing is sent: the answer is a 200 that says what a job would redeliver.',
  ...common,
  request: {
    params: subscriptionPath,
    body: {
      content: jsonContent(RedeliverySpan, { since: EXAMPLE.early, until: EXAMPLE.late }),
      required: false,
    },
  },
  responses: {
    200: {
      description: 'What a job would redeliver, for a dry run',
      content: jsonContent(PreviewResource, PREVIEW_EXAMPLE),
    },
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
      const { since, until, dryRun } = c.req.valid('json');
      const span = {
        since: since === undefined ? 0 : Date.parse(since),
        until: until === undefined ? Number.MAX_SAFE_INTEGER : Date.parse(until),
      };
      if (dryRun === true) return c.json(previewResource(c.get('subscription'), await preview(c, span)), 200);
      const job = await start(c, span);
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
  const store = c.get('services').eventStore(subscription);
  const started = await store.startRedelivery(refOf(subscription), span);
  if (started.answer !== 'started') throw await refusalOf(c, started.answer);
  return started.job;
}

/**
 * Looks at the failures of a subscription until it has seen those of the span, or has made `DRY_RUN_LOOKS_MAX` looks, or has no unit
 * of work left. @returns what all looks saw; with `upTo` when there may be more
 */
async function preview(c: SubscriptionContext, span: Span): Promise<RedeliveryPreview> {
  await takeUnits(c, 1);
  const subscription = c.get('subscription');
  const store = c.get('services').eventStore(subscription);
  let all: RedeliveryPreview | undefined;
  for (let looks = 1; ; looks++) {
    const seen = await store.previewRedelivery(refOf(subscription), span, all?.upTo);
    if (seen.answer !== 'previewed') throw await refusalOf(c, seen.answer);
    all = all === undefined ? seen.preview : sumOf(all, seen.preview);
    if (all.upTo === undefined || looks === DRY_RUN_LOOKS_MAX || !(await takeUnit(c))) return all;
  }
}

/** Two looks as one. @param after the look that followed */
function sumOf(before: RedeliveryPreview, after: RedeliveryPreview): RedeliveryPreview {
  const ends = [before.oldest ?? [], before.newest ?? [], after.oldest ?? [], after.newest ?? []].flat();
  const [oldest] = ends.toSorted((a, b) => a.acceptedAt - b.acceptedAt);
  const newest = ends.toSorted((a, b) => a.acceptedAt - b.acceptedAt).at(-1);
  return {
    ...after,
    total: before.total + after.total,
    ...(oldest === undefined ? {} : { oldest }),
    ...(newest === undefined ? {} : { newest }),
    notKept: before.notKept + after.notKept,
    notVerified: before.notVerified + after.notVerified,
    isEarly: before.isEarly || after.isEarly,
  };
}

/** Why no job can start, or be previewed. */
async function refusalOf(
  c: SubscriptionContext,
  answer: 'active' | 'disabled' | 'not verified',
): Promise<ApiFailure> {
  switch (answer) {
    case 'not verified':
      return new ApiFailure({ code: 'conflict', details: 'Endpoint is not verified' });
    case 'active':
      return new ApiFailure({ code: 'conflict', details: 'Too many active redeliveries' });
    case 'disabled':
      // The store of a subscription that was deleted while the body arrived says the same.
      return (await isDeleted(c))
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
    const jobs = await c.get('services').eventStore(subscription).redeliveries();
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
    const state = await c.get('services').eventStore(c.get('subscription')).cancelRedelivery(id);
    if (state === undefined) throw notFound('Redelivery');
    if (state === 'completed') throw new ApiFailure({ code: 'conflict', details: 'Redelivery is completed' });
    return c.body(null, 204);
  });
}

/** The job `{redeliveryId}` of the subscription. @throws ApiFailure `not_found` */
async function readJob(c: SubscriptionContext): Promise<RedeliveryJob> {
  const id = idParam(c, 'redeliveryId', 'Redelivery');
  const jobs = await c.get('services').eventStore(c.get('subscription')).redeliveries(id);
  const job = jobs.find((one) => one.id === id);
  if (job === undefined) throw notFound('Redelivery');
  return job;
}

function redeliveriesHref(subscription: Subscription): string {
  return `${subscriptionHref(subscription)}/redeliveries`;
}

function previewResource(
  subscription: Subscription,
  { total, upTo, isEarly, oldest, newest, notKept, notVerified }: RedeliveryPreview,
): z.infer<typeof PreviewResource> {
  return {
    dryRun: true,
    total,
    exact: upTo === undefined && !isEarly,
    ...(oldest === undefined ? {} : { oldest: spanEndResource(oldest) }),
    ...(newest === undefined ? {} : { newest: spanEndResource(newest) }),
    leftOut: { notKept, notVerified },
    _links: {
      redeliveries: link(redeliveriesHref(subscription)),
      subscription: link(subscriptionHref(subscription)),
    },
  };
}

function spanEndResource({ eventId, acceptedAt }: SpanEnd): z.infer<typeof SpanEndResource> {
  return { id: eventId, createdAt: timestamp(acceptedAt) };
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
