/** Endpoints in trouble, of all customers, for the operator (contract 10.2). */
import { z } from 'zod';
import {
  listTroubledEndpoints,
  TROUBLES,
  type Trouble,
  type TroubledEndpoint,
} from '../../storage/figures.ts';
import { timestamp } from '../kit/context.ts';
import type { Door } from '../kit/door.ts';
import { EXAMPLE } from '../kit/examples.ts';
import { customerHref, subscriptionHref } from '../kit/hrefs.ts';
import { collectionOf, Link, link } from '../kit/links.ts';
import { linksOfPage, pageOrFirst, pageParameter } from '../kit/paging.ts';
import { problems } from '../kit/problems.ts';
import { declareOwnRoute, forOperator } from '../kit/route.ts';
import { id, jsonContent, time } from '../kit/schemas.ts';

const EndpointResource = z
  .object({
    customerId: id,
    customerName: z.string(),
    subscriptionId: id,
    title: z.string(),
    host: z.string().meta({ description: 'host and port of the endpoint; its path may have a secret' }),
    health: z.object({ state: z.enum(TROUBLES), since: time }),
    _links: z.object({ customer: Link, subscription: Link }),
  })
  .meta({ id: 'TroubledEndpoint' });

const EndpointList = collectionOf('TroubledEndpointList', 'endpoints', EndpointResource);

const PATH = '/operator/endpoints';

const route = declareOwnRoute({
  method: 'get',
  path: '/endpoints',
  operationId: 'listEndpoints',
  summary: 'List endpoints in trouble',
  description:
    'Of the enabled subscriptions of all customers: the oldest trouble first, a hundred to a page.',
  ...forOperator(),
  request: {
    query: z.object({
      state: z
        .enum(TROUBLES, { error: `must be one of ${TROUBLES.join(', ')}` })
        .optional()
        .meta({ description: 'failing without it' }),
      page: pageParameter,
    }),
  },
  responses: {
    200: {
      description: 'The endpoints',
      content: jsonContent(EndpointList, {
        total: 1,
        _links: { self: link(PATH) },
        _embedded: {
          endpoints: [
            {
              customerId: EXAMPLE.customer,
              customerName: 'Acme',
              subscriptionId: EXAMPLE.subscription,
              title: 'Profile sync',
              host: 'listener.example.com',
              health: { state: 'failing', since: EXAMPLE.early },
              _links: {
                customer: link(customerHref(EXAMPLE.customer)),
                subscription: link(EXAMPLE.subscriptionPath),
              },
            },
          ],
        },
      }),
    },
    ...problems(400, 403),
  },
});

export function addEndpoints(door: Door): void {
  door.openapi(route, async (c) => {
    const query = c.req.valid('query');
    const page = pageOrFirst(query.page);
    const state = query.state ?? 'failing';
    const { db } = c.get('services');
    const { total, endpoints } = await listTroubledEndpoints(db, state, page.limit, page.offset);
    const path = query.state === undefined ? PATH : `${PATH}?state=${state}`;
    const resources = endpoints.map((endpoint) => endpointResource(endpoint, state));
    return c.json(
      { total, _links: linksOfPage(path, page, total), _embedded: { endpoints: resources } },
      200,
    );
  });
}

function endpointResource(
  { endpoint, since, ...names }: TroubledEndpoint,
  state: Trouble,
): z.infer<typeof EndpointResource> {
  const { customerId, subscriptionId } = names;
  return {
    ...names,
    host: hostOf(endpoint),
    health: { state, since: timestamp(since) },
    _links: {
      customer: link(customerHref(customerId)),
      subscription: link(subscriptionHref({ customerId, id: subscriptionId })),
    },
  };
}

/** Host and port. What is stored is a URL; nothing of another text is shown. */
function hostOf(endpoint: string): string {
  return URL.parse(endpoint)?.host ?? '';
}
