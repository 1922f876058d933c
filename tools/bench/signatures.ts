/**
 * `npm run bench:signatures`: RS256 beside EdDSA in one run. First signatures alone, in a bare Worker; then events in arrays of 100 for two
 * customers of one service, one for each algorithm, in rounds that take turns. It prints medians, and `-- --rounds N` does more rounds.
 */
import { parseArgs } from 'node:util';
import type { WebhooksClient } from '@identity-webhooks/client';
import { type Hook, startHooks } from '../harness/hooks.ts';
import { newCustomer, newEvents, subscribe } from '../harness/tenant.ts';
import { accepted, untilDelivered } from './load.ts';
import { Report } from './report.ts';
import { buildWorker, type Runtime, removeBuild, startBareWorker, startRuntime } from './runtime.ts';

const ALGORITHMS = ['RS256', 'EdDSA'] as const;
type Algorithm = (typeof ALGORITHMS)[number];

/** Signatures of one measurement: about a second for each algorithm. */
const SIGNATURES = { RS256: 1000, EdDSA: 20_000 } as const;
const EVENTS = 5000;
const PER_CALL = 100;
const PRODUCERS = 10;

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '5' }, json: { type: 'boolean', default: false } },
});
const rounds = Number(values.rounds);
const report = new Report(values.json);

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;
}

/** @returns signatures a second of a bare Worker, by algorithm */
async function signatures(): Promise<Record<Algorithm, number>> {
  const bare = await startBareWorker('signatures.js');
  const sign = async (algorithm: Algorithm, count: number) => {
    const answer = await fetch(`${bare.url}/?algorithm=${algorithm}&count=${count}`, { method: 'POST' });
    if (!answer.ok) throw new Error(await answer.text());
    await answer.text();
  };
  const perSecond: Record<Algorithm, number[]> = { RS256: [], EdDSA: [] };
  for (const algorithm of ALGORITHMS) await sign(algorithm, 100);
  for (let round = 0; round < rounds; round++) {
    for (const algorithm of ALGORITHMS) {
      const started = performance.now();
      await sign(algorithm, SIGNATURES[algorithm]);
      perSecond[algorithm].push(SIGNATURES[algorithm] / ((performance.now() - started) / 1000));
    }
  }
  await bare.stop();
  return { RS256: median(perSecond.RS256), EdDSA: median(perSecond.EdDSA) };
}

/** @returns seconds until the last delivery */
async function flood(customer: WebhooksClient, hook: Hook, total: number): Promise<number> {
  const before = hook.delivered.size;
  const calls = Array.from({ length: total / PER_CALL }, () => newEvents(PER_CALL));
  const next = calls[Symbol.iterator]();
  const started = performance.now();
  const produce = async () => {
    for (const events of next) await accepted(customer, events);
  };
  await Promise.all(Array.from({ length: PRODUCERS }, produce));
  await untilDelivered([hook], before + total);
  return (performance.now() - started) / 1000;
}

interface Round {
  readonly perSecond: number;
  /** Processor time of the runtime, seconds for 1,000 deliveries. */
  readonly cpu: number;
}

async function deliveries(runtime: Runtime): Promise<Record<Algorithm, Round[]>> {
  const hooks = await startHooks(ALGORITHMS.length);
  const customers = await Promise.all(
    ALGORITHMS.map(async (algorithm, index) => {
      const hook = hooks.all[index] as Hook;
      const customer = await newCustomer(runtime, algorithm);
      await subscribe(customer, [hook.url]);
      await flood(customer, hook, 300); // warm up: open keys, parse schemas, compile code
      return { algorithm, customer, hook };
    }),
  );
  const results: Record<Algorithm, Round[]> = { RS256: [], EdDSA: [] };
  for (let round = 0; round < rounds; round++) {
    // Each algorithm begins as often as the other.
    for (const { algorithm, customer, hook } of round % 2 === 0 ? customers : customers.toReversed()) {
      const cpuBefore = runtime.cpuMs() ?? Number.NaN;
      const seconds = await flood(customer, hook, EVENTS);
      const cpu = ((runtime.cpuMs() ?? Number.NaN) - cpuBefore) / EVENTS;
      results[algorithm].push({ perSecond: EVENTS / seconds, cpu });
    }
  }
  await hooks.close();
  return results;
}

const alone = await signatures();
for (const algorithm of ALGORITHMS) report.note(`signatures, ${algorithm}`, 'alone', alone[algorithm], '/s');
report.note('signatures, EdDSA ÷ RS256', 'alone', alone.EdDSA / alone.RS256, '');
const build = await buildWorker();
try {
  const runtime = await startRuntime(build);
  try {
    const results = await deliveries(runtime);
    const of = (algorithm: Algorithm, what: keyof Round) =>
      median(results[algorithm].map((round) => round[what]));
    for (const algorithm of ALGORITHMS) {
      const name = `arrays of 100, ${algorithm}`;
      report.note(name, 'delivered, median', of(algorithm, 'perSecond'), '/s');
      for (const [index, { perSecond }] of results[algorithm].entries())
        report.note(name, `delivered, round ${index + 1}`, perSecond, '/s');
      report.note(name, 'processor for 1,000', of(algorithm, 'cpu'), 's');
    }
    const ratio = of('EdDSA', 'perSecond') / of('RS256', 'perSecond');
    report.note('arrays, EdDSA ÷ RS256', 'delivered, medians', ratio, '', { atLeast: 2 });
    report.note('arrays, EdDSA ÷ RS256', 'processor, medians', of('EdDSA', 'cpu') / of('RS256', 'cpu'), '');
  } finally {
    await runtime.stop();
  }
} finally {
  removeBuild(build);
}
if (values.json) console.log(JSON.stringify({ rounds, figures: report.figures }));
process.exit(0);
