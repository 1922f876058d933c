/** What every scenario shares: the options of a run, and a world that is closed whatever happens. */
import { World, type WorldOptions } from './world.ts';

export interface RunOptions extends Pick<WorldOptions, 'seed' | 'isolates' | 'scaling' | 'progress'> {
  /** How long the load of a hot subscription lasts, s. */
  readonly seconds?: number;
  /** How many event stores it has. */
  readonly shards?: number;
  /** When its listeners refuse everything, s from the start. */
  readonly outage?: readonly [from: number, to: number];
  /** Of how many equal parts of the account the run has one: of its hot customers, its consumers, and what a queue takes. */
  readonly parts?: number;
}

/** Makes a world, runs it, and closes it whatever happens. */
export async function inWorld<Answer>(
  options: RunOptions,
  work: (world: World) => Promise<Answer>,
): Promise<Answer> {
  const world = new World(options);
  try {
    return await work(world);
  } finally {
    world.close();
  }
}
