/**
 * How the cost of a delivery grows with the subscriptions of other customers, with those of the same customer, and with
 * the number of stored events.
 */
import type { WebhooksClient } from '@identity-webhooks/client';
import { startHooks } from '../harness/hooks.ts';
import { newCustomer, subscribe } from '../harness/tenant.ts';
import { flood, sendAs } from './load.ts';
import type { Report, Target } from './report.ts';
import type { Runtime } from './runtime.ts';

const DAYS = 6;
const AT_MOST: Target = { atMost: 1.2 };

export interface GrowthSizes {
  readonly others: readonly number[];
  readonly own: readonly number[];
  readonly stored: readonly number[];
  /** Deliveries of one round. */
  readonly growthEvents: number;
  readonly rounds: number;
}

export async function growth(report: Report, runtime: Runtime, sizes: GrowthSizes): Promise<void> {
  await againstOthers(report, runtime, sizes);
  await againstOwn(report, runtime, sizes);
  await againstStored(report, runtime, sizes);
}

/** Other customers' subscriptions, which do not receive these events. */
async function againstOthers(report: Report, runtime: Runtime, sizes: GrowthSizes): Promise<void> {
  const hooks = await startHooks(1);
  const customer = await newCustomer(runtime);
  await subscribe(customer, [hooks.all[0]?.url ?? '']);
  const other = await newCustomer(runtime);
  let there = 0;
  const costs: number[] = [];
  for (const count of sizes.others) {
    report.say(`growth: ${count} subscriptions of others …`);
    await subscribe(
      other,
      Array.from({ length: count - there }, () => 'http://127.0.0.1:9/'),
      there,
    );
    there = count;
    costs.push(await costOf(customer, hooks, sizes.growthEvents, sizes.rounds));
  }
  await hooks.close();
  tell(report, 'subscriptions of others', sizes.others, costs);
}

async function againstOwn(report: Report, runtime: Runtime, sizes: GrowthSizes): Promise<void> {
  const costs: number[] = [];
  for (const count of sizes.own) {
    report.say(`growth: ${count} subscriptions of the same customer …`);
    const hooks = await startHooks(count);
    const customer = await newCustomer(runtime);
    await subscribe(
      customer,
      hooks.all.map(({ url }) => url),
    );
    const events = Math.max(100, Math.round(sizes.growthEvents / count / 100) * 100);
    costs.push((await costOf(customer, hooks, events, sizes.rounds)) / count);
    await hooks.close();
  }
  tell(report, 'own subscriptions', sizes.own, costs);
}

async function againstStored(report: Report, runtime: Runtime, sizes: GrowthSizes): Promise<void> {
  const costs: number[] = [];
  for (const count of sizes.stored) {
    report.say(`growth: ${count} events stored …`);
    const hooks = await startHooks(1);
    const customer = await newCustomer(runtime);
    const [subscription = ''] = await subscribe(customer, [hooks.all[0]?.url ?? '']);
    const { keys } = (await (await fetch(`${runtime.url}/${customer.customerId}/login/jwk`)).json()) as {
      keys: { kid: string }[];
    };
    const names = `kid=${keys[0]?.kid}&customer=${customer.customerId}&subscription=${subscription}`;
    const filled = await fetch(`${runtime.url}/bench/fill?${names}&count=${count}&days=${DAYS}`, {
      method: 'POST',
      signal: AbortSignal.timeout(180_000),
    });
    if (!filled.ok) throw new Error(`filling: ${filled.status}`);
    costs.push(await costOf(customer, hooks, sizes.growthEvents, sizes.rounds));
    await hooks.close();
    if (count > 0) await reading(report, runtime, customer, subscription, count);
  }
  tell(report, 'stored', sizes.stored, costs);
}

/** How long a large store takes to answer. */
async function reading(
  report: Report,
  runtime: Runtime,
  customer: WebhooksClient,
  subscription: string,
  count: number,
): Promise<void> {
  const name = `store of ${count.toLocaleString('en')}`;
  const { bytes, admitNewMs, admitKnownMs } = (await (
    await fetch(`${runtime.url}/bench/store?subscription=${subscription}`)
  ).json()) as { bytes: number; admitNewMs: number; admitKnownMs: number };
  const sid = subscription;
  const first = await customer.call('listEvents', { sid, query: { limit: 100 } });
  const eid = first._embedded.events[50]?.id ?? '';
  const one = await median(() => customer.call('getEvent', { sid, eid }));
  report.note(name, 'stored, each', bytes / count, 'bytes', { atMost: 200 });
  report.note(name, 'one event', one, 'ms', { atMost: 20 });
  const page = await median(() => customer.call('listEvents', { sid, query: { limit: 100, after: eid } }));
  report.note(name, 'a page of 100', page, 'ms', { atMost: 150 });
  report.note(name, 'admit of 100 new ids', admitNewMs, 'ms', { atMost: 5 });
  report.note(name, 'admit of 100 known ids', admitKnownMs, 'ms', { atMost: 5 });
}

async function median(call: () => Promise<unknown>): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < 15; round++) {
    const started = performance.now();
    await call();
    times.push(performance.now() - started);
  }
  return times.toSorted((a, b) => a - b)[7] ?? 0;
}

/** @returns time of an event with all its deliveries, ms: the best of some rounds, because noise only adds */
async function costOf(
  customer: WebhooksClient,
  hooks: Awaited<ReturnType<typeof startHooks>>,
  events: number,
  rounds: number,
): Promise<number> {
  await flood(sendAs(customer), hooks.all, 100, 100);
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    times.push((await flood(sendAs(customer), hooks.all, events, 100)).deliveredAfter);
  }
  return (Math.min(...times) * 1000) / events;
}

function tell(report: Report, what: string, counts: readonly number[], costs: readonly number[]): void {
  const [first = 1] = costs;
  for (const [index, count] of counts.entries()) {
    const cost = costs[index] ?? 0;
    const name = `growth, ${what}`;
    report.note(name, `${count.toLocaleString('en')}: a delivery`, cost, 'ms');
    if (index > 0) report.note(name, `${count.toLocaleString('en')}: ÷ smallest`, cost / first, '', AT_MOST);
  }
}
