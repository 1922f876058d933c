/**
 * `npm run bench`: how fast the service is, in the local runtime, with real listeners. Prints a table; `--json` one object
 * instead, `--quick` less of everything. What each figure means, and does not, is in bench/README.md.
 */
import { parseArgs } from 'node:util';
import { Customer, getToken, Operator } from '../scripts/client.ts';
import { type Hook, percentile, startHooks } from '../scripts/hooks.ts';
import { pause } from '../scripts/service.ts';
import { newEvents, publish, subscribe } from '../scripts/tenant.ts';
import { buildWorker, type Runtime, removeBuild, startBareWorker, startRuntime } from './runtime.ts';

const { values } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, json: { type: 'boolean', default: false } },
});
const SIZE = values.quick
  ? { burst: 1000, singles: 200, steadySeconds: 5, isolationSeconds: 5 }
  : { burst: 5000, singles: 1000, steadySeconds: 20, isolationSeconds: 20 };
const WAIT_AT_MOST_MS = 60_000;
/** Attempts end soon, so that hanging endpoints are noticed within the time of a benchmark. */
const VARIABLES = { ATTEMPT_TIMEOUT_SECONDS: '1', RETRY_DELAYS_SECONDS: '1,1,60' };

const results: { scenario: string; figure: string; value: number; unit: string }[] = [];

function note(scenario: string, figure: string, value: number, unit: string): void {
  results.push({ scenario, figure, value, unit });
  if (values.json) return;
  const shown = value >= 100 ? value.toFixed(0) : value.toFixed(2);
  console.log(`${scenario.padEnd(28)} ${figure.padEnd(34)} ${shown.padStart(8)} ${unit}`);
}

async function newCustomer(runtime: Runtime): Promise<Customer> {
  const operator = new Operator(runtime.url, runtime.operatorToken);
  const { id } = (await operator.call('POST', '/customers', { name: 'Bench' })).body;
  const client = (await operator.call('POST', `/customers/${id}/clients`, { name: 'bench' })).body;
  const token = await getToken(runtime.url, id, client.clientId, client.clientSecret);
  return new Customer(runtime.url, id, token.body.access_token);
}

/** Waits until a hook has had so many events. */
async function untilDelivered(hook: Hook, count: number): Promise<void> {
  const deadline = performance.now() + WAIT_AT_MOST_MS;
  while (hook.delivered.size < count) {
    if (performance.now() > deadline) throw new Error(`${hook.delivered.size} of ${count} delivered in time`);
    await pause(5);
  }
}

async function accepted(customer: Customer, events: readonly { readonly id: string }[]): Promise<void> {
  if (!(await publish(customer, events))) throw new Error('a publish was not accepted');
}

/** @returns deliveries a second */
async function burst(runtime: Runtime, name: string, total: number, perCall: number): Promise<number> {
  const hooks = await startHooks(1);
  const [hook] = hooks.all as [Hook];
  const customer = await newCustomer(runtime);
  await subscribe(customer, [hook.url]);
  await accepted(customer, newEvents(perCall)); // warm: keys opened, schemas parsed
  await untilDelivered(hook, perCall);
  const started = performance.now();
  const calls = Array.from({ length: total / perCall }, () => newEvents(perCall));
  // Ten producers at once, each waiting for its answers.
  const next = calls[Symbol.iterator]();
  await Promise.all(
    Array.from({ length: 10 }, async () => {
      for (const events of next) await accepted(customer, events);
    }),
  );
  const acceptedAfter = (performance.now() - started) / 1000;
  await untilDelivered(hook, total + perCall);
  const deliveredAfter = (performance.now() - started) / 1000;
  await hooks.close();
  note(name, 'accepted', total / acceptedAfter, '/s');
  note(name, 'delivered', total / deliveredAfter, '/s');
  note(name, 'until the last delivery', deliveredAfter, 's');
  return total / deliveredAfter;
}

