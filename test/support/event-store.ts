/** The Durable Object of a subscription as the runtime gives it, for tests that ring its alarm or look inside. */
import { env } from 'cloudflare:workers';
import type { EventStore } from '../../src/event-store/event-store.ts';

export function eventStoreStub(subscriptionId: string): DurableObjectStub<EventStore> {
  const namespace = env.EVENT_STORE as unknown as DurableObjectNamespace<EventStore>;
  return namespace.get(namespace.idFromName(subscriptionId));
}
