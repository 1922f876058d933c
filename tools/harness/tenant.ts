/** One customer with subscriptions and a producer, for programs that put the service under load. */
import { v7 } from 'uuid';
import { Customer, getToken, Operator } from './client.ts';
import type { RunningService } from './service.ts';

export async function newCustomer(service: RunningService): Promise<Customer> {
  const operator = new Operator(service.url, service.home.operatorToken);
  const { id } = (await operator.call('POST', '/customers', { name: 'Under load' })).body;
  const client = (await operator.call('POST', `/customers/${id}/clients`, { name: 'load' })).body;
  const token = await getToken(service.url, id, client.clientId, client.clientSecret);
  return new Customer(service.url, id, token.body.access_token);
}

/**
 * @param there subscriptions the customer has already
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
    const answer = await customer.call('POST', '/subscriptions', body);
    if (answer.status !== 201) throw new Error(`subscribing: ${JSON.stringify(answer.body)}`);
    ids.push(answer.body.id);
  }
  return ids;
}

/** Events with ids of the producer's own, so that publishing them again is harmless. */
export function newEvents(count: number): { readonly id: string }[] {
  return Array.from({ length: count }, () => ({ id: v7() }));
}

/** @returns whether they were accepted; a service that is away or answers 503 has accepted nothing for sure */
export async function publish(
  customer: Customer,
  events: readonly { readonly id: string }[],
): Promise<boolean> {
  const bodies = events.map(({ id }) => ({
    id,
    type: 'entityCreated',
    captureApplicationId: 'application',
    captureClientId: 'client',
    entityType: 'user',
    sub: id,
  }));
  try {
    const { status, body } = await customer.call('POST', '/events', bodies);
    if (status === 202) return true;
    if (status >= 500) return false;
    throw new Refused(`publishing: ${status} ${JSON.stringify(body)}`);
  } catch (error) {
    if (error instanceof Refused) throw error;
    return false;
  }
}

class Refused extends Error {}

/** Walks the events of a subscription, page by page. */
export async function eventStates(customer: Customer, subscriptionId: string): Promise<Map<string, string>> {
  const states = new Map<string, string>();
  let answer = await customer.call('GET', `/subscriptions/${subscriptionId}/events?limit=1000`);
  for (;;) {
    for (const { id, state } of answer.body._embedded.events) states.set(id, state);
    const next = answer.body._links.next?.href as string | undefined;
    if (next === undefined) return states;
    answer = await customer.follow(next);
  }
}
