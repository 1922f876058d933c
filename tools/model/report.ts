/** What a run shows: one line of figures for each customer, one for the whole, and the targets with their verdicts. */

import { price } from '../bench/prices.ts';
import { percentile } from '../harness/hooks.ts';
import type { World } from './world.ts';

export interface Target {
  readonly what: string;
  readonly isMet: boolean;
}

export interface Outcome {
  /** What was varied within the scenario. */
  readonly title: string;
  readonly customers: readonly CustomerFigures[];
  readonly figures: Readonly<Record<string, number | string>>;
  readonly targets: readonly Target[];
}

interface Spread {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly max: number;
}

export interface CustomerFigures {
  readonly name: string;
  readonly expected: number;
  readonly delivered: number;
  readonly repeats: number;
  /** From acceptance to the first request, ms. */
  readonly first: Spread | undefined;
  /** From acceptance to the stored success, ms. */
  readonly stored: Spread | undefined;
}

export function spread(values: readonly number[]): Spread | undefined {
  if (values.length === 0) return undefined;
  const sorted = [...values].sort((a, b) => a - b);
  const of = (share: number) => Math.round(percentile(sorted, share) ?? 0);
  return { p50: of(0.5), p95: of(0.95), p99: of(0.99), max: Math.round(sorted.at(-1) ?? 0) };
}

/** The figures of each customer; of many customers with equal names only their sum. */
export function customersOf(world: World): CustomerFigures[] {
  return [...Map.groupBy(world.customers, ({ name }) => name.replace(/-\d+$/, ''))].map(([name, some]) => {
    const first: number[] = [];
    const stored: number[] = [];
    let [expected, delivered, repeats] = [0, 0, 0];
    for (const { hooks, events } of some) {
      for (const hook of hooks) {
        expected += events.size;
        delivered += hook.delivered.size;
        repeats += hook.repeats;
        for (const [id, at] of hook.firstRequest) first.push(at - (events.get(id) ?? at));
        for (const [id, at] of hook.stored) stored.push(at - (events.get(id) ?? at));
      }
    }
    const label = some.length === 1 ? name : `${some.length} × ${name}`;
    return { name: label, expected, delivered, repeats, first: spread(first), stored: spread(stored) };
  });
}

/** What the run cost and used. */
export function figuresOf(world: World): Record<string, number | string> {
  const { meters } = world;
  const { units } = meters;
  // Of a long run only a sample of the requests is remembered, and all that is stored.
  const delivered = Math.max(1, world.delivered, world.storedSuccesses());
  const dollars = price(units, {
    cpuMilliseconds: meters.cpuMs,
    objectSeconds: meters.objectMs / 1000,
    storedBytes: 0,
  });
  const events = world.queues.get('webhook-events');
  return {
    'virtual seconds': round(world.elapsedMs / 1000),
    delivered: world.delivered,
    expected: world.expected,
    stored: world.storedSuccesses(),
    'dead letters': world.deadLetters(),
    'most deliveries of a message': [...meters.deliveries]
      .map(([name, most]) => `${short(name)} ${most}`)
      .join(', '),
    invocations: units.requests,
    'most consumers at once': [...world.queues.values()]
      .map(({ name, runningMost }) => `${short(name)} ${runningMost}`)
      .join(', '),
    'store calls': [...meters.calls].map(([name, calls]) => `${name} ${calls}`).join(', '),
    'rows written': units.objectRowsWritten,
    'queue operations': units.queueOperations,
    'calls of publish without room in the queue': world.refusedPublishes,
    'D1 queries': meters.d1Queries,
    'CPU s': round(meters.cpuMs / 1000),
    'most CPU of an invocation, s': round(meters.cpuMsMax / 1000),
    'most subrequests of an invocation': meters.subrequestsMax,
    'most MB held by an invocation': round(meters.bytesMax / 1e6),
    'waited for a connection': meters.queuedForConnection,
    'killed invocations': [...meters.killed].map(([why, times]) => `${why} ${times}`).join(', ') || 0,
    'waitUntil cut off': meters.drained,
    '$ per million deliveries': round((dollars / delivered) * 1e6),
    'messages left': events?.waiting ?? 0,
  };
}

function short(queue: string): string {
  return queue.replace('webhook-', '');
}

export function round(value: number): number {
  return Number(value.toPrecision(4));
}

/** @returns the first-request latencies of events accepted in a span, ms from the start of the run */
export function latenciesIn(world: World, names: readonly string[], from: number, to: number): number[] {
  const latencies: number[] = [];
  const { startedAt, now } = world.clock;
  for (const { name, hooks, events } of world.customers) {
    if (!names.includes(name)) continue;
    for (const hook of hooks) {
      if (hook.mood.kind !== 'well') continue;
      for (const [id, at] of events) {
        if (at < startedAt + from || at >= startedAt + to) continue;
        latencies.push((hook.firstRequest.get(id) ?? now) - at);
      }
    }
  }
  return latencies;
}

export function show({ title, customers, figures, targets }: Outcome): void {
  console.log(`\n${title}`);
  const seconds = (span: Spread | undefined) =>
    span === undefined
      ? 'none'
      : [span.p50, span.p95, span.p99, span.max].map((ms) => (ms / 1000).toFixed(2).padStart(8)).join('');
  console.log(
    `  ${'customer'.padEnd(22)}${'delivered'.padStart(18)}${'repeats'.padStart(9)}   first request, s:  p50     p95     p99     max`,
  );
  for (const { name, expected, delivered, repeats, first, stored } of customers) {
    console.log(
      `  ${name.padEnd(22)}${`${delivered}/${expected}`.padStart(18)}${String(repeats).padStart(9)}              ${seconds(first)}`,
    );
    console.log(`  ${''.padEnd(49)}       stored ${seconds(stored)}`);
  }
  for (const [name, value] of Object.entries(figures)) console.log(`  ${name.padEnd(36)}${value}`);
  for (const { what, isMet } of targets) console.log(`  ${isMet ? 'met   ' : 'MISSED'} ${what}`);
}
