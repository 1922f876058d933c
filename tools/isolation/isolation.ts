/**
 * `npm run isolation`: how much endpoints in trouble, or a large publish, delay the deliveries of others. It runs the service
 * as `npm start` does.
 *
 * Without a flag: twenty subscriptions of one customer, and a steady stream of events. Ten listeners are always well; at these
 * it measures the time from the publish call to the first arrival. The ten others begin to hang. It shows three spans apart:
 * before; the onset, which is the first 25 s in which they hang; and afterwards, when endpoint health has noticed. It does this
 * twice: the difference between the two spans before shows the noise.
 *
 * With `--wide`: one publish of 100 events to 100 subscriptions whose listeners take 100 ms, and beside it a small customer
 * that publishes an event every half second.
 */
import { parseArgs } from 'node:util';
import type { WebhooksClient } from '@identity-webhooks/client';
import { type Hook, percentile, startHooks } from '../harness/hooks.ts';
import { makeHome, pause, startService } from '../harness/service.ts';
import { healthById, newCustomer, newEvent, newEvents, publish, subscribe } from '../harness/tenant.ts';

const SUBSCRIPTIONS = 20;
const NOTICED_WITHIN_MS = 60_000;
const ONSET_MS = 25_000;
const ONSET_P99_MS = 1000;
const AFTERWARDS_RATIO = 1.2;
/** One pause of the runtime's garbage collector moves a 99th percentile by so much (tools/bench/README.md). */
const PAUSE_MS = 50;
/** If half of the events take longer than this while nothing hangs, the machine is too busy for figures. */
const BUSY_MS = 500;
const WIDE = { subscriptions: 100, events: 100, delayMs: 100, withinMs: 20 * 60_000 };
const SMALL = { everyMs: 500, firstArrivalMs: 2000 };
const VARIABLES = { ATTEMPT_TIMEOUT_SECONDS: '3', RETRY_DELAYS_SECONDS: '1,3,10' };

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '30' },
    every: { type: 'string', default: '100' },
    wide: { type: 'boolean', default: false },
  },
});
/** Time between two events, ms. Each makes twenty deliveries; a busy machine cannot make 200 a second. */
const publishEveryMs = Number(values.every);
const phaseMs = Number(values.seconds) * 1000;
if (!(phaseMs >= 5000 && phaseMs <= 600_000)) {
  console.error('--seconds must be from 5 to 600; it is the length of each span before and afterwards');
  process.exit(2);
}
if (!(publishEveryMs >= 10 && publishEveryMs <= 5000)) {
  console.error('--every must be from 10 to 5000; it is the time between two events in milliseconds');
  process.exit(2);
}

const home = makeHome();
console.log('starting the service …');
const hooks = await startHooks(values.wide ? WIDE.subscriptions + 1 : SUBSCRIPTIONS);
const service = await startService(home, VARIABLES);
let passed = false;
try {
  const operator = { url: service.url, operatorToken: home.operatorToken };
  if (values.wide) passed = await besideWide(await newCustomer(operator), await newCustomer(operator));
  else passed = await besideHanging(await newCustomer(operator));
} finally {
  await service.stop();
  await hooks.close();
  home.remove();
}
process.exit(passed ? 0 : 1);

// --- Endpoints that begin to hang -----------------------------------------------------------------------

async function besideHanging(customer: WebhooksClient): Promise<boolean> {
  const ids = await subscribe(
    customer,
    hooks.all.map(({ url }) => url),
  );
  const well = hooks.all.filter((_, index) => index % 2 === 0);
  const others = hooks.all.filter((_, index) => index % 2 === 1);
  const othersIds = ids.filter((_, index) => index % 2 === 1);
  await measure(customer, well, 3000); // warm up
  const before: number[][] = [];
  const onset: number[][] = [];
  const afterwards: number[][] = [];
  for (let round = 0; round < 2; round++) {
    for (const hook of others) hook.mood = 'well';
    await untilNoticed(customer, othersIds, true);
    before.push(await measure(customer, well, phaseMs));
    show('before', before.at(-1) ?? []);
    for (const hook of others) hook.mood = 'hanging';
    onset.push(await measure(customer, well, ONSET_MS));
    show('onset, first 25 s', onset.at(-1) ?? []);
    await untilNoticed(customer, othersIds, false);
    afterwards.push(await measure(customer, well, phaseMs));
    show('afterwards', afterwards.at(-1) ?? []);
  }
  return compare(before, onset.flat(), afterwards.flat());
}

/** Publishes for a time, then waits for the deliveries. @returns latencies at the listeners given, ms */
async function measure(
  customer: WebhooksClient,
  listeners: readonly Hook[],
  forMs: number,
): Promise<number[]> {
  const published = await publishFor(customer, forMs);
  const expected = published.size * listeners.length;
  const deadline = performance.now() + NOTICED_WITHIN_MS;
  let latencies: number[] = [];
  while (performance.now() < deadline) {
    latencies = listeners.flatMap((listener) => arrivalsOf(published, listener));
    if (latencies.length === expected) return latencies;
    await pause(100);
  }
  throw new Error(
    `${expected - latencies.length} of ${expected} deliveries to healthy listeners did not come`,
  );
}

/** How long each event took to a listener, ms; events that have not arrived are left out. */
function arrivalsOf(published: ReadonlyMap<string, number>, { arrivals }: Hook): number[] {
  return [...published].flatMap(([id, at]) => {
    const arrival = arrivals.get(id);
    return arrival === undefined ? [] : [arrival - at];
  });
}

