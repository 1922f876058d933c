/**
 * How much of a delivery is ours. A skeleton makes the same hops with no work in them (worker/skeleton.js), and the service delivers
 * the same events in the same minutes, in turns. Processor time is that of the whole runtime: its queues, its database and its objects
 * are in it, for both.
 */
import { type Hook, type Hooks, percentile, startHooks } from '../harness/hooks.ts';
import { pause } from '../harness/service.ts';
import { newCustomer, subscribe } from '../harness/tenant.ts';
import { flood, type Send, sendAs, steadily } from './load.ts';
import type { Report } from './report.ts';
import { type BareWorker, type Runtime, startBareWorker } from './runtime.ts';

const PER_SECOND = 100;
const SIGNATURES = 1000;
/** Our own time may be a quarter of the runtime's. */
const RATIO = { atMost: 1.25 };

export interface SkeletonSizes {
  readonly rounds: number;
  readonly burst: number;
  readonly singles: number;
  readonly steadySeconds: number;
}

/** A runtime under load, and how events are sent to it. */
interface Side {
  readonly runtime: { cpuMs(): number | undefined };
  readonly send: Send;
  readonly hooks: Hooks;
}

interface Load {
  /** Processor time for 1,000 deliveries, s. */
  readonly cpu: number;
  /** From the call of the producer to the first byte at the listener, ms; of steady load alone. */
  readonly latencies: readonly number[];
}

export async function besideSkeleton(report: Report, runtime: Runtime, sizes: SkeletonSizes): Promise<void> {
  const bare = await startBareWorker('skeleton.js', 'Store');
  const skeleton = await sideOf(bare);
  const ours = await sideOfService(runtime, 1);
  const ten = await sideOfService(runtime, 10);
  const rounds = [];
  for (let round = 0; round < sizes.rounds; round++) {
    report.say(`beside the skeleton: round ${round + 1} of ${sizes.rounds} …`);
    rounds.push({
      signature: await signatureCpu(bare),
      bursts: [await burstOf(skeleton, sizes.singles, 1), await burstOf(ours, sizes.singles, 1)] as const,
      steady: [
        await steadyOf(skeleton, sizes.steadySeconds),
        await steadyOf(ours, sizes.steadySeconds),
      ] as const,
      arrays: await burstOf(ours, sizes.burst, 100),
      fanOut: await burstOf(ten, sizes.singles / 10, 1),
    });
  }
  for (const { hooks } of [skeleton, ours, ten]) await hooks.close();
  await bare.stop();

  const signature = median(rounds.map((each) => each.signature));
  report.note('CPU of the runtime / 1,000', 'a signature', signature, 's');
  const arrays = median(rounds.map((each) => each.arrays.cpu));
  report.note('CPU of the runtime / 1,000', 'arrays of 100', arrays, 's', { atMost: 1 });
  const fanOut = median(rounds.map((each) => each.fanOut.cpu));
  report.note('CPU of the runtime / 1,000', 'one event to ten', fanOut, 's', { atMost: 1 });
  for (const kind of ['bursts', 'steady'] as const) {
    const name = kind === 'bursts' ? 'burst, one by one' : `steady, ${PER_SECOND} events/s`;
    const pairs = rounds.map((each) => each[kind]);
    report.note(name, 'CPU of the skeleton / 1,000', median(pairs.map(([bones]) => bones.cpu)), 's');
    report.note(name, 'CPU of the runtime / 1,000', median(pairs.map(([, own]) => own.cpu)), 's');
    const ratios = rounds.map((each) => (each[kind][1].cpu - each.signature) / each[kind][0].cpu);
    report.note(name, 'without signature ÷ skeleton', median(ratios), '', RATIO);
  }
  latencies(
    report,
    rounds.map((each) => each.steady),
  );
}

function latencies(report: Report, pairs: readonly (readonly [Load, Load])[]): void {
  const name = `steady, ${PER_SECOND} events/s`;
  const of = (load: Load, share: number) => percentile(load.latencies, share) ?? 0;
  for (const share of [0.5, 0.99]) {
    const label = `p${share * 100}`;
    report.note(name, `${label} of the skeleton`, median(pairs.map(([bones]) => of(bones, share))), 'ms');
    report.note(name, label, median(pairs.map(([, own]) => of(own, share))), 'ms');
  }
  const beside = pairs.map(([bones, own]) => of(own, 0.5) / of(bones, 0.5));
  report.note(name, "p50 ÷ the skeleton's", median(beside), '', { atMost: 1.5 });
  const worst = Math.max(...pairs.map(([, own]) => of(own, 0.99) / of(own, 0.5)));
  report.note(name, 'p99 ÷ p50, the worst round', worst, '', { atMost: 3 });
}

async function sideOf(bare: BareWorker): Promise<Side> {
  const hooks = await startHooks(1);
  const [hook] = hooks.all as [Hook];
  const url = `${bare.url}/?to=${encodeURIComponent(hook.url)}`;
  const send: Send = async ([event]) => {
    // The part of a SET that a hook reads, and as long as a SET.
    const events = { entityCreated: { id: event?.id, filler: 'x'.repeat(500) } };
    const payload = Buffer.from(JSON.stringify({ events })).toString('base64url');
    await (await fetch(url, { method: 'POST', body: `.${payload}.` })).text();
  };
  await flood(send, hooks.all, 300, 1);
  return { runtime: bare, send, hooks };
}

async function sideOfService(runtime: Runtime, subscriptions: number): Promise<Side> {
  const hooks = await startHooks(subscriptions);
  const customer = await newCustomer(runtime);
  await subscribe(
    customer,
    hooks.all.map(({ url }) => url),
  );
  const send = sendAs(customer);
  await flood(send, hooks.all, 300, 100); // warm up: open keys, parse schemas, compile code
  await flood(send, hooks.all, 300, 1);
  return { runtime, send, hooks };
}

async function burstOf(side: Side, events: number, perCall: number): Promise<Load> {
  return await measured(side, events * side.hooks.all.length, async () => {
    await flood(side.send, side.hooks.all, events, perCall);
    return [];
  });
}

async function steadyOf(side: Side, seconds: number): Promise<Load> {
  return await measured(side, PER_SECOND * seconds, () =>
    steadily(side.send, side.hooks.all, PER_SECOND, seconds),
  );
}

async function measured(
  { runtime }: Side,
  deliveries: number,
  run: () => Promise<readonly number[]>,
): Promise<Load> {
  const before = runtime.cpuMs() ?? 0;
  const arrived = await run();
  await pause(300); // until the last results are stored
  return { cpu: ((runtime.cpuMs() ?? 0) - before) / deliveries, latencies: arrived };
}

async function signatureCpu(bare: BareWorker): Promise<number> {
  const before = bare.cpuMs() ?? 0;
  await (await fetch(`${bare.url}/sign?count=${SIGNATURES}`, { method: 'POST' })).text();
  return ((bare.cpuMs() ?? 0) - before) / SIGNATURES;
}

function median(values: readonly number[]): number {
  return percentile(values, 0.5) ?? 0;
}
