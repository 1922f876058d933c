/** Test notifications (contract 3.7): a SET of our own making, stored and retried as any event. */
import { createRoute } from '@hono/zod-openapi';
import { ApiFailure } from '../../domain/errors.ts';
import { newEventIds } from '../../domain/ids.ts';
import { refOf, type Subscription } from '../../domain/subscription.ts';
import { currentKid } from '../../storage/signing-keys.ts';
import type { AppContext } from '../kit/context.ts';
import type { Door } from '../kit/door.ts';
import { EventResource, eventResource } from '../kit/event-resource.ts';
import { withSubscription } from '../kit/load.ts';
import { problems } from '../kit/problems.ts';
import { jsonContent, subscriptionPath } from '../kit/schemas.ts';

const route = createRoute({
  method: 'post',
  path: '/subscriptions/{sid}/test',
  summary: 'Send a test notification',
  description: 'Not gated by events or filter; stored before the answer, retried as any event.',
  tags: ['Subscriptions'],
  security: [{ token: [] }],
  middleware: withSubscription,
  request: { params: subscriptionPath },
  responses: {
    202: { description: 'Stored and on its way', content: jsonContent(EventResource) },
    ...problems(403, 404, 409, 429),
  },
});

export function addTestNotification(door: Door): void {
  door.openapi(route, async (c) => {
    const subscription = c.get('subscription');
    if (!subscription.enabled)
      throw new ApiFailure({ code: 'conflict', details: 'Subscription is disabled' });
    const [eventId = ''] = newEventIds(Date.now(), 1, crypto.getRandomValues(new Uint8Array(16)));
    const acceptedAt = Date.now();
    const set = await sign(c, subscription, eventId, acceptedAt);
    const store = c.get('services').eventStore(subscription.id);
    const { endpoint } = subscription;
    // Settled without an attempt: stored, due at once, sent by the store's alarm however the endpoint fares.
    await store.settle(refOf(subscription), [{ eventId, acceptedAt, endpoint, set, neverHeld: true }]);
    const delivery = await store.read(eventId);
    if (delivery === undefined) throw new ApiFailure({ code: 'not_found', what: 'Subscription' });
    return c.json(eventResource(c, delivery), 202);
  });
}

async function sign(
  c: AppContext,
  subscription: Subscription,
  eventId: string,
  now: number,
): Promise<string> {
  const { db, signer } = c.get('services');
  const kid = await currentKid(db, subscription.customerId);
  if (kid === undefined) throw new ApiFailure({ code: 'forbidden' }); // erased while the call was under way
  await signer.open([kid]);
  return await signer.sign(kid, {
    customerId: subscription.customerId,
    subscriptionId: subscription.id,
    eventId,
    endpoint: subscription.endpoint,
    acceptedAt: now,
    occurredAt: now,
    events: { test: { id: eventId } },
  });
}
