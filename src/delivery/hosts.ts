/**
 * Which first attempts need a place at their host (contract 10.4). Where a customer has one subscription with a host, the event store
 * of that subscription alone bounds the requests, and nobody is asked.
 */
import type { Recipient } from '../domain/subscription.ts';
import { hostOf } from '../host-limit/client.ts';
import type { Route } from './route.ts';

/** The key of a customer's host. */
export function hostKey(customerId: string, endpoint: string): string {
  return `${customerId} ${hostOf(endpoint)}`;
}

/** The hosts that several of a customer's subscriptions share. */
export function hostsOfSeveral(subscriptions: readonly Recipient[]): Set<string> {
  const seen = new Set<string>();
  const shared = new Set<string>();
  if (subscriptions.length < 2) return shared;
  for (const { endpoint } of subscriptions) {
    const host = hostOf(endpoint);
    if (seen.has(host)) shared.add(host);
    seen.add(host);
  }
  return shared;
}

/**
 * @param hostsOf the shared hosts of a customer; `undefined`: it may be any
 * @returns deliveries of the routes by customer and host, without hosts that need no places
 */
export function sharedHosts(
  routes: readonly Route[],
  hostsOf: (customerId: string) => ReadonlySet<string> | undefined,
): Map<string, number> {
  const deliveries = new Map<string, number>();
  for (const [customerId, own] of Map.groupBy(routes, ({ subscription }) => subscription.customerId)) {
    const shared = hostsOf(customerId);
    if (shared?.size === 0) continue;
    for (const { subscription, events } of own) {
      if (shared !== undefined && !shared.has(hostOf(subscription.endpoint))) continue;
      const key = hostKey(customerId, subscription.endpoint);
      deliveries.set(key, (deliveries.get(key) ?? 0) + events.length);
    }
  }
  return deliveries;
}
