/**
 * The scenarios, each with its targets. A scenario builds worlds, runs them, and says what it saw. `size` makes a small copy
 * of a scenario, which the suite runs.
 */
import { asAsked, hot, MANY_HOT, ONE_HOT, shorter } from './hot.ts';
import type { Latency, Mood } from './listeners.ts';
import { PRICED, prices } from './price.ts';
import { customersOf, figuresOf, latenciesIn, type Outcome, round, spread, type Target } from './report.ts';
import { inWorld, type RunOptions } from './run.ts';
import type { Customer, World } from './world.ts';

type Scenario = (options: RunOptions) => Promise<Outcome[]>;

const MINUTE_MS = 60_000;
/** A message may come so often: the first time and ten retries. */
const DELIVERIES_MAX = 11;
const SMALL_FIRST_REQUEST_MS = 2000;

const well = (latency: Latency) => (): Mood => ({ kind: 'well', latency });

// --- Wide publishes -----------------------------------------------------------------------------------

interface Wide {
  readonly customers: number;
  readonly subscriptions: number;
  readonly events: number;
  readonly latency: Latency;
}

export async function wide(size: Wide, options: RunOptions): Promise<Outcome> {
  return await inWorld(options, async (world) => {
    for (let index = 0; index < size.customers; index++) {
      const customer = world.addCustomer(`wide-${index}`, size.subscriptions, well(size.latency));
      world.at(0, () => world.publish(customer, size.events));
    }
    const small = world.addCustomer('small', 1, well(50));
    world.publishEvery(small, 1000, 1000, 21_000);
    await world.run(4 * 60 * MINUTE_MS);
    return {
      title: `${size.customers} × ${size.subscriptions} subscriptions × ${size.events} events, answers after ${size.latency} ms`,
      customers: customersOf(world),
      figures: figuresOf(world),
      targets: [...nothingIsLost(world), smallIsQuick(world, small)],
    };
  });
}

function nothingIsLost(world: World): Target[] {
  const letters = world.deadLetters();
  const most = Math.max(...world.meters.deliveries.values());
  return [
    {
      what: `all delivered: ${world.delivered} of ${world.expected}`,
      isMet: world.delivered === world.expected,
    },
    { what: `all stored: ${world.storedSuccesses()}`, isMet: world.storedSuccesses() === world.expected },
    { what: `no dead letter: ${letters}`, isMet: letters === 0 },
    { what: `no message came more than ${DELIVERIES_MAX} times: ${most}`, isMet: most <= DELIVERIES_MAX },
  ];
}

function smallIsQuick(world: World, { hooks, events }: Customer): Target {
  const [hook] = hooks;
  const waits = [...events].map(([id, at]) => (hook?.firstRequest.get(id) ?? world.clock.now) - at);
  const longest = Math.round(Math.max(...waits));
  return {
    what: `the small customer's events get their first request within ${SMALL_FIRST_REQUEST_MS} ms: at most ${longest} ms`,
    isMet: longest <= SMALL_FIRST_REQUEST_MS,
  };
}

// --- Endpoints that begin to hang -----------------------------------------------------------------------

const ONSET = { at: 10_000, noticed: 75_000, end: 115_000 };

export interface Onset {
  readonly title: string;
  /** Time between two events of a customer, ms. */
  readonly everyMs: number;
  /** Subscriptions of each customer, and how many of them begin to hang. */
  readonly customers: readonly (readonly [subscriptions: number, hanging: number])[];
  /** All endpoints of a customer are at one host; absent: each has its own. */
  readonly isOneHost?: boolean;
}

