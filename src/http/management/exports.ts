/** Bulk export of failed events over HTTP (contract 7). */
import { z } from 'zod';
import { ApiFailure } from '../../domain/errors.ts';
import { JOBS_KEPT_MAX } from '../../domain/limits.ts';
import { refOf, type Subscription } from '../../domain/subscription.ts';
import type { EventStoreRpc, ExportJob } from '../../event-store/rpc.ts';
import { timestamp } from '../kit/context.ts';
import type { Door } from '../kit/door.ts';
import { EVENT_EXAMPLE } from '../kit/event-resource.ts';
import { EXAMPLE } from '../kit/examples.ts';
import { subscriptionHref } from '../kit/hrefs.ts';
import { streamText } from '../kit/json-stream.ts';
import { collectionOf, Link, link } from '../kit/links.ts';
import { idParam, notFound, type SubscriptionContext, withSubscription } from '../kit/load.ts';
import { problems } from '../kit/problems.ts';
import { declareRoute, forClients } from '../kit/route.ts';
import { id, jsonContent, subscriptionPath, time } from '../kit/schemas.ts';
import { takeUnits } from '../kit/work.ts';

const ExportResource = z
  .object({
    id,
    createdAt: time,
    updatedAt: time,
    state: z.enum(['processing', 'completed', 'canceled', 'failed']),
    _links: z.object({ self: Link, exports: Link, download: Link.optional() }),
  })
  .meta({ id: 'Export' });

const EXPORT_EXAMPLE: z.infer<typeof ExportResource> = {
  id: EXAMPLE.job,
  createdAt: EXAMPLE.early,
  updatedAt: EXAMPLE.late,
  state: 'completed',
  _links: {
    self: link(`${EXAMPLE.subscriptionPath}/exports/${EXAMPLE.job}`),
    exports: link(`${EXAMPLE.subscriptionPath}/exports`),
    download: link(`${EXAMPLE.subscriptionPath}/exports/${EXAMPLE.job}/download`),
  },
};
const ExportList = collectionOf('ExportList', 'exports', ExportResource);

const path = '/subscriptions/{sid}/exports';
const exportPath = subscriptionPath.extend({
  exportId: id.meta({ description: 'export id', examples: [EXAMPLE.job] }),
});
const common = { ...forClients('Exports'), middleware: withSubscription };

export function addExports(door: Door): void {
  addStart(door);
  addList(door);
  addRead(door);
  addCancel(door);
  addDownload(door);
}

const startRoute = declareRoute({
  method: 'post',
  path,
  operationId: 'startExport',
  summary: 'Start an export of failed events',
  description:
    'Each failed event is exported only once, ever. One job at a time, and one completed job a day.',
  ...common,
  request: { params: subscriptionPath },
  responses: {
    202: {
      description: 'The job',
      content: jsonContent(ExportResource, {
        ...EXPORT_EXAMPLE,
        state: 'processing',
        _links: { self: EXPORT_EXAMPLE._links.self, exports: EXPORT_EXAMPLE._links.exports },
      }),
    },
    ...problems(403, 404, 409, 429),
  },
});

function addStart(door: Door): void {
  door.openapi(startRoute, async (c) => c.json(exportResource(c.get('subscription'), await start(c)), 202));
}

async function start(c: SubscriptionContext): Promise<ExportJob> {
  await takeUnits(c, 1);
  const { config, eventStore } = c.get('services');
  const subscription = c.get('subscription');
  const started = await eventStore(subscription).startExport(refOf(subscription));
  switch (started.answer) {
    case 'started':
      return started.job;
    case 'active':
      throw new ApiFailure({ code: 'conflict', details: 'Too many active exports' });
    case 'too soon':
      throw new ApiFailure({
        code: 'too_many_requests',
        details:
          started.because === 'too many kept'
            ? `At most ${JOBS_KEPT_MAX} exports are kept`
            : `One completed export every ${config.exportIntervalMs / 1000} seconds`,
        retryAfterSeconds: Math.ceil(started.waitMs / 1000),
      });
  }
}

