/** Test notifications over HTTP (contract 3.7). */
import { ApiFailure } from '../../domain/errors.ts';
import { TEST_INTERVAL_MS, TESTS_AT_ONCE } from '../../domain/limits.ts';
import { sendTest } from '../../operations/send-test.ts';
import type { Door } from '../kit/door.ts';
import { EVENT_EXAMPLE, EventResource, eventResource } from '../kit/event-resource.ts';
import { notFound, withSubscription } from '../kit/load.ts';
import { problems } from '../kit/problems.ts';
import { declareRoute, forClients } from '../kit/route.ts';
import { jsonContent, subscriptionPath } from '../kit/schemas.ts';
import { countTest } from '../kit/test-limit.ts';

const route = declareRoute({
  method: 'post',
  path: '/subscriptions/{sid}/test',
  operationId: 'sendTest',
  summary: 'Send a test notification',
  description:
    'Sent whatever `events` and `filter` of the subscription say. Stored before the answer, and retried like any event. A 2xx verifies an endpoint that is `unverified`.',
  ...forClients('Subscriptions'),
  middleware: withSubscription,
  request: { params: subscriptionPath },
  responses: {
    202: {
      description: 'Stored, and about to be sent',
      content: jsonContent(EventResource, EVENT_EXAMPLE),
    },
    ...problems(403, 404, 409, 429),
  },
});

export function addTestNotification(door: Door): void {
  door.openapi(route, async (c) => {
    const subscription = c.get('subscription');
    if (subscription.enabled) await countTest(c, subscription.customerId);
    const sent = await sendTest(c.get('services'), subscription, Date.now());
    switch (sent.result) {
      case 'stored':
        return c.json(eventResource(c, sent.delivery), 202);
      case 'disabled':
        throw new ApiFailure({ code: 'conflict', details: 'Subscription is disabled' });
      case 'too soon':
        throw new ApiFailure({
          code: 'too_many_requests',
          details: `${TESTS_AT_ONCE} test notifications of a subscription at once, then one every ${TEST_INTERVAL_MS / 1000} seconds`,
          retryAfterSeconds: Math.ceil(sent.waitMs / 1000),
        });
      case 'no customer':
        throw new ApiFailure({ code: 'forbidden' });
      case 'no subscription':
        throw notFound('Subscription');
    }
  });
}
