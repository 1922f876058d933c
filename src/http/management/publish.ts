/** Publishing events over HTTPS (contract 10.1). */
import { z } from 'zod';
import { publish } from '../../delivery/publish.ts';
import { ApiFailure } from '../../domain/errors.ts';
import { EventType, PublishedEvent } from '../../domain/event.ts';
import { PUBLISH_BODY_MAX_BYTES, PUBLISH_MAX_EVENTS } from '../../domain/limits.ts';
import { readJson } from '../kit/body.ts';
import { param } from '../kit/context.ts';
import type { Door } from '../kit/door.ts';
import { EXAMPLE } from '../kit/examples.ts';
import { logNotQueued, NOT_QUEUED } from '../kit/not-queued.ts';
import { problems } from '../kit/problems.ts';
import { idsOf } from '../kit/request-id.ts';
import { declareRoute, forClients } from '../kit/route.ts';
import { customerPath, id, jsonContent } from '../kit/schemas.ts';

const Publication = z
  .union([PublishedEvent, z.array(PublishedEvent).min(1).max(PUBLISH_MAX_EVENTS)])
  .meta({ id: 'Publication' });

const PublishedAnswer = z
  .object({ _embedded: z.object({ events: z.array(z.object({ id, type: EventType })) }) })
  .meta({ id: 'PublishedEvents' });

/** Without an `id`: its time would have to be that of the call. */
const EVENT = {
  type: 'entityUpdated' as const,
  occurredAt: EXAMPLE.early,
  captureApplicationId: EXAMPLE.application,
  captureClientId: EXAMPLE.applicationClient,
  entityType: 'user',
  sub: EXAMPLE.profile,
  attributes: ['familyName', 'primaryAddress.city'],
};

const BODY = { maxBytes: PUBLISH_BODY_MAX_BYTES, hint: '; split it into several calls' };

/**
 * The route is declared for the document and handled by hand: `publish` judges each event of the body by the schema
 * shown here, so that it can name each fault with the position of its event. Most calls do not come here: see `kit/short-path.ts`.
 */
export function addPublish(door: Door): void {
  declare(door);
  door.post('/events', async (c) => {
    const customerId = param(c, 'cid');
    const body = await readJson(c, BODY);
    const { queues, config } = c.get('services');
    const requestId = config.traceRequests ? c.get('requestId') : undefined;
    const result = await publish(queues.events, body, Date.now(), customerId, requestId).catch(
      (error: unknown) => {
        logNotQueued(error, { customerId, ...idsOf(c) });
        throw new ApiFailure(NOT_QUEUED);
      },
    );
    if (!result.ok) throw new ApiFailure({ code: 'invalid_body', faults: result.faults });
    return c.json({ _embedded: { events: result.events } }, 202);
  });
}

function declare(door: Door): void {
  door.openAPIRegistry.registerPath(
    declareRoute({
      method: 'post',
      path: '/events',
      operationId: 'publishEvents',
      summary: 'Publish events',
      description:
        'One event, or an array of 1 to 500: the service accepts all of them, or none. 202 means that they are durably queued. After a 503, repeat the call with the same ids.',
      ...forClients('Publishing'),
      request: { params: customerPath, body: { content: jsonContent(Publication, [EVENT]), required: true } },
      responses: {
        202: {
          description: 'Durably queued; ids in the order given',
          content: jsonContent(PublishedAnswer, {
            _embedded: { events: [{ id: EXAMPLE.event, type: EVENT.type }] },
          }),
        },
        ...problems(400, 403, 413, 415),
      },
    }),
  );
}
