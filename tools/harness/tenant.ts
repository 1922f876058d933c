/** One customer with subscriptions and a producer, for programs that put the service under load. */
import { v7 } from 'uuid';
import { type Answer, type Body, Customer, getToken, type Health, Operator, ok } from './client.ts';
import { pause } from './service.ts';

/** A service that answers, and the token of its operator. */
export interface Service {
  readonly url: string;
  readonly operatorToken: string;
}

/** Makes a customer, a client for it and an access token. */
export async function newCustomer({ url, operatorToken }: Service): Promise<Customer> {
  const operator = new Operator(url, operatorToken);
  const { id } = ok(await operator.call('POST', '/customers', { name: 'Under load' }));
  const client = ok(await operator.call('POST', `/customers/${id}/clients`, { name: 'load' }));
  const token = ok(await getToken(url, id, client.clientId, client.clientSecret));
  return new Customer(url, id, token.access_token);
}

/**
 * @param there how many subscriptions the customer has already
 * @returns ids of new ones, one for each endpoint
 */
export async function subscribe(
  customer: Customer,
  endpoints: readonly string[],
  there = 0,
): Promise<string[]> {
  const ids: string[] = [];
  for (const [index, endpoint] of endpoints.entries()) {
    const body = { title: `hook ${there + index}`, endpoint, events: ['entityCreated'] };
    ids.push(ok(await customer.call('POST', '/subscriptions', body)).id);
  }
  return ids;
}

/** @returns the health of each subscription, by id */
export async function healthById(customer: Customer): Promise<Map<string, Health>> {
  const { _embedded } = ok(await customer.call('GET', '/subscriptions'));
  return new Map(_embedded.subscriptions.map(({ id, health }) => [id, health]));
}

export interface NewEvent {
  readonly id: string;
}

/** Events whose ids the producer chose, so that it is harmless to publish them again. */
export function newEvents(count: number): NewEvent[] {
  return Array.from({ length: count }, newEvent);
}

export function newEvent(): NewEvent {
  return { id: v7() };
}

/**
 * @returns whether the service accepted the events; if it is away or answers 5xx, it may have accepted some
 * @throws Error if it refused them
 */
export async function publish(customer: Customer, events: readonly NewEvent[]): Promise<boolean> {
  const bodies = events.map(({ id }) => ({
    id,
    type: 'entityCreated',
    captureApplicationId: 'application',
    captureClientId: 'client',
    entityType: 'user',
    sub: id,
  }));
  const answer = await customer.call('POST', '/events', bodies).catch(() => undefined);
  if (answer === undefined || answer.status >= 500) return false;
  ok(answer);
  return true;
}

/** @returns the state of each event of a subscription, by id */
export async function eventStates(customer: Customer, subscriptionId: string): Promise<Map<string, string>> {
  const states = new Map<string, string>();
  const first = `/subscriptions/${subscriptionId}/events?limit=1000`;
  let page = await readPage(() => customer.call('GET', first));
  for (;;) {
    for (const { id, state } of page._embedded.events) states.set(id, state);
    const { next } = page._links;
    if (next === undefined) return states;
    page = await readPage(() => customer.follow(next.href));
  }
}

/** Reads a page of events, and waits while the customer has no unit of work left (contract 8). */
async function readPage(read: () => Promise<Answer>): Promise<Body> {
  let answer = await read();
  while (answer.status === 429) {
    await pause(10_000);
    answer = await read();
  }
  return ok(answer);
}
