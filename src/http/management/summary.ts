/** Counts of the events of the last seven days, by how they are doing (contract 3.8). */
import { z } from 'zod';
import { timestamp } from '../kit/context.ts';
import type { Door } from '../kit/door.ts';
import { EXAMPLE } from '../kit/examples.ts';
import { withSubscription } from '../kit/load.ts';
import { problems } from '../kit/problems.ts';
import { declareRoute, forClients } from '../kit/route.ts';
import { jsonContent, subscriptionPath, time, wholeNumber } from '../kit/schemas.ts';

const SummaryResource = z
  .object({
    updatedAt: time,
    total: wholeNumber,
    succeeded: wholeNumber,
    retrying: wholeNumber,
    failed: wholeNumber,
    exportable: wholeNumber.meta({ description: 'failed, never exported' }),
  })
  .meta({ id: 'Summary' });

const route = declareRoute({
  method: 'get',
  path: '/subscriptions/{sid}/summary',
  operationId: 'getSummary',
  summary: 'Counts of the last seven days',
  ...forClients('Subscriptions'),
  middleware: withSubscription,
  request: { params: subscriptionPath },
  responses: {
    200: {
      description: 'The counts, as of updatedAt',
      content: jsonContent(SummaryResource, {
        updatedAt: EXAMPLE.early,
        total: 100,
        succeeded: 70,
        retrying: 12,
        failed: 18,
        exportable: 5,
      }),
    },
    ...problems(403, 404, 429),
  },
});

export function addSummary(door: Door): void {
  door.openapi(route, async (c) => {
    const summary = await c.get('services').eventStore(c.get('subscription')).summary();
    const { at, succeeded, retrying, failed, exportable } = summary;
    const total = succeeded + retrying + failed;
    return c.json({ updatedAt: timestamp(at), total, succeeded, retrying, failed, exportable }, 200);
  });
}
