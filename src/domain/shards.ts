/**
 * # Shards: the event stores of one subscription (decision 0042)
 *
 * A subscription has *epochs*. Each has a first time and a number of shards. An event belongs to the epoch in which the time in its id
 * falls, and to one shard of it. Both depend on the id and the epochs alone. An epoch that has begun never changes, so an event finds its
 * shard however late it comes, and whatever the number of shards is by then. Before the first epoch there is one shard.
 *
 * The shard follows from the tenth of a second in the id. Events of one batch of a queue have times close together, so a consumer asks few
 * stores for a batch. Of `n` successive tenths of a second each shard has one, in an order that a hash shifts: so the stores take turns, and a
 * producer that sends at each full second uses all of them. This never changes: stored events would be looked for in the wrong store.
 */
import { eventIdTime } from './ids.ts';
import {
  ACCEPTANCE_MAX_AGE_MS,
  ACCEPTANCE_MAX_FUTURE_MS,
  DAY_MS,
  EPOCHS_MAX,
  EVENT_ID_MAX_FUTURE_MS,
  MINUTE_MS,
} from './limits.ts';

/** Events with the same tenth of a second in their ids share a shard, ms. */
const SLOT_MS = 100;
/** How far the time in an id may be ahead of the clock of a consumer, ms. */
const ID_AHEAD_MAX_MS = EVENT_ID_MAX_FUTURE_MS + ACCEPTANCE_MAX_FUTURE_MS;
/**
 * An epoch begins this long after the change. So its first ids are seen when no invocation goes by the row from before the change any
 * more: one begins attempts for ten seconds, and caches of rows last seconds.
 */
export const EPOCH_LEAD_MS = ID_AHEAD_MAX_MS + 5 * MINUTE_MS;
/**
 * No event of an epoch can be stored so long after its end: a dead letter is replayed 60 days after its acceptance at the latest, its id is a
 * day older at most, and a store deletes what is 28 days old.
 */
const EPOCH_KEPT_MS = ACCEPTANCE_MAX_AGE_MS + 2 * DAY_MS;

interface Epoch {
  /** The first time of its ids, ms. */
  readonly since: number;
  /** How many shards it has. */
  readonly n: number;
}

export interface Shards {
  /** The oldest first. */
  readonly epochs: readonly Epoch[];
  /** The most shards of any epoch, those that were forgotten included: so many stores are erased. */
  readonly most: number;
}

/** The shard of an event. 0 is home, the store that every subscription has. */
export function shardOf(eventId: string, { epochs }: Pick<Shards, 'epochs'>): number {
  const time = eventIdTime(eventId);
  return shardAt(time, epochs);
}

function shardAt(time: number, epochs: Shards['epochs']): number {
  const n = epochs.findLast(({ since }) => since <= time)?.n ?? 1;
  if (n === 1) return 0;
  const slot = Math.floor(time / SLOT_MS);
  return ((slot % n) + (hash(Math.floor(slot / n)) % n)) % n;
}

/** How many stores may have events: those of all epochs that are kept, home included. */
export function storesOf({ epochs }: Pick<Shards, 'epochs'>): number {
  return Math.max(1, ...epochs.map(({ n }) => n));
}

/** How many stores may have had events at a time (ms). */
export function storesAt({ epochs }: Pick<Shards, 'epochs'>, time: number): number {
  return storesOf({ epochs: epochs.filter(({ since }) => since <= time + ID_AHEAD_MAX_MS) });
}

/** The number of shards that the operator chose last. */
export function chosenShards(shards: Shards | null): number {
  return shards?.epochs.at(-1)?.n ?? 1;
}

/**
 * Adds an epoch, and forgets those of which no event can be left.
 * @returns the same value when the last epoch has `n` shards already; `too many` when there is no room for another epoch
 */
export function withShards(shards: Shards | null, n: number, now: number): Shards | null | 'too many' {
  if (chosenShards(shards) === n) return shards;
  const before = shards ?? { epochs: [], most: 1 };
  const kept = before.epochs.filter((_, index) => {
    const end = before.epochs[index + 1]?.since;
    return end === undefined || end > now - EPOCH_KEPT_MS;
  });
  if (kept.length >= EPOCHS_MAX) return 'too many';
  // Two changes at once, or a clock that is behind: epochs stay in order.
  const since = Math.max(now + EPOCH_LEAD_MS, (kept.at(-1)?.since ?? 0) + 1);
  return { epochs: [...kept, { since, n }], most: Math.max(before.most, n) };
}

/**
 * The latest time, `now` or a little before, whose ids belong to the home shard. A test notification has such an id: the
 * home store keeps the allowance of tests and the proofs of endpoints.
 */
export function homeTime({ epochs }: Pick<Shards, 'epochs'>, now: number): number {
  let time = now;
  while (shardAt(time, epochs) !== 0) time = Math.floor(time / SLOT_MS) * SLOT_MS - 1;
  return time;
}

/** The finalizer of MurmurHash3, 32 bits, over both halves of a whole number below 2^53. */
function hash(value: number): number {
  const high = Math.floor(value / 2 ** 32);
  return mixed((value >>> 0) ^ mixed(high));
}

function mixed(value: number): number {
  let bits = value;
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}
