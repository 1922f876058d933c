/**
 * Compiled filters, one per version of a subscription: compiling is slow, evaluating is not. An isolate keeps as many as fit
 * into some bytes, and drops the one that was not used for longest.
 */
import { compileFilter, type Filter } from '../domain/filter/filter.ts';
import type { Subscription } from '../domain/subscription.ts';
import { logError } from '../log.ts';
import { FILTERS_COMPILED_MAX_BYTES } from './tuning.ts';

type Schema = Readonly<Record<string, unknown>>;

interface Kept {
  readonly version: number;
  /** `undefined`: the filter did not compile, and will not compile when it is asked for again. */
  readonly filter: Filter | undefined;
  readonly bytes: number;
}

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
   * Whether an event passes the filter of a subscription. A filter was compiled when it was accepted, and evaluates every
   * event, so a failure here is our fault. It lets the event pass: a listener can ignore an event too many, but cannot ask for
   * one that it never received.
   */
  passes(subscription: Subscription, eventsClaim: Readonly<Record<string, object>>): boolean {
    if (subscription.filter === null) return true;
    try {
      return this.#filterOf(subscription, subscription.filter)?.passes(eventsClaim) ?? true;
    } catch (error) {
      logFailure(subscription, error);
      return true;
    }
  }

  #filterOf(subscription: Subscription, schema: Schema): Filter | undefined {
    const { id, version } = subscription;
    const known = this.#kept.get(id);
    this.#forget(id);
    const kept = known?.version === version ? known : this.#make(subscription, schema);
    this.#kept.set(id, kept);
    this.#bytes += kept.bytes;
    for (const oldest of this.#kept.keys()) {
      if (this.#bytes <= this.#maxBytes || oldest === id) break;
      this.#forget(oldest);
    }
    return kept.filter;
  }

  #make(subscription: Subscription, schema: Schema): Kept {
    const { version } = subscription;
    const bytes = JSON.stringify(schema).length;
    try {
      const filter = this.#compile(schema);
      return { version, filter, bytes: bytes + filter.patternBytes };
    } catch (error) {
      logFailure(subscription, error);
      return { version, filter: undefined, bytes };
    }
  }

  #forget(id: string): void {
    this.#bytes -= this.#kept.get(id)?.bytes ?? 0;
    this.#kept.delete(id);
  }
}

function logFailure({ customerId, id }: Subscription, error: unknown): void {
  logError('filter not evaluated', error, { customerId, subscriptionId: id });
}

/** Those of this isolate. */
const compiled = new CompiledFilters(FILTERS_COMPILED_MAX_BYTES);

export function passes(subscription: Subscription, eventsClaim: Readonly<Record<string, object>>): boolean {
  return compiled.passes(subscription, eventsClaim);
}
