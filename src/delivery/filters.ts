/**
 * Compiled filters, one per version of a subscription: compiling is slow, evaluating is not. An isolate keeps as many as fit
 * into some bytes, and drops the one that was not used for longest.
 */
import { compileFilter, type Filter } from '../domain/filter/filter.ts';
import type { Recipient } from '../domain/subscription.ts';
import { logError } from '../log.ts';
import { FILTERS_COMPILED_MAX_BYTES } from './tuning.ts';

type Schema = Readonly<Record<string, unknown>>;

interface Kept {
  readonly version: number;
  /** `undefined`: the filter did not compile, and will not compile when it is asked for again. */
  readonly filter: Filter | undefined;
  readonly bytes: number;
}

/** The present filters of subscriptions, by subscription id; a subscription without one is missing. */
export type LoadFilters = (
  subscriptionIds: readonly string[],
) => Promise<ReadonlyMap<string, { readonly version: number; readonly filter: Schema }>>;

/** Whether an event passes the filter of a subscription. */
type Passes = (subscription: Recipient, eventsClaim: Readonly<Record<string, object>>) => boolean;

export class CompiledFilters {
  readonly #maxBytes: number;
  readonly #compile: (schema: Schema) => Filter;
  /** By subscription; the filter that was used last is at the end. */
  readonly #kept = new Map<string, Kept>();
  #bytes = 0;

  constructor(maxBytes: number, compile: (schema: Schema) => Filter = compileFilter) {
    this.#maxBytes = maxBytes;
    this.#compile = compile;
  }

  /** Schemas as JSON and their patterns, together. */
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
      const kept = this.#kept.get(subscription.id);
      if (kept?.version === subscription.version) ready.set(subscription.id, kept);
      else missing.push(subscription);
    }
    if (missing.length > 0) {
      const loaded = await load(missing.map(({ id }) => id));
      for (const subscription of missing) {
        const found = loaded.get(subscription.id);
        if (found !== undefined)
          ready.set(subscription.id, this.#make(subscription, found.version, found.filter));
      }
    }
    for (const [id, kept] of ready) this.#keep(id, kept);
    return (subscription, eventsClaim) => {
      try {
        return ready.get(subscription.id)?.filter?.passes(eventsClaim) ?? true;
      } catch (error) {
        logFailure(subscription, error);
        return true;
      }
    };
  }

  #make(subscription: Recipient, version: number, schema: Schema): Kept {
    const bytes = JSON.stringify(schema).length;
    try {
      const filter = this.#compile(schema);
      return { version, filter, bytes: bytes + filter.patternBytes };
    } catch (error) {
      logFailure(subscription, error);
      return { version, filter: undefined, bytes };
    }
  }

  #keep(id: string, kept: Kept): void {
    this.#forget(id);
    this.#kept.set(id, kept);
    this.#bytes += kept.bytes;
    for (const oldest of this.#kept.keys()) {
      if (this.#bytes <= this.#maxBytes || oldest === id) break;
      this.#forget(oldest);
    }
  }

  #forget(id: string): void {
    this.#bytes -= this.#kept.get(id)?.bytes ?? 0;
    this.#kept.delete(id);
  }
}

function logFailure({ customerId, id }: Recipient, error: unknown): void {
  logError('filter not evaluated', error, { customerId, subscriptionId: id });
}

/** Those of this isolate. */
export const compiledFilters = new CompiledFilters(FILTERS_COMPILED_MAX_BYTES);
