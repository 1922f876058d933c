/**
 * Subscriptions for the operator: how many event stores one has (contract 10.17), and that all event stores of a customer adopt their rows
 * again after D1 was restored (contract 10.2).
 */
import { z } from 'zod';
import { ApiFailure } from '../../domain/errors.ts';
import { EPOCHS_MAX, SHARDS_MAX } from '../../domain/limits.ts';
import { chosenShards, storesOf } from '../../domain/shards.ts';
import type { Subscription } from '../../domain/subscription.ts';
import { adoptAgain } from '../../operations/adopt-again.ts';
import { setShards } from '../../operations/set-shards.ts';
import { operatorAudit } from '../kit/audit.ts';
import { addRouteWithBody } from '../kit/body.ts';
import { timestamp } from '../kit/context.ts';
import type { Door } from '../kit/door.ts';
import { EXAMPLE } from '../kit/examples.ts';
import { operatorSubscriptionHref, subscriptionHref } from '../kit/hrefs.ts';
import { Link, link } from '../kit/links.ts';
import { notFound, withCustomer, withSubscription } from '../kit/load.ts';
import { problems } from '../kit/problems.ts';
import { declareOwnRoute, forOperator } from '../kit/route.ts';
import { customerPath, id, jsonContent, subscriptionPath, time, wholeNumber } from '../kit/schemas.ts';

const path = '/customers/{cid}/subscriptions';

const AdoptedAgain = z
  .object({
    total: wholeNumber.meta({ description: 'subscriptions of the customer' }),
    adopted: wholeNumber.meta({
      description:
        'event stores that have adopted their row; the others do with the next event, or within a day',
    }),
  })
  .meta({ id: 'AdoptedAgain' });

const adoptAgainRoute = declareOwnRoute({
  method: 'post',
  path: `${path}/adopt-again`,
  operationId: 'adoptSubscriptionsAgain',
  summary: "Make event stores adopt a customer's subscriptions again",
  description:
    'For a database that was restored to an earlier time: event stores go by the newer rows that they have seen.',
  ...forOperator(),
  middleware: withCustomer,
  request: { params: customerPath },
  responses: {
    200: { description: 'How many', content: jsonContent(AdoptedAgain, { total: 12, adopted: 12 }) },
    ...problems(403, 404),
  },
});

const SHARDS_FAULT = { error: `must be a whole number from 1 to ${SHARDS_MAX}` };

const ShardsChange = z
  .object(
    {
      shards: z
        .int(SHARDS_FAULT)
        .min(1, SHARDS_FAULT)
        .max(SHARDS_MAX, SHARDS_FAULT)
        .optional()
        .meta({ description: 'event stores for new events', examples: [4] }),
    },
    { error: 'must be a JSON object' },
  )
  .meta({ id: 'ShardsChange' });

const ShardsResource = z
  .object({
    id,
    shards: wholeNumber.meta({ description: 'event stores for new events, once the last epoch has begun' }),
    stores: wholeNumber.meta({ description: 'event stores that may have events' }),
    epochs: z
      .array(
        z.object({
          since: time.meta({ description: 'the first time, in the id of an event' }),
          shards: wholeNumber,
        }),
      )
      .max(EPOCHS_MAX)
      .meta({ description: 'oldest first; before the first there is one store' }),
    _links: z.object({ self: Link, subscription: Link }),
  })
  .meta({ id: 'Shards' });

const EXAMPLE_NAMES = { customerId: EXAMPLE.customer, id: EXAMPLE.subscription };
const SHARDS_EXAMPLE: z.infer<typeof ShardsResource> = {
  id: EXAMPLE.subscription,
  shards: 4,
  stores: 4,
  epochs: [{ since: EXAMPLE.late, shards: 4 }],
  _links: {
    self: link(operatorSubscriptionHref(EXAMPLE_NAMES)),
    subscription: link(subscriptionHref(EXAMPLE_NAMES)),
  },
};

const readRoute = declareOwnRoute({
  method: 'get',
  path: `${path}/{sid}`,
  operationId: 'getShards',
  summary: 'Read how many event stores a subscription has',
  ...forOperator(),
  middleware: withSubscription,
  request: { params: subscriptionPath },
  responses: {
    200: { description: 'Its event stores', content: jsonContent(ShardsResource, SHARDS_EXAMPLE) },
    ...problems(403, 404),
  },
});

const changeRoute = declareOwnRoute({
  method: 'patch',
  path: `${path}/{sid}`,
  operationId: 'updateShards',
  summary: 'Give a hot subscription several event stores',
  description:
    'Events whose ids have a time of 15 minutes from now, or a later one, are kept in so many event stores. What is stored stays where it is. A repeat changes nothing.',
  ...forOperator(),
  middleware: withSubscription,
  request: {
    params: subscriptionPath,
    body: { content: jsonContent(ShardsChange, { shards: 4 }), required: true },
  },
  responses: {
    200: { description: 'Its event stores', content: jsonContent(ShardsResource, SHARDS_EXAMPLE) },
    ...problems(400, 403, 404, 409, 413, 415),
  },
});

const REFUSED = {
  'too many epochs': `The subscription has ${EPOCHS_MAX} epochs whose events may be kept`,
  'changed meanwhile': 'Other calls change the subscription: try again',
};

export function addSubscriptionsOfCustomers(door: Door): void {
  door.openapi(adoptAgainRoute, async (c) => {
    const { id: customerId } = c.get('customer');
    const audit = operatorAudit(c, 'subscriptions-adopted-again', { customerId });
    return c.json(await adoptAgain(c.get('services'), customerId, audit), 200);
  });
  door.openapi(readRoute, async (c) => c.json(shardsResource(c.get('subscription')), 200));
  addRouteWithBody(door, changeRoute, async (c) => {
    const subscription = c.get('subscription');
    const { shards = chosenShards(subscription.shards) } = c.req.valid('json');
    const audit = operatorAudit(c, 'shards-changed', {
      customerId: subscription.customerId,
      target: subscription.id,
    });
    const set = await setShards(c.get('services'), subscription, shards, Date.now(), audit);
    if (set.result === 'not found') throw notFound('Subscription');
    if (set.result !== 'set') throw new ApiFailure({ code: 'conflict', details: REFUSED[set.result] });
    return c.json(shardsResource(set.subscription), 200);
  });
}

function shardsResource(subscription: Subscription): z.infer<typeof ShardsResource> {
  const { shards } = subscription;
  return {
    id: subscription.id,
    shards: chosenShards(shards),
    stores: storesOf(shards ?? { epochs: [] }),
    epochs: (shards?.epochs ?? []).map(({ since, n }) => ({ since: timestamp(since), shards: n })),
    _links: {
      self: link(operatorSubscriptionHref(subscription)),
      subscription: link(subscriptionHref(subscription)),
    },
  };
}
