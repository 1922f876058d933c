/** How the rest of the service calls the event store of a subscription, or the several of a hot one. */
import { type Cell, openObject } from '../cell.ts';
import { Outage } from '../domain/errors.ts';
import type { Sharded } from '../domain/subscription.ts';
import type { EventStoreRpc } from './rpc.ts';
import { ShardedStore } from './sharding/sharded-store.ts';
import { Stores, storeName } from './sharding/stores.ts';

/**
 * The longest waits before a call is tried again, ms; each wait is a random part of it. An object restarts at every deploy
 * and at every update of the runtime, which takes a moment: without this, a consumer would lose a hundred finished results
 * and make their requests again.
 */
const LONGEST_WAITS_MS = [100, 400];

/** Calls whose repeat would answer that their work is done already, as if somebody else had done it. */
const NOT_REPEATED: ReadonlySet<string> = new Set<keyof EventStoreRpc>([
  'redeliver',
  'takeRedelivery',
  'startRedelivery',
  'startExport',
]);

/** What keeps the deliveries of a subscription. @returns see `openEventStore` */
export function openStores(
  namespace: DurableObjectNamespace,
  { id, shards }: Sharded,
  cell: Cell,
): EventStoreRpc {
  if (shards === null) return openEventStore(namespace, id, cell);
  const open = (number: number) => openEventStore(namespace, storeName(id, number), cell);
  return new ShardedStore(new Stores(id, shards, open));
}

/**
 * One event store. The only cast of what a store answers is here.
 * @returns calls that are tried again when the object could not be reached, reject with `Outage` while it stays away, and
 *   reject with what the object threw otherwise
 */
export function openEventStore(namespace: DurableObjectNamespace, name: string, cell: Cell): EventStoreRpc {
  // After an error the platform asks for a new reference to the object: the old one may stay broken.
  const open = () => openObject(namespace, name, cell) as Record<string, Call>;
  let object = open();
  const call = async (name: string, values: unknown[]): Promise<unknown> => {
    for (let tries = 0; ; tries++) {
      try {
        return await object[name]?.(...values);
      } catch (error) {
        const longestWaitMs = LONGEST_WAITS_MS[tries];
        if (longestWaitMs === undefined || NOT_REPEATED.has(name) || !isTransient(error)) {
          throw isAway(error) || isOlder(error) ? new Outage('event store', error) : error;
        }
        await scheduler.wait(Math.random() * longestWaitMs);
        object = open();
      }
    }
  };
  return new Proxy(object, {
    // `then` must stay absent, or an `await` of the store itself would call it.
    get: (_, name) => (name === 'then' ? undefined : (...values: unknown[]) => call(String(name), values)),
  }) as unknown as EventStoreRpc;
}

type Call = (...values: unknown[]) => Promise<unknown>;

/** The platform marks its own errors: the object could not be reached, was reset during the call, or has too many calls. */
function isAway(error: unknown): boolean {
  return (
    isMarked(error, 'retryable') || isMarked(error, 'overloaded') || isMarked(error, 'durableObjectReset')
  );
}

/** An overloaded object must be left alone: more calls would only make it worse. */
function isTransient(error: unknown): boolean {
  return isMarked(error, 'retryable') && !isMarked(error, 'overloaded');
}

/**
 * During a deploy an object may run earlier code for some minutes, which lacks a new call. The runtime says so in the words of its RPC, and
 * marks it in no other way.
 */
function isOlder(error: unknown): boolean {
  return error instanceof TypeError && error.message.startsWith('The RPC receiver does not implement ');
}

function isMarked(error: unknown, mark: string): boolean {
  return error instanceof Error && Reflect.get(error, mark) === true;
}
