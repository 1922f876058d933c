/** The values that vitest.config.ts and the global setup give to tests. */
import 'vitest';

declare module 'vitest' {
  interface ProvidedContext {
    listenerUrl: string;
  }
}
