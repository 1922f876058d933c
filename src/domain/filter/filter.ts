/**
 * Filters (contract 4): a JSON Schema evaluated against the value of a SET's `events` claim.
 *
 * All customers share the consumer that evaluates filters, and the clock of the platform stands still while code computes.
 * So no filter may be slow, and that is known before its first event: `check.ts` says which schemas are accepted,
 * `compile.ts` makes closures of them, and `steps.ts` says what an evaluation costs at most. Patterns are tables
 * (`automaton.ts`) that read each character once.
 */
import { compile, type FilterSchema } from './compile.ts';
import { CLAIM_SHAPES, worstOf } from './steps.ts';

export interface Filter {
  /** Whether an event passes, given the value of its `events` claim. */
  passes(eventsClaim: unknown): boolean;
  /** The same, with the steps that it took. */
  measure(eventsClaim: unknown): { readonly passes: boolean; readonly steps: number };
  /** The most steps that one event can take, the building of the patterns included. */
  worstSteps(): number;
  /** What the patterns keep in memory, about. */
  readonly patternBytes: number;
}

/** Compiles a schema that `checkFilter` accepted, now or by an older rule. */
export function compileFilter(schema: FilterSchema): Filter {
  let buildSteps = 0;
  let patternBytes = 0;
  const check = compile(schema, (automaton) => {
    buildSteps += automaton.buildSteps;
    patternBytes += automaton.bytes;
  });
  return {
    passes: (eventsClaim) => check.test(eventsClaim, { steps: 0 }),
    measure: (eventsClaim) => {
      const meter = { steps: 0 };
      return { passes: check.test(eventsClaim, meter), steps: meter.steps };
    },
    // Building is counted because an isolate that does not have the filter yet builds it for one event.
    worstSteps: () => Math.ceil(Math.max(...CLAIM_SHAPES.map((shape) => worstOf(check, shape))) + buildSteps),
    patternBytes,
  };
}

/** The most steps that one event can take; 0 without a filter. */
export function worstSteps(schema: FilterSchema | null): number {
  return schema === null ? 0 : compileFilter(schema).worstSteps();
}
