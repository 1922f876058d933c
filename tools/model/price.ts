/**
 * What a delivery costs in the situations that customers have: by the prices of `npm run bench`, in virtual time, from the publish
 * until the sweep has deleted it a week later. Everything that is billed is counted; processor time is the model's.
 */
import { price } from '../bench/prices.ts';
import type { Mood } from './listeners.ts';
import { type Outcome, round, type Target } from './report.ts';
import { inWorld, type RunOptions } from './run.ts';
import type { Customer, World } from './world.ts';

const SECOND_MS = 1000;
const DAY_MS = 86_400_000;
/** Retention is seven days; some segments expire half an hour later. */
const SWEPT_AFTER_MS = 9 * DAY_MS;

export interface Priced {
  readonly title: string;
  readonly subscriptions?: number;
  readonly mood: Mood;
  /** When the listeners begin to answer, ms; absent: from the first request on. */
  readonly wellFrom?: number;
  readonly publishes: Publishes;
  /** Dollars for a million deliveries, at most. */
  readonly atMost?: number;
}

/** What one situation costs, for each delivery, and in dollars for a million. */
export interface Price {
  readonly title: string;
  readonly rows: number;
  readonly queueOperations: number;
  readonly requests: number;
  readonly objectRequests: number;
  readonly logLines: number;
  readonly storedBytes: number;
  readonly dollars: number;
  readonly atMost?: number;
}

/** So many publishes, one every so often. */
type Publishes = readonly [count: number, events: number, everyMs: number];

function publish(world: World, customer: Customer, [count, events, everyMs]: Publishes): void {
  for (let index = 0; index < count; index++)
    world.at(index * everyMs, () => world.publish(customer, events));
}

const answersAfter = (latency: number): Mood => ({ kind: 'well', latency });

export const PRICED: readonly Priced[] = [
  ...(
    [
      [1, 0.08],
      [100, 0.08],
      [500, 0.21],
      [1000, 0.4],
    ] as const
  ).map(
    ([latency, atMost]): Priced => ({
      title: `arrays of 100, answers after ${latency / 1000} s`,
      mood: answersAfter(latency),
      publishes: [10, 100, SECOND_MS],
      atMost,
    }),
  ),
  {
    title: 'arrays of 100, headers of a proxy',
    mood: { kind: 'well', latency: 1, behindProxy: true },
    publishes: [10, 100, SECOND_MS],
    atMost: 0.09,
  },
  { title: 'arrays of 10', mood: answersAfter(1), publishes: [100, 10, 100], atMost: 0.4 },
  { title: 'one by one, 100 a second', mood: answersAfter(1), publishes: [1000, 1, 10], atMost: 2.8 },
  { title: 'one by one, 5 a second', mood: answersAfter(1), publishes: [500, 1, 200], atMost: 3.4 },
  {
    title: 'single events to 100 subscriptions',
    subscriptions: 100,
    mood: answersAfter(1),
    // A minute: the alarms of a store's last days would weigh too much on a few events.
    publishes: [60, 1, SECOND_MS],
    atMost: 1.5,
  },
  {
    title: 'arrays of 20 to 100 subscriptions',
    subscriptions: 100,
    mood: answersAfter(1),
    publishes: [2, 20, SECOND_MS],
    atMost: 0.25,
  },
  {
    title: 'refused once, then taken, one every 10 s',
    mood: { kind: 'refusing once', latency: 1 },
    publishes: [200, 1, 10 * SECOND_MS],
    atMost: 8.1,
  },
  {
    title: 'refused once, then taken, one a second',
    mood: { kind: 'refusing once', latency: 1 },
    publishes: [200, 1, SECOND_MS],
    atMost: 8,
  },
  {
    title: 'held while failing, then drained',
    mood: { kind: 'refusing' },
    wellFrom: 120 * SECOND_MS,
    publishes: [10, 100, 5 * SECOND_MS],
    atMost: 8.2,
  },
];

/** One line for each situation, a delivery each. */
export async function prices(
  priced: readonly Priced[],
  options: RunOptions,
): Promise<Outcome & { readonly prices: readonly Price[] }> {
  const figures: Record<string, string> = {};
  const targets: Target[] = [];
  const all: Price[] = [];
  for (const [index, each] of priced.entries()) {
    options.progress?.(each.title);
    // Each has ids of its own: an isolate remembers how quick the listener of a subscription was in the last situation.
    const { of, isWhole } = await priceOf(each, { ...options, seed: options.seed + index });
    all.push(of);
    figures[each.title] = lineOf(of);
    targets.push({ what: `all delivered, stored and deleted: ${each.title}`, isMet: isWhole });
    const { atMost = Number.POSITIVE_INFINITY } = each;
    targets.push({ what: `at most $${atMost}: ${each.title}`, isMet: of.dollars <= atMost });
  }
  return { title: 'for each delivery, and $ for a million', customers: [], figures, targets, prices: all };
}

async function priceOf(priced: Priced, options: RunOptions) {
  return await inWorld(options, async (world) => {
    const { subscriptions = 1, mood, wellFrom = 0, publishes } = priced;
    const customer = world.addCustomer('priced', subscriptions, () => mood);
    publish(world, customer, publishes);
    const [count, , everyMs] = publishes;
    const lastAt = Math.max(wellFrom, count * everyMs);
    if (wellFrom > 0)
      world.at(wellFrom, () => {
        for (const hook of customer.hooks) hook.mood = answersAfter(1);
      });
    await world.run(DAY_MS, () => world.elapsedMs > lastAt + 2 * SECOND_MS && world.isDone());
    await world.waitFor(() => world.isDone(), DAY_MS);
    // The last results are stored a second later.
    await world.wait(10 * SECOND_MS);
    const isStored = world.storedSuccesses() === world.expected;
    const storedBytes = world.storedBytes();
    await world.wait(SWEPT_AFTER_MS);
    const { units, cpuMs, objectMs } = world.meters;
    const dollars = price(units, { cpuMilliseconds: cpuMs, objectSeconds: objectMs / 1000, storedBytes });
    const each = (value: number) => round(value / world.delivered);
    const of: Price = {
      title: priced.title,
      rows: each(units.objectRowsWritten + units.d1RowsWritten),
      queueOperations: each(units.queueOperations),
      requests: each(units.requests),
      objectRequests: each(units.objectRequests),
      logLines: each(units.logLines),
      storedBytes: each(storedBytes),
      dollars: round((dollars / world.delivered) * 1e6),
      ...(priced.atMost === undefined ? {} : { atMost: priced.atMost }),
    };
    return { of, isWhole: isStored && world.storedSuccesses() === 0 };
  });
}

function lineOf(of: Price): string {
  return [
    `rows ${of.rows}`,
    `queue operations ${of.queueOperations}`,
    `requests ${of.requests} + ${of.objectRequests} of objects`,
    `log lines ${of.logLines}`,
    `bytes ${of.storedBytes}`,
    `$${of.dollars}`,
  ].join(', ');
}
