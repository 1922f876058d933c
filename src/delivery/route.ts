/**
 * Routing: which subscriptions receive which events. It only reads, so a repeat is harmless.
 *
 * One query has brought the subscriptions of all customers in the batch, without their filters. Here each event is matched in
 * memory against each subscription of its customer, by type and filter.
 */
import type { IdentityEvent } from '../domain/event.ts';
import { FILTER_MAX_STEPS } from '../domain/limits.ts';
import { eventsClaim } from '../domain/security-event-token.ts';
import type { SigningKeyName } from '../domain/signing-algorithm.ts';
import type { Recipient } from '../domain/subscription.ts';
import type { Audience } from '../storage/recipients.ts';
import { compiledFilters, type LoadFilters } from './filters.ts';

/** The events of a batch that one subscription receives; each once: of several with one id the first counts (contract 10.1). */
export interface Route {
  readonly subscription: Recipient;
  /** The key that signs for the customer. */
  readonly key: SigningKeyName;
  readonly events: readonly IdentityEvent[];
  /** Ids of those that have waited once for the answers to others. */
  readonly waited: ReadonlySet<string>;
}

/** Events of one customer, and the subscriptions that may receive them: all, or those that a slice names. */
export interface Addressed {
  readonly customerId: string;
  readonly events: readonly IdentityEvent[];
  readonly subscriptionIds?: ReadonlySet<string>;
  /** They have waited once for the answers to others. */
  readonly hasWaited?: boolean;
}

/** What a group of events takes at most: known before a filter is evaluated. */
export interface Width {
  readonly deliveries: number;
  /** Steps of filters (contract 4). */
  readonly steps: number;
}

export function widthOf(group: Addressed, subscriptions: readonly Recipient[]): Width {
  const byType = Map.groupBy(group.events, ({ type }) => type);
  let deliveries = 0;
  let steps = 0;
  for (const { events, filterSteps } of recipients(group, subscriptions)) {
    for (const type of events) {
      const count = byType.get(type)?.length ?? 0;
      deliveries += count;
      steps += count * (filterSteps ?? FILTER_MAX_STEPS);
    }
  }
  return { deliveries, steps };
}

/** The subscriptions that receive at least one event of a group, if their filters let it pass. */
export function recipients(group: Addressed, subscriptions: readonly Recipient[]): Recipient[] {
  const types = new Set(group.events.map(({ type }) => type));
  const { subscriptionIds } = group;
  return subscriptions.filter(
    ({ id, events }) =>
      (subscriptionIds === undefined || subscriptionIds.has(id)) && events.some((type) => types.has(type)),
  );
}

/**
 * @param audiences the subscriptions of each customer, by customer id. Events of a customer that is missing have no route
 * @param loadFilters asked for those that this isolate has not compiled
 * @param captureDomain for the default of `globalSub` in the `events` claim, which filters are evaluated against
 * @returns routes of healthy endpoints first: signing takes time, and the events of the others are deferred anyway. Among
 *   equals customers take turns
 */
export async function route(
  groups: readonly Addressed[],
  audiences: ReadonlyMap<string, Audience>,
  captureDomain: string,
  loadFilters: LoadFilters,
): Promise<Route[]> {
  const routes = new Map<
    string,
    { subscription: Recipient; key: SigningKeyName; events: Map<string, IdentityEvent>; waited: Set<string> }
  >();
  for (const group of groups) {
    const audience = audiences.get(group.customerId);
    if (audience === undefined) continue;
    const { key } = audience;
    const candidates = recipients(group, audience.subscriptions);
    // Customer by customer, so that the filters of one customer at a time are in memory beside those that the isolate keeps.
    const passes = await compiledFilters.prepare(candidates, loadFilters);
    for (const event of group.events) {
      let claim: Record<string, object> | undefined;
      for (const subscription of candidates) {
        if (!subscription.events.includes(event.type)) continue;
        if (subscription.filterSteps !== 0) {
          claim ??= eventsClaim(event, captureDomain);
          if (!passes(subscription, claim)) continue;
        }
        let one = routes.get(subscription.id);
        if (one === undefined) {
          one = { subscription, key, events: new Map(), waited: new Set() };
          routes.set(subscription.id, one);
        }
        if (!one.events.has(event.id)) one.events.set(event.id, event);
        if (group.hasWaited === true) one.waited.add(event.id);
      }
    }
  }
  const all = [...routes.values()].map((one) => ({ ...one, events: [...one.events.values()] }));
  return inTurns(all);
}

function inTurns(routes: readonly Route[]): Route[] {
  const seen = new Map<string, number>();
  const placed = routes.map((one) => {
    const { customerId, health } = one.subscription;
    const turn = seen.get(customerId) ?? 0;
    seen.set(customerId, turn + 1);
    return { one, inTrouble: Number(health !== 'healthy'), turn };
  });
  placed.sort((a, b) => a.inTrouble - b.inTrouble || a.turn - b.turn);
  return placed.map(({ one }) => one);
}
