/**
 * Loads the rows that a path names. Each row is read once, and before a body or a query is judged: a 404 comes before a
 * 400 (contract 8). A handler behind `withSubscription` takes the row as `c.get('subscription')`; without the
 * middleware, that does not compile.
 */
import type { Context } from 'hono';
import { createMiddleware } from 'hono/factory';
import { ApiFailure } from '../../domain/errors.ts';
import { isUuid } from '../../domain/ids.ts';
import type { Subscription } from '../../domain/subscription.ts';
import { type Client, findClient } from '../../storage/clients.ts';
import { type Customer, findCustomer } from '../../storage/customers.ts';
import { type DeadLetter, findDeadLetter } from '../../storage/dead-letters.ts';
import { type AppContext, type AppEnv, param } from './context.ts';
import { readSubscription } from './first-read.ts';

interface With<Loaded> extends AppEnv {
  Variables: AppEnv['Variables'] & Loaded;
}

export type SubscriptionContext = Context<With<{ subscription: Subscription }>>;

/** Loads the subscription `{sid}` of the customer `{cid}`. A subscription of another customer is a 404, too. */
export const withSubscription = createMiddleware<With<{ subscription: Subscription }>>(async (c, next) => {
  const id = idParam(c, 'sid', 'Subscription');
  const found = await readSubscription(c, param(c, 'cid'), id);
  if (found === undefined) throw notFound('Subscription');
  c.set('subscription', found);
  await next();
});

/** Loads the customer `{cid}`. */
export const withCustomer = createMiddleware<With<{ customer: Customer }>>(async (c, next) => {
  c.set('customer', await findCustomerOf(c));
  await next();
});

/** Loads the client `{clientId}` of the customer `{cid}`; an unknown customer is reported first. */
export const withClient = createMiddleware<With<{ client: Client }>>(async (c, next) => {
  const customer = await findCustomerOf(c);
  const client = await findClient(c.get('services').db, customer.id, param(c, 'clientId'));
  if (client === undefined) throw notFound('Client');
  c.set('client', client);
  await next();
});

/** Loads the dead letter `{id}`. */
export const withDeadLetter = createMiddleware<With<{ letter: DeadLetter }>>(async (c, next) => {
  const letter = await findDeadLetter(c.get('services').db, idParam(c, 'id', 'Dead letter'));
  if (letter === undefined) throw notFound('Dead letter');
  c.set('letter', letter);
  await next();
});

/** A path parameter that is a UUID. @throws ApiFailure `not_found` for every other text */
export function idParam(c: AppContext, name: string, what: string): string {
  const id = param(c, name);
  if (!isUuid(id)) throw notFound(what);
  return id;
}

/** The failure of a load. A handler throws it, too, when the resource was deleted after the load. */
export function notFound(what: string): ApiFailure {
  return new ApiFailure({ code: 'not_found', what });
}

async function findCustomerOf(c: AppContext): Promise<Customer> {
  const customer = await findCustomer(c.get('services').db, idParam(c, 'cid', 'Customer'));
  if (customer === undefined) throw notFound('Customer');
  return customer;
}
