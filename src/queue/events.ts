/**
 * Consumer of `webhook-events` and `webhook-slices`.
 *
 * `webhook-events` carries events that producers published, packed by us or sent straight by another Worker. A narrow message
 * makes few deliveries and takes few steps of filters: it is delivered at once. A wide message is split into slices, which go to
 * `webhook-slices`. So a narrow message never waits behind a wide one. What an invocation has no time for is sent on as a
 * slice, too.
 *
 * A message is acknowledged as soon as every event of it is settled, or sent on, for every subscription that receives it. It
 * returns to the queue only when something failed. A member that can never be processed becomes a dead letter of its own; the
 * rest of the message goes on.
 */
import type { LoadFilters } from '../delivery/filters.ts';
import { FirstAttempts } from '../delivery/first-attempts.ts';
import { hostsOfSeveral, sharedHosts } from '../delivery/hosts.ts';
import { Invocation } from '../delivery/invocation.ts';
import type { DeliveryPorts, SlicesQueue } from '../delivery/ports.ts';
import { type Addressed, type Route, route, type Width, widthOf } from '../delivery/route.ts';
import { split } from '../delivery/slices.ts';
import {
  EVENTS_BUDGET_MS,
  EVENTS_ROUTES_AT_ONCE,
  NARROW_MAX_DELIVERIES,
  NARROW_MAX_FILTER_STEPS,
  SLICE_DELIVERIES,
  SLICES_BUDGET_MS,
  SLICES_EVENTS_AT_ONCE,
} from '../delivery/tuning.ts';
import { outageBehind } from '../domain/errors.ts';
import type { IdentityEvent } from '../domain/event.ts';
import type { Recipient } from '../domain/subscription.ts';
import { describeError, logWarn } from '../log.ts';
import { QUEUE_MAX_RETRIES, QUEUES } from '../outbound/queues.ts';
import type { DeadLetter } from '../storage/dead-letters.ts';
import type { Audience } from '../storage/recipients.ts';
import { acknowledge } from './acknowledge.ts';
import { type EventMessage, readEventMessage } from './event-message.ts';
import { deadLetterOf } from './letters.ts';
import { Progress } from './progress.ts';
import { type Lettered, logLetters, logStored, storeLetters } from './store-letters.ts';

/** What the consumer needs besides delivering. */
export interface EventsPorts extends DeliveryPorts {
  readonly captureDomain: string;
  /** @param acceptedAt when the newest event was accepted: changes that were answered before must be known */
  findAudiences(customerIds: readonly string[], acceptedAt: number): Promise<ReadonlyMap<string, Audience>>;
  findAudiencesOf(
    customerIds: readonly string[],
    subscriptionIds: readonly string[],
  ): Promise<ReadonlyMap<string, Audience>>;
  readonly findFilters: LoadFilters;
  openKeys(kids: readonly string[]): Promise<void>;
  readonly deadLetters: {
    store(letters: readonly DeadLetter[]): Promise<void>;
    send(letters: readonly DeadLetter[]): Promise<void>;
  };
}

/** How an invocation works on the messages of one of the two queues. */
interface Lane {
  readonly queue: string;
  /** What one message may take here; a wider one is split. */
  readonly max: Width;
  readonly budgetMs: number;
  /** Subscriptions that it works on at once. */
  routesAtOnce(routes: readonly Route[]): number;
  /** Deliveries of a slice with what this lane could not finish: the slices of a wide message stay as they are. */
  readonly restDeliveries: number;
  /** The rest of a narrow message stays among the narrow ones: it must not wait behind wide ones. */
  readonly restTo: SlicesQueue;
}

const EVENTS_LANE: Lane = {
  queue: QUEUES.events,
  max: { deliveries: NARROW_MAX_DELIVERIES, steps: NARROW_MAX_FILTER_STEPS },
  budgetMs: EVENTS_BUDGET_MS,
  routesAtOnce: () => EVENTS_ROUTES_AT_ONCE,
  restDeliveries: SLICE_DELIVERIES,
  restTo: 'events',
};