export async function onset(
  { title, everyMs, customers, isOneHost = false }: Onset,
  options: RunOptions,
): Promise<Outcome> {
  return await inWorld(options, async (world) => {
    const latency = { median: 32, sigma: 0.25 };
    const names: string[] = [];
    const turning = customers.flatMap(([subscriptions, hanging], index) => {
      const name = `tenant-${'abc'[index]}`;
      const customer = world.addCustomer(name, subscriptions, well(latency), { isOneHost });
      names.push(customer.name);
      world.publishEvery(customer, everyMs, index * 33, ONSET.end);
      return customer.hooks.slice(0, hanging);
    });
    world.at(ONSET.at, () => {
      for (const hook of turning) hook.mood = { kind: 'hanging' };
    });
    await world.run(ONSET.end + 20_000, () => false);
    const span = (from: number, to: number) => spread(latenciesIn(world, names, from, to));
    const before = span(3000, ONSET.at - 1000);
    const during = span(ONSET.at, ONSET.at + 25_000);
    const after = span(ONSET.noticed, ONSET.end);
    const ratio = round((after?.p99 ?? 0) / (before?.p99 ?? 1));
    const line = (some: typeof before) =>
      some ? `p50 ${some.p50}, p99 ${some.p99}, max ${some.max} ms` : 'none';
    return {
      title,
      customers: customersOf(world),
      figures: {
        'well, before': line(before),
        'well, 25 s from the onset': line(during),
        'well, when health knows': line(after),
        ...figuresOf(world),
      },
      targets: [
        { what: `at the onset p99 is at most 500 ms: ${during?.p99}`, isMet: (during?.p99 ?? 0) <= 500 },
        { what: `afterwards p99 is at most 1.2 times that before: ${ratio}`, isMet: ratio <= 1.2 },
      ],
    };
  });
}

const ONSETS: readonly Onset[] = [
  { title: 'five of ten begin to hang, one customer', everyMs: 100, customers: [[10, 5]] },
  { title: 'ten of twenty begin to hang, one customer', everyMs: 100, customers: [[20, 10]] },
  { title: 'five of ten at one host begin to hang', everyMs: 100, customers: [[10, 5]], isOneHost: true },
  {
    title: 'one of ten at one host begins to hang, an event every two seconds',
    everyMs: 2000,
    customers: [[10, 1]],
    isOneHost: true,
  },
  {
    title: 'all of one customer begin to hang, beside two customers that are well',
    everyMs: 100,
    customers: [
      [5, 5],
      [5, 0],
      [5, 0],
    ],
  },
];

// --- Retries beside endpoints that hang -------------------------------------------------------------------

/** The first wait of RETRY_DELAYS_SECONDS. */
const FIRST_DELAY_MS = 3000;
const RETRY_LATE_MS = 5000;

export async function retries(hanging: number, options: RunOptions): Promise<Outcome> {
  return await inWorld(options, async (world) => {
    const each = 100;
    for (let index = 0; index * each < hanging; index++) {
      const customer = world.addCustomer(`hanging-${index}`, each, () => ({ kind: 'hanging' }));
      world.at(0, () => world.publish(customer, 3));
    }
    const second: number[] = [];
    const customer = world.addCustomer('refused', 1, () => ({ kind: 'refusing once', latency: 50 }));
    world.publishEvery(customer, 10_000, 5000, 5 * MINUTE_MS);
    await world.run(15 * MINUTE_MS, () => false);
    const [hook] = customer.hooks;
    const firsts: number[] = [];
    for (const [id, at] of customer.events) {
      const first = hook?.firstRequest.get(id) ?? world.clock.now;
      firsts.push(first - at);
      second.push((hook?.delivered.get(id) ?? world.clock.now) - first - FIRST_DELAY_MS);
    }
    const late = spread(second);
    return {
      title: `${hanging} endpoints hang; another answers 503 once to each event`,
      customers: customersOf(world),
      figures: {
        'its second request, late by': late ? `p50 ${late.p50}, max ${late.max} ms` : 'none',
        ...figuresOf(world),
      },
      targets: [
        {
          what: `its second request is at most ${RETRY_LATE_MS} ms late: ${late?.max}`,
          isMet: (late?.max ?? 0) <= RETRY_LATE_MS,
        },
      ],
    };
  });
}

// --- Throughput -------------------------------------------------------------------------------------------

/** Deliveries a second between the first and the last tenth of them. */
function rateOf(world: World): number {
  const times = world.customers
    .flatMap(({ hooks }) => hooks.flatMap(({ delivered }) => [...delivered.values()]))
    .sort((a, b) => a - b);
  const at = (share: number) => times[Math.floor((times.length - 1) * share)] ?? 0;
  return round((0.8 * times.length * 1000) / Math.max(1, at(0.9) - at(0.1)));
}

