/**
 * Waits for an effect of a real queue: asks again until there is an answer, and throws after 10 s. Nothing else in the
 * tests waits on the real clock.
 */
export async function until<T>(ask: () => Promise<T | undefined | false>, what: string): Promise<T> {
  const started = performance.now();
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer as T;
    if (performance.now() - started > 10_000) throw new Error(`gave up waiting for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
