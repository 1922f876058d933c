/** Faults of a subscription's body that need configuration, D1 or a name server (contract 3.1, 3.3 and 4). */
import { checkEndpointUrl } from '../../domain/endpoint.ts';
import type { Fault } from '../../domain/errors.ts';
import { FILTERS_MAX_BYTES_PER_CUSTOMER } from '../../domain/limits.ts';
import { filterBytes, titleIsTaken } from '../../storage/subscriptions.ts';
import { type AppContext, param } from '../kit/context.ts';

export const TITLE_TAKEN: Fault = { name: 'title', reason: 'is already used by another subscription' };

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
    found.push(...(await filterFaults(c, filter)));
  }
  return found;
}

/** The event path reads all filters of a customer with every batch: one limit holds for them together (contract 4). */
async function filterFaults(c: AppContext, filter: object): Promise<Fault[]> {
  const others = await filterBytes(c.get('services').db, param(c, 'cid'), c.req.param('sid'));
  const own = new TextEncoder().encode(JSON.stringify(filter)).length;
  if (others + own <= FILTERS_MAX_BYTES_PER_CUSTOMER) return [];
  const limit = `all filters of a customer together may have ${FILTERS_MAX_BYTES_PER_CUSTOMER} bytes`;
  return [{ name: 'filter', reason: `filter is invalid JSON Schema: ${limit}` }];
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
