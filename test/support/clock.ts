/**
 * A clock that stands until it is moved. The service asks `Date.now()` alone for the time, and runs in the same
 * isolate as its tests, event stores included.
 */
import { onTestFinished, vi } from 'vitest';

export interface HeldClock {
  now(): number;
  /** Moves the clock forward, ms. */
  advance(ms: number): void;
}

/**
 * Holds the clock for one test, an hour ahead of the real one: alarms of the platform, which go by the real
 * clock, never ring by themselves then.
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
