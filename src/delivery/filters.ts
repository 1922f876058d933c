/**
 * Compiled filters: compiling is slow, evaluating is not. An isolate keeps them by what they say, so that neither a change of a
 * title nor a second subscription with the same filter compiles anything. It keeps as many as fit into some bytes, and drops
 * the one that was not used for longest.
 */
import { BoundedCache } from '../bounded-cache.ts';
import { compileFilter, type Filter } from '../domain/filter/filter.ts';
import type { Recipient } from '../domain/subscription.ts';
import { logError } from '../log.ts';
import { FILTERS_COMPILED_MAX_BYTES, FILTERS_KNOWN_MAX } from './tuning.ts';

type Schema = Readonly<Record<string, unknown>>;

interface Kept {
  /** `undefined`: the filter did not compile, and will not compile when it is asked for again. */
  readonly filter: Filter | undefined;
  readonly bytes: number;
}

/** Which filter a version of a subscription has. */
interface Known {
  readonly version: number;
  readonly digest: string;
}

/** The present filters of subscriptions, by subscription id; a subscription without one is missing. */
export type LoadFilters = (
  subscriptionIds: readonly string[],
) => Promise<ReadonlyMap<string, { readonly version: number; readonly filter: Schema }>>;

/** Whether an event passes the filter of a subscription. */
type Passes = (subscription: Recipient, eventsClaim: Readonly<Record<string, object>>) => boolean;

/** A digest as text, and its place in a map. */
const BYTES_A_DIGEST = 200;

export class CompiledFilters {
  readonly #compile: (schema: Schema) => Filter;
  /** By digest. */
  readonly #kept: BoundedCache<Kept>;
  /** By subscription. */
  readonly #known = new BoundedCache<Known>(FILTERS_KNOWN_MAX);

  constructor(maxBytes: number, compile: (schema: Schema) => Filter = compileFilter) {
    this.#kept = new BoundedCache(maxBytes, ({ bytes }) => bytes + BYTES_A_DIGEST);
    this.#compile = compile;
  }

  /** What the filters keep in memory, about. */
  get bytes(): number {
    return this.#kept.size;
  }

  /**
   * Brings the filters of some subscriptions of one customer into memory: those that this isolate has not compiled are loaded.
   * A filter was compiled when it was accepted, and evaluates every event, so a failure here is our fault. It lets the event
   * pass: a listener can ignore an event too many, but cannot ask for one that it never received.
   */
  async prepare(subscriptions: readonly Recipient[], load: LoadFilters): Promise<Passes> {
    // A subscription without a filter takes no steps.
    const filtered = subscriptions.filter(({ filterSteps }) => filterSteps !== 0);
    const ready = new Map<string, Kept>();
    const missing: Recipient[] = [];
    for (const subscription of filtered) {
      const kept = this.#find(subscription);
      if (kept === undefined) missing.push(subscription);
      else ready.set(subscription.id, kept);
    }
    if (missing.length > 0) {
      const loaded = await load(missing.map(({ id }) => id));
      for (const subscription of missing) {
        const found = loaded.get(subscription.id);
        if (found === undefined) continue;
        const digest = await digestOf(found.filter);
        this.#known.set(subscription.id, { version: found.version, digest });
        const kept = this.#kept.get(digest) ?? this.#make(subscription, found.filter);
        this.#kept.set(digest, kept);
        ready.set(subscription.id, kept);
      }
    }
    return (subscription, eventsClaim) => {
      try {
        return ready.get(subscription.id)?.filter?.passes(eventsClaim) ?? true;
      } catch (error) {
        logFailure(subscription, error);
        return true;
      }
    };
  }

  /** The filter of this version, if it is in memory. */
  #find({ id, version }: Recipient): Kept | undefined {
    const known = this.#known.get(id);
    return known?.version === version ? this.#kept.get(known.digest) : undefined;
  }

  #make(subscription: Recipient, schema: Schema): Kept {
    try {
      const filter = this.#compile(schema);
      return { filter, bytes: filter.bytes };
    } catch (error) {
      logFailure(subscription, error);
      return { filter: undefined, bytes: 0 };
    }
  }
}

/** A customer cannot make two filters with one digest, as it could with a shorter hash. */
async function digestOf(schema: Schema): Promise<string> {
  const bytes = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(JSON.stringify(schema)));
  return new Uint8Array(bytes).toHex();
}

function logFailure({ customerId, id }: Recipient, error: unknown): void {
  logError('filter not evaluated', error, { customerId, subscriptionId: id });
}

/** Those of this isolate. */
export const compiledFilters = new CompiledFilters(FILTERS_COMPILED_MAX_BYTES);
