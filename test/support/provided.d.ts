/** What vitest.config.ts and the global setup hand to tests. */
import 'vitest';

declare module 'vitest' {
  interface ProvidedContext {
    listenerUrl: string;
    /** Which lives the simulation lives. */
    simulation: { seed: number; seeds: number };
  }
}
