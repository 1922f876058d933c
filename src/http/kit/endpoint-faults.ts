/** Faults of the endpoint in a body, which need configuration and a name server (contract 3.3). */
import { checkNewEndpoint } from '../../domain/endpoint.ts';
import type { Fault } from '../../domain/errors.ts';
import type { AppContext } from './context.ts';

/** Checks the form of the URL, then every address of its host (contract 3.3). */
export async function endpointFaults(c: AppContext, endpoint: string): Promise<Fault[]> {
  const { allowPrivateEndpoints } = c.get('services').config;
  const refuse = (reason: string): Fault[] => [{ name: 'endpoint', reason }];
  const url = checkNewEndpoint(endpoint, allowPrivateEndpoints);
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
