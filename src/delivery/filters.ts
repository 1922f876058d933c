/**
 * Compiled filters: compiling is slow, evaluating is not. An isolate keeps them by what they say, so that neither a change of a
 * title nor a second subscription with the same filter compiles anything. It keeps as many as fit into some bytes, and drops
 * the one that was not used for longest.
 */
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
  readonly #maxBytes: number;
  readonly #compile: (schema: Schema) => Filter;
  /** By digest; the filter that was used last is at the end. */
  readonly #kept = new Map<string, Kept>();
  /** By subscription; the one that was loaded last is at the end. */
  readonly #known = new Map<string, Known>();
  #bytes = 0;

  constructor(maxBytes: number, compile: (schema: Schema) => Filter = compileFilter) {
    this.#maxBytes = maxBytes;
    this.#compile = compile;
  }

  /** What the filters keep in memory, about. */
  get bytes(): number {
    return this.#bytes;
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
        this.#know(subscription.id, { version: found.version, digest });
        const kept = this.#kept.get(digest) ?? this.#make(subscription, found.filter);
        this.#keep(digest, kept);
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
    const kept = known?.version === version ? this.#kept.get(known.digest) : undefined;
    if (known !== undefined && kept !== undefined) this.#keep(known.digest, kept);
    return kept;
  }

  #know(id: string, known: Known): void {
    this.#known.delete(id);
    this.#known.set(id, known);
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= FILTERS_KNOWN_MAX) break;
      this.#known.delete(oldest);
    }
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

  #keep(digest: string, kept: Kept): void {
    this.#forget(digest);
    this.#kept.set(digest, kept);
    this.#bytes += kept.bytes + BYTES_A_DIGEST;
    for (const oldest of this.#kept.keys()) {
      if (this.#bytes <= this.#maxBytes || oldest === digest) break;
      this.#forget(oldest);
    }
  }

  #forget(digest: string): void {
    const kept = this.#kept.get(digest);
    if (kept === undefined) return;
    this.#bytes -= kept.bytes + BYTES_A_DIGEST;
    this.#kept.delete(digest);
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
