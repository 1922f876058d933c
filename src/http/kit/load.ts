/**
 * Rows that a path names. Each is read once, before the service judges a body or a query (order of contract 8), and is in
 * the context from then on: a handler behind `withSubscription` takes `c.get('subscription')`.
 */
import type { Context } from 'hono';
import { createMiddleware } from 'hono/factory';
import { ApiFailure } from '../../domain/errors.ts';
import { isUuid } from '../../domain/ids.ts';
import type { Subscription } from '../../domain/subscription.ts';
import { type Client, findClient } from '../../storage/clients.ts';
import { type Customer, findCustomer } from '../../storage/customers.ts';
import { type DeadLetter, findDeadLetter } from '../../storage/dead-letters.ts';
import { findSubscription } from '../../storage/subscriptions.ts';
import { type AppContext, type AppEnv, param } from './context.ts';

interface With<Loaded> extends AppEnv {
  Variables: AppEnv['Variables'] & Loaded;
}

export type SubscriptionContext = Context<With<{ subscription: Subscription }>>;

/** The subscription `{sid}` of the customer `{cid}`; 404 for one of another customer, too. */
export const withSubscription = createMiddleware<With<{ subscription: Subscription }>>(async (c, next) => {
  const id = param(c, 'sid');
  const found = isUuid(id) ? await findSubscription(c.get('services').db, param(c, 'cid'), id) : undefined;
  if (found === undefined) throw notFound('Subscription');
  c.set('subscription', found);
  await next();
});

/** The customer `{cid}`, for the operator. */
export const withCustomer = createMiddleware<With<{ customer: Customer }>>(async (c, next) => {
  c.set('customer', await findCustomerOf(c));
  await next();
});

/** The client `{clientId}` of the customer `{cid}`, for the operator; an unknown customer is reported first. */
export const withClient = createMiddleware<With<{ client: Client }>>(async (c, next) => {
  const customer = await findCustomerOf(c);
  const client = await findClient(c.get('services').db, customer.id, param(c, 'clientId'));
  if (client === undefined) throw notFound('Client');
  c.set('client', client);
  await next();
});

/** The dead letter `{id}`, for the operator. */
export const withDeadLetter = createMiddleware<With<{ letter: DeadLetter }>>(async (c, next) => {
  const id = param(c, 'id');
  const letter = isUuid(id) ? await findDeadLetter(c.get('services').db, id) : undefined;
  if (letter === undefined) throw notFound('Dead letter');
  c.set('letter', letter);
  await next();
});

/** The 404 of a resource: what a load throws, and a handler whose resource went after the load. */
export function notFound(what: string): ApiFailure {
  return new ApiFailure({ code: 'not_found', what });
}

async function findCustomerOf(c: AppContext): Promise<Customer> {
  const id = param(c, 'cid');
  const customer = isUuid(id) ? await findCustomer(c.get('services').db, id) : undefined;
  if (customer === undefined) throw notFound('Customer');
  return customer;
}
