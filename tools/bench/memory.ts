/** Whether the memory of the runtime grows under load that goes on: events one by one and in arrays, without a rest. */
import { percentile, startHooks } from '../harness/hooks.ts';
import { newCustomer, subscribe } from '../harness/tenant.ts';
import { flood, sendAs, steadily } from './load.ts';
import type { Report } from './report.ts';
import type { Runtime } from './runtime.ts';

const MINUTE_S = 60;
/** Events in arrays at the beginning of each minute, and one by one in the rest of it. */
const ARRAYS = 2000;
const PER_SECOND = 100;
/** The first minutes fill caches and compile code: a third of the run. */
const WARM_UP_SHARE = 3;
/** Parts of one run differ by so much without any leak. */
const GROWTH = { atMost: 1.15 };
/** A shorter run shows how caches fill, and is not judged. */
const JUDGED_FROM_MINUTES = 6;

/** @param minutes how long the load lasts */
export async function memory(report: Report, runtime: Runtime, minutes: number): Promise<void> {
  const hooks = await startHooks(1);
  const customer = await newCustomer(runtime);
  await subscribe(
    customer,
    hooks.all.map(({ url }) => url),
  );
  const send = sendAs(customer);
  const seen: number[] = [];
  for (let minute = 1; minute <= minutes; minute++) {
    const startedAt = performance.now();
    await flood(send, hooks.all, ARRAYS, 100);
    const left = MINUTE_S - Math.ceil((performance.now() - startedAt) / 1000);
    await steadily(send, hooks.all, PER_SECOND, Math.max(1, left));
    const mb = runtime.memoryMb();
    if (mb === undefined) return report.say('memory: this system does not tell it');
    seen.push(mb);
    report.say(`memory after minute ${minute} of ${minutes}: ${mb.toFixed(0)} MB`);
  }
  await hooks.close();
  const half = Math.ceil((seen.length - seen.length / WARM_UP_SHARE) / 2);
  const median = (some: readonly number[]) => percentile(some, 0.5) ?? 0;
  const [before, after] = [median(seen.slice(-2 * half, -half)), median(seen.slice(-half))];
  report.note('memory of the runtime', `median of the last ${half} min`, after, 'MB');
  const target = minutes < JUDGED_FROM_MINUTES ? undefined : GROWTH;
  report.note('memory of the runtime', `÷ median of the ${half} min before`, after / before, '', target);
}