async function publishFor(customer: WebhooksClient, forMs: number): Promise<Map<string, number>> {
  const published = new Map<string, number>();
  const end = performance.now() + forMs;
  for (let next = performance.now(); next < end; next += publishEveryMs) {
    await pause(Math.max(0, next - performance.now()));
    await publishOne(customer, published);
  }
  return published;
}

async function publishOne(customer: WebhooksClient, published: Map<string, number>): Promise<void> {
  const at = performance.now();
  const event = newEvent();
  if (!(await publish(customer, [event]))) throw new Error('a publish failed');
  published.set(event.id, at);
}

/** Publishes until the service shows the endpoints as failing, or as healthy. */
async function untilNoticed(
  customer: WebhooksClient,
  ids: readonly string[],
  areWell: boolean,
): Promise<void> {
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
    if (areWell) for (const id of waiting) await customer.call('sendTest', { sid: id });
  }
}

/** Waits until the events held for the endpoints are delivered, so that the next span does not measure them. */
async function untilDrained(customer: WebhooksClient, ids: readonly string[]): Promise<void> {
  const deadline = performance.now() + NOTICED_WITHIN_MS;
  for (const id of ids) {
    while (((await customer.call('getSubscription', { sid: id })).health?.waiting ?? 0) > 0) {
      if (performance.now() > deadline) throw new Error('the held events were not delivered in time');
      await pause(500);
    }
  }
}

/** Afterwards may differ from before by a fifth, by one pause of the runtime, or by what two equal spans differ. */
function compare(
  before: readonly (readonly number[])[],
  onset: readonly number[],
  afterwards: readonly number[],
): boolean {
  console.log();
  const all = before.flat();
  show('before, both', all);
  show('onset, both', onset);
  show('afterwards, both', afterwards);
  const p99 = (latencies: readonly number[]) => percentile(latencies, 0.99) ?? 0;
  const [one = [], other = []] = before;
  const noise = Math.max(Math.abs(p99(one) - p99(other)), PAUSE_MS);
  const more = p99(afterwards) - p99(all);
  const ratio = p99(afterwards) / p99(all);
  const isQuick = p99(onset) <= ONSET_P99_MS;
  const isSame = ratio <= AFTERWARDS_RATIO || more <= noise;
  verdict(isQuick, `onset: p99 ${p99(onset).toFixed(0)} ms, at most ${ONSET_P99_MS} ms`);
  verdict(
    isSame,
    `afterwards: p99 ${ratio.toFixed(2)} times that before, ${more.toFixed(0)} ms more; at most ${AFTERWARDS_RATIO} times or ${noise.toFixed(0)} ms`,
  );
  const half = percentile(all, 0.5) ?? 0;
  const isBusy = half > BUSY_MS;
  if (isBusy)
    verdict(false, `before: p50 ${half.toFixed(0)} ms; the machine is too busy: give a longer --every`);
  return isQuick && isSame && !isBusy;
}

// --- A large publish ------------------------------------------------------------------------------------

async function besideWide(large: WebhooksClient, small: WebhooksClient): Promise<boolean> {
  const [own, ...wide] = hooks.all;
  if (own === undefined) throw new Error('there is no hook');
  for (const hook of wide) hook.delayMs = WIDE.delayMs;
  await subscribe(
    large,
    wide.map(({ url }) => url),
  );
  await subscribe(small, [own.url]);
  const published = new Map<string, number>();
  await publishOne(small, published); // warm up
  while (arrivalsOf(published, own).length === 0) await pause(50);
  published.clear();

  const expected = WIDE.subscriptions * WIDE.events;
  const started = performance.now();
  if (!(await publish(large, newEvents(WIDE.events)))) throw new Error('the large publish failed');
  const arrived = () => wide.reduce((sum, { delivered }) => sum + delivered.size, 0);
  let shownAt = started;
  while (arrived() < expected && performance.now() - started < WIDE.withinMs) {
    await publishOne(small, published);
    await pause(SMALL.everyMs);
    if (performance.now() - shownAt < 20_000) continue;
    shownAt = performance.now();
    console.log(
      `… ${((shownAt - started) / 1000).toFixed(0)} s: ${arrived()} of ${expected} of the large publish`,
    );
  }
  const seconds = (performance.now() - started) / 1000;
  const deadline = performance.now() + WIDE.withinMs;
  while (arrivalsOf(published, own).length < published.size && performance.now() < deadline) await pause(100);

  const waits = arrivalsOf(published, own);
  const repeats = wide.reduce((sum, hook) => sum + hook.repeats, 0);
  const longest = Math.max(...waits);
  show('small customer', waits);
  verdict(arrived() === expected, `${arrived()} of ${expected} arrived, in ${seconds.toFixed(0)} s`);
  verdict(repeats === 0, `${repeats} of them came again`);
  verdict(
    waits.length === published.size,
    `${waits.length} of ${published.size} events of the small customer arrived`,
  );
  verdict(
    longest <= SMALL.firstArrivalMs,
    `they took at most ${longest.toFixed(0)} ms; target ${SMALL.firstArrivalMs} ms`,
  );
  return (
    arrived() === expected &&
    repeats === 0 &&
    waits.length === published.size &&
    longest <= SMALL.firstArrivalMs
  );
}

// --- Both -----------------------------------------------------------------------------------------------

function show(what: string, latencies: readonly number[]): void {
  const of = (share: number) => `${percentile(latencies, share)?.toFixed(1).padStart(8)} ms`;
  console.log(`${what.padEnd(20)} p50 ${of(0.5)}   p99 ${of(0.99)}   max ${of(1)}   of ${latencies.length}`);
}

function verdict(isMet: boolean, what: string): void {
  console.log(`${isMet ? 'met   ' : 'MISSED'} ${what}`);
}
