/**
 * `npm run simulate`: runs the simulation of the test suite (test/simulation) with more seeds than the suite has time for.
 * Each seed is the life of one subscription, of forty random steps and faults. `--steps N` sets how many steps there are
 * in all; `--seed N` is the first seed; `--seeds N` is how many seeds there are, instead of `--steps`. To look into a
 * failure, repeat its seed: `--seed N --seeds 1`.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const ROOT = join(import.meta.dirname, '../..');
const STEPS_PER_SEED = 40;

const { values } = parseArgs({
  options: {
    steps: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: '1' },
    seeds: { type: 'string' },
  },
});
const seed = Number(values.seed);
const seeds = Number(values.seeds ?? Math.ceil(Number(values.steps) / STEPS_PER_SEED));
if (![seed, seeds].every((number) => Number.isSafeInteger(number) && number >= 1)) {
  console.error('--steps, --seed and --seeds must be whole numbers from 1');
  process.exit(2);
}

console.log(`${seeds} seeds from ${seed}, ${STEPS_PER_SEED} steps each …`);
const child = spawn('vitest', ['run', '--project', 'workers', '--reporter', 'verbose', 'test/simulation'], {
  cwd: ROOT,
  stdio: 'inherit',
  env: { ...process.env, SIMULATION_SEED: String(seed), SIMULATION_SEEDS: String(seeds) },
});
child.on('exit', (code) => process.exit(code ?? 1));
