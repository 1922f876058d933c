/**
 * Waits for an effect of a real queue or a real socket: asks again until there is an answer. Nothing else in the tests
 * waits on the real clock.
 */
export async function until<T>(ask: () => Promise<T | undefined | false>, what: string): Promise<T> {
  const started = performance.now();
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer as T;
    if (performance.now() - started > GIVE_UP_MS) throw new Error(`gave up waiting for ${what}`);
    await scheduler.wait(5);
  }
}

/** A safety net that names what a test waits for in vain: far above what a slow machine needs. */
const GIVE_UP_MS = 120_000;
