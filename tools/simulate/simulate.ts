/**
 * `npm run simulate`: runs the lives of the simulation (test/simulation), as many as there is time for.
 *
 *     --steps N      steps for each first seed, 1,000,000 by default; a life has forty
 *     --seed A,B,C   first seeds, 1 by default
 *     --seeds N      lives for each first seed, instead of --steps
 *     --limits       `real`, `small` (the event store with tiny limits), or `both`, half of the lives each: the default
 *     --processes N  2 by default
 *
 * It prints what happened, and for a life that broke a rule its story and how to repeat it. It then exits with 1.
 */
import { fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const STEPS_PER_LIFE = 40;
/** Lives of one process before another takes over: what it keeps in memory ends with it. */
const LIVES_PER_PROCESS = 500;
const PROGRESS_MS = 15_000;
const FAILURES_SHOWN = 3;

/** What `lives.ts` reports of a life. */
interface Life {
  readonly seed: number;
  readonly steps: number;
  readonly figures: { readonly faults: Figures } & Readonly<Record<string, number | Figures>>;
  readonly failure?: string;
}
type Figures = Readonly<Record<string, number>>;

interface Share {
  readonly limits: string;
  readonly seed: number;
  readonly seeds: number;
}

const { values } = parseArgs({
  options: {
    steps: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: '1' },
    seeds: { type: 'string' },
    limits: { type: 'string', default: 'both' },
    processes: { type: 'string', default: String(Math.min(2, availableParallelism())) },
  },
});
const firsts = values.seed.split(',').map(Number);
const lives = Number(values.seeds ?? Math.ceil(Number(values.steps) / STEPS_PER_LIFE));
const processes = Number(values.processes);
if (![...firsts, lives, processes].every((number) => Number.isSafeInteger(number) && number >= 1)) {
  console.error('--steps, --seed, --seeds and --processes must be whole numbers from 1');
  process.exit(2);
}
if (!['real', 'small', 'both'].includes(values.limits)) {
  console.error('--limits must be real, small or both');
  process.exit(2);
}

/** The lives of one first seed, in shares of one process each. With `both`, every other share has small limits. */
function sharesOf(first: number): Share[] {
  const all: Share[] = [];
  for (let start = 0; start < lives; start += LIVES_PER_PROCESS) {
    const limits = values.limits === 'both' ? (all.length % 2 === 0 ? 'real' : 'small') : values.limits;
    all.push({ limits, seed: first + start, seeds: Math.min(LIVES_PER_PROCESS, lives - start) });
  }
  return all;
}

class Tally {
  lives = 0;
  steps = 0;
  failures = 0;
  readonly #sums = new Map<string, number>();
  readonly #faults = new Map<string, number>();

  add({ steps, figures, failure }: Life, { limits }: Share, seed: number): void {
    this.lives++;
    this.steps += steps;
    for (const [name, value] of Object.entries(figures))
      if (typeof value === 'number') sum(this.#sums, name, value);
    for (const [name, value] of Object.entries(figures.faults)) sum(this.#faults, name, value);
    if (failure === undefined) return;
    this.failures++;
    if (this.failures > FAILURES_SHOWN) return;
    console.error(failure);
    console.error(`To repeat it: npm run simulate -- --limits ${limits} --seed ${seed} --seeds 1\n`);
  }

  print(): void {
    for (const [name, value] of this.#sums) console.log(`  ${name}: ${value}`);
    const faults = [...this.#faults].sort((a, b) => b[1] - a[1]);
    console.log(`  faults: ${faults.reduce((all, [, count]) => all + count, 0)}`);
    for (const [name, count] of faults) console.log(`    ${name}: ${count}`);
  }
}

function sum(map: Map<string, number>, name: string, value: number): void {
  map.set(name, (map.get(name) ?? 0) + value);
}

/** Runs one share in a process of its own. */
function run(share: Share, tally: Tally): Promise<void> {
  const { limits, seed, seeds } = share;
  const args = ['--limits', limits, '--seed', String(seed), '--seeds', String(seeds)];
  const child = fork(join(import.meta.dirname, 'lives.ts'), args);
  let next = seed;
  child.on('message', (life: Life) => {
    next = life.seed + 1;
    tally.add(life, share, life.seed);
  });
  return new Promise((resolve) => {
    child.on('exit', (code, signal) => {
      if (next < seed + seeds) {
        tally.failures++;
        console.error(
          `The process ended by ${signal ?? code} in the life of seed ${next} (${limits} limits).`,
        );
      }
      resolve();
    });
  });
}

let failures = 0;
for (const first of firsts) {
  const tally = new Tally();
  const began = performance.now();
  const seconds = () => Math.round((performance.now() - began) / 1000);
  console.log(
    `seed ${first}: ${lives} lives of ${STEPS_PER_LIFE} steps, ${values.limits} limits, ${processes} processes`,
  );
  const progress = setInterval(() => {
    console.log(
      `  ${tally.steps} steps, ${tally.lives} of ${lives} lives, ${tally.failures} failed, ${seconds()} s`,
    );
  }, PROGRESS_MS);
  const shares = sharesOf(first);
  const workers = Array.from({ length: processes }, async () => {
    for (let share = shares.shift(); share !== undefined; share = shares.shift()) await run(share, tally);
  });
  await Promise.all(workers);
  clearInterval(progress);
  console.log(
    `seed ${first}: ${tally.steps} steps in ${tally.lives} lives, ${tally.failures} failed, ${seconds()} s`,
  );
  tally.print();
  failures += tally.failures;
}
process.exit(failures === 0 ? 0 : 1);
