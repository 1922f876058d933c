/** An event of a subscription, as the API shows it: whole (contract 5.1), or as a summary (contract 10.12). */
import { z } from 'zod';
import { DELIVERY_STATES, type Delivery } from '../../domain/delivery.ts';
import { describeDelivery } from '../../domain/delivery-view.ts';
import { SHOWN_TYPES } from '../../domain/shown-type.ts';
import type { FoundDelivery } from '../../event-store/rpc.ts';
import { EXAMPLE } from './examples.ts';
import { eventHref, type SubscriptionNames } from './hrefs.ts';
import { Link, link } from './links.ts';
import type { SubscriptionContext } from './load.ts';
import { id, time, wholeNumber } from './schemas.ts';

/** The answer of a listener. */
export const ListenerAnswer = z.object({
  statusCode: z.number().int().min(100).max(999),
  headers: z.record(z.string(), z.string()),
});

/** Why there is no answer of a listener. */
export const AttemptError = z.object({
  code: z.enum(['timed_out', 'unreachable', 'invalid_response', 'blocked']),
  message: z.string(),
});

export const EventResource = z
  .object({
    id,
    createdAt: time,
    updatedAt: time,
    state: z.enum(DELIVERY_STATES),
    attempts: wholeNumber,
    nextAttemptAt: time.optional(),
    request: z.object({
      endpoint: z.string(),
      headers: z.record(z.string(), z.string()),
      payload: z.string().meta({ description: 'the compact SET' }),
    }),
    response: ListenerAnswer.optional(),
    error: AttemptError.optional(),
    _links: z.object({ self: Link, redeliver: Link, history: Link }),
  })
  .meta({ id: 'Event' });

export type EventResource = z.infer<typeof EventResource>;

const type = z
  .enum(SHOWN_TYPES)
  .meta({ description: '`test` for every test notification; absent when the SET was not kept' });

/** An event without its request (contract 10.12). */
export const EventSummary = EventResource.omit({ request: true }).extend({ type: type.optional() });

export type EventSummary = z.infer<typeof EventSummary>;

/** An event in a list: whole, or as a summary. One schema, because generated clients read a choice of two badly. */
export const ListedEvent = EventResource.extend({
  request: EventResource.shape.request.optional().meta({ description: 'absent with `fields=summary`' }),
  type: type.optional().meta({ description: 'with `fields=summary` only' }),
}).meta({ id: 'ListedEvent' });

export type ListedEvent = z.infer<typeof ListedEvent>;

export const EVENT_EXAMPLE: EventResource = {
  id: EXAMPLE.event,
  createdAt: EXAMPLE.early,
  updatedAt: EXAMPLE.early,
  state: 'success',
  attempts: 1,
  request: {
    endpoint: EXAMPLE.endpoint,
    headers: {
      Accept: '*/*',
      'Content-Length': String(EXAMPLE.token.length),
      'Content-Type': 'application/secevent+jwt',
      Host: 'listener.example.com',
      'User-Agent': 'identity-webhooks/3.0',
    },
    payload: EXAMPLE.token,
  },
  response: { statusCode: 202, headers: { 'Content-Type': 'text/plain' } },
  _links: {
    self: link(EXAMPLE.eventPath),
    redeliver: link(`${EXAMPLE.eventPath}/redeliver`),
    history: link(`${EXAMPLE.eventPath}/history`),
  },
};

export const EVENT_SUMMARY_EXAMPLE: EventSummary = {
  id: EXAMPLE.event,
  type: 'entityUpdated',
  createdAt: EXAMPLE.early,
  updatedAt: EXAMPLE.early,
  state: 'success',
  attempts: 1,
  response: { statusCode: 202, headers: { 'Content-Type': 'text/plain' } },
  _links: EVENT_EXAMPLE._links,
};

/** @param delivery a delivery of the subscription that the context has */
export function eventResource(c: SubscriptionContext, delivery: Delivery): EventResource {
  return {
    ...describeDelivery(delivery, c.get('services').config.userAgent),
    _links: eventLinks(c.get('subscription'), delivery.eventId),
  };
}

/** @param found a delivery of this subscription, with its type */
export function eventSummary(subscription: SubscriptionNames, found: FoundDelivery): EventSummary {
  const { delivery, type } = found;
  const { request: _, id, ...rest } = describeDelivery(delivery, '');
  return {
    id,
    ...(type === undefined ? {} : { type }),
    ...rest,
    _links: eventLinks(subscription, delivery.eventId),
  };
}

function eventLinks(subscription: SubscriptionNames, eventId: string): EventResource['_links'] {
  const self = eventHref(subscription, eventId);
  return { self: link(self), redeliver: link(`${self}/redeliver`), history: link(`${self}/history`) };
}