const listRoute = declareRoute({
  method: 'get',
  path,
  operationId: 'listExports',
  summary: 'List exports',
  ...common,
  request: { params: subscriptionPath },
  responses: {
    200: {
      description: 'The jobs, oldest first',
      content: jsonContent(ExportList, {
        total: 1,
        _links: { self: link(`${EXAMPLE.subscriptionPath}/exports`) },
        _embedded: { exports: [EXPORT_EXAMPLE] },
      }),
    },
    ...problems(403, 404, 429),
  },
});

function addList(door: Door): void {
  door.openapi(listRoute, async (c) => {
    const subscription = c.get('subscription');
    const jobs = await c.get('services').eventStore(subscription).exports();
    const exports = jobs.map((job) => exportResource(subscription, job));
    const self = link(exportsHref(subscription));
    return c.json({ total: exports.length, _links: { self }, _embedded: { exports } }, 200);
  });
}

const readRoute = declareRoute({
  method: 'get',
  path: `${path}/{exportId}`,
  operationId: 'getExport',
  summary: 'Read an export',
  ...common,
  request: { params: exportPath },
  responses: {
    200: { description: 'The job', content: jsonContent(ExportResource, EXPORT_EXAMPLE) },
    ...problems(403, 404, 429),
  },
});

function addRead(door: Door): void {
  door.openapi(readRoute, async (c) => c.json(exportResource(c.get('subscription'), await readJob(c)), 200));
}

const cancelRoute = declareRoute({
  method: 'delete',
  path: `${path}/{exportId}`,
  operationId: 'cancelExport',
  summary: 'Cancel an export',
  description: 'A later export may take its events.',
  ...common,
  request: { params: exportPath },
  responses: { 204: { description: 'Canceled' }, ...problems(403, 404, 409, 429) },
});

function addCancel(door: Door): void {
  door.openapi(cancelRoute, async (c) => {
    const id = idParam(c, 'exportId', 'Export');
    const state = await c.get('services').eventStore(c.get('subscription')).cancelExport(id);
    if (state === undefined) throw notFound('Export');
    if (state === 'completed') throw new ApiFailure({ code: 'conflict', details: 'Export is completed' });
    return c.body(null, 204);
  });
}

const downloadRoute = declareRoute({
  method: 'get',
  path: `${path}/{exportId}/download`,
  operationId: 'downloadExport',
  summary: 'Download an export',
  description: 'One line for each event: the event resource without `_links`.',
  ...common,
  request: { params: exportPath },
  responses: {
    200: {
      description: 'The file',
      headers: {
        'Content-Disposition': {
          description: 'the name of the file',
          schema: { type: 'string' },
          example: `attachment; filename="${EXAMPLE.job}.ndjson"`,
        },
      },
      content: {
        'application/x-ndjson': {
          schema: z.string(),
          example: `${JSON.stringify({ ...EVENT_EXAMPLE, _links: undefined })}\n`,
        },
      },
    },
    ...problems(403, 404, 409, 429),
  },
});

function addDownload(door: Door): void {
  door.openapi(downloadRoute, async (c) => {
    const job = await readJob(c);
    if (job.state !== 'completed')
      throw new ApiFailure({ code: 'conflict', details: 'Export is not completed' });
    const headers = {
      'content-type': 'application/x-ndjson',
      'content-disposition': `attachment; filename="${job.id}.ndjson"`,
    };
    return streamText(c, headers, partsOf(c.get('services').eventStore(c.get('subscription')), job));
  });
}

/**
 * The parts of an export's file.
 * @throws Error when the file was deleted meanwhile: the download must not look whole
 */
async function* partsOf(store: EventStoreRpc, job: ExportJob): AsyncGenerator<string> {
  for (let part = 0; part < job.parts; part++) {
    const lines = await store.exportPart(job.id, part);
    if (lines === undefined) throw new Error('export is gone');
    yield lines;
  }
}

/** The job `{exportId}` of the subscription. @throws ApiFailure `not_found` */
async function readJob(c: SubscriptionContext): Promise<ExportJob> {
  const id = idParam(c, 'exportId', 'Export');
  const jobs = await c.get('services').eventStore(c.get('subscription')).exports(id);
  const job = jobs.find((one) => one.id === id);
  if (job === undefined) throw notFound('Export');
  return job;
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
