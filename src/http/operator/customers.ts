/** Customers over HTTP: the operator makes, lists and erases them (contract 10.2). */
import { createRoute, type OpenAPIHono } from '@hono/zod-openapi';
import { z } from 'zod';
import { ApiFailure } from '../../domain/errors.ts';
import { isUuid } from '../../domain/ids.ts';
import { text, uuid } from '../../domain/schemas.ts';
import { eraseDeleted } from '../../operations/erase.ts';
import { rotateSigningKeys } from '../../operations/rotate-keys.ts';
import { makeSigningKeys } from '../../signing/keys.ts';
import { type Customer, deleteCustomer, insertCustomer, listCustomers } from '../../storage/customers.ts';
import { publishedKeys } from '../../storage/signing-keys.ts';
import { addRouteWithBody } from '../kit/body.ts';
import { type AppEnv, param, timestamp } from '../kit/context.ts';
import {
  collectionOf,
  customerPath,
  jsonContent,
  Link,
  link,
  pageParameter,
  problems,
} from '../kit/links.ts';
import { notFound, withCustomer } from '../kit/load.ts';
import { Jwks } from '../public/jwk.ts';

const PAGE_SIZE = 100;

const NewCustomer = z
  .object(
    {
      name: text(1, 200),
      id: uuid.optional().meta({ description: 'a customer that moves here keeps its id' }),
    },
    { error: 'must be a JSON object' },
  )
  .meta({ id: 'NewCustomer' });

const CustomerResource = z
  .object({
    id: z.string(),
    name: z.string(),
    createdAt: z.string().meta({ format: 'date-time' }),
    _links: z.object({ self: Link, clients: Link, subscriptions: Link, keys: Link }),
  })
  .meta({ id: 'Customer' });

const operator = { tags: ['Operator'], security: [{ operator: [] }] };

const creationRoute = createRoute({
  method: 'post',
  path: '/customers',
  summary: 'Create a customer',
  description: 'Makes its three signing keys.',
  ...operator,
  request: { body: { content: jsonContent(NewCustomer), required: true } },
  responses: {
    201: { description: 'The customer', content: jsonContent(CustomerResource) },
    ...problems(400, 403, 409, 413, 415),
  },
});

const listRoute = createRoute({
  method: 'get',
  path: '/customers',
  summary: 'List customers',
  description: 'Oldest first, a hundred to a page.',
  ...operator,
  request: { query: z.object({ page: pageParameter }) },
  responses: {
    200: { description: 'The customers', content: jsonContent(collectionOf('customers', CustomerResource)) },
    ...problems(403),
  },
});

const readRoute = createRoute({
  method: 'get',
  path: '/customers/{cid}',
  summary: 'Read a customer',
  ...operator,
  middleware: withCustomer,
  request: { params: customerPath },
  responses: {
    200: { description: 'The customer', content: jsonContent(CustomerResource) },
    ...problems(403, 404),
  },
});

const deleteRoute = createRoute({
  method: 'delete',
  path: '/customers/{cid}',
  summary: 'Erase a customer',
  description: 'Its clients, keys, subscriptions and every event store.',
  ...operator,
  request: { params: customerPath },
  responses: { 204: { description: 'Erased' }, ...problems(403, 404) },
});

const rotateRoute = createRoute({
  method: 'post',
  path: '/customers/{cid}/signing-keys/rotate',
  summary: "Rotate a customer's signing keys",
  description: 'The next key signs from now on; what signed before stays published for 35 days.',
  ...operator,
  middleware: withCustomer,
  request: { params: customerPath },
  responses: { 200: { description: 'The public keys', content: jsonContent(Jwks) }, ...problems(403, 404) },
});

export function addCustomers(app: OpenAPIHono<AppEnv>): void {
  addRouteWithBody(app, creationRoute, async (c) => {
    const body = c.req.valid('json');
    const customer: Customer = { id: body.id ?? crypto.randomUUID(), name: body.name, createdAt: Date.now() };
    const keys = await makeSigningKeys(c.get('services').config, customer.id, customer.createdAt);
    if (!(await insertCustomer(c.get('services').db, customer, keys))) {
      throw new ApiFailure({ code: 'conflict', details: 'A customer with this id exists' });
    }
    c.header('location', `/operator/customers/${customer.id}`);
    return c.json(customerResource(customer), 201);
  });

  app.openapi(listRoute, async (c) => {
    const page = pageNumber(c.req.valid('query').page);
    const { total, customers } = await listCustomers(c.get('services').db, PAGE_SIZE, (page - 1) * PAGE_SIZE);
    return c.json(
      {
        total,
        _links: pageLinks('/operator/customers', page, total, PAGE_SIZE),
        _embedded: { customers: customers.map(customerResource) },
      },
      200,
    );
  });

  app.openapi(readRoute, (c) => c.json(customerResource(c.get('customer')), 200));

  app.openapi(rotateRoute, async (c) => {
    const { id } = c.get('customer');
    const now = Date.now();
    if (!(await rotateSigningKeys(c.get('services').db, c.get('services').config, id, now)))
      throw notFound('Customer');
    const keys = await publishedKeys(c.get('services').db, id, now);
    if (keys === undefined) throw notFound('Customer');
    return c.json({ keys: keys as z.infer<typeof Jwks>['keys'] }, 200);
  });

  app.openapi(deleteRoute, async (c) => {
    const id = param(c, 'cid');
    if (!isUuid(id) || !(await deleteCustomer(c.get('services').db, id, Date.now())))
      throw notFound('Customer');
    // If this dies, the tombstones stand and the cron erases the stores.
    await eraseDeleted(c.get('services'), c.get('services').config.maxSubscriptions, id);
    return c.body(null, 204);
  });
}

/** A page number of an operator's list; anything else is the first. */
export function pageNumber(asked: string | undefined): number {
  return asked !== undefined && /^[1-9]\d{0,8}$/.test(asked) ? Number(asked) : 1;
}

export function pageLinks(path: string, page: number, total: number, size: number): Record<string, Link> {
  return {
    self: link(page === 1 ? path : `${path}?page=${page}`),
    ...(page > 1 ? { prev: link(`${path}?page=${page - 1}`) } : {}),
    ...(page * size < total ? { next: link(`${path}?page=${page + 1}`) } : {}),
  };
}

function customerResource(customer: Customer): z.infer<typeof CustomerResource> {
  const self = `/operator/customers/${customer.id}`;
  return {
    id: customer.id,
    name: customer.name,
    createdAt: timestamp(customer.createdAt),
    _links: {
      self: link(self),
      clients: link(`${self}/clients`),
      subscriptions: link(`/${customer.id}/webhooks/subscriptions`),
      keys: link(`/${customer.id}/login/jwk`),
    },
  };
}
