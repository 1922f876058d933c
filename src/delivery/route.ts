/**
 * Routing: which subscriptions receive which events. It only reads, so a repeat is harmless.
 *
 * One query has brought the subscriptions of all customers in the batch. Here each event is matched in memory against each
 * subscription of its customer, by type and filter.
 */
import type { IdentityEvent } from '../domain/event.ts';
import { eventsClaim } from '../domain/security-event-token.ts';
import type { Subscription } from '../domain/subscription.ts';
import type { Audience } from '../storage/subscriptions.ts';
import { passes } from './filters.ts';

/** The events of a batch that one subscription receives. */
export interface Route {
  readonly subscription: Subscription;
  /** Key id of the customer's current signing key. */
  readonly kid: string;
  readonly events: readonly IdentityEvent[];
}

interface Routing {
  /** Subscriptions with a healthy endpoint come first: signing takes time, and the events of the others are deferred anyway. */
  readonly routes: readonly Route[];
  /** Events of unknown customers. */
  readonly unroutable: readonly IdentityEvent[];
}

/**
 * @param audiences the subscriptions of each customer, by customer id
 * @param captureDomain for the default of `globalSub` in the `events` claim, which filters are evaluated against
 */
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
