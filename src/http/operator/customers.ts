/** Customers over HTTP: the operator creates, lists, changes and erases them (contract 10.2). */
import { z } from 'zod';
import { ApiFailure } from '../../domain/errors.ts';
import { text, uuid } from '../../domain/schemas.ts';
import { SIGNING_ALGORITHMS } from '../../domain/signing-algorithm.ts';
import { logAudit } from '../../operations/audit-trail.ts';
import { changeSigningAlgorithm } from '../../operations/change-algorithm.ts';
import { eraseCustomer } from '../../operations/erase.ts';
import { makeEdDsaKeys, makeSigningKeys } from '../../signing/keys.ts';
import {
  type Customer,
  findCustomer,
  fullestStores,
  insertCustomer,
  listCustomers,
} from '../../storage/customers.ts';
import { operatorAudit, theOperator } from '../kit/audit.ts';
import { addRouteWithBody } from '../kit/body.ts';
import { timestamp } from '../kit/context.ts';
import type { Door } from '../kit/door.ts';
import { EXAMPLE } from '../kit/examples.ts';
import { clientsHref, customerHref, customersHref, jwksHref, subscriptionsHref } from '../kit/hrefs.ts';
import { collectionOf, Link, link } from '../kit/links.ts';
import { idParam, notFound, withCustomer } from '../kit/load.ts';
import { linksOfPage, pageOrFirst, pageParameter } from '../kit/paging.ts';
import { problems } from '../kit/problems.ts';
import { declareOwnRoute, forOperator } from '../kit/route.ts';
import { customerPath, id, jsonContent, locationOf, time, wholeNumber } from '../kit/schemas.ts';

const signingAlgorithm = z.enum(SIGNING_ALGORITHMS);

const NewCustomer = z
  .object(
    {
      signingAlgorithm: signingAlgorithm
        .optional()
        .meta({ description: 'what signs its tokens; RS256 without it' }),
      name: text(1, 200).meta({ examples: ['Acme'] }),
      id: uuid.optional().meta({ description: 'a customer that moves here keeps its id' }),
    },
    { error: 'must be a JSON object' },
  )
  .meta({ id: 'NewCustomer' });

const CustomerChange = z
  .object({ signingAlgorithm: signingAlgorithm.optional() }, { error: 'must be a JSON object' })
  .meta({ id: 'CustomerChange' });

const CustomerResource = z
  .object({
    id,
    name: z.string(),
    createdAt: time,
    signingAlgorithm,
    signingAlgorithmFrom: time
      .optional()
      .meta({ description: 'with EdDSA: from when on it signs. Until then RS256 does' }),
    fullestStorePercent: wholeNumber.meta({
      description: 'how full the fullest event store of its subscriptions is, in steps of 10',
    }),
    _links: z.object({ self: Link, clients: Link, subscriptions: Link, keys: Link }),
  })
  .meta({ id: 'Customer' });

const CUSTOMER_EXAMPLE: z.infer<typeof CustomerResource> = {
  id: EXAMPLE.customer,
  name: 'Acme',
  createdAt: EXAMPLE.early,
  signingAlgorithm: 'RS256',
  fullestStorePercent: 10,
  _links: {
    self: link(customerHref(EXAMPLE.customer)),
    clients: link(clientsHref(EXAMPLE.customer)),
    subscriptions: link(subscriptionsHref(EXAMPLE.customer)),
    keys: link(jwksHref(EXAMPLE.customer)),
  },
};
const CustomerList = collectionOf('CustomerList', 'customers', CustomerResource);

const common = forOperator();

export function addCustomers(door: Door): void {
  addCreate(door);
  addList(door);
  addRead(door);
  addChange(door);
  addErase(door);
}

const createCustomerRoute = declareOwnRoute({
  method: 'post',
  path: '/customers',
  operationId: 'createCustomer',
  summary: 'Create a customer',
  description: 'Makes three RSA keys for it, and with `EdDSA` two Ed25519 keys, which sign at once.',
  ...common,
  request: { body: { content: jsonContent(NewCustomer, { name: 'Acme' }), required: true } },
  responses: {
    201: {
      description: 'The customer',
      headers: locationOf('the customer', CUSTOMER_EXAMPLE._links.self.href),
      content: jsonContent(CustomerResource, CUSTOMER_EXAMPLE),
    },
    ...problems(400, 403, 409, 413, 415),
  },
});

const REFUSED = {
  exists: 'A customer with this id exists',
  'erased lately':
    'A customer with this id was erased within the last 60 seconds, and its tokens may still work: try again in a minute',
};

function addCreate(door: Door): void {
  addRouteWithBody(door, createCustomerRoute, async (c) => {
    const { config, db } = c.get('services');
    const { id = crypto.randomUUID(), name, signingAlgorithm } = c.req.valid('json');
    const createdAt = Date.now();
    const keys = await makeSigningKeys(config, id, createdAt);
    const customer: Customer = {
      id,
      name,
      createdAt,
      eddsaSince: signingAlgorithm === 'EdDSA' ? createdAt : null,
    };
    if (customer.eddsaSince !== null) {
      // No listener can have kept a key set without them.
      const { current, next } = await makeEdDsaKeys(config, id, createdAt, createdAt);
      keys.push(current, next);
    }
    const audit = operatorAudit(c, 'customer-created', { customerId: id });
    const result = await insertCustomer(db, customer, keys, audit);
    if (result !== 'created') throw new ApiFailure({ code: 'conflict', details: REFUSED[result] });
    logAudit(audit);
    c.get('isolate').customers.forget(customer.id);
    c.header('location', customerHref(customer.id));
    return c.json(customerResource(customer), 201);
  });
}

