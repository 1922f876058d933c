/**
 * `npm run simulate`: lives of a subscription under every fault that can be thrown at it, more than the test suite has
 * time for. `--steps 1000000` lives as many as that takes (forty steps each, and the way to the end); `--seed N` begins
 * with another seed; `--seeds 1` lives that one alone, to look into a failure.
 */
import { spawn } from 'node:child_process';
import { parseArgs } from 'node:util';

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
  console.error('--steps, --seed and --seeds want whole numbers from 1');
  process.exit(2);
}

console.log(`${seeds} seeds from ${seed}, ${STEPS_PER_SEED} steps each …`);
const child = spawn('vitest', ['run', '--project', 'workers', '--reporter', 'verbose', 'test/simulation'], {
  stdio: 'inherit',
  env: { ...process.env, SIMULATION_SEED: String(seed), SIMULATION_SEEDS: String(seeds) },
});
child.on('exit', (code) => process.exit(code ?? 1));