const SLICES_LANE: Lane = {
  queue: QUEUES.slices,
  max: { deliveries: Number.POSITIVE_INFINITY, steps: Number.POSITIVE_INFINITY },
  budgetMs: SLICES_BUDGET_MS,
  // As few as keep the connections busy: so results share calls of `settle`, and what is begun is finished.
  routesAtOnce: (routes) => {
    const events = routes.reduce((sum, one) => sum + one.events.length, 0);
    const each = Math.max(1, events / Math.max(1, routes.length));
    return Math.max(2, Math.ceil(SLICES_EVENTS_AT_ONCE / each));
  },
  restDeliveries: Number.POSITIVE_INFINITY,
  restTo: 'slices',
};

type Reading = EventMessage & { readonly message: Message<unknown> };

/** A message with events that can never be processed. */
type Refused = Lettered & Pick<Reading, 'message' | 'requestId'> & { readonly progress: Progress };

const NO_CUSTOMER = 'customerId names no customer';

/** Handles a batch of `webhook-events`. Never rejects: a message that is not done returns to the queue. */
export const consumeEvents = (messages: readonly Message<unknown>[], ports: EventsPorts) =>
  consumeIn(EVENTS_LANE, messages, ports);

/** Handles a batch of `webhook-slices`. Never rejects: a message that is not done returns to the queue. */
export const consumeSlices = (messages: readonly Message<unknown>[], ports: EventsPorts) =>
  consumeIn(SLICES_LANE, messages, ports);

async function consumeIn(
  lane: Lane,
  messages: readonly Message<unknown>[],
  ports: EventsPorts,
): Promise<void> {
  const readings = messages.map((message) => ({
    message,
    ...readEventMessage(message, ports.now(), lane.restTo === 'slices'),
  }));
  const customers = new Set(readings.flatMap(({ events }) => events.map(([, { customerId }]) => customerId)));
  const invocation = new Invocation(ports, lane.budgetMs, customers);
  let audiences: ReadonlyMap<string, Audience>;
  try {
    audiences = await findAudiences(readings, [...customers], ports);
  } catch (error) {
    logWarn('batch returned to the queue', {
      queue: lane.queue,
      messages: messages.length,
      error: describeError(error),
    });
    await Promise.all(
      readings.map((reading) =>
        acknowledge(reading.message, false, () => giveUp(reading, ports), reading.failures),
      ),
    );
    return;
  }
  await new Batch(lane, ports, audiences, invocation).work(readings);
  await invocation.end();
}

/** Slices of one batch name their subscriptions, so only those are read. */
async function findAudiences(
  readings: readonly Reading[],
  customerIds: readonly string[],
  ports: EventsPorts,
): Promise<ReadonlyMap<string, Audience>> {
  if (customerIds.length === 0) return new Map();
  const named = readings.map(({ subscriptions }) => subscriptions);
  if (named.every((ids) => ids !== undefined)) {
    return await ports.findAudiencesOf(customerIds, [...new Set(named.flat())]);
  }
  const times = readings.flatMap(({ events }) => events.map(([, { acceptedAt }]) => acceptedAt));
  return await ports.findAudiences(
    customerIds,
    times.reduce((a, b) => Math.max(a, b)),
  );
}

/** The messages of one invocation: delivers what is narrow, and splits what is wide. */
class Batch {
  readonly #lane: Lane;
  readonly #ports: EventsPorts;
  readonly #audiences: ReadonlyMap<string, Audience>;
  readonly #invocation: Invocation;
  #readings: readonly Reading[] = [];
  /** The messages that wait for an event of a narrow group. An event may come in several messages. */
  readonly #waiting = new Map<string, Map<Progress, IdentityEvent>>();

  constructor(
    lane: Lane,
    ports: EventsPorts,
    audiences: ReadonlyMap<string, Audience>,
    invocation: Invocation,
  ) {
    this.#lane = lane;
    this.#ports = ports;
    this.#audiences = audiences;
    this.#invocation = invocation;
  }

