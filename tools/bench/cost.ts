/** What deliveries cost: healthy ones as the Worker with the meter counts them, and the situations that customers have. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { startHooks } from '../harness/hooks.ts';
import { pause } from '../harness/service.ts';
import { newCustomer, subscribe } from '../harness/tenant.ts';
import { flood, inTurn, sendAs } from './load.ts';
import { price } from './prices.ts';
import type { Report, Target } from './report.ts';
import type { Runtime } from './runtime.ts';
import type { Units } from './units.ts';

interface Stored {
  readonly bytes: number;
  readonly rows: number;
}

const PER = 1000;

export async function billableUnits(report: Report, runtime: Runtime): Promise<void> {
  const bulk = {
    objectRowsWritten: { atMost: 0.05 * PER },
    queueOperations: { atMost: 0.1 * PER },
    objectRequests: { atMost: 0.05 * PER },
    d1RowsWritten: { atMost: 0.02 * PER },
    storedBytes: { atMost: 200 },
    price: { atMost: 0.3 },
  };
  await count(report, runtime, 2000, 100, bulk);
  await count(report, runtime, 200, 1, { price: { atMost: 5 } });
}

type Targets = Partial<Record<keyof Units | 'storedBytes' | 'price', Target>>;

async function count(
  report: Report,
  runtime: Runtime,
  events: number,
  perCall: number,
  targets: Targets,
): Promise<void> {
  const hooks = await startHooks(1);
  const customer = await newCustomer(runtime);
  const [subscription = ''] = await subscribe(
    customer,
    hooks.all.map(({ url }) => url),
  );
  await flood(sendAs(customer), hooks.all, 200, 100);
  await pause(200); // until the last results are stored
  const stored = async (): Promise<Stored> => {
    return (await (await fetch(`${runtime.url}/bench/store?subscription=${subscription}`)).json()) as Stored;
  };
  const before = await stored();
  await (await fetch(`${runtime.url}/bench/units`)).json();
  const cpuBefore = runtime.cpuMs();
  if (perCall === 1) await inTurn(customer, hooks.all, events);
  else await flood(sendAs(customer), hooks.all, events, perCall);
  await pause(1200); // results are stored after a second at most
  const cpuAfter = runtime.cpuMs();
  const counted = (await (await fetch(`${runtime.url}/bench/units`)).json()) as Units & { objectMs: number };
  const after = await stored();
  await hooks.close();

  const { objectMs, ...units } = counted;
  // Each stored row will be deleted one day, which counts as a write.
  units.objectRowsWritten += after.rows - before.rows;
  const name = `billed, ${perCall === 1 ? 'one at a time' : `arrays of ${perCall}`}`;
  for (const unit of Object.keys(units) as (keyof Units)[]) {
    const label = LABELS[unit];
    report.note(name, `${label} / 1,000`, (units[unit] / events) * PER, '', targets[unit]);
  }
  const cpuMilliseconds = (cpuAfter ?? 0) - (cpuBefore ?? 0);
  if (cpuAfter !== undefined)
    report.note(name, 'CPU of the runtime / 1,000, estimate', (cpuMilliseconds / events) * PER, 'ms');
  const storedBytes = after.bytes - before.bytes;
  report.note(name, 'stored, each', storedBytes / events, 'bytes', targets.storedBytes);
  const dollars = price(units, { cpuMilliseconds, objectSeconds: objectMs / 1000, storedBytes });
  report.note(name, 'price of a million', (dollars / events) * 1_000_000, '$', targets.price);
}

const LABELS: Readonly<Record<keyof Units, string>> = {
  requests: 'requests',
  queueOperations: 'queue operations',
  d1RowsRead: 'D1 rows read',
  d1RowsWritten: 'D1 rows written',
  objectRequests: 'object requests',
  objectRowsRead: 'object rows read',
  objectRowsWritten: 'object rows written, with expiry',
  alarms: 'alarms',
  logLines: 'log lines',
};

/** What the model prints of a situation (tools/model/price.ts). */
interface Priced {
  readonly title: string;
  readonly dollars: number;
  readonly atMost?: number;
  readonly [unit: string]: string | number | undefined;
}

const SHOWN: Readonly<Record<string, string>> = {
  rows: 'rows, with alarms and expiry',
  queueOperations: 'queue operations',
  requests: 'requests',
  objectRequests: 'object requests',
  logLines: 'log lines',
  storedBytes: 'stored bytes',
};

/** What a delivery costs in the situations that customers have: counted on the model of the platform, in virtual time. */
export async function situations(report: Report): Promise<void> {
  report.say('prices, in virtual time …');
  const model = join(import.meta.dirname, '../model/model.ts');
  const run = execFile(process.execPath, [model, '--scenario', 'price', '--json'], { maxBuffer: 1e8 });
  const chunks: string[] = [];
  run.stdout?.on('data', (chunk) => chunks.push(String(chunk)));
  await once(run, 'close');
  const [{ prices }] = (JSON.parse(chunks.join('')) as { price: [{ prices: readonly Priced[] }] }).price;
  for (const { title, dollars, atMost, ...units } of prices) {
    for (const [unit, label] of Object.entries(SHOWN))
      report.note(title, `${label}, each`, Number(units[unit]), '');
    report.note(title, 'price of a million', dollars, '$', atMost === undefined ? undefined : { atMost });
  }
  const all = prices.map(({ dollars }) => dollars);
  report.note('all situations', 'the cheapest', Math.min(...all), '$');
  report.note('all situations', 'the dearest', Math.max(...all), '$');
}