/** Messages fill all consumers from the first moment on. @param messages of 20 events each, for each customer */
export async function throughput(
  title: string,
  size: { customers: number; subscriptions: number; messages: number; latency: number; consumers: number },
  options: RunOptions,
): Promise<Outcome> {
  return await inWorld({ ...options, scaling: { first: size.consumers, added: 0 } }, async (world) => {
    for (let index = 0; index < size.customers; index++) {
      const customer = world.addCustomer(`busy-${index}`, size.subscriptions, well(size.latency));
      for (let message = 0; message < size.messages; message++) {
        world.at(0, () => world.publish(customer, 20));
      }
    }
    await world.run(60 * MINUTE_MS);
    const rate = rateOf(world);
    return {
      title: `${title}, answers after ${size.latency} ms`,
      customers: customersOf(world),
      figures: {
        'deliveries/s': `${rate} with ${size.consumers} consumers (${round((rate * 250) / size.consumers)} with 250, if they add up)`,
        ...figuresOf(world),
      },
      targets: nothingIsLost(world),
    };
  });
}

const quick: Scenario = async (options) => [
  await throughput(
    'quick listeners, a full queue',
    { customers: 5, subscriptions: 20, messages: 40, latency: 10, consumers: 10 },
    options,
  ),
];

async function fanOut(latency: number, options: RunOptions): Promise<Outcome> {
  return await inWorld(options, async (world) => {
    const customer = world.addCustomer('wide', 1000, well(latency));
    world.at(0, () => world.publish(customer, 1));
    await world.run(10 * MINUTE_MS);
    const last = spread(customer.hooks.flatMap(({ firstRequest }) => [...firstRequest.values()]));
    return {
      title: `one event to 1,000 subscriptions, answers after ${latency} ms`,
      customers: customersOf(world),
      figures: {
        'last first request after, s': round(((last?.max ?? 0) - world.clock.startedAt) / 1000),
        ...figuresOf(world),
      },
      targets: nothingIsLost(world),
    };
  });
}

/** One endpoint that takes 9 s for each answer, and has more events than it can take. */
async function inTrouble(options: RunOptions): Promise<Outcome> {
  return await inWorld(options, async (world) => {
    const customer = world.addCustomer('slow', 1, well(9000));
    world.publishEvery(customer, 100, 0, 4 * MINUTE_MS);
    await world.run(4 * MINUTE_MS, () => false);
    const [hook] = customer.hooks;
    const late = [...(hook?.delivered.values() ?? [])].filter(
      (at) => at > world.clock.startedAt + 2 * MINUTE_MS,
    );
    return {
      title: 'one endpoint in trouble: 10 events/s, answers after 9 s',
      customers: customersOf(world),
      figures: { 'requests/s in the last two minutes': round(late.length / 120), ...figuresOf(world) },
      targets: [],
    };
  });
}

const capacity: Scenario = async (options) => {
  const outcomes: Outcome[] = [];
  for (const latency of [100, 1000]) {
    const one = { customers: 1, subscriptions: 1, messages: 1000, latency, consumers: 50 };
    outcomes.push(await throughput('one subscription', one, options));
    outcomes.push(await fanOut(latency, options));
    const many = { customers: 25, subscriptions: 6, messages: 40, latency, consumers: 50 };
    outcomes.push(await throughput('the account: 150 subscriptions of 25 customers', many, options));
  }
  return [...outcomes, await inTrouble(options)];
};

// --- Filters and memory -----------------------------------------------------------------------------------

export async function filters(filterMs: number, events: number, options: RunOptions): Promise<Outcome> {
  return await inWorld(options, async (world) => {
    const costly = world.addCustomer('costly', 30, well(50), { filterMs });
    const small = world.addCustomer('small', 1, well(50));
    world.at(0, () => world.publish(costly, events));
    world.publishEvery(small, 1000, 0, 20_000);
    await world.run(60 * MINUTE_MS);
    return {
      title: `filters that take ${filterMs} ms for an event, ${events} events, beside a small customer`,
      customers: customersOf(world),
      figures: figuresOf(world),
      targets: [...nothingIsLost(world), smallIsQuick(world, small)],
    };
  });
}

const MEMORY_MAX_BYTES = 32 * 1024 * 1024;

export async function memory(
  size: { subscriptions: number; messages: number; latency: number },
  options: RunOptions,
): Promise<Outcome> {
  return await inWorld(options, async (world) => {
    const customer = world.addCustomer('large', size.subscriptions, well(size.latency));
    const names = Array.from({ length: 480 }, (_, index) => `attribute${index}`.padEnd(120, 'a'));
    for (let message = 0; message < size.messages; message++) {
      world.at(0, () => world.publish(customer, 1, names));
    }
    await world.run(60 * MINUTE_MS);
    const held = world.meters.bytesMax;
    return {
      title: `${size.messages} messages with one event of 60 KB × ${size.subscriptions} subscriptions`,
      customers: customersOf(world),
      figures: figuresOf(world),
      targets: [
        ...nothingIsLost(world),
        {
          what: `an invocation holds at most 32 MiB: ${round(held / 2 ** 20)}`,
          isMet: held <= MEMORY_MAX_BYTES,
        },
      ],
    };
  });
}