  /** Resolves when every message is acknowledged, or returned to its queue. */
  async work(readings: readonly Reading[]): Promise<void> {
    this.#readings = readings;
    const narrow: Addressed[] = [];
    const refused: Refused[] = [];
    const progresses = readings.map((reading) => {
      const progress = this.#progressOf(reading);
      const refusal = this.#refusedOf(reading, progress);
      if (refusal !== undefined) refused.push(refusal);
      const groups = groupsOf(reading);
      for (const group of groups) {
        const subscriptions = this.#subscriptionsOf(group);
        if (isWider(widthOf(group, subscriptions), this.#lane.max)) {
          progress.expect();
          void this.#invocation.splits(() => this.#sendSlices(group, subscriptions, progress));
        } else {
          narrow.push(group);
          for (const event of group.events) this.#wait(event, progress);
        }
      }
      return { progress, groups };
    });
    const { routes, failed } = await this.#route(narrow);
    for (const { events } of routes) {
      for (const event of events) for (const [progress] of this.#waitingFor(event)) progress.expect();
    }
    for (const { progress, groups } of progresses) progress.endPart(!groups.some((one) => failed.has(one)));
    await this.#deliver(routes);
    // Thousands of letters keep the isolate busy, so they come last.
    await this.#storeLetters(refused);
    await Promise.all(progresses.map(({ progress }) => progress.finished));
  }

  #progressOf(reading: Reading): Progress {
    return new Progress(reading.message, reading, {
      sendRest: (slices, delaySeconds) => this.#ports.sendSlices(this.#lane.restTo, slices, delaySeconds),
      giveUp: () => giveUp(reading, this.#ports),
      now: this.#ports.now,
      restDeliveries: this.#lane.restDeliveries,
    });
  }

  #subscriptionsOf({ customerId }: Addressed): readonly Recipient[] {
    return this.#audiences.get(customerId)?.subscriptions ?? [];
  }

  /** Slices of a wide message say which hosts are shared: their audience is a part of the customer's subscriptions. */
  #sharedHostsOf(customerId: string): ReadonlySet<string> | undefined {
    const named = this.#readings.filter(
      ({ events, sharedHosts: hosts }) => hosts !== undefined && events[0]?.[1].customerId === customerId,
    );
    const here = hostsOfSeveral(this.#audiences.get(customerId)?.subscriptions ?? []);
    if (this.#lane === SLICES_LANE && named.length < this.#readings.length) return undefined;
    return new Set([...here, ...named.flatMap(({ sharedHosts: hosts = [] }) => hosts)]);
  }

  #wait(event: IdentityEvent, progress: Progress): void {
    const waiting = this.#waiting.get(keyOf(event)) ?? new Map();
    // Each message has its own time of acceptance, and the first content counts within a message, too.
    if (!waiting.has(progress)) waiting.set(progress, event);
    this.#waiting.set(keyOf(event), waiting);
  }

