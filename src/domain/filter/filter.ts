/**
 * Filters (contract 4): a JSON Schema evaluated against the value of a SET's `events` claim.
 *
 * All customers share the consumer that evaluates filters, and the clock of the platform stands still while code computes.
 * So no filter may be slow, and that is known before its first event: `check.ts` says which schemas are accepted,
 * `compile.ts` makes closures of them, and `steps.ts` says what an evaluation costs at most. Patterns are tables
 * (`automaton.ts`) that read each character once.
 */
import { compile, type FilterSchema } from './compile.ts';
import { Patterns } from './patterns.ts';
import { CLAIM_SHAPES, worstOf } from './steps.ts';

export interface Filter {
  /** Whether an event passes, given the value of its `events` claim. */
  passes(eventsClaim: unknown): boolean;
  /** The same, with the steps that it took. */
  measure(eventsClaim: unknown): { readonly passes: boolean; readonly steps: number };
  /** The most steps that one event can take, the building of the filter included. */
  worstSteps(): number;
  /** Those of building alone. */
  readonly buildSteps: number;
  /** What the compiled filter keeps in memory, about. */
  readonly bytes: number;
}

/** Building is charged a tenth of its time: an isolate builds a filter once, and evaluates it for many events. */
const BUILD_STEPS = { schema: 60, scalar: 2, other: 6 };
/** Closures and what they close over, for a schema and for each of its keywords; and what a keyword keeps of a value. */
const BYTES = { schema: 300, keyword: 400, value: 60, character: 2 };

/**
 * Compiles a schema that `checkFilter` accepted, now or by an older rule.
 * @param patterns those of the schema that are compiled already
 */
export function compileFilter(schema: FilterSchema, patterns = new Patterns()): Filter {
  const size = sizeOfValues(schema);
  const check = compile(schema, {
    automaton: (pattern) => patterns.get(pattern),
    countSchema: (one) => {
      size.steps += BUILD_STEPS.schema;
      size.bytes += BYTES.schema + BYTES.keyword * Object.keys(one).length;
    },
  });
  // Building is counted because an isolate that does not have the filter yet builds it for one event.
  const buildSteps = patterns.buildSteps + size.steps;
  return {
    passes: (eventsClaim) => check.test(eventsClaim, { steps: 0 }),
    measure: (eventsClaim) => {
      const meter = { steps: 0 };
      return { passes: check.test(eventsClaim, meter), steps: meter.steps };
    },
    worstSteps: () => Math.ceil(Math.max(...CLAIM_SHAPES.map((shape) => worstOf(check, shape))) + buildSteps),
    buildSteps,
    bytes: patterns.bytes + size.bytes,
  };
}

/** What the values in a schema take to build, and in memory. */
function sizeOfValues(schema: unknown): { steps: number; bytes: number } {
  const size = { steps: 0, bytes: 0 };
  const visit = (value: unknown): void => {
    size.bytes += BYTES.value;
    if (typeof value === 'string') size.bytes += BYTES.character * value.length;
    if (typeof value !== 'object' || value === null) {
      size.steps += BUILD_STEPS.scalar;
      return;
    }
    size.steps += BUILD_STEPS.other;
    if (Array.isArray(value)) {
      for (const item of value) visit(item);
      return;
    }
    for (const [name, inner] of Object.entries(value)) {
      size.bytes += BYTES.character * name.length;
      visit(inner);
    }
  };
  visit(schema);
  return size;
}

/** Steps of the filters that `checkFilter` has just compiled: one request compiles its filter once. */
const steps = new WeakMap<object, number>();

export function rememberSteps(schema: object, known: number): void {
  steps.set(schema, known);
}

/** The most steps that one event can take; 0 without a filter. */
export function worstSteps(schema: FilterSchema | null): number {
  if (schema === null) return 0;
  return (typeof schema === 'object' ? steps.get(schema) : undefined) ?? compileFilter(schema).worstSteps();
}