const listRoute = declareOwnRoute({
  method: 'get',
  path: '/customers',
  operationId: 'listCustomers',
  summary: 'List customers',
  description: 'Oldest first, a hundred to a page.',
  ...common,
  request: { query: z.object({ page: pageParameter }) },
  responses: {
    200: {
      description: 'The customers',
      content: jsonContent(CustomerList, {
        total: 1,
        _links: { self: link(customersHref) },
        _embedded: { customers: [CUSTOMER_EXAMPLE] },
      }),
    },
    ...problems(403),
  },
});

function addList(door: Door): void {
  door.openapi(listRoute, async (c) => {
    const page = pageOrFirst(c.req.valid('query').page);
    const { total, customers } = await listCustomers(c.get('services').db, page.limit, page.offset);
    const _links = linksOfPage(customersHref, page, total);
    const ids = customers.map(({ id }) => id);
    const tenths = await fullestStores(c.get('services').db, ids);
    const resources = customers.map((customer) => customerResource(customer, tenths.get(customer.id)));
    return c.json({ total, _links, _embedded: { customers: resources } }, 200);
  });
}

const readRoute = declareOwnRoute({
  method: 'get',
  path: '/customers/{cid}',
  operationId: 'getCustomer',
  summary: 'Read a customer',
  ...common,
  middleware: withCustomer,
  request: { params: customerPath },
  responses: {
    200: { description: 'The customer', content: jsonContent(CustomerResource, CUSTOMER_EXAMPLE) },
    ...problems(403, 404),
  },
});

function addRead(door: Door): void {
  door.openapi(readRoute, async (c) => {
    const customer = c.get('customer');
    const tenths = await fullestStores(c.get('services').db, [customer.id]);
    return c.json(customerResource(customer, tenths.get(customer.id)), 200);
  });
}

const CHANGE_EXAMPLE = { signingAlgorithm: 'EdDSA' as const };

const changeRoute = declareOwnRoute({
  method: 'patch',
  path: '/customers/{cid}',
  operationId: 'updateCustomer',
  summary: 'Change the signing algorithm of a customer',
  description:
    'A merge patch (RFC 7396). `EdDSA` publishes Ed25519 keys at once, and they sign after 24 hours, when every listener knows them. `RS256` signs at once.',
  ...common,
  middleware: withCustomer,
  request: {
    params: customerPath,
    body: {
      content: {
        'application/merge-patch+json': { schema: CustomerChange, example: CHANGE_EXAMPLE },
        ...jsonContent(CustomerChange, CHANGE_EXAMPLE),
      },
      required: true,
    },
  },
  responses: {
    200: {
      description: 'The customer',
      content: jsonContent(CustomerResource, {
        ...CUSTOMER_EXAMPLE,
        ...CHANGE_EXAMPLE,
        signingAlgorithmFrom: '2026-02-01T12:00:00.000Z',
      }),
    },
    ...problems(400, 403, 404, 413, 415),
  },
});

function addChange(door: Door): void {
  addRouteWithBody(door, changeRoute, async (c) => {
    const { config, db } = c.get('services');
    const { id } = c.get('customer');
    const { signingAlgorithm } = c.req.valid('json');
    if (signingAlgorithm !== undefined) {
      const now = Date.now();
      await changeSigningAlgorithm(db, config, c.get('customer'), signingAlgorithm, now, theOperator(c));
      c.get('isolate').customers.forget(id);
    }
    const changed = await findCustomer(db, id);
    if (changed === undefined) throw notFound('Customer'); // erased while the call was under way
    const tenths = await fullestStores(db, [id]);
    return c.json(customerResource(changed, tenths.get(id)), 200);
  });
}

const eraseRoute = declareOwnRoute({
  method: 'delete',
  path: '/customers/{cid}',
  operationId: 'eraseCustomer',
  summary: 'Erase a customer',
  description: 'Deletes its clients, keys and subscriptions, and erases every event store of theirs.',
  ...common,
  request: { params: customerPath },
  responses: { 204: { description: 'Erased' }, ...problems(403, 404) },
});

function addErase(door: Door): void {
  door.openapi(eraseRoute, async (c) => {
    const id = idParam(c, 'cid', 'Customer');
    const audit = operatorAudit(c, 'customer-erased', { customerId: id });
    try {
      if (!(await eraseCustomer(c.get('services'), id, Date.now(), audit))) throw notFound('Customer');
    } finally {
      c.get('isolate').customers.forget(id);
    }
    return c.body(null, 204);
  });
}

/** @param storeTenths how full its fullest event store is */
function customerResource(
  { id, name, createdAt, eddsaSince }: Customer,
  storeTenths = 0,
): z.infer<typeof CustomerResource> {
  return {
    id,
    name,
    createdAt: timestamp(createdAt),
    ...(eddsaSince === null
      ? { signingAlgorithm: 'RS256' as const }
      : { signingAlgorithm: 'EdDSA' as const, signingAlgorithmFrom: timestamp(eddsaSince) }),
    fullestStorePercent: 10 * storeTenths,
    _links: {
      self: link(customerHref(id)),
      clients: link(clientsHref(id)),
      subscriptions: link(subscriptionsHref(id)),
      keys: link(jwksHref(id)),
    },
  };
}
