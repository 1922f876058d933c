/** One life of a world: random steps, then peace, until everything is delivered, swept and silent. */
import { Random } from '../support/random.ts';
import { Time } from './time.ts';
import { type FaultPlan, World, type WorldFigures } from './world.ts';

export const STEPS_PER_LIFE = 40;

export interface Life {
  readonly seed: number;
  readonly steps: number;
  readonly figures: WorldFigures;
  /** Why the life failed, with its story; absent for one that kept all rules. */
  readonly failure?: string;
}

/** A life of random steps and random faults. */
export async function live(seed: number): Promise<Life> {
  let steps = 0;
  const life = await run(seed, undefined, async (world) => {
    for (; steps < STEPS_PER_LIFE; steps++) {
      await world.step();
      world.check();
    }
  });
  return { ...life, steps };
}

/** The same story each time, with one fault at one point. */
export async function tell(seed: number, plan: FaultPlan): Promise<Life> {
  return await run(seed, plan, (world) => world.tell());
}

async function run(
  seed: number,
  plan: FaultPlan | undefined,
  work: (world: World) => Promise<void>,
): Promise<Life> {
  const random = new Random(seed);
  const time = new Time();
  const uninstall = time.install(new Random(seed ^ 0x5eed));
  const world = new World(time, random, plan);
  try {
    await work(world);
    await world.settleDown();
    return { seed, steps: 0, figures: world.figures };
  } catch (error) {
    const reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
    const failure = `seed ${seed}: ${reason}\n${world.story.join('\n')}`;
    return { seed, steps: 0, figures: world.figures, failure };
  } finally {
    world.close();
    uninstall();
  }
}
