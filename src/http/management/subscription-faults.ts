/** Faults of a subscription's body that need configuration, D1 or a name server (contract 3.1, 3.3 and 4). */
import type { Fault } from '../../domain/errors.ts';
import { worstSteps } from '../../domain/filter/filter.ts';
import { FILTERS_MAX_BYTES_PER_CUSTOMER, FILTERS_MAX_STEPS_PER_CUSTOMER } from '../../domain/limits.ts';
import type { Subscription } from '../../domain/subscription.ts';
import { countFilterSteps } from '../../operations/count-filter-steps.ts';
import { readTogether } from '../../storage/database.ts';
import {
  bytesOf,
  filterSumsOf,
  filterSumsQuery,
  filtersOfCustomer,
  titleQuery,
} from '../../storage/subscriptions.ts';
import { type AppContext, param } from '../kit/context.ts';
import { endpointFaults } from '../kit/endpoint-faults.ts';

export const TITLE_TAKEN: Fault = { name: 'title', reason: 'is already used by another subscription' };

type Schema = NonNullable<Subscription['filter']>;

const PHRASE = 'filter is invalid JSON Schema: all filters of a customer together may';
const REMEDY = 'simplify or remove one';

/** Two changes at once can pass the check of faults, so the statement that stores a filter checks it again. */
export const FILTERS_TOO_SLOW: Fault = {
  name: 'filter',
  reason: `${PHRASE} take ${FILTERS_MAX_STEPS_PER_CUSTOMER} steps: ${REMEDY}`,
};

export const FILTERS_TOO_LARGE: Fault = {
  name: 'filter',
  reason: `${PHRASE} have ${FILTERS_MAX_BYTES_PER_CUSTOMER} bytes: ${REMEDY}`,
};

/** Judges the members in which the schema found no fault. */
export async function faultsBeyondSchema(
  c: AppContext,
  body: unknown,
  faults: readonly Fault[],
): Promise<Fault[]> {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return [];
  const { title, endpoint, filter } = body as Record<string, unknown>;
  const sound = (name: string) => !faults.some((fault) => fault.name === name);
  const { db } = c.get('services');
  const customerId = param(c, 'cid');
  const sid = c.req.param('sid');
  const asksTitle = typeof title === 'string' && sound('title');
  const asksFilter = typeof filter === 'object' && filter !== null && sound('filter');
  // A name server and D1 are asked at once, and D1 in one round trip.
  const [ofEndpoint, { named, sums }] = await Promise.all([
    typeof endpoint === 'string' && sound('endpoint') ? endpointFaults(c, endpoint) : [],
    readTogether(db, {
      named: asksTitle ? titleQuery(db, customerId, title) : undefined,
      sums: asksFilter ? filterSumsQuery(db, customerId, sid) : undefined,
    }),
  ]);
  const isTaken = named?.[0] !== undefined && named[0].id !== sid;
  return [
    ...ofEndpoint,
    ...(isTaken ? [TITLE_TAKEN] : []),
    ...(sums === undefined ? [] : await filterFaults(c, filter as Schema, filterSumsOf(sums))),
  ];
}

/** The event path reads and evaluates all filters of a customer: two limits hold for them together (contract 4). */
async function filterFaults(
  c: AppContext,
  filter: Schema,
  sums: ReturnType<typeof filterSumsOf>,
): Promise<Fault[]> {
  const { db } = c.get('services');
  const customerId = param(c, 'cid');
  let found = sums;
  if (found.uncounted > 0) {
    await countFilterSteps(db, customerId);
    found = await filtersOfCustomer(db, customerId, c.req.param('sid'));
  }
  const { own, others } = found;
  const bytes = bytesOf(filter);
  const steps = worstSteps(filter);
  return [
    ...faultOfSum(FILTERS_TOO_LARGE, others.bytes, bytes, own.bytes, FILTERS_MAX_BYTES_PER_CUSTOMER),
    ...faultOfSum(FILTERS_TOO_SLOW, others.steps, steps, own.steps, FILTERS_MAX_STEPS_PER_CUSTOMER),
  ];
}

/** A filter that is not larger than what it replaces is accepted always: a customer over the limit can come down in parts. */
function faultOfSum(fault: Fault, others: number, size: number, replaced: number, limit: number): Fault[] {
  if (others + size <= limit || size <= replaced) return [];
  return [{ ...fault, reason: `${fault.reason} (this filter ${size}, the others ${others})` }];
}
