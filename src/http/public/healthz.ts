/** `GET /healthz` (contract 10.5): the Worker runs and its configuration is valid. It asks neither D1 nor a queue. */
import { createRoute } from '@hono/zod-openapi';
import { z } from 'zod';
import type { Door } from '../kit/door.ts';
import { jsonContent } from '../kit/schemas.ts';

const route = createRoute({
  method: 'get',
  path: '/healthz',
  summary: 'Is the service up?',
  tags: ['Operation'],
  responses: {
    200: { description: 'It is up', content: jsonContent(z.object({ status: z.literal('ok') })) },
  },
});

export function addHealth(door: Door): void {
  door.openapi(route, (c) => c.json({ status: 'ok' as const }, 200));
}
