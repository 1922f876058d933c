/** An event of a subscription, as the API shows it (contract 5.1). */
import { z } from 'zod';
import { DELIVERY_STATES, type Delivery } from '../../domain/delivery.ts';
import { describeDelivery } from '../../domain/delivery-view.ts';
import { EXAMPLE } from './examples.ts';
import { eventHref } from './hrefs.ts';
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

/** @param delivery a delivery of the subscription that the context has */
export function eventResource(c: SubscriptionContext, delivery: Delivery): EventResource {
  const self = eventHref(c.get('subscription'), delivery.eventId);
  return {
    ...describeDelivery(delivery, c.get('services').config.userAgent),
    _links: { self: link(self), redeliver: link(`${self}/redeliver`), history: link(`${self}/history`) },
  };
}
