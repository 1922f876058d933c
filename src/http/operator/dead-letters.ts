/** Dead letters over HTTP (contract 10.2): messages that the service could not process. */
import { z } from 'zod';
import { depthExceeds } from '../../domain/json-size.ts';
import { DEAD_LETTER_MAX_DEPTH } from '../../domain/limits.ts';
import { logAudit } from '../../operations/audit-trail.ts';
import { sendAll } from '../../outbound/queues.ts';
import { writeAudit } from '../../storage/audit.ts';
import {
  type DeadLetter,
  dropDeadLetter,
  listDeadLetters,
  removeDeadLetter,
} from '../../storage/dead-letters.ts';
import { operatorAudit } from '../kit/audit.ts';
import { type AppContext, param, timestamp } from '../kit/context.ts';
import type { Door } from '../kit/door.ts';
import { EXAMPLE } from '../kit/examples.ts';
import { collectionOf, Link, link } from '../kit/links.ts';
import { notFound, withDeadLetter } from '../kit/load.ts';
import { linksOfPage, pageOrFirst, pageParameter } from '../kit/paging.ts';
import { problems } from '../kit/problems.ts';
import { declareOwnRoute, forOperator } from '../kit/route.ts';
import { id, jsonContent, time } from '../kit/schemas.ts';

const DeadLetterResource = z
  .object({
    id,
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

const LETTER_EXAMPLE: z.infer<typeof DeadLetterResource> = {
  id: EXAMPLE.job,
  queue: 'webhook-events',
  reason: 'sub must be a UUID',
  acceptedAt: EXAMPLE.early,
  createdAt: EXAMPLE.late,
  _links: {
    self: link(`/operator/dead-letters/${EXAMPLE.job}`),
    replay: link(`/operator/dead-letters/${EXAMPLE.job}/replay`),
  },
};
const WITH_BODY_EXAMPLE = {
  ...LETTER_EXAMPLE,
  body: { replay: 1, acceptedAt: 1769860800000, eventId: EXAMPLE.event, event: { type: 'entityCreated' } },
};
const DeadLetterList = collectionOf('DeadLetterList', 'deadLetters', DeadLetterResource);

const common = forOperator();
const letterPath = z.object({ id: id.meta({ description: 'dead letter id', examples: [EXAMPLE.job] }) });

export function addDeadLetters(door: Door): void {
  addList(door);
  addRead(door);
  addReplay(door);
  addDrop(door);
}

const listRoute = declareOwnRoute({
  method: 'get',
  path: '/dead-letters',
  operationId: 'listDeadLetters',
  summary: 'List dead letters',
  description: 'Oldest first, a hundred to a page, without their bodies.',
  ...common,
  request: { query: z.object({ page: pageParameter }) },
  responses: {
    200: {
      description: 'The letters',
      content: jsonContent(DeadLetterList, {
        total: 1,
        _links: { self: link('/operator/dead-letters') },
        _embedded: { deadLetters: [LETTER_EXAMPLE] },
      }),
    },
    ...problems(403),
  },
});

function addList(door: Door): void {
  door.openapi(listRoute, async (c) => {
    const page = pageOrFirst(c.req.valid('query').page);
    const { total, letters } = await listDeadLetters(c.get('services').db, page.limit, page.offset);
    const _links = linksOfPage('/operator/dead-letters', page, total);
    return c.json({ total, _links, _embedded: { deadLetters: letters.map(letterResource) } }, 200);
  });
}

const readRoute = declareOwnRoute({
  method: 'get',
  path: '/dead-letters/{id}',
  operationId: 'getDeadLetter',
  summary: 'Read a dead letter',
  ...common,
  middleware: withDeadLetter,
  request: { params: letterPath },
  responses: {
    200: {
      description: 'The letter with its body',
      content: jsonContent(DeadLetterWithBody, WITH_BODY_EXAMPLE),
    },
    ...problems(403, 404),
  },
});

function addRead(door: Door): void {
  // The body is somebody's data, so that reading it leaves a trace, too.
  door.openapi(readRoute, async (c) => {
    const letter = c.get('letter');
    await begin(c, 'dead-letter-read', letter);
    return c.json({ ...letterResource(letter), body: bodyOf(letter) }, 200);
  });
}

const replayRoute = declareOwnRoute({
  method: 'post',
  path: '/dead-letters/{id}/replay',
  operationId: 'replayDeadLetter',
  summary: 'Replay a dead letter',
  description:
    'Queues the event again under its old id and time of acceptance, and takes the letter off the list.',
  ...common,
  middleware: withDeadLetter,
  request: { params: letterPath },
  responses: {
    202: { description: 'Queued', content: jsonContent(DeadLetterResource, LETTER_EXAMPLE) },
    ...problems(403, 404),
  },
});

function addReplay(door: Door): void {
  // Sends the letter, then drops it. If the call dies in between, a repeat sends the same event id: stores have it.
  door.openapi(replayRoute, async (c) => {
    const { db, queues, config } = c.get('services');
    const letter = c.get('letter');
    await begin(c, 'dead-letter-replayed', letter);
    const body = bodyOf(letter);
    const isTraced = config.traceRequests && typeof body === 'object';
    await sendAll(queues.events, [isTraced ? { ...body, requestId: c.get('requestId') } : body]);
    await removeDeadLetter(db, letter.id);
    return c.json(letterResource(letter), 202);
  });
}

const dropRoute = declareOwnRoute({
  method: 'delete',
  path: '/dead-letters/{id}',
  operationId: 'dropDeadLetter',
  summary: 'Drop a dead letter',
  ...common,
  request: { params: letterPath },
  responses: { 204: { description: 'Dropped' }, ...problems(403, 404) },
});

function addDrop(door: Door): void {
  door.openapi(dropRoute, async (c) => {
    const id = param(c, 'id');
    const audit = operatorAudit(c, 'dead-letter-dropped', { target: id });
    if (!(await dropDeadLetter(c.get('services').db, id, audit))) throw notFound('Dead letter');
    logAudit(audit);
    return c.body(null, 204);
  });
}

/** Leaves the trace of an act before the act. A call that dies in between has its trace, and a repeat has one of its own. */
async function begin(
  c: AppContext,
  event: 'dead-letter-read' | 'dead-letter-replayed',
  { id, customerId }: DeadLetter,
): Promise<void> {
  const customer = customerId === null ? {} : { customerId };
  const audit = operatorAudit(c, event, { target: id, ...customer }, 'begun');
  await writeAudit(c.get('services').db, audit);
  logAudit(audit);
}

/**
 * A letter that an earlier version stored may have a body that is not JSON, or that nests too deep to be written again: it is shown
 * as text, and refused again.
 */
function bodyOf({ body }: DeadLetter): unknown {
  try {
    const parsed: unknown = JSON.parse(body);
    return depthExceeds(parsed, DEAD_LETTER_MAX_DEPTH) ? body : parsed;
  } catch {
    return body;
  }
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
