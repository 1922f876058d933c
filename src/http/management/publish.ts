/** Publishing events over HTTPS (contract 10.1). */
import type { OpenAPIHono } from '@hono/zod-openapi';
import { z } from 'zod';
import { publish } from '../../delivery/publish.ts';
import { ApiFailure } from '../../domain/errors.ts';
import { EventType, PublishedEvent } from '../../domain/event.ts';
import { PUBLISH_BODY_MAX_BYTES, PUBLISH_MAX_EVENTS } from '../../domain/limits.ts';
import { logError } from '../../log.ts';
import { readJson } from '../kit/body.ts';
import { type AppEnv, param } from '../kit/context.ts';
import { customerPath, jsonContent, problems } from '../kit/links.ts';

const Publication = z
  .union([PublishedEvent, z.array(PublishedEvent).min(1).max(PUBLISH_MAX_EVENTS)])
  .meta({ id: 'Publication' });

const PublishedAnswer = z.object({
  _embedded: z.object({ events: z.array(z.object({ id: z.string(), type: EventType })) }),
});

/**
 * Declared for the document and handled by hand: `publish` checks with the schema shown here, event by event, so
 * that every fault is named with its position and the body is parsed once.
 */
export function addPublish(app: OpenAPIHono<AppEnv>): void {
  app.openAPIRegistry.registerPath({
    method: 'post',
    path: '/events',
    summary: 'Publish events',
    description:
      'One event, or an array of 1 to 500. All or nothing. 202 means: durably queued. After a 503 repeat with the same ids.',
    tags: ['Publishing'],
    security: [{ token: [] }],
    request: { params: customerPath, body: { content: jsonContent(Publication), required: true } },
    responses: {
      202: { description: 'Durably queued; ids in the order given', content: jsonContent(PublishedAnswer) },
      ...problems(400, 403, 413, 415, 503),
    },
  });
  app.post('/events', async (c) => {
    const body = await readJson(c, {
      maxBytes: PUBLISH_BODY_MAX_BYTES,
      hint: '; split it into several calls',
    });
    const result = await publish(c.get('services').queues.events, body, Date.now(), param(c, 'cid')).catch(
      (error: unknown) => {
        logError('publish not queued', error, { customerId: param(c, 'cid') });
        throw new ApiFailure({
          code: 'unavailable',
          details: 'The queue is briefly away; repeat with the same ids',
          retryAfterSeconds: 2,
        });
      },
    );
    if (!result.ok) throw new ApiFailure({ code: 'invalid_body', faults: result.faults });
    return c.json({ _embedded: { events: result.events } }, 202);
  });
}
