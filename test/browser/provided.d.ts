/** What setup.ts gives to the browser tests. */
import 'vitest';

declare module 'vitest' {
  interface ProvidedContext {
    /** Undefined where there is no Chromium. */
    browserWorld:
      | {
          readonly chromium: string;
          readonly url: string;
          readonly operatorToken: string;
          readonly listenerUrl: string;
          /** Of the Worker `examples/producer`. */
          readonly producerUrl: string;
        }
      | undefined;
  }
}
