/**
 * The same lives with an event store whose limits are small (small-limits.ts). A seed that fails is printed with its story;
 * `npm run simulate -- --limits small --seed N --seeds 1` repeats it.
 */
import { describe, expect, it, vi } from 'vitest';
import { failuresOf } from './lives-of.ts';

vi.mock('../../src/event-store/tuning.ts', async (original) => {
  const { SMALL_LIMITS } = await import('./small-limits.ts');
  return { ...(await original<object>()), ...SMALL_LIMITS };
});

/** Seeds of one test, and the first seed of each. */
const PER_TEST = 50;
const STARTS = Array.from({ length: 3 }, (_, index) => 10_001 + index * PER_TEST);

/** Lives that once showed a fault, with what it was. */
const ONCE_FAULTY: readonly (readonly [number, string])[] = [
  [
    1726,
    'a refused dispatch of an attempt under way rang the alarm without a pause, once its subscription was disabled',
  ],
];

describe('simulated subscriptions of a store with small limits', () => {
  it.each(ONCE_FAULTY)('the small life of seed %i keeps all rules: %s', async (seed) => {
    expect(await failuresOf(seed, 1)).toBe('');
  });

  it.each(STARTS)('no event is lost or stuck in the fifty small lives from seed %i', async (seed) => {
    expect(await failuresOf(seed, PER_TEST)).toBe('');
  });
});
