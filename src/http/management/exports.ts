/** Bulk export of failed events over HTTP (contract 7). */
import { createRoute, type OpenAPIHono } from '@hono/zod-openapi';
import { z } from 'zod';
import { ApiFailure } from '../../domain/errors.ts';
import { isUuid } from '../../domain/ids.ts';
import { refOf, type Subscription } from '../../domain/subscription.ts';
import type { ExportJob } from '../../event-store/rpc.ts';
import { type AppContext, type AppEnv, param, timestamp } from '../kit/context.ts';
import { collectionOf, jsonContent, Link, link, problems, subscriptionPath } from '../kit/links.ts';
import { notFound, withSubscription } from '../kit/load.ts';
import { subscriptionHref } from './subscriptions.ts';

const time = z.string().meta({ format: 'date-time' });

const ExportResource = z
  .object({
    id: z.string(),
    createdAt: time,
    updatedAt: time,
    state: z.enum(['processing', 'completed', 'canceled', 'failed']),
    _links: z.object({ self: Link, exports: Link, download: Link.optional() }),
  })
  .meta({ id: 'Export' });

const path = '/subscriptions/{sid}/exports';
const exportPath = subscriptionPath.extend({ exportId: z.string().meta({ format: 'uuid' }) });
const common = { tags: ['Exports'], security: [{ token: [] }], middleware: withSubscription };

const startRoute = createRoute({
  method: 'post',
  path,
  summary: 'Start an export of failed events',
  description: 'Each failed event is exported once ever. One job at a time, one completed a day.',
  ...common,
  request: { params: subscriptionPath },
  responses: {
    202: { description: 'The job', content: jsonContent(ExportResource) },
    ...problems(403, 404, 409, 429),
  },
});

const listRoute = createRoute({
  method: 'get',
  path,
  summary: 'List exports',
  ...common,
  request: { params: subscriptionPath },
  responses: {
    200: {
      description: 'The jobs, oldest first',
      content: jsonContent(collectionOf('exports', ExportResource)),
    },
    ...problems(403, 404, 429),
  },
});

const readRoute = createRoute({
  method: 'get',
  path: `${path}/{exportId}`,
  summary: 'Read an export',
  ...common,
  request: { params: exportPath },
  responses: {
    200: { description: 'The job', content: jsonContent(ExportResource) },
    ...problems(403, 404, 429),
  },
});

const cancelRoute = createRoute({
  method: 'delete',
  path: `${path}/{exportId}`,
  summary: 'Cancel an export',
  description: 'Its events may be exported by a later one.',
  ...common,
  request: { params: exportPath },
  responses: { 204: { description: 'Canceled' }, ...problems(403, 404, 409, 429) },
});

const downloadRoute = createRoute({
  method: 'get',
  path: `${path}/{exportId}/download`,
  summary: 'Download an export',
  description: 'A line for each event: the event resource without _links.',
  ...common,
  request: { params: exportPath },
  responses: {
    200: { description: 'The file', content: { 'application/x-ndjson': { schema: z.string() } } },
    ...problems(403, 404, 409, 429),
  },
});

export function addExports(app: OpenAPIHono<AppEnv>): void {
  app.openapi(startRoute, async (c) => {
    const subscription = c.get('subscription');
    return c.json(exportResource(subscription, await start(c, subscription)), 202);
  });

  app.openapi(listRoute, async (c) => {
    const subscription = c.get('subscription');
    const jobs = await c.get('services').eventStore(subscription.id).exports();
    const exports = jobs.map((job) => exportResource(subscription, job));
    const self = link(exportsHref(subscription));
    return c.json({ total: exports.length, _links: { self }, _embedded: { exports } }, 200);
  });

  app.openapi(readRoute, async (c) => {
    const subscription = c.get('subscription');
    return c.json(exportResource(subscription, await requireExport(c, subscription)), 200);
  });

  app.openapi(cancelRoute, async (c) => {
    const subscription = c.get('subscription');
    const { id } = await requireExport(c, subscription);
    const state = await c.get('services').eventStore(subscription.id).cancelExport(id);
    if (state === 'completed') throw new ApiFailure({ code: 'conflict', details: 'Export is completed' });
    return c.body(null, 204);
  });

  app.openapi(downloadRoute, async (c) => {
    const subscription = c.get('subscription');
    const job = await requireExport(c, subscription);
    if (job.state !== 'completed')
      throw new ApiFailure({ code: 'conflict', details: 'Export is not completed' });
    // A stream has no static type.
    return download(c, subscription, job) as never;
  });
}

async function start(c: AppContext, subscription: Subscription): Promise<ExportJob> {
  const store = c.get('services').eventStore(subscription.id);
  const started = await store.startExport(refOf(subscription));
  switch (started.answer) {
    case 'started':
      return started.job;
    case 'active':
      throw new ApiFailure({ code: 'conflict', details: 'Too many active exports' });
    case 'too soon': {
      const details = `One completed export every ${c.get('services').config.exportIntervalMs / 1000} seconds`;
      const retryAfterSeconds = Math.ceil(started.waitMs / 1000);
      throw new ApiFailure({ code: 'too_many_requests', details, retryAfterSeconds });
    }
  }
}

async function requireExport(c: AppContext, subscription: Subscription): Promise<ExportJob> {
  const id = param(c, 'exportId');
  const jobs = isUuid(id) ? await c.get('services').eventStore(subscription.id).exports() : [];
  const job = jobs.find((one) => one.id === id);
  if (job === undefined) throw notFound('Export');
  return job;
}

/** The file, part by part: memory stays flat however many events it holds. */
function download(c: AppContext, subscription: Subscription, job: ExportJob): Response {
  const store = c.get('services').eventStore(subscription.id);
  const encoder = new TextEncoder();
  let part = 0;
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const lines = part < job.parts ? await store.exportPart(job.id, part) : undefined;
      // A part that is missing means that the file ended its life meanwhile: the transfer must not look whole.
      if (lines === undefined && part < job.parts) return controller.error(new Error('export is gone'));
      if (lines === undefined) return controller.close();
      part++;
      controller.enqueue(encoder.encode(lines));
    },
  });
  return c.body(body, 200, {
    'content-type': 'application/x-ndjson',
    'content-disposition': `attachment; filename="${job.id}.ndjson"`,
  });
}

function exportsHref(subscription: Subscription): string {
  return `${subscriptionHref(subscription)}/exports`;
}

function exportResource(subscription: Subscription, job: ExportJob): z.infer<typeof ExportResource> {
  const self = `${exportsHref(subscription)}/${job.id}`;
  return {
    id: job.id,
    createdAt: timestamp(job.createdAt),
    updatedAt: timestamp(job.updatedAt),
    state: job.state,
    _links: {
      self: link(self),
      exports: link(exportsHref(subscription)),
      ...(job.state === 'completed' ? { download: link(`${self}/download`) } : {}),
    },
  };
}
