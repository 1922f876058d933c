/**
 * `npm run bench`: how fast the service is, how much it costs, and how the cost grows, in the local runtime and with real
 * listeners. It prints a table, or one object with `--json`; `--quick` does less of everything, `--only prices`
 * (or `speed`, `skeleton`, `memory`, `billed`, `growth`) a part. README.md beside this file
 * says what each figure means.
 */
import { parseArgs } from 'node:util';
import { billableUnits, situations } from './cost.ts';
import { growth } from './growth.ts';
import { memory } from './memory.ts';
import { Report } from './report.ts';
import { buildWorker, removeBuild, startRuntime } from './runtime.ts';
import { besideSkeleton } from './skeleton.ts';
import { burst, ceiling, isolation } from './speed.ts';

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true },
  },
});
const GROUPS = ['prices', 'speed', 'skeleton', 'memory', 'billed', 'growth'] as const;
const unknown = values.only?.filter((name) => !GROUPS.some((group) => group === name)) ?? [];
if (unknown.length > 0) {
  console.error(`there is no ${unknown.join(', ')}; there are ${GROUPS.join(', ')}`);
  process.exit(2);
}
/** Ten minutes of load are measured only when they are asked for. */
const isAsked = (group: (typeof GROUPS)[number]) => values.only?.includes(group) ?? group !== 'memory';
const SIZE = values.quick
  ? {
      burst: 1500,
      singles: 200,
      steadySeconds: 4,
      skeletonRounds: 2,
      memoryMinutes: 2,
      isolationSeconds: 3,
      hanging: [0, 5],
      others: [1, 100],
      own: [1, 10],
      stored: [0, 100_000],
      growthEvents: 300,
      rounds: 2,
    }
  : {
      burst: 5000,
      singles: 1000,
      steadySeconds: 10,
      skeletonRounds: 5,
      memoryMinutes: 10,
      isolationSeconds: 12,
      hanging: [0, 1, 5],
      others: [1, 10, 100, 1000],
      own: [1, 10, 100],
      stored: [0, 100_000, 1_000_000],
      growthEvents: 500,
      rounds: 4,
    };
/** Short attempts, so that the service notices hanging endpoints while a benchmark runs. */
const VARIABLES = { ATTEMPT_TIMEOUT_SECONDS: '1', RETRY_DELAYS_SECONDS: '1,1,60' };

const report = new Report(values.json);
if (isAsked('prices')) await situations(report);
if (GROUPS.some((group) => group !== 'prices' && isAsked(group))) await inRuntimes();
const missed = report.missed();
if (values.json) console.log(JSON.stringify({ quick: values.quick, figures: report.figures }));
else report.say(missed.length === 0 ? 'every target was met' : `targets missed: ${missed.length}`);
process.exit(0);

/** What the Worker shows in the local runtime. */
async function inRuntimes(): Promise<void> {
  report.say('building the Worker, and the Worker with a meter …');
  const builds = await Promise.all([buildWorker(), buildWorker('metered.ts')]);
  try {
    const runtime = await startRuntime(builds[0], VARIABLES);
    try {
      if (isAsked('speed')) {
        await burst(report, runtime, await ceiling(report, SIZE.burst), SIZE.burst, SIZE.singles);
        await isolation(report, runtime, SIZE.isolationSeconds, SIZE.hanging);
      }
      if (isAsked('skeleton'))
        await besideSkeleton(report, runtime, { ...SIZE, rounds: SIZE.skeletonRounds });
      if (isAsked('memory')) await memory(report, runtime, SIZE.memoryMinutes);
    } finally {
      await runtime.stop();
    }
    const metered = await startRuntime(builds[1], VARIABLES);
    try {
      if (isAsked('billed')) await billableUnits(report, metered);
      if (isAsked('growth')) await growth(report, metered, SIZE);
    } finally {
      await metered.stop();
    }
  } finally {
    for (const build of builds) removeBuild(build);
  }
}
