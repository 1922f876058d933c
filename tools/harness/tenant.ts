/** One customer with subscriptions and a producer, for programs that put the service under load. */

import { type components, OperatorClient, WebhooksClient, WebhooksError } from '@identity-webhooks/client';
import { v7 } from 'uuid';

/** A service that answers, and the token of its operator. */
export interface Service {
  readonly url: string;
  readonly operatorToken: string;
}

export type Subscription = components['schemas']['Subscription'];

/** Makes a customer and a client for it. */
export async function newCustomer(
  { url, operatorToken }: Service,
  signingAlgorithm: 'RS256' | 'EdDSA' = 'RS256',
): Promise<WebhooksClient> {
  const operator = new OperatorClient({ baseUrl: url, token: operatorToken });
  const { id: cid } = await operator.call('createCustomer', {
    body: { name: 'Under load', signingAlgorithm },
  });
  const client = await operator.call('createClient', { cid, body: { name: 'load' } });
  return new WebhooksClient({ baseUrl: url, customerId: cid, ...client });
}

/**
 * @param there how many subscriptions the customer has already
 * @returns ids of new ones, one for each endpoint
 */
export async function subscribe(
  customer: WebhooksClient,
  endpoints: readonly string[],
  there = 0,
): Promise<string[]> {
  const ids: string[] = [];
  for (const [index, endpoint] of endpoints.entries()) {
    const title = `hook ${there + index}`;
    const body = { title, endpoint, events: ['entityCreated' as const] };
    ids.push((await customer.call('createSubscription', { body })).id);
  }
  return ids;
}

/** @returns the health of each subscription, by id */
export async function healthById(customer: WebhooksClient): Promise<Map<string, Subscription['health']>> {
  const found = new Map<string, Subscription['health']>();
  for await (const { id, health } of customer.items('listSubscriptions')) found.set(id, health);
  return found;
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
export async function publish(customer: WebhooksClient, events: readonly NewEvent[]): Promise<boolean> {
  const bodies = events.map(({ id }) => ({
    id,
    type: 'entityCreated' as const,
    captureApplicationId: 'application',
    captureClientId: 'client',
    entityType: 'user',
    sub: id,
  }));
  try {
    await customer.publish(bodies);
    return true;
  } catch (error) {
    if (error instanceof WebhooksError && (error.status ?? 500) >= 500) return false;
    throw error;
  }
}

/** @returns the state of each event of a subscription, by id */
export async function eventStates(customer: WebhooksClient, sid: string): Promise<Map<string, string>> {
  const states = new Map<string, string>();
  const events = customer.items('listEvents', { sid, query: { limit: 1000 } });
  for await (const { id, state } of events) states.set(id, state);
  return states;
}
