/** Faults of a subscription's body that need configuration, D1 or a name server (contract 3.1, 3.3 and 4). */
import { checkEndpointUrl } from '../../domain/endpoint.ts';
import type { Fault } from '../../domain/errors.ts';
import type { FilterSchema } from '../../domain/filter/compile.ts';
import { worstSteps } from '../../domain/filter/filter.ts';
import { FILTERS_MAX_BYTES_PER_CUSTOMER, FILTERS_MAX_STEPS_PER_CUSTOMER } from '../../domain/limits.ts';
import { countFilterSteps } from '../../operations/count-filter-steps.ts';
import { filtersOfCustomer, titleIsTaken } from '../../storage/subscriptions.ts';
import { type AppContext, param } from '../kit/context.ts';

export const TITLE_TAKEN: Fault = { name: 'title', reason: 'is already used by another subscription' };

/** Two changes at once can pass the check of faults, so the statement that stores a filter checks it again. */
export const FILTERS_TOO_SLOW: Fault = {
  name: 'filter',
  reason: `filter is invalid JSON Schema: all filters of a customer together may take ${FILTERS_MAX_STEPS_PER_CUSTOMER} steps`,
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
  const found: Fault[] = [];
  if (typeof endpoint === 'string' && sound('endpoint')) found.push(...(await endpointFaults(c, endpoint)));
  if (typeof title === 'string' && sound('title')) {
    if (await titleIsTaken(c.get('services').db, param(c, 'cid'), title, c.req.param('sid')))
      found.push(TITLE_TAKEN);
  }
  if (typeof filter === 'object' && filter !== null && sound('filter')) {
    found.push(...(await filterFaults(c, filter as FilterSchema)));
  }
  return found;
}

/** The event path reads and evaluates all filters of a customer: two limits hold for them together (contract 4). */
async function filterFaults(c: AppContext, filter: FilterSchema): Promise<Fault[]> {
  const { db } = c.get('services');
  const customerId = param(c, 'cid');
  const sid = c.req.param('sid');
  let others = await filtersOfCustomer(db, customerId, sid);
  if (others.uncounted > 0) {
    await countFilterSteps(db, customerId);
    others = await filtersOfCustomer(db, customerId, sid);
  }
  const found: Fault[] = [];
  const own = new TextEncoder().encode(JSON.stringify(filter)).length;
  if (others.bytes + own > FILTERS_MAX_BYTES_PER_CUSTOMER) {
    const limit = `all filters of a customer together may have ${FILTERS_MAX_BYTES_PER_CUSTOMER} bytes`;
    found.push({ name: 'filter', reason: `filter is invalid JSON Schema: ${limit}` });
  }
  if (others.steps + worstSteps(filter) > FILTERS_MAX_STEPS_PER_CUSTOMER) found.push(FILTERS_TOO_SLOW);
  return found;
}

/** Checks the form of the URL, then every address of its host (contract 3.3). */
async function endpointFaults(c: AppContext, endpoint: string): Promise<Fault[]> {
  const { allowPrivateEndpoints } = c.get('services').config;
  const refuse = (reason: string): Fault[] => [{ name: 'endpoint', reason }];
  const url = checkEndpointUrl(endpoint, allowPrivateEndpoints);
  if (!url.ok) return refuse(url.reason);
  if (allowPrivateEndpoints) return [];
  const verdict = await c.get('services').checkAddress(url.hostname);
  switch (verdict.kind) {
    case 'public':
      return [];
    case 'blocked':
      return refuse('must name a host whose addresses are all public');
    case 'no answer':
    case 'resolver away':
      return refuse('must name a host that can be resolved');
  }
}
