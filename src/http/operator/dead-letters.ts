/** Dead letters over HTTP: what we could not process, for the operator to look at, replay or drop (contract 10.2). */
import { createRoute, type OpenAPIHono } from '@hono/zod-openapi';
import { z } from 'zod';
import { ApiFailure } from '../../domain/errors.ts';
import { isUuid } from '../../domain/ids.ts';
import { sendAll } from '../../outbound/queues.ts';
import {
  type DeadLetter,
  deleteDeadLetter,
  findDeadLetter,
  listDeadLetters,
} from '../../storage/dead-letters.ts';
import { type AppContext, type AppEnv, param, timestamp } from '../kit/context.ts';
import { collectionOf, jsonContent, Link, link, pageParameter, problems } from '../kit/links.ts';
import { pageLinks, pageNumber } from './customers.ts';

const PAGE_SIZE = 100;

const time = z.string().meta({ format: 'date-time' });

const DeadLetterResource = z
  .object({
    id: z.string(),
    queue: z.string(),
    reason: z.string(),
    acceptedAt: time,
    createdAt: time,
    _links: z.object({ self: Link, replay: Link }),
  })
  .meta({ id: 'DeadLetter' });

const DeadLetterWithBody = DeadLetterResource.extend({
  body: z.unknown().meta({ description: 'the event as it was published, with the id and time it was given' }),
}).meta({ id: 'DeadLetterWithBody' });

const operator = { tags: ['Operator'], security: [{ operator: [] }] };
const letterPath = z.object({ id: z.string() });

const listRoute = createRoute({
  method: 'get',
  path: '/dead-letters',
  summary: 'List dead letters',
  description: 'Oldest first, a hundred to a page; without their bodies.',
  ...operator,
  request: { query: z.object({ page: pageParameter }) },
  responses: {
    200: {
      description: 'The letters',
      content: jsonContent(collectionOf('deadLetters', DeadLetterResource)),
    },
    ...problems(403),
  },
});

const readRoute = createRoute({
  method: 'get',
  path: '/dead-letters/{id}',
  summary: 'Read a dead letter',
  ...operator,
  request: { params: letterPath },
  responses: {
    200: { description: 'The letter with its body', content: jsonContent(DeadLetterWithBody) },
    ...problems(403, 404),
  },
});

const replayRoute = createRoute({
  method: 'post',
  path: '/dead-letters/{id}/replay',
  summary: 'Replay a dead letter',
  description: 'Queues it again under the id and time of acceptance it had, and takes it from the list.',
  ...operator,
  request: { params: letterPath },
  responses: {
    202: { description: 'Queued', content: jsonContent(DeadLetterResource) },
    ...problems(403, 404, 503),
  },
});

const deleteRoute = createRoute({
  method: 'delete',
  path: '/dead-letters/{id}',
  summary: 'Drop a dead letter',
  ...operator,
  request: { params: letterPath },
  responses: { 204: { description: 'Dropped' }, ...problems(403, 404) },
});

export function addDeadLetters(app: OpenAPIHono<AppEnv>): void {
  app.openapi(listRoute, async (c) => {
    const page = pageNumber(c.req.valid('query').page);
    const { total, letters } = await listDeadLetters(c.get('services').db, PAGE_SIZE, (page - 1) * PAGE_SIZE);
    return c.json(
      {
        total,
        _links: pageLinks('/operator/dead-letters', page, total, PAGE_SIZE),
        _embedded: { deadLetters: letters.map(letterResource) },
      },
      200,
    );
  });

  app.openapi(readRoute, async (c) => {
    const letter = await requireLetter(c);
    return c.json({ ...letterResource(letter), body: JSON.parse(letter.body) as unknown }, 200);
  });

  // Sent first, then dropped: dying in between replays it twice at worst, under the same event id.
  app.openapi(replayRoute, async (c) => {
    const letter = await requireLetter(c);
    await sendAll(c.get('services').queues.events, [JSON.parse(letter.body)]);
    await deleteDeadLetter(c.get('services').db, letter.id);
    return c.json(letterResource(letter), 202);
  });

  app.openapi(deleteRoute, async (c) => {
    if (!(await deleteDeadLetter(c.get('services').db, param(c, 'id')))) throw noLetter();
    return c.body(null, 204);
  });
}

async function requireLetter(c: AppContext): Promise<DeadLetter> {
  const id = param(c, 'id');
  const letter = isUuid(id) ? await findDeadLetter(c.get('services').db, id) : undefined;
  if (letter === undefined) throw noLetter();
  return letter;
}

function noLetter(): ApiFailure {
  return new ApiFailure({ code: 'not_found', what: 'Dead letter' });
}

function letterResource(letter: DeadLetter): z.infer<typeof DeadLetterResource> {
  const self = `/operator/dead-letters/${letter.id}`;
  return {
    id: letter.id,
    queue: letter.queue,
    reason: letter.reason,
    acceptedAt: timestamp(letter.acceptedAt),
    createdAt: timestamp(letter.createdAt),
    _links: { self: link(self), replay: link(`${self}/replay`) },
  };
}
