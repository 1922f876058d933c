/** Begins dispatched attempts at the stores of their events. What a store does not have may be at home (sharded-store.ts). */
import type { EventStoreRpc, StartedAttempt } from '../rpc.ts';
import { HOME, type Stores } from './stores.ts';

type Begin = (
  store: EventStoreRpc,
  number: number,
  eventIds: readonly string[],
) => Promise<readonly StartedAttempt[]>;

interface Begun {
  readonly begun: StartedAttempt[];
  /** Those that home has, although their shard is another. */
  readonly atHome: readonly string[];
}

/**
 * An attempt that has begun has spent its token, so its consumer must learn of it, even if another store is away. What that store would
 * have begun is sent again when its lease lapses.
 * @throws what the first store threw, when nothing has begun
 */
export async function beginIn(stores: Stores, eventIds: readonly string[], begin: Begin): Promise<Begun> {
  const begun: StartedAttempt[] = [];
  const atHome: string[] = [];
  const faults: unknown[] = [];
  /** @returns the ids that the store began; `undefined` when it is away */
  const beginAt = async (number: number, ids: readonly string[]): Promise<Set<string> | undefined> => {
    try {
      const started = await begin(stores.get(number), number, ids);
      begun.push(...started);
      return new Set(started.map(({ eventId }) => eventId));
    } catch (error) {
      faults.push(error);
      return undefined;
    }
  };
  const byStore = Map.groupBy(eventIds, (eventId) => stores.numberOf(eventId));
  await Promise.all(
    [...byStore].map(async ([number, ids]) => {
      const found = await beginAt(number, ids);
      const others = found === undefined ? [] : ids.filter((id) => !found.has(id));
      if (number === HOME || others.length === 0) return;
      atHome.push(...((await beginAt(HOME, others)) ?? []));
    }),
  );
  if (faults.length > 0 && begun.length === 0) throw faults[0];
  for (const fault of faults) stores.logAway('begin', fault);
  return { begun, atHome };
}
