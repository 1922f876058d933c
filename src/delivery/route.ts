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

/**
 * @param audiences the subscriptions of each customer, by customer id. Events of a customer that is missing have no route
 * @param captureDomain for the default of `globalSub` in the `events` claim, which filters are evaluated against
 * @returns routes of healthy endpoints first: signing takes time, and the events of the others are deferred anyway
 */
export function route(
  events: readonly IdentityEvent[],
  audiences: ReadonlyMap<string, Audience>,
  captureDomain: string,
): Route[] {
  const routes = new Map<string, { subscription: Subscription; kid: string; events: IdentityEvent[] }>();
  for (const event of events) {
    const audience = audiences.get(event.customerId);
    if (audience === undefined) continue;
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
  return [...routes.values()].sort((a, b) => inTrouble(a) - inTrouble(b));
}
