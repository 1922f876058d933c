/** A subscription, as the API shows it (contract 3.2). */
import { z } from 'zod';
import { EVENT_TYPES } from '../../domain/event.ts';
import { SHOWN_STATES } from '../../domain/proof.ts';
import type { Subscription } from '../../domain/subscription.ts';
import type { HealthReport } from '../../event-store/rpc.ts';
import { timestamp } from '../kit/context.ts';
import { EXAMPLE } from '../kit/examples.ts';
import { eventsHref, subscriptionHref } from '../kit/hrefs.ts';
import { Link, link } from '../kit/links.ts';
import { id, time, wholeNumber } from '../kit/schemas.ts';

export const SubscriptionResource = z
  .object({
    _links: z.object({ self: Link, events: Link, test: Link, summary: Link }),
    createdAt: time,
    customerId: id,
    enabled: z.boolean(),
    endpoint: z.string(),
    events: z.array(z.enum(EVENT_TYPES)),
    filter: z.record(z.string(), z.unknown()).optional(),
    health: z
      .object({
        state: z.enum(SHOWN_STATES),
        since: time.optional(),
        waiting: wholeNumber.meta({ description: 'events that are not final' }).optional(),
      })
      .meta({
        description:
          'how the endpoint is doing, or that it has not been verified; a list shows the state alone',
      }),
    id,
    title: z.string(),
    updatedAt: time,
  })
  .meta({ id: 'Subscription' });

export const SUBSCRIPTION_EXAMPLE: z.infer<typeof SubscriptionResource> = {
  _links: {
    self: link(EXAMPLE.subscriptionPath),
    events: link(`${EXAMPLE.subscriptionPath}/events`),
    test: link(`${EXAMPLE.subscriptionPath}/test`),
    summary: link(`${EXAMPLE.subscriptionPath}/summary`),
  },
  id: EXAMPLE.subscription,
  customerId: EXAMPLE.customer,
  title: 'Profile sync',
  endpoint: EXAMPLE.endpoint,
  events: ['entityUpdated'],
  enabled: true,
  filter: { properties: { entityUpdated: { properties: { entityType: { const: 'user' } } } } },
  health: { state: 'healthy', since: EXAMPLE.early, waiting: 0 },
  createdAt: EXAMPLE.early,
  updatedAt: EXAMPLE.early,
};

/**
 * @param health the report of the event store; a list, which asks no event store, shows the state that D1 has
 * (contract 10.4)
 */
export function subscriptionResource(
  subscription: Subscription,
  health?: HealthReport,
): z.infer<typeof SubscriptionResource> {
  const self = subscriptionHref(subscription);
  return {
    _links: {
      self: link(self),
      events: link(eventsHref(subscription)),
      test: link(`${self}/test`),
      summary: link(`${self}/summary`),
    },
    createdAt: timestamp(subscription.createdAt),
    customerId: subscription.customerId,
    enabled: subscription.enabled,
    endpoint: subscription.endpoint,
    events: [...subscription.events],
    ...(subscription.filter === null ? {} : { filter: { ...subscription.filter } }),
    health:
      health === undefined
        ? { state: subscription.health }
        : {
            state: health.state,
            since: timestamp(Math.max(health.since, subscription.createdAt)),
            waiting: health.waiting,
          },
    id: subscription.id,
    title: subscription.title,
    updatedAt: timestamp(subscription.updatedAt),
  };
}
