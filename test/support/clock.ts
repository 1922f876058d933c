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

/** How far a held clock is ahead of the real one, ms: longer than any test, shorter than the life of an access token. */
const AHEAD_MS = 1_800_000;

let held: HeldClock | undefined;

/**
 * Holds the clock for one test, ahead of the real one. The platform rings alarms by the real clock, so no alarm rings by
 * itself during that test. Each test begins with a held clock; a test that moves the clock gets it here.
 */
export function holdClock(): HeldClock {
  if (held !== undefined) return held;
  let now = Date.now() + AHEAD_MS;
  const spy = vi.spyOn(Date, 'now').mockImplementation(() => now);
  onTestFinished(() => {
    spy.mockRestore();
    held = undefined;
  });
  held = {
    now: () => now,
    advance: (ms) => {
      now += ms;
    },
  };
  return held;
}

/** Holds the timers until the test ends. A time limit passes only when the test moves the timers by vitest's `vi`. */
export function holdTimers(): void {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
}
