/**
 * Simulates 250 lives of one to four subscriptions, each from its own seed. A seed that fails is printed with its
 * story; `npm run simulate -- --limits real --seed N --seeds 1` repeats it.
 */
import { describe, expect, it } from 'vitest';
import { failuresOf } from './lives-of.ts';

/** Seeds of one test, and the first seed of each. */
const PER_TEST = 50;
const STARTS = Array.from({ length: 5 }, (_, index) => 1 + index * PER_TEST);

describe('simulated subscriptions under random faults', () => {
  it.each(STARTS)('no event is lost or stuck in the fifty lives from seed %i', async (seed) => {
    expect(await failuresOf(seed, PER_TEST)).toBe('');
  });
});
