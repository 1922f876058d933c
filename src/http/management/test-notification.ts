/** Test notifications over HTTP (contract 3.7 and 10.11). */
import { z } from 'zod';
import { ApiFailure } from '../../domain/errors.ts';
import { EventType } from '../../domain/event.ts';
import { exampleClaim } from '../../domain/example-event.ts';
import { TEST_INTERVAL_MS, TESTS_AT_ONCE } from '../../domain/limits.ts';
import { sendTest } from '../../operations/send-test.ts';
import { addRouteThatReadsBody, readBody } from '../kit/body.ts';
import type { AppContext } from '../kit/context.ts';
import type { Door } from '../kit/door.ts';
import { EVENT_EXAMPLE, EventResource, eventResource } from '../kit/event-resource.ts';
import { notFound, withSubscription } from '../kit/load.ts';
import { problems } from '../kit/problems.ts';
import { declareRoute, forClients } from '../kit/route.ts';
import { jsonContent, subscriptionPath } from '../kit/schemas.ts';
import { countTest } from '../kit/test-limit.ts';

/** Bytes of a body that may name a type. A longer one is ignored, like every body that names none (contract 1). */
const BODY_MAX_BYTES = 1024;

const NewTest = z
  .object({
    type: EventType.optional().meta({
      description:
        'an example of this event type is sent, marked with `"test": true`; without it the test event is sent',
    }),
  })
  .meta({ id: 'NewTest' });

const route = declareRoute({
  method: 'post',
  path: '/subscriptions/{sid}/test',
  operationId: 'sendTest',
  summary: 'Send a test notification',
  description:
    'Sent whatever `events` and `filter` of the subscription say. Stored before the answer, and retried like any event. A 2xx verifies an endpoint that is `unverified`.',
  ...forClients('Subscriptions'),
  middleware: withSubscription,
  request: {
    params: subscriptionPath,
    body: { content: jsonContent(NewTest, { type: 'entityUpdated' }), required: false },
  },
  responses: {
    202: {
      description: 'Stored, and about to be sent',
      content: jsonContent(EventResource, EVENT_EXAMPLE),
    },
    ...problems(400, 403, 404, 409, 429),
  },
});

export function addTestNotification(door: Door): void {
  addRouteThatReadsBody(door, route, async (c) => {
    const subscription = c.get('subscription');
    const type = await namedType(c);
    if (subscription.enabled) await countTest(c, subscription.customerId);
    const services = c.get('services');
    const { captureDomain } = services.config;
    const claimOf = type && ((eventId: string) => exampleClaim(eventId, type, captureDomain));
    const sent = await sendTest(services, subscription, Date.now(), claimOf, c.get('requestId'));
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

/**
 * The event type that the body names. A client of the original API may send any body, so one that names no type is ignored.
 * @throws ApiFailure `invalid_body` when the body names another type
 */
async function namedType(c: AppContext): Promise<EventType | undefined> {
  const body = await readBody(c, BODY_MAX_BYTES).then(asJson, () => undefined);
  if (typeof body !== 'object' || body === null || !Object.hasOwn(body, 'type')) return undefined;
  const type = EventType.safeParse(Reflect.get(body, 'type'));
  if (!type.success)
    throw new ApiFailure({
      code: 'invalid_body',
      faults: [{ name: 'type', reason: type.error.issues[0]?.message ?? '' }],
    });
  return type.data;
}

function asJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
}
