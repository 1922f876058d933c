/**
 * `npm run soak -- --minutes 3`: kills the service under load and counts lost events. It runs the service with twenty
 * subscriptions; a third of their listeners refuse, reset or hang. It publishes all the time, and kills the service with
 * `kill -9` at random moments. Local queues are in memory only, so a kill empties them: after each restart the producer
 * publishes again, under the same ids, each accepted event that some store does not show. At the end all listeners are
 * well, every delivery must become final, and no event may be lost. `--seed N` repeats the moments of the kills.
 */
import { parseArgs } from 'node:util';
import type { WebhooksClient } from '@identity-webhooks/client';
import { type Hook, type Hooks, type Mood, percentile, startHooks } from '../harness/hooks.ts';
import { freePort, launchService, makeHome, pause, type RunningService } from '../harness/service.ts';
import { eventStates, newCustomer, newEvents, publish, subscribe } from '../harness/tenant.ts';

const SUBSCRIPTIONS = 20;
const EVENTS_PER_PUBLISH = 2;
const PUBLISH_EVERY_MS = 250;
const BETWEEN_KILLS_MS = { least: 15_000, most: 40_000 };
/** Latency is not measured for events published this close to a time without service. */
const AROUND_KILL_MS = 5000;
/** Longer than the two minutes after which a dispatch lost with the local queues is due again. */
const END_WITHIN_MS = 180_000;
const VARIABLES = { RETRY_DELAYS_SECONDS: '1,2,3,4,5', ATTEMPT_TIMEOUT_SECONDS: '2' };
const UNWELL: readonly Mood[] = ['refusing', 'hanging', 'resetting'];

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '3' }, seed: { type: 'string' } },
});
const minutes = Number(values.minutes);
const seed = Number(values.seed ?? Math.floor(Math.random() * 1e6));
if (!(minutes > 0 && minutes <= 120) || !Number.isSafeInteger(seed)) {
  console.error('--minutes must be a number up to 120, --seed a whole number');
  process.exit(2);
}

interface Published {
  readonly id: string;
  readonly at: number;
}

/** One run; the end of this file calls its steps in order. */
class Soak {
  readonly #home = makeHome();
  readonly #hooks: Hooks;
  readonly #port: number;
  #service: RunningService | undefined;
  #customer: WebhooksClient | undefined;
  #subscriptions: string[] = [];
  readonly #accepted: Published[] = [];
  /** Ids of accepted events that some store may not show yet. */
  #unconfirmed = new Set<string>();
  #refusedToAnswer = 0;
  #republished = 0;
  /** Times without service, from each kill until its events are published again. */
  readonly #outages: { readonly from: number; to: number }[] = [];
  #random = seed >>> 0;

  constructor(hooks: Hooks, port: number) {
    this.#hooks = hooks;
    this.#port = port;
  }

