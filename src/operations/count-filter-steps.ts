/**
 * Counts the steps of filters that were stored before steps were counted (contract 4). It happens before the customer's
 * filters are added up, and for each subscription once a day at the latest. A repeat counts the same.
 */
import { worstSteps } from '../domain/filter/filter.ts';
import type { Subscription } from '../domain/subscription.ts';
import type { Database } from '../storage/database.ts';
import { findUncounted, noteFilterSteps } from '../storage/subscriptions.ts';

/** Counts for all living subscriptions of a customer. */
export async function countFilterSteps(db: Database, customerId: string): Promise<void> {
  for (const subscription of await findUncounted(db, customerId)) await countSteps(db, subscription);
}

/** Counts for one subscription, if nobody did. */
export async function countSteps(
  db: Database,
  { id, version, filter, filterSteps }: Subscription,
): Promise<void> {
  if (filterSteps === null) await noteFilterSteps(db, id, version, worstSteps(filter));
}
