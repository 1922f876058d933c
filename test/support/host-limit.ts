/** Limits of hosts, for tests. */
import { env } from 'cloudflare:workers';
import { hostOf } from '../../src/host-limit/client.ts';
import type { HostLimit } from '../../src/host-limit/host-limit.ts';
import type { HostLimitRpc } from '../../src/host-limit/rpc.ts';

/** A limit that grants everything, for tests of something else. */
export const unlimited: HostLimitRpc = {
  visit: async ({ want }) => ({ granted: want, waitMs: 0, isAnswering: true, isGrowing: false }),
};

/** The limit of the host of an endpoint, for a customer. */
export function hostLimitStub(customerId: string, endpoint: string): DurableObjectStub<HostLimit> {
  const namespace = env.HOST_LIMIT as unknown as DurableObjectNamespace<HostLimit>;
  return namespace.get(namespace.idFromName(`${customerId} ${hostOf(endpoint)}`));
}
