/** Notices for the operator over HTTP (contract 10.16): where they go. What they say is in `domain/notice.ts`. */
import { z } from 'zod';
import { ApiFailure } from '../../domain/errors.ts';
import { SHOWN_STATES } from '../../domain/proof.ts';
import type { Subscription } from '../../domain/subscription.ts';
import { NewSubscription } from '../../domain/subscription-body.ts';
import { eraseCustomer } from '../../operations/erase.ts';
import { forgetReceiver } from '../../operations/notices.ts';
import { findNoticesSubscription, setNotices } from '../../operations/set-notices.ts';
import { findNoticesOwner } from '../../storage/notices.ts';
import { operatorAudit } from '../kit/audit.ts';
import { addRouteWithBody } from '../kit/body.ts';
import { timestamp } from '../kit/context.ts';
import type { Door } from '../kit/door.ts';
import { endpointFaults } from '../kit/endpoint-faults.ts';
import { EXAMPLE } from '../kit/examples.ts';
import { jwksHref, subscriptionHref } from '../kit/hrefs.ts';
import { Link, link } from '../kit/links.ts';
import { notFound } from '../kit/load.ts';
import { problems } from '../kit/problems.ts';
import { declareOwnRoute, forOperator } from '../kit/route.ts';
import { id, jsonContent, time } from '../kit/schemas.ts';

const PATH = '/operator/notices';

const Notices = NewSubscription.pick({ endpoint: true, enabled: true }).meta({ id: 'NewNotices' });

const NoticesResource = z
  .object({
    endpoint: z.string(),
    enabled: z.boolean(),
    customerId: id.meta({ description: 'the customer of the notices, which has their signing keys' }),
    subscriptionId: id,
    health: z.object({ state: z.enum(SHOWN_STATES) }),
    updatedAt: time,
    _links: z.object({ self: Link, subscription: Link, keys: Link }),
  })
  .meta({ id: 'Notices' });

const NOTICES_EXAMPLE: z.infer<typeof NoticesResource> = {
  endpoint: 'https://alarms.example.com/webhooks',
  enabled: true,
  customerId: EXAMPLE.customer,
  subscriptionId: EXAMPLE.subscription,
  health: { state: 'healthy' },
  updatedAt: EXAMPLE.early,
  _links: {
    self: link(PATH),
    subscription: link(EXAMPLE.subscriptionPath),
    keys: link(jwksHref(EXAMPLE.customer)),
  },
};

const common = forOperator();

export function addNotices(door: Door): void {
  addSet(door);
  addRead(door);
  addErase(door);
}

const setRoute = declareOwnRoute({
  method: 'put',
  path: '/notices',
  operationId: 'setNotices',
  summary: 'Set up notices',
  description:
    'Signed notices go to the endpoint when an endpoint of a customer begins to fail, when it fails no longer, and when events have failed.',
  ...common,
  request: {
    body: { content: jsonContent(Notices, { endpoint: NOTICES_EXAMPLE.endpoint }), required: true },
  },
  responses: {
    200: { description: 'The notices', content: jsonContent(NoticesResource, NOTICES_EXAMPLE) },
    ...problems(400, 403, 409, 413, 415),
  },
});

function addSet(door: Door): void {
  addRouteWithBody(
    door,
    setRoute,
    async (c) => {
      const audit = (owner: { readonly customerId: string }) =>
        operatorAudit(c, 'notices-set', { customerId: owner.customerId }, 'begun');
      const subscription = await setNotices(c.get('services'), c.req.valid('json'), Date.now(), audit);
      if (subscription === undefined) {
        throw new ApiFailure({
          code: 'conflict',
          details: 'The notices were changed or erased by another call at the same time',
        });
      }
      c.get('isolate').customers.forget(subscription.customerId);
      return c.json(noticesResource(subscription), 200);
    },
    {
      moreFaults: async (c, body, faults) => {
        const endpoint = (body as { readonly endpoint?: unknown } | null)?.endpoint;
        const isSound = !faults.some(({ name }) => name === 'endpoint' || name === 'body');
        return typeof endpoint === 'string' && isSound ? await endpointFaults(c, endpoint) : [];
      },
    },
  );
}

const readRoute = declareOwnRoute({
  method: 'get',
  path: '/notices',
  operationId: 'getNotices',
  summary: 'Where notices go',
  ...common,
  responses: {
    200: { description: 'The notices', content: jsonContent(NoticesResource, NOTICES_EXAMPLE) },
    ...problems(403, 404),
  },
});

function addRead(door: Door): void {
  door.openapi(readRoute, async (c) => {
    const subscription = await findNoticesSubscription(c.get('services').db);
    if (subscription === undefined) throw notFound('Notices');
    return c.json(noticesResource(subscription), 200);
  });
}

const eraseRoute = declareOwnRoute({
  method: 'delete',
  path: '/notices',
  operationId: 'eraseNotices',
  summary: 'End notices',
  description: 'Erases their customer, with its keys, its subscriptions and every notice that is stored.',
  ...common,
  responses: { 204: { description: 'Erased' }, ...problems(403, 404) },
});

function addErase(door: Door): void {
  door.openapi(eraseRoute, async (c) => {
    const services = c.get('services');
    const owner = await findNoticesOwner(services.db);
    if (owner === undefined) throw notFound('Notices');
    const { customerId } = owner;
    const audit = operatorAudit(c, 'customer-erased', { customerId });
    try {
      if (!(await eraseCustomer(services, customerId, Date.now(), audit))) throw notFound('Notices');
    } finally {
      forgetReceiver(services.db);
      c.get('isolate').customers.forget(customerId);
    }
    return c.body(null, 204);
  });
}

function noticesResource(subscription: Subscription): z.infer<typeof NoticesResource> {
  const { endpoint, enabled, customerId, health } = subscription;
  return {
    endpoint,
    enabled,
    customerId,
    subscriptionId: subscription.id,
    health: { state: health },
    updatedAt: timestamp(subscription.updatedAt),
    _links: {
      self: link(PATH),
      subscription: link(subscriptionHref(subscription)),
      keys: link(jwksHref(customerId)),
    },
  };
}
