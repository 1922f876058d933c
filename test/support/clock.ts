/**
 * A clock that stands still until a test moves it. This works because the service reads the time only by `Date.now()`,
 * and runs in the same isolate as its tests, event stores included.
 */
import { onTestFinished, vi } from 'vitest';

export interface HeldClock {
  now(): number;
  /** Moves the clock forward, ms. */
  advance(ms: number): void;
}

/**
 * Holds the clock for one test, an hour ahead of the real one. The platform rings alarms by the real clock, so no alarm
 * rings by itself during that test.
 */
export function holdClock(): HeldClock {
  let held = Date.now() + 3_600_000;
  const spy = vi.spyOn(Date, 'now').mockImplementation(() => held);
  onTestFinished(() => spy.mockRestore());
  return {
    now: () => held,
    advance: (ms) => {
      held += ms;
    },
  };
}