  /** The messages that wait for an event, each with the event as it is in that message. */
  #waitingFor(event: IdentityEvent): Iterable<[Progress, IdentityEvent]> {
    return this.#waiting.get(keyOf(event)) ?? [];
  }

  /** @returns the routes, and the groups that have none because their filters could not be read */
  async #route(
    groups: readonly Addressed[],
  ): Promise<{ readonly routes: readonly Route[]; readonly failed: ReadonlySet<Addressed> }> {
    try {
      const { captureDomain, findFilters } = this.#ports;
      const routes = await route(groups, this.#audiences, captureDomain, findFilters);
      return { routes, failed: new Set() };
    } catch (error) {
      if (groups.length > 1 && outageBehind(error) === undefined) return await this.#routeEach(groups);
      logWarn('filters not read', { queue: this.#lane.queue, error: describeError(error) });
      return { routes: [], failed: new Set(groups) };
    }
  }

  /** The database is there, and one group fails all the same: the others do without it. */
  async #routeEach(groups: readonly Addressed[]) {
    const routes: Route[] = [];
    const failed = new Set<Addressed>();
    for (const group of groups) {
      const one = await this.#route([group]);
      routes.push(...one.routes);
      for (const each of one.failed) failed.add(each);
    }
    return { routes, failed };
  }

  async #deliver(routes: readonly Route[]): Promise<void> {
    this.#invocation.expectHosts(sharedHosts(routes, (customerId) => this.#sharedHostsOf(customerId)));
    await this.#openKeys(routes);
    const attempts = new FirstAttempts(this.#invocation, this.#lane.routesAtOnce(routes));
    await Promise.all(
      routes.map((one) =>
        attempts.deliver(one, (event, disposition) => {
          for (const [progress, own] of this.#waitingFor(event)) {
            progress.end(one.subscription.id, own, disposition);
          }
        }),
      ),
    );
  }

  /** Opens the keys of a batch in one query. Without it, each signature asks for its own, and says what is wrong. */
  async #openKeys(routes: readonly Route[]): Promise<void> {
    try {
      await this.#ports.openKeys([...new Set(routes.map(({ key }) => key.kid))]);
    } catch (error) {
      logWarn('signing keys not read', { error: describeError(error) });
    }
  }

  async #sendSlices(
    group: Addressed,
    subscriptions: readonly Recipient[],
    progress: Progress,
  ): Promise<void> {
    try {
      await this.#ports.sendSlices('slices', split(group, subscriptions), 0);
      progress.endPart(true);
    } catch (error) {
      logWarn('slices not sent', {
        customerId: group.customerId,
        requestId: group.events[0]?.requestId,
        error: describeError(error),
      });
      progress.endPart(false);
    }
  }

  /** Stores as dead letters what can never be processed, events of unknown customers included. */
  async #storeLetters(refused: readonly Refused[]): Promise<void> {
    const { queue } = this.#lane;
    await storeLetters(refused, this.#ports.deadLetters.store, (some, stored) => {
      logStored(queue, some, stored);
      for (const { progress } of some) progress.endPart(stored.isStored);
    });
  }

  /** @returns `undefined` when the message has nothing that can never be processed */
  #refusedOf(reading: Reading, progress: Progress): Refused | undefined {
    const { message, events, letterCount, letters, requestId } = reading;
    const strangers = events.filter(([, { customerId }]) => !this.#audiences.has(customerId));
    if (letterCount + strangers.length === 0) return undefined;
    progress.expect();
    return {
      message,
      ...(requestId === undefined ? {} : { requestId }),
      progress,
      letterCount: letterCount + strangers.length,
      letters: () => [
        ...letters(),
        ...strangers.map(([position, event]) =>
          deadLetterOf(message, position, event, NO_CUSTOMER, this.#ports.now(), true),
        ),
      ],
    };
  }
}

function isWider(width: Width, max: Width): boolean {
  return width.deliveries > max.deliveries || width.steps > max.steps;
}

/** The events of a message by customer: a producer's array may name several. */
function groupsOf({ events, subscriptions, waited }: Reading): Addressed[] {
  const byCustomer = Map.groupBy(
    events.map(([, event]) => event),
    ({ customerId }) => customerId,
  );
  return [...byCustomer].map(([customerId, own]) => ({
    customerId,
    events: own,
    ...(subscriptions === undefined ? {} : { subscriptionIds: new Set(subscriptions) }),
    hasWaited: waited === true,
  }));
}

const keyOf = ({ customerId, id }: IdentityEvent) => `${customerId} ${id}`;

/** A message at its last delivery: its events become letters, with the ids they were given. */
async function giveUp(reading: Reading, ports: EventsPorts): Promise<void> {
  const { message, events, letters } = reading;
  const reason = `not delivered after ${QUEUE_MAX_RETRIES} retries`;
  const all = [
    ...events.map(([position, event]) => deadLetterOf(message, position, event, reason, ports.now())),
    ...letters(),
  ];
  await ports.deadLetters.send(all);
  logLetters(QUEUES.events, reading, all);
}
