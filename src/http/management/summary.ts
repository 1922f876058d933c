/** What became of the events of the last seven days (contract 3.8). */
import { createRoute, type OpenAPIHono } from '@hono/zod-openapi';
import { z } from 'zod';
import { type AppEnv, timestamp } from '../kit/context.ts';
import { jsonContent, problems, subscriptionPath } from '../kit/links.ts';
import { withSubscription } from '../kit/load.ts';

const SummaryResource = z
  .object({
    updatedAt: z.string().meta({ format: 'date-time' }),
    total: z.number().int(),
    succeeded: z.number().int(),
    retrying: z.number().int(),
    failed: z.number().int(),
    exportable: z.number().int().meta({ description: 'failed, never exported' }),
  })
  .meta({ id: 'Summary' });

const route = createRoute({
  method: 'get',
  path: '/subscriptions/{sid}/summary',
  summary: 'Counts of the last seven days',
  tags: ['Subscriptions'],
  security: [{ token: [] }],
  middleware: withSubscription,
  request: { params: subscriptionPath },
  responses: {
    200: { description: 'The counts, as of updatedAt', content: jsonContent(SummaryResource) },
    ...problems(403, 404, 429),
  },
});

export function addSummary(app: OpenAPIHono<AppEnv>): void {
  app.openapi(route, async (c) => {
    const subscription = c.get('subscription');
    const { at, succeeded, retrying, failed, exportable } = await c
      .get('services')
      .eventStore(subscription.id)
      .summary();
    const total = succeeded + retrying + failed;
    return c.json({ updatedAt: timestamp(at), total, succeeded, retrying, failed, exportable }, 200);
  });
}
