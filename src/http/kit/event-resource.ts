/** An event of a subscription, as the API shows it (contract 5.1). */
import { z } from 'zod';
import { DELIVERY_STATES, type Delivery } from '../../domain/delivery.ts';
import { describeDelivery } from '../../domain/delivery-view.ts';
import { eventHref } from './hrefs.ts';
import { Link, link } from './links.ts';
import type { SubscriptionContext } from './load.ts';
import { time, wholeNumber } from './schemas.ts';

/** The answer of a listener. */
export const ListenerAnswer = z.object({
  statusCode: wholeNumber,
  headers: z.record(z.string(), z.string()),
});

/** Why there is no answer of a listener. */
export const AttemptError = z.object({
  code: z.enum(['timed_out', 'unreachable', 'invalid_response', 'blocked']),
  message: z.string(),
});

export const EventResource = z
  .object({
    id: z.string(),
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

/** @param delivery a delivery of the subscription that the context has */
export function eventResource(c: SubscriptionContext, delivery: Delivery): EventResource {
  const self = eventHref(c.get('subscription'), delivery.eventId);
  return {
    ...describeDelivery(delivery, c.get('services').config.userAgent),
    _links: { self: link(self), redeliver: link(`${self}/redeliver`), history: link(`${self}/history`) },
  };
}
