/** Scenarios of time: bursts and isolation, compared with a bare Worker. */
import { type Hook, percentile, startHooks } from '../harness/hooks.ts';
import { healthById, newCustomer, newEvents, subscribe } from '../harness/tenant.ts';
import { accepted, flood, sendAs, steadily, untilDelivered, WAIT_AT_MOST_MS } from './load.ts';
import type { Report } from './report.ts';
import { type Runtime, startBareWorker } from './runtime.ts';

/** @returns deliveries a second of a bare Worker that signs and posts */
export async function ceiling(report: Report, count: number): Promise<number> {
  const hooks = await startHooks(1);
  const [hook] = hooks.all as [Hook];
  const bare = await startBareWorker('ceiling.js');
  const run = (times: number) =>
    fetch(`${bare.url}/?count=${times}&to=${encodeURIComponent(hook.url)}`, { method: 'POST' });
  await run(200);
  const started = performance.now();
  await run(count);
  const perSecond = count / ((performance.now() - started) / 1000);
  await bare.stop();
  await hooks.close();
  report.note('ceiling, bare Worker', 'signed and posted', perSecond, '/s');
  return perSecond;
}

/** @param top the ceiling, deliveries a second */
export async function burst(
  report: Report,
  runtime: Runtime,
  top: number,
  total: number,
  singles: number,
): Promise<void> {
  const hooks = await startHooks(1);
  const customer = await newCustomer(runtime);
  await subscribe(
    customer,
    hooks.all.map(({ url }) => url),
  );
  const send = sendAs(customer);
  await flood(send, hooks.all, 300, 100); // warm up: open keys, parse schemas, compile code
  const scenarios = [
    ['burst, arrays of 100', total, 100],
    ['burst, one by one', singles, 1],
  ] as const;
  for (const [name, count, perCall] of scenarios) {
    const { acceptedAfter, deliveredAfter } = await flood(send, hooks.all, count, perCall);
    const delivered = count / deliveredAfter;
    report.note(name, 'accepted', count / acceptedAfter, '/s');
    report.note(name, 'delivered', delivered, '/s');
    report.note(name, 'until the last delivery', deliveredAfter, 's');
    if (perCall === 1) continue;
    report.note(name, 'delivered ÷ ceiling', delivered / top, '', { atLeast: 0.8 });
    report.note(name, 'accepted ÷ delivered', deliveredAfter / acceptedAfter, '', { atLeast: 10 });
  }
  await hooks.close();
}

/**
 * Ten endpoints, some of which hang. The measurement starts when the service has noticed those.
 * @param counts how many hang, one run each; the first is 0
 */
export async function isolation(
  report: Report,
  runtime: Runtime,
  seconds: number,
  counts: readonly number[],
): Promise<void> {
  const p99 = new Map<number, number>();
  for (const hanging of counts) {
    const latencies = await withHanging(runtime, hanging, seconds);
    const name = `isolation, ${hanging * 10} % hanging`;
    p99.set(hanging, percentile(latencies, 0.99) ?? 0);
    report.note(name, 'healthy p50', percentile(latencies, 0.5) ?? 0, 'ms');
    report.note(name, 'healthy p99', p99.get(hanging) ?? 0, 'ms');
  }
  const ratio = (p99.get(5) ?? 0) / (p99.get(0) ?? 1);
  report.note('isolation, half ÷ none', 'healthy p99', ratio, '', { atMost: 1.5 });
}

async function withHanging(runtime: Runtime, hanging: number, seconds: number): Promise<number[]> {
  const hooks = await startHooks(10);
  const customer = await newCustomer(runtime);
  const ids = await subscribe(
    customer,
    hooks.all.map(({ url }) => url),
  );
  const well = hooks.all.slice(hanging);
  const send = sendAs(customer);
  await accepted(customer, newEvents(100));
  await untilDelivered(hooks.all, 100);
  for (const hook of hooks.all.slice(0, hanging)) hook.mood = 'hanging';
  const deadline = performance.now() + WAIT_AT_MOST_MS;
  for (;;) {
    await steadily(send, well, 20, 1);
    const health = await healthById(customer);
    if (ids.slice(0, hanging).every((id) => health.get(id)?.state === 'failing')) break;
    if (performance.now() > deadline) throw new Error('hanging endpoints were not noticed in time');
  }
  const latencies = await steadily(send, well, 20, seconds);
  await hooks.close();
  return latencies;
}
