/**
 * `npm run isolation`: how much endpoints that hang delay the deliveries to endpoints that are well. It runs the service
 * with twenty subscriptions of one customer and publishes steadily. Ten listeners are always well; at these it measures
 * the time from the publish call to the first arrival. The ten others are well, hang, are well, and hang again: the
 * difference between two equal phases shows the noise. After each change it waits until endpoint health has noticed.
 */
import { parseArgs } from 'node:util';
import { type Customer, ok } from '../harness/client.ts';
import { type Hook, percentile, startHooks } from '../harness/hooks.ts';
import { makeHome, pause, startService } from '../harness/service.ts';
import { healthById, newCustomer, newEvent, publish, subscribe } from '../harness/tenant.ts';

const SUBSCRIPTIONS = 20;
const PUBLISH_EVERY_MS = 100;
const NOTICED_WITHIN_MS = 60_000;
const LIMIT = { ratio: 1.5, ms: 100 };
const VARIABLES = { ATTEMPT_TIMEOUT_SECONDS: '3', RETRY_DELAYS_SECONDS: '1,3,10' };

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '30' } } });
const phaseMs = Number(values.seconds) * 1000;
if (!(phaseMs >= 5000 && phaseMs <= 600_000)) {
  console.error('--seconds must be from 5 to 600; it is the length of each of four phases');
  process.exit(2);
}

const home = makeHome();
console.log('starting the service …');
const hooks = await startHooks(SUBSCRIPTIONS);
const service = await startService(home, VARIABLES);
let passed = false;
try {
  const customer = await newCustomer({ url: service.url, operatorToken: home.operatorToken });
  const ids = await subscribe(
    customer,
    hooks.all.map(({ url }) => url),
  );
  const well = hooks.all.filter((_, index) => index % 2 === 0);
  const others = hooks.all.filter((_, index) => index % 2 === 1);
  const othersIds = ids.filter((_, index) => index % 2 === 1);
  await phase(customer, well, 3000); // warm up
  const none: number[] = [];
  const half: number[] = [];
  for (const mood of ['well', 'hanging', 'well', 'hanging'] as const) {
    for (const hook of others) hook.mood = mood;
    await untilNoticed(customer, othersIds, mood === 'well');
    const measured = await phase(customer, well, phaseMs);
    show(mood === 'well' ? 'none hanging' : 'half hanging', measured);
    (mood === 'well' ? none : half).push(...measured);
  }
  passed = compare(none, half);
} finally {
  await service.stop();
  await hooks.close();
  home.remove();
}
process.exit(passed ? 0 : 1);

/** Publishes for a time, then waits for the deliveries. @returns latencies at the listeners given, ms */
async function phase(customer: Customer, listeners: readonly Hook[], forMs: number): Promise<number[]> {
  const published = await publishFor(customer, forMs);
  const expected = published.size * listeners.length;
  const deadline = performance.now() + 10_000;
  let latencies: number[] = [];
  while (performance.now() < deadline) {
    latencies = listeners.flatMap(({ arrivals }) =>
      [...published].flatMap(([id, at]) => {
        const arrival = arrivals.get(id);
        return arrival === undefined ? [] : [arrival - at];
      }),
    );
    if (latencies.length === expected) return latencies;
    await pause(100);
  }
  throw new Error(
    `${expected - latencies.length} of ${expected} deliveries to healthy listeners did not come`,
  );
}

async function publishFor(customer: Customer, forMs: number): Promise<Map<string, number>> {
  const published = new Map<string, number>();
  const end = performance.now() + forMs;
  for (let next = performance.now(); next < end; next += PUBLISH_EVERY_MS) {
    await pause(Math.max(0, next - performance.now()));
    const at = performance.now();
    const event = newEvent();
    if (!(await publish(customer, [event]))) throw new Error('a publish failed');
    published.set(event.id, at);
  }
  return published;
}

/** Publishes until the service shows the endpoints as failing, or as healthy. */
async function untilNoticed(customer: Customer, ids: readonly string[], areWell: boolean): Promise<void> {
  const wanted = areWell ? 'healthy' : 'failing';
  const started = performance.now();
  for (;;) {
    await publishFor(customer, 1000);
    const health = await healthById(customer);
    const waiting = ids.filter((id) => health.get(id)?.state !== wanted);
    if (waiting.length === 0) {
      if (areWell) await untilDrained(customer, ids);
      console.log(`… all ten are ${wanted} after ${((performance.now() - started) / 1000).toFixed(0)} s`);
      return;
    }
    if (performance.now() - started > NOTICED_WITHIN_MS) {
      throw new Error(
        `${waiting.length} endpoints are not ${wanted}: ${waiting.map((id) => health.get(id)?.state)}`,
      );
    }
    // The service probes a failing endpoint after up to five minutes; a test notification needs no such wait.
    if (areWell) for (const id of waiting) await customer.call('POST', `/subscriptions/${id}/test`);
  }
}

/** Waits until the events held for the endpoints are delivered, so that the next phase does not measure them. */
async function untilDrained(customer: Customer, ids: readonly string[]): Promise<void> {
  const deadline = performance.now() + NOTICED_WITHIN_MS;
  for (const id of ids) {
    while (ok(await customer.call('GET', `/subscriptions/${id}`)).health.waiting > 0) {
      if (performance.now() > deadline) throw new Error('the held events were not delivered in time');
      await pause(500);
    }
  }
}

function show(what: string, latencies: readonly number[]): void {
  const of = (share: number) => `${percentile(latencies, share)?.toFixed(1).padStart(8)} ms`;
  console.log(`${what.padEnd(20)} p50 ${of(0.5)}   p99 ${of(0.99)}   of ${latencies.length}`);
}

function compare(none: readonly number[], half: readonly number[]): boolean {
  show('\nnone hanging, all', none);
  show('half hanging, all', half);
  const [before, after] = [percentile(none, 0.99) ?? 0, percentile(half, 0.99) ?? 0];
  const ratio = after / before;
  const isFine = ratio <= LIMIT.ratio || after - before <= LIMIT.ms;
  console.log(
    `p99: ${ratio.toFixed(2)} times, ${(after - before).toFixed(1)} ms more; ${isFine ? 'within' : 'BEYOND'} ${LIMIT.ratio} times or ${LIMIT.ms} ms`,
  );
  return isFine;
}
