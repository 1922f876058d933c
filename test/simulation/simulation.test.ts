/**
 * Simulates a thousand lives of one subscription, each from its own seed. A seed that fails is printed with its story.
 * `npm run simulate -- --seed N --seeds 1` repeats it.
 */
import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { afterEach, beforeEach, describe, expect, inject, it, vi } from 'vitest';
import { type HeldClock, holdClock } from '../support/clock.ts';
import { eventStoreStub } from '../support/event-store.ts';
import { Random } from '../support/random.ts';
import { World } from './world.ts';

const STEPS = 40;
const { seed: FIRST, seeds: SEEDS } = inject('simulation');
/** Seeds of one test. They run one after the other in one object. */
const PER_TEST = 100;

beforeEach(() => {
  // Faults on purpose are logged too, and would hide everything else here.
  for (const level of ['log', 'info', 'warn', 'error'] as const)
    vi.spyOn(console, level).mockImplementation(() => undefined);
});
afterEach(() => vi.restoreAllMocks());

async function live(state: DurableObjectState, clock: HeldClock, seed: number): Promise<string | undefined> {
  const random = new Random(seed);
  const world = await World.create(state, env, clock, random);
  try {
    for (let step = 0; step < STEPS; step++) {
      await world.step();
      world.check();
      await world.checkAlarm();
    }
    await world.settleDown();
    return undefined;
  } catch (error) {
    const reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return `seed ${seed}: ${reason}\n${world.story.join('\n')}`;
  }
}

describe('a simulated subscription under random faults', () => {
  const starts = Array.from({ length: Math.ceil(SEEDS / PER_TEST) }, (_, index) => FIRST + index * PER_TEST);
  it.each(starts)('no event is lost or stuck in lives from seed %i', async (start) => {
    const clock = holdClock();
    const store = eventStoreStub(crypto.randomUUID());
    const failures = await runInDurableObject(store, async (_, state) => {
      const found: string[] = [];
      for (let seed = start; seed < Math.min(start + PER_TEST, FIRST + SEEDS); seed++) {
        const failure = await live(state, clock, seed);
        if (failure !== undefined) found.push(failure);
      }
      await state.storage.deleteAlarm();
      return found;
    });
    expect(failures.slice(0, 3).join('\n\n')).toBe('');
  });
});
