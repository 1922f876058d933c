/** How the rest of the service calls an event store. */
import { Outage } from '../domain/errors.ts';
import type { EventStoreRpc } from './rpc.ts';

/**
 * The event store of a subscription. The only cast of what a store answers is here.
 * @returns calls that reject with `Outage` while the object is away, and with what the object threw otherwise
 */
export function openEventStore(namespace: DurableObjectNamespace, subscriptionId: string): EventStoreRpc {
  const object = namespace.get(namespace.idFromName(subscriptionId)) as unknown as Record<string, Call>;
  return new Proxy(object, {
    // `then` must stay absent, or an `await` of the store itself would call it.
    get: (_, name) => (name === 'then' ? undefined : guarded(object, String(name))),
  }) as unknown as EventStoreRpc;
}

type Call = (...values: unknown[]) => Promise<unknown>;

function guarded(object: Record<string, Call>, name: string): Call {
  return async (...values) => {
    try {
      return await object[name]?.(...values);
    } catch (error) {
      throw isAway(error) ? new Outage('event store', error) : error;
    }
  };
}

/** The platform marks its own errors with one of these: the object could not be reached, or was reset during the call. */
const MARKS = ['retryable', 'overloaded', 'durableObjectReset'];

function isAway(error: unknown): boolean {
  return (
    error instanceof Error &&
    MARKS.some((mark) => (error as unknown as Record<string, unknown>)[mark] === true)
  );
}