/** Publishes steadily. @returns latencies from the call to the first arrival at the hooks given, ms */
async function steadily(
  customer: Customer,
  hooks: readonly Hook[],
  perSecond: number,
  seconds: number,
): Promise<number[]> {
  const published = new Map<string, number>();
  const calls: Promise<void>[] = [];
  const start = performance.now();
  for (let index = 0; index < perSecond * seconds; index++) {
    await pause(Math.max(0, start + (index * 1000) / perSecond - performance.now()));
    const [event] = newEvents(1) as [{ id: string }];
    published.set(event.id, performance.now());
    calls.push(accepted(customer, [event]));
  }
  await Promise.all(calls);
  const deadline = performance.now() + WAIT_AT_MOST_MS;
  while (hooks.some(({ arrivals }) => ![...published.keys()].every((id) => arrivals.has(id)))) {
    if (performance.now() > deadline) throw new Error('a delivery did not come');
    await pause(20);
  }
  return hooks.flatMap(({ arrivals }) => [...published].map(([id, at]) => (arrivals.get(id) ?? at) - at));
}

async function steady(runtime: Runtime): Promise<void> {
  const hooks = await startHooks(1);
  const customer = await newCustomer(runtime);
  await subscribe(
    customer,
    hooks.all.map(({ url }) => url),
  );
  await steadily(customer, hooks.all, 100, 1);
  const latencies = await steadily(customer, hooks.all, 100, SIZE.steadySeconds);
  await hooks.close();
  for (const share of [0.5, 0.95, 0.99])
    note('steady, 100 events/s', `p${share * 100}`, percentile(latencies, share) ?? 0, 'ms');
}

/** Ten endpoints, some of which hang; measured once their health is known. */
async function isolation(runtime: Runtime, hanging: number): Promise<number> {
  const hooks = await startHooks(10);
  const customer = await newCustomer(runtime);
  const ids = await subscribe(
    customer,
    hooks.all.map(({ url }) => url),
  );
  const sick = hooks.all.slice(0, hanging);
  for (const hook of sick) hook.mood = 'hanging';
  const well = hooks.all.slice(hanging);
  const deadline = performance.now() + WAIT_AT_MOST_MS;
  for (;;) {
    await steadily(customer, well, 20, 1);
    const { body } = await customer.call('GET', '/subscriptions');
    const states = new Map<string, string>();
    for (const { id, health } of body._embedded.subscriptions) states.set(id, health.state);
    if (ids.slice(0, hanging).every((id) => states.get(id) === 'failing')) break;
    if (performance.now() > deadline) throw new Error('hanging endpoints were not noticed in time');
  }
  const latencies = await steadily(customer, well, 20, SIZE.isolationSeconds);
  await hooks.close();
  const name = `isolation, ${hanging * 10} % hanging`;
  note(name, 'healthy p50', percentile(latencies, 0.5) ?? 0, 'ms');
  const p99 = percentile(latencies, 0.99) ?? 0;
  note(name, 'healthy p99', p99, 'ms');
  return p99;
}

async function ceiling(): Promise<number> {
  const hooks = await startHooks(1);
  const [hook] = hooks.all as [Hook];
  const bare = await startBareWorker('bench/ceiling.js');
  const run = (count: number) =>
    fetch(`${bare.url}/?count=${count}&to=${encodeURIComponent(hook.url)}`, { method: 'POST' });
  await run(50);
  const started = performance.now();
  await run(SIZE.burst);
  const perSecond = SIZE.burst / ((performance.now() - started) / 1000);
  await bare.stop();
  await hooks.close();
  note('ceiling, bare Worker', 'signed and posted', perSecond, '/s');
  return perSecond;
}

function say(text: string): void {
  if (!values.json) console.log(text);
}

say('building the Worker …');
const build = buildWorker();
const runtime = await startRuntime(build, VARIABLES);
try {
  const top = await ceiling();
  const delivered = await burst(runtime, 'burst, arrays of 100', SIZE.burst, 100);
  note('burst ÷ ceiling', 'delivered', delivered / top, '');
  await burst(runtime, 'burst, one by one', SIZE.singles, 1);
  await steady(runtime);
  const none = await isolation(runtime, 0);
  await isolation(runtime, 1);
  const half = await isolation(runtime, 5);
  note('isolation, half ÷ none', 'healthy p99', half / none, '');
} finally {
  await runtime.stop();
  removeBuild(build);
}
if (values.json) console.log(JSON.stringify({ quick: values.quick, results }));
process.exit(0);
