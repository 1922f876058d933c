/** Compiled filters, one per version of a subscription: compiling is slow, evaluating is not. */
import { compileFilter, type Filter } from '../domain/filter.ts';
import type { Subscription } from '../domain/subscription.ts';
import { logError } from '../log.ts';
import { FILTERS_COMPILED_MAX } from './tuning.ts';

const compiled = new Map<string, { version: number; filter: Filter }>();

/**
 * Whether an event passes the filter of a subscription. A filter that fails to evaluate is our fault, and lets the event
 * pass: a listener can ignore an event too many, but cannot ask for one that it never received.
 */
export function passes(subscription: Subscription, eventsClaim: Readonly<Record<string, object>>): boolean {
  if (subscription.filter === null) return true;
  try {
    return compiledFilter(subscription, subscription.filter)(eventsClaim);
  } catch (error) {
    logError('filter not evaluated', error, {
      customerId: subscription.customerId,
      subscriptionId: subscription.id,
    });
    return true;
  }
}

function compiledFilter(subscription: Subscription, schema: Readonly<Record<string, unknown>>): Filter {
  const known = compiled.get(subscription.id);
  if (known !== undefined && known.version === subscription.version) return known.filter;
  const filter = compileFilter(schema);
  if (compiled.size >= FILTERS_COMPILED_MAX) compiled.clear();
  compiled.set(subscription.id, { version: subscription.version, filter });
  return filter;
}
