/**
 * `npm run model`: the service on a model of the platform, in virtual time. It runs the consumers, rules and event stores of
 * src; queues, consumers, limits, D1, stores and listeners are modelled with the platform's published limits. README.md says
 * what is modelled and what is not. The exit code is 1 when a target is missed.
 */
import { parseArgs } from 'node:util';
import { loadIsolates } from './loader.ts';
import { SCALING } from './platform.ts';
import { type Outcome, show } from './report.ts';

const { SCENARIOS } = await import('./scenarios.ts');

/** Runs only when it is named. */
const TAKES_A_DAY = new Set(['hot-hour']);

const { values } = parseArgs({
  options: {
    scenario: { type: 'string', multiple: true },
    seed: { type: 'string', default: '1' },
    added: { type: 'string', default: String(SCALING.added) },
    isolates: { type: 'string', default: '4' },
    seconds: { type: 'string' },
    outage: { type: 'string' },
    shards: { type: 'string' },
    parts: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});
const names = values.scenario ?? Object.keys(SCENARIOS).filter((name) => !TAKES_A_DAY.has(name));
const unknown = names.filter((name) => SCENARIOS[name] === undefined);
if (unknown.length > 0) {
  console.error(`no scenario ${unknown.join(', ')}; there are ${Object.keys(SCENARIOS).join(', ')}`);
  process.exit(2);
}

const [outageFrom, outageTo] = values.outage?.split('-').map(Number) ?? [];
const span = {
  ...(values.seconds === undefined ? {} : { seconds: Number(values.seconds) }),
  ...(values.shards === undefined ? {} : { shards: Number(values.shards) }),
  ...(values.parts === undefined ? {} : { parts: Number(values.parts) }),
  ...(outageFrom === undefined || outageTo === undefined ? {} : { outage: [outageFrom, outageTo] as const }),
};

const isolates = await loadIsolates(Number(values.isolates));
const all: Record<string, readonly Outcome[]> = {};
for (const name of names) {
  const started = performance.now();
  const outcomes =
    (await SCENARIOS[name]?.({
      seed: Number(values.seed),
      isolates,
      ...span,
      scaling: { ...SCALING, added: Number(values.added) },
      progress: (line) => process.stderr.write(`… ${name}: ${line}\n`),
    })) ?? [];
  all[name] = outcomes;
  if (values.json) continue;
  console.log(`\n=== ${name} (${((performance.now() - started) / 1000).toFixed(0)} s)`);
  for (const outcome of outcomes) show(outcome);
}
if (values.json) console.log(JSON.stringify(all, undefined, 2));
const areMet = Object.values(all)
  .flat()
  .every(({ targets }) => targets.every(({ isMet }) => isMet));
process.exit(areMet ? 0 : 1);
