/** `GET /healthz` (contract 10.5): the Worker runs and its configuration is sound; nothing slow is asked. */
import { createRoute, type OpenAPIHono } from '@hono/zod-openapi';
import { z } from 'zod';
import type { AppEnv } from '../kit/context.ts';
import { jsonContent } from '../kit/links.ts';

const route = createRoute({
  method: 'get',
  path: '/healthz',
  summary: 'Is the service up?',
  tags: ['Operation'],
  responses: { 200: { description: 'It is', content: jsonContent(z.object({ status: z.literal('ok') })) } },
});

export function addHealth(app: OpenAPIHono<AppEnv>): void {
  app.openapi(route, (c) => c.json({ status: 'ok' as const }, 200));
}
