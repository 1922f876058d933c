/** The audit trail over HTTP (contract 10.7): the operator reads who did what. */
import { z } from 'zod';
import { AUDIT_ACTORS, AUDIT_EVENTS, type AuditEvent } from '../../domain/audit.ts';
import { isEventId } from '../../domain/ids.ts';
import { AUDIT_ENTRIES_PER_UNIT, AUDIT_LIMIT_MAX } from '../../domain/limits.ts';
import { EVENT_ID_FORM, rfc3339, uuid } from '../../domain/schemas.ts';
import { auditPage, type StoredAuditRow } from '../../storage/audit.ts';
import { type AppContext, timestamp } from '../kit/context.ts';
import type { Door } from '../kit/door.ts';
import { EXAMPLE } from '../kit/examples.ts';
import { Link, link } from '../kit/links.ts';
import { problems } from '../kit/problems.ts';
import { declareOwnRoute, forOperator } from '../kit/route.ts';
import { id, jsonContent, limitParameter, time, wholeNumber } from '../kit/schemas.ts';
import { takeOperatorUnits } from '../kit/work.ts';

/** Entries of a page when the query names no `limit`. */
const LIMIT = 100;
const EVENTS = Object.keys(AUDIT_EVENTS) as AuditEvent[];

const AuditQuery = z.object({
  after: z
    .string()
    .refine(isEventId, { error: 'must be the id of an entry' })
    .optional()
    .meta({ ...EVENT_ID_FORM, description: 'only entries that follow the one with this id' }),
  limit: limitParameter(AUDIT_LIMIT_MAX, `entries of a page, ${LIMIT} without it`),
  customerId: uuid.optional().meta({ description: 'only entries of this customer' }),
  since: rfc3339.optional().meta({ description: 'only entries of this time or later' }),
  until: rfc3339.optional().meta({ description: 'only entries before this time' }),
  event: z
    .enum(EVENTS, { error: `must be one of ${EVENTS.join(', ')}` })
    .optional()
    .meta({ description: 'only entries of this event' }),
});

const AuditEntryResource = z
  .object({
    id,
    createdAt: time,
    event: z.enum(EVENTS),
    actor: z.enum(AUDIT_ACTORS),
    outcome: z.string(),
    customerId: id.optional(),
    clientId: z.string().optional().meta({ description: 'the client that acted' }),
    target: z.string().optional().meta({ description: 'the id of what was acted on' }),
    address: z.string().optional().meta({ description: "the caller's IPv4 address, or its IPv6 network" }),
    requestId: id.optional(),
    callerRequestId: z.string().optional(),
    count: wholeNumber.meta({ description: 'how many like things the entry stands for' }),
  })
  .meta({ id: 'AuditEntry' });

const AuditEntryList = z
  .object({
    _links: z.object({ self: Link, next: Link.optional() }),
    _embedded: z.object({ auditEntries: z.array(AuditEntryResource) }),
  })
  .meta({ id: 'AuditEntryList' });

const route = declareOwnRoute({
  method: 'get',
  path: '/audit',
  operationId: 'listAuditEntries',
  summary: 'Read the audit trail',
  description: 'The newest entry first. `next` is present when there are more. Entries are kept for 90 days.',
  ...forOperator(),
  request: { query: AuditQuery },
  responses: {
    200: {
      description: 'The entries',
      content: jsonContent(AuditEntryList, {
        _links: {
          self: link('/operator/audit?limit=1'),
          next: link(`/operator/audit?limit=1&after=${EXAMPLE.event}`),
        },
        _embedded: {
          auditEntries: [
            {
              id: EXAMPLE.event,
              createdAt: EXAMPLE.early,
              event: 'client-created',
              actor: 'operator',
              outcome: 'done',
              customerId: EXAMPLE.customer,
              target: EXAMPLE.client,
              address: '198.51.100.1',
              requestId: EXAMPLE.request,
              callerRequestId: 'ticket-7',
              count: 1,
            },
          ],
        },
      }),
    },
    ...problems(400, 403, 429),
  },
});

export function addAudit(door: Door): void {
  door.openapi(route, async (c) => {
    const { since, until, ...query } = c.req.valid('query');
    const limit = query.limit === undefined ? LIMIT : Number(query.limit);
    await takeOperatorUnits(c, Math.ceil(limit / AUDIT_ENTRIES_PER_UNIT));
    // One entry more than the page shows: if it comes, there are more.
    const found = await auditPage(c.get('services').db, {
      ...query,
      since: since === undefined ? undefined : Date.parse(since),
      until: until === undefined ? undefined : Date.parse(until),
      limit: limit + 1,
    });
    const shown = found.slice(0, limit);
    const _links = listLinks(c, found.length > limit ? shown.at(-1)?.id : undefined);
    return c.json({ _links, _embedded: { auditEntries: shown.map(entryResource) } }, 200);
  });
}

function listLinks(c: AppContext, nextAfter: string | undefined) {
  const path = '/operator/audit';
  const query = new URL(c.req.url).searchParams;
  const self = link(query.size === 0 ? path : `${path}?${query}`);
  if (nextAfter === undefined) return { self };
  query.set('after', nextAfter);
  return { self, next: link(`${path}?${query}`) };
}

function entryResource(row: StoredAuditRow): z.infer<typeof AuditEntryResource> {
  const { id, at, event, actor, outcome, count } = row;
  return {
    id,
    createdAt: timestamp(at),
    event,
    actor,
    outcome,
    customerId: row.customerId ?? undefined,
    clientId: row.clientId ?? undefined,
    target: row.target ?? undefined,
    address: row.address ?? undefined,
    requestId: row.requestId ?? undefined,
    callerRequestId: row.callerRequestId ?? undefined,
    count,
  };
}