// --- One host -----------------------------------------------------------------------------------------

interface OneHost {
  readonly subscriptions: number;
  readonly messages: number;
  readonly events: number;
  readonly mood: Mood;
  readonly everyMs: number;
  readonly forMs: number;
  readonly mostAtOnce: number;
}

/** All subscriptions of a customer at one host, beside a small customer. */
export async function oneHost(size: OneHost, options: RunOptions): Promise<Outcome> {
  return await inWorld(options, async (world) => {
    const customer = world.addCustomer('large', size.subscriptions, () => size.mood, { isOneHost: true });
    for (let message = 0; message < size.messages; message++) {
      world.at(message * size.everyMs, () => world.publish(customer, size.events));
    }
    const small = world.addCustomer('small', 1, well(50));
    world.publishEvery(small, 1000, 1000, 21_000);
    const isWell = size.mood.kind === 'well';
    await world.run(size.forMs, isWell ? undefined : () => false);
    const most = world.hosts.get('large')?.most ?? 0;
    return {
      title: `${size.subscriptions} subscriptions at one host (${size.mood.kind}), ${size.messages} × ${size.events} events`,
      customers: customersOf(world),
      figures: {
        ...figuresOf(world),
        'most requests at once to the host': most,
        'requests to the host': customer.hooks.reduce((sum, { requests }) => sum + requests, 0),
      },
      targets: [
        {
          what: `at most ${size.mostAtOnce} requests at once to the host: ${most}`,
          isMet: most <= size.mostAtOnce,
        },
        smallIsQuick(world, small),
        ...(isWell ? nothingIsLost(world) : []),
      ],
    };
  });
}

const ONE_HOST: readonly OneHost[] = [
  {
    subscriptions: 1000,
    messages: 1,
    events: 1,
    mood: { kind: 'well', latency: 100 },
    everyMs: 0,
    forMs: 10 * MINUTE_MS,
    mostAtOnce: 1250,
  },
  {
    subscriptions: 1000,
    messages: 20,
    events: 5,
    mood: { kind: 'well', latency: 300 },
    everyMs: 1000,
    forMs: 60 * MINUTE_MS,
    mostAtOnce: 1250,
  },
  {
    subscriptions: 1000,
    messages: 20,
    events: 5,
    mood: { kind: 'hanging' },
    everyMs: 1000,
    forMs: 10 * MINUTE_MS,
    mostAtOnce: 5,
  },
  {
    subscriptions: 1000,
    messages: 20,
    events: 5,
    mood: { kind: 'refusing' },
    everyMs: 1000,
    forMs: 10 * MINUTE_MS,
    mostAtOnce: 5,
  },
];

export const SCENARIOS: Readonly<Record<string, Scenario>> = {
  wide: async (options) => [
    await wide({ customers: 1, subscriptions: 1000, events: 500, latency: 300 }, options),
  ],
  many: async (options) => [
    await wide({ customers: 20, subscriptions: 100, events: 200, latency: 300 }, options),
  ],
  onset: async (options) => {
    const outcomes: Outcome[] = [];
    for (const one of ONSETS) outcomes.push(await onset(one, options));
    return outcomes;
  },
  host: async (options) => {
    const outcomes: Outcome[] = [];
    for (const one of ONE_HOST) outcomes.push(await oneHost(one, options));
    return outcomes;
  },
  quick,
  price: async (options) => [await prices(PRICED, options)],
  capacity,
  retries: async (options) => [await retries(500, options), await retries(5000, options)],
  filters: async (options) => [await filters(10, 200, options), await filters(10, 500, options)],
  'hot-one': async (options) => [await hot(asAsked(shorter(ONE_HOT, 30), options), options)],
  'hot-many': async (options) => [await hot(asAsked(shorter(MANY_HOT, 60), options), options)],
  'hot-hour': async (options) => [
    await hot(asAsked(ONE_HOT, options), options),
    await hot(asAsked(MANY_HOT, options), options),
  ],
  memory: async (options) => [await memory({ subscriptions: 100, messages: 100, latency: 100 }, options)],
};
