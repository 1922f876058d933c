/** One life of a world: random steps, then peace, until everything is delivered, swept and silent. */
import { Random } from '../support/random.ts';
import { Time } from './time.ts';
import { World, type WorldFigures } from './world.ts';

export const STEPS_PER_LIFE = 40;

export interface Life {
  readonly seed: number;
  readonly steps: number;
  readonly figures: WorldFigures;
  /** Why the life failed, with its story; absent for one that kept all rules. */
  readonly failure?: string;
}

export async function live(seed: number): Promise<Life> {
  const random = new Random(seed);
  const time = new Time();
  const uninstall = time.install(new Random(seed ^ 0x5eed));
  const world = new World(time, random);
  let steps = 0;
  try {
    for (; steps < STEPS_PER_LIFE; steps++) {
      await world.step();
      world.check();
    }
    await world.settleDown();
    return { seed, steps, figures: world.figures };
  } catch (error) {
    const reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return {
      seed,
      steps,
      figures: world.figures,
      failure: `seed ${seed}: ${reason}\n${world.story.join('\n')}`,
    };
  } finally {
    world.close();
    uninstall();
  }
}
