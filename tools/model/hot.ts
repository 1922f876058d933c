/**
 * Hot subscriptions: a steady load for as long as one likes, with an outage in it. What is kept of a run does not grow with it: of the
 * events a sample of 100,000 is remembered, and of each second a few figures. The stores have their events in memory.
 */
import type { Latency, Mood } from './listeners.ts';
import { CONSUMERS_MAX, QUEUE_LIMITS } from './platform.ts';
import { figuresOf, type Outcome, round, spread } from './report.ts';
import { inWorld, type RunOptions } from './run.ts';

export interface Hot {
  readonly customers: number;
  /** Event stores of each subscription. */
  readonly shards: number;
  /** Consumers of each queue; absent: all that the platform gives. */
  readonly consumers?: number;
  /** Messages that a queue takes in a second; absent: the platform's limit. */
  readonly messagesPerSecond?: number;
  /** Calls of publish in a second, of one customer, and events of each. */
  readonly callsPerSecond: number;
  readonly eventsPerCall: number;
  readonly latency: Latency;
  readonly seconds: number;
  /** The listeners refuse everything in this span, seconds from the start. */
  readonly outage?: readonly [from: number, to: number];
}

/** Not measured are this long after the beginning and after a repair, in a short run a sixth of it, s. */
const WARM_UP_SECONDS = 60;
/** Not measured is this long before an outage: what comes then may not be attempted before the outage begins, s. */
const LEAD_SECONDS = 1;
const HOT_P99_MS = 1000;
const STORE_CALLS_MAX = 400;
const SAMPLE = 100_000;
/** What waits is counted this often, s. */
const LOOK_SECONDS = 2;
const DRAIN_MAX_MS = 3 * 3600 * 1000;

/** The spans of a run, in order. */
type Phase = 'before' | 'outage' | 'draining' | 'after';

/** The most that was seen in a phase. */
class Most {
  readonly #most = new Map<Phase, number>();

  note(phase: Phase, value: number): void {
    this.#most.set(phase, Math.max(this.#most.get(phase) ?? 0, value));
  }

