/** Reads the subscriptions of an old service by the Webhooks v3 API (contract 3.4), which our own client speaks. */
import type { WebhooksClient } from '@identity-webhooks/client';
import { Failure } from '../failure.ts';
import type { OldSubscription } from './plan.ts';

/** Far above what any customer has; a list that never ends is somebody's fault. */
const MAX_SUBSCRIPTIONS = 100_000;

/**
 * @returns the subscriptions in the order of the list, each once: a page may move while it is read
 * @throws Failure when the answer is not a list of subscriptions
 */
export async function readOldSubscriptions(client: WebhooksClient): Promise<OldSubscription[]> {
  const found = new Map<string, OldSubscription>();
  let read = 0;
  // Pages are followed where the old service has them; without pages it answers with everything.
  for await (const item of client.items('listSubscriptions', { query: { page: 1 } })) {
    const subscription = parse(item);
    found.set(subscription.id, subscription);
    if (++read > MAX_SUBSCRIPTIONS) throw unreadable(`has more than ${MAX_SUBSCRIPTIONS} subscriptions`);
  }
  return [...found.values()];
}

/** The old service is a stranger: nothing of its answer is taken on trust. */
function parse(item: unknown): OldSubscription {
  const { id, title, endpoint, events, enabled = true, filter } = (item ?? {}) as Record<string, unknown>;
  const isText = (value: unknown): value is string => typeof value === 'string';
  if (!isText(id) || !isText(title) || !isText(endpoint) || typeof enabled !== 'boolean') {
    throw unreadable('shows a subscription without id, title or endpoint');
  }
  if (!Array.isArray(events) || !events.every(isText))
    throw unreadable(`shows the subscription ${id} without events`);
  if (typeof (filter ?? {}) !== 'object' || Array.isArray(filter)) {
    throw unreadable(`shows the subscription ${id} with a filter that is not an object`);
  }
  return {
    id,
    title,
    endpoint,
    events,
    enabled,
    filter: (filter as OldSubscription['filter'] | null) ?? undefined,
  };
}

function unreadable(what: string): Failure {
  return new Failure('unreachable', `The old service ${what}.`, 'Is this the URL of a Webhooks v3 API?');
}
