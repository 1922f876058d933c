/**
 * `npm run filters`: compares the evaluator of filters with Ajv on random schemas, and shows how long the slowest filters
 * that are accepted take. `--schemas N` sets how many random schemas there are, `--seed N` where they begin. The times are
 * those of this machine; the limits of contract 4 are in steps, and the last lines say how many steps a millisecond has here.
 */
import { parseArgs } from 'node:util';
import { checkFilter } from '../../src/domain/filter/check.ts';
import { compileFilter } from '../../src/domain/filter/filter.ts';
import { compare } from './compare.ts';
import { type LargeEvent, largeEvents } from './events.ts';
import { HOSTILE, search } from './hostile.ts';

const { values } = parseArgs({
  options: {
    schemas: { type: 'string', default: '10000' },
    seed: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '100' },
  },
});
const [schemas, seed, rounds] = [values.schemas, values.seed, values.rounds].map(Number) as [
  number,
  number,
  number,
];
if (![schemas, seed, rounds].every((number) => Number.isSafeInteger(number) && number >= 1)) {
  console.error('--schemas, --seed and --rounds must be whole numbers from 1');
  process.exit(2);
}
const REPEATS = 7;
const PART = 10_000;

const events = largeEvents();
compareAll();
showHostile();

function compareAll(): void {
  console.log(`${schemas} random schemas from seed ${seed}, compared with Ajv …`);
  const all = { schemas: 0, evaluations: 0, valid: 0, refused: 0 };
  for (let part = 0; all.schemas < schemas; part++) {
    const { differences, ...counts } = compare(Math.min(PART, schemas - all.schemas), seed + part);
    for (const name of ['schemas', 'evaluations', 'valid', 'refused'] as const) all[name] += counts[name];
    for (const difference of differences) console.log(difference);
    if (differences.length > 0) process.exitCode = 1;
  }
  console.log(`${JSON.stringify(all)}: ${process.exitCode === 1 ? 'DIFFERENCES' : 'no difference'}\n`);
}

interface Measured {
  readonly name: string;
  readonly steps: number;
  readonly bound: number;
  readonly ms: number;
}

function showHostile(): void {
  const found = search(rounds, seed, events).map(({ filter }, index) => [`found ${index}`, filter] as const);
  const accepted: Measured[] = [];
  for (const [name, filter] of [...Object.entries(HOSTILE), ...found]) {
    const refusal = checkFilter(filter);
    if (refusal === undefined) accepted.push(measure(name, filter));
    else console.log(`refused: ${name}: ${refusal.slice(0, 100)}`);
  }
  accepted.sort((a, b) => b.ms - a.ms);
  console.log(`\n${accepted.length} hostile filters are accepted. The slowest, for one event:`);
  for (const { name, steps, bound, ms } of accepted.slice(0, 12)) {
    console.log(`${ms.toFixed(2)} ms, ${steps} steps of at most ${bound}: ${name}`);
  }
  const total = accepted.reduce((sum, one) => ({ ms: sum.ms + one.ms, steps: sum.steps + one.steps }), {
    ms: 0,
    steps: 0,
  });
  console.log(`\nsteps in a millisecond, all of them together: ${Math.round(total.steps / total.ms)}`);
}

/** The slowest event for a filter, by the median of some evaluations of fresh copies. */
function measure(name: string, schema: Readonly<Record<string, unknown>>): Measured {
  const filter = compileFilter(schema);
  const bound = filter.worstSteps();
  const results = events.map(({ claim }: LargeEvent) => {
    let steps = 0;
    const times = Array.from({ length: REPEATS }, () => {
      const copy = structuredClone(claim);
      const started = performance.now();
      steps = filter.measure(copy).steps;
      return performance.now() - started;
    });
    return { name, steps, bound, ms: times.sort((a, b) => a - b)[Math.floor(REPEATS / 2)] ?? 0 };
  });
  const broken = results.find(({ steps }) => steps > bound);
  if (broken !== undefined) {
    console.log(`${name}: ${broken.steps} steps, more than the bound of ${bound}`);
    process.exitCode = 1;
  }
  return results.reduce((slowest, one) => (one.ms > slowest.ms ? one : slowest));
}
