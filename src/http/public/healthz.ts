/** `GET /healthz` (contract 10.5): the Worker runs and its configuration is valid. It asks neither D1 nor a queue. */
import { z } from 'zod';
import type { Door } from '../kit/door.ts';
import { problems } from '../kit/problems.ts';
import { declareRoute, forAnybody } from '../kit/route.ts';
import { jsonContent } from '../kit/schemas.ts';

const Health = z.object({ status: z.literal('ok') }).meta({ id: 'Health' });

const route = declareRoute({
  method: 'get',
  path: '/healthz',
  operationId: 'getHealth',
  summary: 'Is the service up?',
  ...forAnybody('Operation'),
  responses: {
    200: { description: 'It is up', content: jsonContent(Health, { status: 'ok' }) },
    ...problems(),
  },
});

export function addHealth(door: Door): void {
  door.openapi(route, (c) => c.json({ status: 'ok' as const }, 200));
}