  toString(): string {
    return [...this.#most].map(([phase, value]) => `${phase} ${value}`).join(', ');
  }
}

export async function hot(size: Hot, options: RunOptions): Promise<Outcome> {
  // They are there from the beginning: the load goes on for hours, and they come within a minute.
  const { consumers: first = CONSUMERS_MAX, messagesPerSecond = QUEUE_LIMITS.perSecond } = size;
  const scaling = { first, added: 0, messagesPerSecond };
  return await inWorld({ ...options, scaling }, async (world) => {
    const { customers, shards, callsPerSecond, eventsPerCall, latency, seconds, outage } = size;
    const total = customers * callsPerSecond * eventsPerCall * seconds;
    const sampleOf = Math.max(1, Math.round(total / SAMPLE));
    const everyMs = 1000 / callsPerSecond;
    const warmUp = Math.min(WARM_UP_SECONDS, seconds / 6);
    const all = Array.from({ length: customers }, (_, index) => {
      const customer = world.addCustomer(`hot-${index}`, 1, () => ({ kind: 'well', latency }), {
        shards,
        sampleOf,
      });
      world.publishSteadily(customer, everyMs, (everyMs * index) / customers, seconds * 1000, eventsPerCall);
      return customer;
    });
    const hooks = all.flatMap((customer) => customer.hooks);
    const turn = (mood: Mood) => {
      for (const hook of hooks) hook.mood = mood;
    };
    if (outage !== undefined) {
      world.at(outage[0] * 1000, () => turn({ kind: 'refusing' }));
      world.at(outage[1] * 1000, () => turn({ kind: 'well', latency }));
    }
    const published = () => all.reduce((sum, customer) => sum + customer.published, 0);
    const { startedAt } = world.clock;
    const secondOf = (at: number) => (at - startedAt) / 1000;

    /** When everything that waited was delivered, s; `undefined`: not yet. */
    let drainedAt: number | undefined;
    const phaseAt = (second: number): Phase => {
      if (outage === undefined || second < outage[0]) return 'before';
      if (second < outage[1]) return 'outage';
      return drainedAt === undefined || second < drainedAt ? 'draining' : 'after';
    };
    const waits = new Most();
    const depth = new Most();
    const look = () => {
      const second = world.elapsedMs / 1000;
      const waiting = world.waitingDeliveries();
      // A request without an answer for a moment is one, too.
      if (outage !== undefined && second > outage[1] && waiting <= hooks.length) drainedAt ??= second;
      waits.note(phaseAt(second), waiting);
      depth.note(
        phaseAt(second),
        [...world.queues.values()].reduce((sum, queue) => sum + queue.ready, 0),
      );
      options.progress?.(`${round(second)} s: published ${published()}, waiting ${waiting}`);
      if (second < seconds || waiting > 0) world.at((second + LOOK_SECONDS) * 1000, look);
    };
    world.at(LOOK_SECONDS * 1000, look);
    let looked = 0;
    await world.run(seconds * 1000 + DRAIN_MAX_MS, () => {
      if (world.elapsedMs < seconds * 1000 || ++looked % 5 !== 0 || world.openDeliveries() > 0) return false;
      return world.storedSuccesses() === published();
    });
    // The last retries of an outage wait an hour.
    await world.waitFor(() => world.storedSuccesses() === published(), seconds * 1000 + DRAIN_MAX_MS);

    // A probe shows that a listener is back. Until then its events are held; the last listener counts.
    const firstSuccess = ({ delivered }: (typeof hooks)[number], from: number) =>
      [...delivered.values()]
        .map(secondOf)
        .reduce(
          (first, second) => (second >= from ? Math.min(first, second) : first),
          Number.POSITIVE_INFINITY,
        );
    const back =
      outage && Math.max(...hooks.map((hook) => firstSuccess(hook, outage[1])).filter(Number.isFinite));
    const isIn = (at: number, from: number, to: number) => secondOf(at) >= from && secondOf(at) < to;
    const waitsOf = (
      times: (hook: (typeof hooks)[number]) => ReadonlyMap<string, number>,
      spans: readonly (readonly [from: number, to: number])[],
    ) =>
      spread(
        all.flatMap((customer) =>
          [...customer.events].flatMap(([id, at]) =>
            spans.some(([from, to]) => isIn(at, from, to))
              ? customer.hooks.map((hook) => (times(hook).get(id) ?? world.clock.now) - at)
              : [],
          ),
        ),
      );
    const before = [warmUp, outage === undefined ? seconds : outage[0] - LEAD_SECONDS] as const;
    const after = [(back ?? seconds) + warmUp, seconds] as const;
    const firstRequest = ({ firstRequest: times }: (typeof hooks)[number]) => times;
    const well = waitsOf(firstRequest, [before, after]);
    const busiest = new Most();
    let callsMost = 0;
    let callsMostAt = 0;
    let isWarm = 0;
    for (const [at, calls] of world.callsMost) {
      const second = secondOf(at * 1000);
      busiest.note(phaseAt(second), calls);
      if (second >= 1) isWarm = Math.max(isWarm, calls);
      if (calls > callsMost) [callsMost, callsMostAt] = [calls, second];
    }
    const letters = world.deadLetters();
    const kept = world.storedSuccesses();
    const line = (some: typeof well) =>
      some ? `p50 ${some.p50}, p99 ${some.p99}, max ${some.max} ms` : 'none';
    return {
      title: `${customers} hot subscriptions with ${shards} stores each, ${customers * callsPerSecond * eventsPerCall} events/s in calls of ${eventsPerCall}, answers after ${typeof latency === 'number' ? latency : latency.median} ms, ${seconds} s${outage === undefined ? '' : `, all refused from ${outage[0]} to ${outage[1]} s`}`,
      customers: [],
      figures: {
        published: published(),
        'first request while well': line(well),
        'first request before the outage': line(waitsOf(firstRequest, [before])),
        ...(outage === undefined || back === undefined
          ? {}
          : {
              'back after, s': round(back),
              'drained after, s': drainedAt === undefined ? 'never' : round(drainedAt),
              'first request, came in the outage': line(waitsOf(firstRequest, [[outage[0], back]])),
              'first request, came after it': line(waitsOf(firstRequest, [after])),
            }),
        'stored while well': line(waitsOf((hook) => hook.stored, [before, after])),
        'most that waited in stores': String(waits),
        'most messages that waited in queues': String(depth),
        'most calls of a store in a second': `${callsMost}, at ${round(callsMostAt)} s; ${busiest}; after the first second ${isWarm}`,
        stores: world.namespace.objects.size,
        requests: hooks.reduce((sum, { requests }) => sum + requests, 0),
        ...figuresOf(world),
      },
      targets: [
        { what: `all stored: ${kept} of ${published()}`, isMet: kept === published() },
        { what: `no dead letter: ${letters}`, isMet: letters === 0 },
        { what: `p99 while well is at most 1 s: ${well?.p99}`, isMet: (well?.p99 ?? 0) <= HOT_P99_MS },
        {
          what: `no store gets more than ${STORE_CALLS_MAX} calls in a second after the first: ${isWarm}`,
          isMet: isWarm <= STORE_CALLS_MAX,
        },
      ],
    };
  });
}

const LATENCY: Latency = { median: 32, sigma: 0.25 };
const HOUR: Pick<Hot, 'latency' | 'seconds' | 'outage'> = {
  latency: LATENCY,
  seconds: 3600,
  outage: [1200, 1800],
};
export const ONE_HOT: Hot = { ...HOUR, customers: 1, shards: 16, callsPerSecond: 2500, eventsPerCall: 2 };
export const MANY_HOT: Hot = { ...HOUR, customers: 1000, shards: 1, callsPerSecond: 4, eventsPerCall: 5 };

/** The same in a part of the time. */
export function shorter(size: Hot, times: number): Hot {
  const [from = 0, to = 0] = size.outage ?? [];
  return { ...size, seconds: size.seconds / times, outage: [from / times, to / times] };
}

/** The same with the stores, the span, the outage and the part of the customers that the command names. */
export function asAsked(asked: Hot, { seconds, outage, shards, parts = 1 }: RunOptions): Hot {
  const part = partOf(asked, parts);
  const size = shards === undefined ? part : { ...part, shards };
  if (seconds === undefined) return size;
  return outage === undefined ? { ...withoutOutage(size), seconds } : { ...size, seconds, outage };
}

/** One of some equal parts of an account. @throws Error when its customers cannot be shared out so */
function partOf(size: Hot, parts: number): Hot {
  const { customers, consumers = CONSUMERS_MAX, messagesPerSecond = QUEUE_LIMITS.perSecond } = size;
  if (!(parts >= 1 && customers % parts === 0 && consumers % parts === 0)) {
    throw new Error(`--parts ${parts} must divide ${customers} customers and ${consumers} consumers`);
  }
  return {
    ...size,
    customers: customers / parts,
    consumers: consumers / parts,
    messagesPerSecond: messagesPerSecond / parts,
  };
}

function withoutOutage({ outage: _, ...size }: Hot): Hot {
  return size;
}