  async start(): Promise<void> {
    await this.#launch();
    this.#customer = await newCustomer({
      url: this.#running().url,
      operatorToken: this.#home.operatorToken,
    });
    this.#subscriptions = await subscribe(
      this.#customer,
      this.#hooks.all.map(({ url }) => url),
    );
    this.#hooks.all.forEach((hook, index) => {
      if (index % 3 === 2) hook.mood = UNWELL[Math.floor(index / 3) % UNWELL.length] as Mood;
    });
  }

  /** Publishes, and kills the service now and then, until the time is over. */
  async run(forMs: number): Promise<void> {
    const end = performance.now() + forMs;
    let nextKill = performance.now() + this.#pause();
    let nextReport = performance.now();
    while (performance.now() < end) {
      await this.#publish();
      if (performance.now() > nextKill && performance.now() < end - BETWEEN_KILLS_MS.least) {
        await this.#killAndRestart();
        nextKill = performance.now() + this.#pause();
      }
      if (performance.now() > nextReport) {
        const left = Math.max(0, Math.round((end - performance.now()) / 1000));
        const arrived = this.#healthy().reduce((sum, hook) => sum + hook.delivered.size, 0);
        say(
          `… ${left} s left, ${this.#accepted.length} events accepted, ${arrived} delivered to healthy listeners`,
        );
        nextReport = performance.now() + 10_000;
      }
      await pause(PUBLISH_EVERY_MS);
    }
  }

  /** Makes every listener well, then waits until every event of every store is final. */
  async end(): Promise<Map<string, string>[]> {
    const unwell = this.#hooks.all.filter(({ mood }) => mood !== 'well');
    this.#latencies = this.#measure();
    for (const hook of this.#hooks.all) hook.mood = 'well';
    say(`… the ${unwell.length} unwell listeners are well now, and each is sent a test notification`);
    // As their owners would: the service never holds a test, and after its success it releases the held events.
    for (const [index, id] of this.#subscriptions.entries())
      if (unwell.includes(this.#hooks.all[index] as Hook)) await this.#as().call('sendTest', { sid: id });
    const deadline = performance.now() + END_WITHIN_MS;
    for (;;) {
      const stores = await this.#states();
      const open = stores.flatMap((states) => [...states.values()].filter((state) => !isFinal(state))).length;
      const absent = this.#missing(stores).size;
      if ((open === 0 && absent === 0) || performance.now() > deadline) return stores;
      say(`… ${open} deliveries are not final, ${absent} events not in every store`);
      await pause(3000);
    }
  }

  #latencies: number[] = [];

  /** @returns whether nothing was lost and every delivery became final */
  report(stores: readonly Map<string, string>[]): boolean {
    let successes = 0;
    let failures = 0;
    let open = 0;
    let lost = 0;
    let untrue = 0;
    stores.forEach((states, index) => {
      for (const { id } of this.#accepted) {
        const state = states.get(id);
        if (state === 'success') successes++;
        else if (state === 'failure') failures++;
        else if (state === undefined) lost++;
        else open++;
        if (state === 'success' && !this.#hooks.all[index]?.delivered.has(id)) untrue++;
      }
    });
    const repeats = this.#hooks.all.reduce((sum, hook) => sum + hook.repeats, 0);
    const ms = (share: number) => `${percentile(this.#latencies, share)?.toFixed(0) ?? '-'} ms`;
    say('');
    line('seed', seed);
    line('kills', this.#outages.length);
    line('accepted events', this.#accepted.length);
    line('published again after kills', this.#republished);
    line('publishes without an answer', this.#refusedToAnswer);
    line('deliveries due', this.#accepted.length * stores.length);
    line('delivered', successes);
    line('final failures, stored', failures);
    line('not final in time', open);
    line('duplicates at listeners', repeats);
    line('successes without a request', untrue);
    line('LOST', lost);
    line('healthy, p50 / p99', `${ms(0.5)} / ${ms(0.99)} of ${this.#latencies.length} first arrivals`);
    return lost === 0 && untrue === 0 && open === 0;
  }

  async clean(): Promise<void> {
    await this.#service?.kill();
    await this.#hooks.close();
    this.#home.remove();
  }

  async #publish(): Promise<void> {
    const events = newEvents(EVENTS_PER_PUBLISH);
    const at = performance.now();
    if (!(await publish(this.#as(), events))) {
      this.#refusedToAnswer++;
      return; // not accepted: this producer drops the events
    }
    for (const { id } of events) {
      this.#accepted.push({ id, at });
      this.#unconfirmed.add(id);
    }
  }

  async #killAndRestart(): Promise<void> {
    const outage = { from: performance.now(), to: Number.POSITIVE_INFINITY };
    this.#outages.push(outage);
    // Kill it while it works, also on a publish.
    const underWay = this.#publish();
    await pause(this.#chance() * 50);
    await this.#running().kill();
    await underWay;
    await this.#launch();
    const missing = this.#missing(await this.#states());
    say(`… killed and back after ${seconds(outage.from)}; ${missing.size} events published again`);
    const again = [...missing].map((id) => ({ id }));
    for (let start = 0; start < again.length; start += 100) {
      while (!(await publish(this.#as(), again.slice(start, start + 100)))) await pause(200);
    }
    this.#republished += missing.size;
    outage.to = performance.now();
  }

  /** @returns accepted events that some store does not show; later calls ask for these alone */
  #missing(stores: readonly ReadonlyMap<string, string>[]): Set<string> {
    const missing = new Set([...this.#unconfirmed].filter((id) => !stores.every((states) => states.has(id))));
    this.#unconfirmed = missing;
    return missing;
  }

  async #states(): Promise<Map<string, string>[]> {
    const all: Map<string, string>[] = [];
    for (const id of this.#subscriptions) all.push(await eventStates(this.#as(), id));
    return all;
  }

  /** @returns latencies, ms, at listeners that were always well, of events published away from the kills */
  #measure(): number[] {
    const calm = this.#accepted.filter(
      ({ at }) =>
        !this.#outages.some(({ from, to }) => at > from - AROUND_KILL_MS && at < to + AROUND_KILL_MS),
    );
    return this.#healthy().flatMap((hook) =>
      calm.flatMap(({ id, at }) => {
        const arrival = hook.arrivals.get(id);
        return arrival === undefined ? [] : [arrival - at];
      }),
    );
  }

  #healthy(): Hook[] {
    return this.#hooks.all.filter(({ mood }) => mood === 'well');
  }

  async #launch(): Promise<void> {
    const launched = launchService(this.#home, VARIABLES, this.#port);
    this.#service = launched;
    await launched.ready();
  }

  #running(): RunningService {
    if (this.#service === undefined) throw new Error('not started');
    return this.#service;
  }

  #as(): WebhooksClient {
    if (this.#customer === undefined) throw new Error('not started');
    return this.#customer;
  }

  #pause(): number {
    return BETWEEN_KILLS_MS.least + this.#chance() * (BETWEEN_KILLS_MS.most - BETWEEN_KILLS_MS.least);
  }

  /** @returns a number from 0 to 1; the same seed gives the same numbers */
  #chance(): number {
    this.#random = (Math.imul(this.#random, 1_664_525) + 1_013_904_223) >>> 0;
    return this.#random / 2 ** 32;
  }
}

function isFinal(state: string): boolean {
  return state === 'success' || state === 'failure';
}

function say(text: string): void {
  console.log(text);
}

function line(what: string, figure: number | string): void {
  say(`${what.padEnd(30)} ${figure}`);
}

function seconds(since: number): string {
  return `${((performance.now() - since) / 1000).toFixed(1)} s`;
}

say(`soak of ${minutes} min, seed ${seed}; starting the service …`);
const soak = new Soak(await startHooks(SUBSCRIPTIONS), await freePort());
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void soak.clean().finally(() => process.exit(130)));
let passed = false;
try {
  await soak.start();
  await soak.run(minutes * 60_000);
  passed = soak.report(await soak.end());
} finally {
  await soak.clean();
}
process.exit(passed ? 0 : 1);
