/**
 * Routing: which subscriptions hear of which events. Reads only, so a repeat is harmless.
 *
 * One query for the audiences of all customers of a batch; then each event is matched against each of its
 * customer's subscriptions by type (and filter), in memory.
 */
import type { IdentityEvent } from '../domain/event.ts';
import { eventsClaim } from '../domain/security-event-token.ts';
import type { Subscription } from '../domain/subscription.ts';
import type { Audience } from '../storage/subscriptions.ts';
import { passes } from './filters.ts';

/** The events of a batch that one subscription is to hear of. */
export interface Route {
  readonly subscription: Subscription;
  /** Key id of the customer's current signing key. */
  readonly kid: string;
  readonly events: readonly IdentityEvent[];
}

interface Routing {
  /** Those whose endpoints are healthy first: the others need signatures as well, and can wait for them. */
  readonly routes: readonly Route[];
  /** Events of customers that do not exist. */
  readonly unroutable: readonly IdentityEvent[];
}

/** @param captureDomain for the `events` claim that filters are evaluated against */
export function route(
  events: readonly IdentityEvent[],
  audiences: ReadonlyMap<string, Audience>,
  captureDomain: string,
): Routing {
  const routes = new Map<string, { subscription: Subscription; kid: string; events: IdentityEvent[] }>();
  const unroutable: IdentityEvent[] = [];
  for (const event of events) {
    const audience = audiences.get(event.customerId);
    if (audience === undefined) {
      unroutable.push(event);
      continue;
    }
    let claim: Record<string, object> | undefined;
    for (const subscription of audience.subscriptions) {
      if (!subscription.events.includes(event.type)) continue;
      if (subscription.filter !== null) {
        claim ??= eventsClaim(event, captureDomain);
        if (!passes(subscription, claim)) continue;
      }
      const known = routes.get(subscription.id);
      if (known === undefined) {
        routes.set(subscription.id, { subscription, kid: audience.kid, events: [event] });
      } else known.events.push(event);
    }
  }
  const inTrouble = ({ subscription }: Route) => Number(subscription.health !== 'healthy');
  return { routes: [...routes.values()].sort((a, b) => inTrouble(a) - inTrouble(b)), unroutable };
}
