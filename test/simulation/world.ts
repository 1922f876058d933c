/**
 * # A simulated world: customers, their subscriptions and everything that can go wrong, driven by a seed
 *
 * The event stores, the consumers, the acknowledgement, publishing and all rules are the real ones. The world plays the
 * platform (time.ts, object.ts, queues.ts), the producers, the listeners and D1. Work overlaps as in production: a consumer
 * or an alarm that has begun may stay under way while other steps happen, and may die at any call.
 *
 * After each step `check` asks the ledger of each subscription (ledger.ts) whether every rule still holds. At the end
 * `settleDown` ends the faults, and asks whether everything becomes final, is swept, and leaves the alarms silent, and
 * whether the work for all that stayed within bounds.
 */
import { Audiences } from '../../src/delivery/audiences.ts';
import { publish } from '../../src/delivery/publish.ts';
import { SETTLE_MAX_REPORTS } from '../../src/delivery/tuning.ts';
import type { Outcome } from '../../src/domain/attempt.ts';
import type { IdentityEvent } from '../../src/domain/event.ts';
import { eventIdTime, newEventIds, notificationId } from '../../src/domain/ids.ts';
import { longestAttemptMs, SETTLE_INTERVAL_MS } from '../../src/domain/leases.ts';
import { homeTime, shardOf, withShards } from '../../src/domain/shards.ts';
import {
  type Recipient,
  refOf,
  type Sharded,
  type Subscription,
  type SubscriptionRef,
} from '../../src/domain/subscription.ts';
import type { Env } from '../../src/env.ts';
import type { EventStore } from '../../src/event-store/event-store.ts';
import type { EventStoreRpc, SentReport } from '../../src/event-store/rpc.ts';
import { ShardedStore } from '../../src/event-store/sharding/sharded-store.ts';
import { Stores } from '../../src/event-store/sharding/stores.ts';
import { Places } from '../../src/host-limit/places.ts';
import type { HostLimitRpc } from '../../src/host-limit/rpc.ts';
import { type Dispatch, letterMessage, QUEUES } from '../../src/outbound/queues.ts';
import { consumeDeadLetters } from '../../src/queue/dead-letters.ts';
import { consumeDeliveries } from '../../src/queue/deliveries.ts';
import { consumeEvents, consumeSlices, type EventsPorts } from '../../src/queue/events.ts';
import type { DeadLetter } from '../../src/storage/dead-letters.ts';
import type { Random } from '../support/random.ts';
import { bodyIds, eventsOf } from './bodies.ts';
import { Broken, Ledger, must, RETENTION_MS } from './ledger.ts';
import { SimulatedObject } from './object.ts';
import { type QueuedMessage, Queues } from './queues.ts';
import { type Time, uuidOf } from './time.ts';

const SECOND_MS = 1000;
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
/** `ATTEMPT_TIMEOUT_SECONDS` of the world. A listener that hangs takes all of it. */
const TIMEOUT_MS = 5000;
/** A request may start this long after the store learned that its subscription is disabled (contract 3.6). */
const DISABLED_SLACK_MS = 2000;
/** Alarms of one object at the same moment, and within ten seconds. A hot loop has more. */
const RINGS_AT_ONCE_MAX = 60;
const RINGS_IN_TEN_SECONDS_MAX = 100;

const ENV = {
  BASE_URL: 'http://webhooks.test',
  CAPTURE_DOMAIN: 'capture.example',
  ATTEMPT_TIMEOUT_SECONDS: String(TIMEOUT_MS / 1000),
  RETRY_DELAYS_SECONDS: '3,30,300',
  ALLOW_PRIVATE_ENDPOINTS: 'true',
  OPERATOR_TOKEN: 'operator-token-of-the-simulation',
  KEY_ENCRYPTION_KEY: btoa('\u0001'.repeat(32)),
  TOKEN_SIGNING_KEY: btoa('\u0002'.repeat(32)),
} as unknown as Env;

/** Lets through what client `a` created, and everything that was not created. */
const FILTER = { properties: { entityCreated: { properties: { captureClientId: { const: 'a' } } } } };

const SKEWS_MS = [0, 0, 0, 0, -1000, 1000, -200_000, 200_000, 299_000, -12 * HOUR_MS, -DAY_MS + SECOND_MS];

/** What happens in a life without any request being made twice for it. */
const HARMLESS = new Set([
  'endpoint changed',
  'shards changed',
  'an earlier version begins',
  'an earlier version settles',
  'alarm rings twice',
  'alarm lost',
  'host limit evicted',
  'host limit away',
  'days without anything',
  'publish fails before',
  'publish fails after',
  'send is slow',
  'send fails before',
  'send fails after',
  'message comes twice',
  'message near its last delivery',
  'acknowledgement lost',
  'D1 fails',
  'dead letters not sent',
]);

type Mood = 'well' | 'failing' | 'hanging' | 'slow' | 'mixed';
const MOODS: readonly Mood[] = ['well', 'failing', 'hanging', 'slow', 'mixed'];

/** Something under way: an invocation of a consumer, an alarm, a call. */
class Activity {
  readonly name: string;
  isDead = false;
  isDone = false;
  /** Requests that a store allowed this invocation: subscription and event, with the number of the attempt. */
  readonly allowed = new Map<string, { readonly attempt: number; readonly isFirst: boolean }>();
  /** Results that it has and has not brought to a store: if it dies, these requests are made again. By subscription and event. */
  readonly results = new Map<string, { readonly subscriptionId: string; readonly at: number }>();

  constructor(name: string) {
    this.name = name;
  }
}

/** A subscription: its row in D1, its event stores, and what the world remembers of both. */
interface Place {
  row: Subscription;
  readonly urls: readonly string[];
  /** Its environment, which its object reads when it wakes: `VERIFY_ENDPOINTS` is switched off in peace. */
  readonly env: Env & { VERIFY_ENDPOINTS: string };
  /** URLs that may get events: those from before the switch, and those that answered a test with 2xx (contract 10.8). */
  readonly verified: Set<string>;
  readonly tests: Set<string>;
  /** By the number of the shard. Most subscriptions have one. */
  readonly stores: Store[];
  isDeleted: boolean;
}

/** One event store of a subscription. */
interface Store {
  readonly place: Place;
  readonly object: SimulatedObject;
  readonly ledger: Ledger;
  isAlarmLost: boolean;
  /** Since when it knows that its subscription is disabled, ms. */
  disabledSince: number | undefined;
  rings: number[];
}

/** Shards of a subscription that has several. */
const SHARDS_MAX = 4;

type StorePort = Pick<EventStoreRpc, 'admit' | 'begin' | 'settle' | 'mayStart' | 'release'>;

/** Thrown where the world makes a call fail. */
class Fault extends Error {}

/** One fault, at one of the points where it can happen. */
export interface FaultPlan {
  readonly fault: string;
  /** How many points of this fault are passed before it happens. */
  left: number;
  hasHappened: boolean;
}

function isNext(plan: FaultPlan, fault: string): boolean {
  if (plan.hasHappened || fault !== plan.fault || plan.left-- > 0) return false;
  plan.hasHappened = true;
  return true;
}

export interface WorldFigures {
  readonly faults: Readonly<Record<string, number>>;
  readonly deliveries: number;
  readonly posts: number;
  readonly deadLetters: number;
  readonly alarms: number;
  readonly messages: number;
  readonly begins: number;
  /** First retries that consumers sent ahead. */
  readonly sentAhead: number;
  /** Stores whose segments were merged. */
  readonly merged: number;
  /** Subscriptions with several stores. */
  readonly sharded: number;
}

export class World {
  readonly #time: Time;
  readonly #random: Random;
  readonly #plan: FaultPlan | undefined;
  readonly #queues: Queues;
  readonly #places: Place[] = [];
  readonly #customers: string[] = [];
  /** One isolate remembers for all consumers: what it remembers is as old as it can be. */
  readonly #audiences = new Audiences();
  readonly #activities = new Set<Activity>();
  readonly #moods = new Map<string, Mood>();
  readonly #letters = new Map<string, DeadLetter>();
  readonly #hosts = new Map<string, Places>();
  readonly #published = new Map<string, { readonly customerId: string; readonly event: object }>();
  /** Calls of `settle` that failed for their caller and take effect later. */
  #late: (() => Promise<unknown>)[] = [];
  /** The binding, as an event store uses it. */
  readonly #hostNamespace = {
    idFromName: (name: string) => name,
    get: (name: string) => {
      const at = name.indexOf(' ');
      return this.#host(name.slice(0, at), name.slice(at + 1));
    },
  } as unknown as DurableObjectNamespace;
  #kid = 0;
  #hasFaults = true;
  /** Whether anything went wrong that may cost a second request. */
  #isDisturbed = false;
  /** Whether endpoints have to be verified. */
  #verifies: boolean;
  /** Whether the operator gives subscriptions several event stores. */
  readonly #shards: boolean;
  /** While an endpoint flaps: it changes its mind this often, ms. */
  #flapMs: number | undefined;
  #broken: unknown;
  readonly #faults = new Map<string, number>();
  readonly #counts = { posts: 0, deadLetters: 0, alarms: 0, begins: 0, dispatches: 0, sentAhead: 0 };
  /** The steps so far, printed when the seed fails. */
  readonly story: string[] = [];

  /** @param plan the one fault that happens, in place of faults by chance */
  constructor(time: Time, random: Random, plan?: FaultPlan) {
    this.#time = time;
    this.#random = random;
    this.#plan = plan;
    this.#queues = new Queues(
      time,
      [QUEUES.events, QUEUES.slices, QUEUES.deliveries, QUEUES.unhealthy],
      QUEUES.deadLetters,
    );
    this.#verifies = plan === undefined && random.chance(0.3);
    this.#shards = plan === undefined && random.chance(0.35);
    const customers = random.whole(1, 2);
    for (let index = 0; index < customers; index++) this.#customers.push(uuidOf(random));
    const subscriptions = random.whole(1, 4);
    for (let index = 0; index < subscriptions; index++) this.#places.push(this.#newPlace(index));
  }

  get figures(): WorldFigures {
    return {
      faults: Object.fromEntries(this.#faults),
      deliveries: this.#stores.reduce((sum, { ledger }) => sum + ledger.stored, 0),
      posts: this.#counts.posts,
      deadLetters: this.#counts.deadLetters,
      alarms: this.#counts.alarms,
      messages: this.#queues.sent,
      begins: this.#counts.begins,
      sentAhead: this.#counts.sentAhead,
      merged: this.#living.filter(({ object }) => object.rows('SELECT 1 FROM merged').length > 0).length,
      sharded: this.#places.filter(({ stores }) => stores.length > 1).length,
    };
  }

  close(): void {
    for (const { object } of this.#stores) object.close();
  }

  get #stores(): Store[] {
    return this.#places.flatMap(({ stores }) => stores);
  }

  /** The stores of subscriptions that were not deleted. */
  get #living(): Store[] {
    return this.#places.flatMap(({ stores, isDeleted }) => (isDeleted ? [] : stores));
  }

  // --- Steps ------------------------------------------------------------------------------------------

  /** Takes one random step. */
  async step(): Promise<void> {
    const step = this.#random.weighted({
      publish: 18,
      consume: 28,
      ring: 26,
      together: 6,
      pass: 4,
      wait: 5,
      waitDays: 1.2,
      mood: 5,
      late: 4,
      evict: 3,
      redeliver: 5,
      redeliverAll: 2,
      toggle: 3,
      move: 3,
      rotate: 2,
      visit: 2,
      loseAlarm: 0.7,
      ringTwice: 2,
      ringAll: 3,
      export: 2,
      test: 2,
      die: 2,
      replay: 2,
      delete: 0.2,
      reshard: this.#shards ? 3 : 0,
    });
    this.story.push(`${this.#time.now} ${step}`);
    try {
      await this[step]();
    } catch (error) {
      // A call that fails, fails for its caller only. The world goes on.
      if (error instanceof Broken) throw error;
    }
    await this.#time.rest();
  }

  /** A producer publishes: by HTTPS, or straight from its own Worker. It repeats an id now and then. */
  async publish(): Promise<void> {
    const { now } = this.#time;
    const customerId = this.#random.pick(this.#customers);
    const again = this.#random.chance(0.15) ? this.#repeatable(customerId) : undefined;
    const ids =
      again === undefined
        ? newEventIds(now + this.#random.pick(SKEWS_MS), this.#random.whole(1, 5), this.#bytes())
        : [again];
    const events = ids.map((id) => ({
      id,
      type: this.#random.pick(['entityCreated', 'entityCreated', 'entityDeleted'] as const),
      captureApplicationId: 'app',
      captureClientId: this.#random.pick(['a', 'b']),
      entityType: 'user',
      sub: uuidOf(this.#random),
    }));
    // A producer that repeats an id repeats the event.
    const first = events.map((event) => (this.#published.get(event.id)?.event ?? event) as typeof event);
    for (const event of first) this.#published.set(event.id, { customerId, event });
    if (this.#random.chance(0.15)) {
      this.#enqueueEvents(first.map((event) => ({ ...event, customerId })));
      return;
    }
    const sendBatch = async (messages: Iterable<MessageSendRequest<unknown>>) => {
      this.#mayFail(0.03, 'publish fails before');
      for (const { body } of messages) this.#enqueueEvents(body);
      this.#mayFail(0.03, 'publish fails after');
    };
    const published = await publish({ sendBatch }, first, now, customerId);
    must(published.ok, `not published: ${JSON.stringify(published)}`);
  }

  async consume(): Promise<void> {
    const activities = [this.#startConsumer()];
    if (this.#random.chance(0.25)) activities.push(this.#startConsumer());
    // Some are still under way when the next step begins.
    if (this.#random.chance(0.35)) await this.#time.advance(this.#random.whole(0, 6 * SECOND_MS));
    else await this.#end(activities);
  }

  /** Two consumers, an alarm and a late `settle` at the same time. */
  async together(): Promise<void> {
    const store = this.#random.pick(this.#stores);
    const activities = [this.#startConsumer(), this.#startConsumer(), this.#startRing(store)];
    const late = this.#late.shift();
    if (late !== undefined) activities.push(this.#start('late settle', () => late()));
    await this.#end(activities);
  }

  async pass(): Promise<void> {
    await this.#time.advance(this.#random.whole(0, 6 * SECOND_MS));
  }

  async wait(): Promise<void> {
    const most = this.#random.pick([10, SECOND_MS, 5 * SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS / 2]);
    await this.#time.advance(this.#random.whole(1, most));
  }

  async waitDays(): Promise<void> {
    this.#count('days without anything');
    await this.#time.advance(this.#random.whole(1, 8) * DAY_MS);
  }

  /** Moves the clock to an alarm, if it is at most two days away, and rings it. */
  async ring(): Promise<void> {
    const armed = this.#stores.filter(({ object }) => object.alarm !== null);
    if (armed.length === 0) return;
    const first = armed.reduce((a, b) => ((a.object.alarm ?? 0) <= (b.object.alarm ?? 0) ? a : b));
    const store = this.#random.chance(0.6) ? first : this.#random.pick(armed);
    const { alarm } = store.object;
    if (alarm === null || alarm > this.#time.now + 2 * DAY_MS) return;
    if (alarm > this.#time.now) await this.#time.advance(alarm - this.#time.now);
    const activity = this.#startRing(store);
    if (this.#random.chance(0.8)) await this.#end([activity]);
  }

  /** The platform rings every alarm that comes within a minute. */
  async ringAll(): Promise<void> {
    const store = this.#random.pick(this.#stores);
    const end = this.#time.now + MINUTE_MS;
    for (;;) {
      const { alarm } = store.object;
      if (alarm === null || alarm > end) return;
      if (alarm > this.#time.now) await this.#time.advance(alarm - this.#time.now);
      await this.#end([this.#startRing(store)]);
      if (this.#broken !== undefined) return;
    }
  }

  async ringTwice(): Promise<void> {
    this.#count('alarm rings twice');
    const { object } = this.#random.pick(this.#stores);
    this.#counts.alarms++;
    await this.#end([this.#start('alarm', () => object.ring(true))]);
  }

  async loseAlarm(): Promise<void> {
    this.#count('alarm lost');
    const store = this.#random.pick(this.#stores);
    store.object.loseAlarm();
    store.isAlarmLost = true;
  }

  async visit(): Promise<void> {
    await this.#visit(this.#random.pick(this.#places));
  }

  async evict(): Promise<void> {
    this.#count('object evicted');
    this.#random.pick(this.#stores).object.evict();
  }

  /** An invocation that is under way dies. */
  async die(): Promise<void> {
    for (const activity of this.#activities) {
      if (!this.#random.chance(0.5)) continue;
      this.#count('invocation dies');
      this.#checkResults(activity);
      activity.isDead = true;
    }
  }

  /** What the death of an invocation repeats is bounded: fewer results of one subscription than fill a call, none of them old. */
  #checkResults({ results }: Activity): void {
    const bySubscription = Map.groupBy(results.values(), ({ subscriptionId }) => subscriptionId);
    this.#rule(() => {
      for (const [subscriptionId, waiting] of bySubscription) {
        const oldest = Math.min(...waiting.map(({ at }) => at));
        const waits = this.#time.now - oldest;
        must(waiting.length < SETTLE_MAX_REPORTS, `${subscriptionId}: ${waiting.length} results wait`);
        must(waits <= SETTLE_INTERVAL_MS, `${subscriptionId}: a result has waited ${waits} ms`);
      }
    });
  }

  async late(): Promise<void> {
    const late = this.#late.shift();
    if (late !== undefined) await this.#end([this.#start('late settle', () => late())]);
  }

  async mood(): Promise<void> {
    const { urls } = this.#random.pick(this.#places);
    this.#moods.set(this.#random.pick(urls), this.#random.pick(MOODS));
  }

  async rotate(): Promise<void> {
    this.#kid++;
  }

  /** PATCH of `enabled`: changes D1 first, then the store, unless the call is cut short. */
  async toggle(): Promise<void> {
    const place = this.#random.pick(this.#places);
    await this.#patch(place, { enabled: !place.row.enabled });
  }

  /** PATCH of the endpoint. */
  async move(): Promise<void> {
    this.#count('endpoint changed');
    const place = this.#random.pick(this.#places);
    const [endpoint = ''] = place.urls.filter((url) => url !== place.row.endpoint);
    const proof = this.#verifies ? place.row.version + 1 : null;
    await this.#patch(place, { endpoint, proof, ...freshHealth(proof, this.#time.now) });
    // The service sends the test, unless the call dies.
    if (this.#verifies && this.#random.chance(0.7)) await this.#test(place);
  }

  async redeliver(): Promise<void> {
    const place = this.#random.pick(this.#places);
    const failed = place.stores.flatMap(({ ledger }) => ledger.failed());
    if (place.isDeleted || failed.length === 0) return;
    const eventId = this.#random.pick(failed);
    await this.#ask(place, (store, ref) => store.redeliver(ref, eventId));
  }

  async redeliverAll(): Promise<void> {
    const place = this.#random.pick(this.#places);
    const span = { since: 0, until: Number.MAX_SAFE_INTEGER };
    const started = await this.#ask(place, (store, ref) => store.startRedelivery(ref, span));
    if (started?.answer !== 'started' || !this.#random.chance(0.2)) return;
    await this.#ask(place, (store) => store.cancelRedelivery(started.job.id));
  }

  async export(): Promise<void> {
    const place = this.#random.pick(this.#places);
    const started = await this.#ask(place, (store, ref) => store.startExport(ref));
    if (started?.answer !== 'started' || !this.#random.chance(0.2)) return;
    await this.#ask(place, (store) => store.cancelExport(started.job.id));
  }

  /** A test notification is stored at once and never held. */
  async test(): Promise<void> {
    await this.#test(this.#random.pick(this.#places));
  }

  async #test(place: Place): Promise<void> {
    if (place.isDeleted || !place.row.enabled) return;
    const acceptedAt = this.#time.now;
    const { endpoint, shards } = place.row;
    const idTime = shards === null ? acceptedAt : homeTime(shards, acceptedAt);
    const [eventId = ''] = newEventIds(idTime, 1, this.#bytes());
    const facts = { eventId, acceptedAt, endpoint, set: this.#set(place.row, eventId) };
    this.#storeOf(place, eventId).ledger.expectTest(eventId, acceptedAt);
    place.tests.add(eventId);
    await this.#ask(place, (store, ref) =>
      store.settle(ref, [{ ...facts, kind: 'deferred', neverHeld: true }]),
    );
  }

  /** The operator replays a dead letter. */
  async replay(): Promise<void> {
    const letters = [...this.#letters.keys()];
    if (letters.length === 0) return;
    const id = this.#random.pick(letters);
    const letter = this.#letters.get(id);
    this.#letters.delete(id);
    if (letter !== undefined) this.#enqueueEvents(JSON.parse(letter.body));
  }

  /** DELETE: marks the row in D1 first, then erases the store, unless the call is cut short. The cron finishes it. */
  async delete(): Promise<void> {
    const place = this.#random.pick(this.#places);
    place.isDeleted = true;
    place.row = { ...place.row, version: place.row.version + 1 };
    if (this.#random.chance(0.7)) await this.#api(place).erase(refOf(place.row));
  }

  /** The operator gives a subscription another number of event stores. */
  async reshard(): Promise<void> {
    const place = this.#random.pick(this.#places);
    const shards = withShards(place.row.shards, this.#random.whole(1, SHARDS_MAX), this.#time.now);
    if (shards === 'too many' || shards === place.row.shards) return;
    this.#count('shards changed');
    await this.#patch(place, { shards });
  }

  /**
   * The same story each time, for a plan: events fan out over all subscriptions, a first endpoint fails and recovers, the
   * endpoint changes while a retry waits, a subscription is disabled and enabled, and what failed is redelivered.
   */
  async tell(): Promise<void> {
    const [first = ''] = this.#places[0]?.urls ?? [];
    const steps: (() => Promise<void>)[] = [
      async () => void this.#moods.set(first, 'failing'),
      () => this.publish(),
      () => this.publish(),
      () => this.consume(),
      () => this.consume(),
      () => this.ringAll(),
      () => this.consume(),
      () => this.move(),
      async () => void this.#moods.set(first, 'well'),
      () => this.ring(),
      () => this.together(),
      () => this.toggle(),
      () => this.publish(),
      () => this.consume(),
      () => this.toggle(),
      () => this.redeliver(),
      () => this.ringAll(),
      () => this.together(),
    ];
    for (const step of steps) {
      try {
        await step();
      } catch (error) {
        if (error instanceof Broken) throw error;
      }
      await this.#time.rest();
      this.check();
    }
  }

  // --- Peace --------------------------------------------------------------------------------------------

  /** Ends the faults, waits until all is final and swept. @throws Broken if something never ends, or works too much */
  async settleDown(): Promise<void> {
    this.#hasFaults = false;
    for (const { object } of this.#stores) object.endFaults();
    if (this.#verifies) this.#switchOff();
    if (this.#random.chance(0.5)) for (const late of this.#late) this.#start('late settle', () => late());
    this.#late = [];
    await this.#end([...this.#activities]);
    for (const place of this.#places) await this.#visit(place);
    for (const place of this.#places) for (const url of place.urls) this.#moods.set(url, 'well');
    if (this.#random.chance(0.4)) this.#flapMs = this.#random.whole(5, 60) * SECOND_MS;
    this.story.push(
      this.#flapMs === undefined ? 'peace' : `peace, but endpoints flap each ${this.#flapMs} ms`,
    );
    await this.#runUntilQuiet();
    for (const { ledger } of this.#living) ledger.checkFinal(this.#time.now);
    this.#checkWork();
    await this.#runUntilSwept();
  }

  /** The operator switches verification off: what waits for a proof must be delivered, too. */
  #switchOff(): void {
    this.#count('verification switched off');
    this.#verifies = false;
    for (const { place, object } of this.#stores) {
      place.env.VERIFY_ENDPOINTS = 'false';
      object.evict();
    }
  }

  async #runUntilQuiet(): Promise<void> {
    const end = this.#time.now + 3 * DAY_MS;
    const rings = this.#counts.alarms;
    for (let round = 0; this.#isAtWork(); round++) {
      must(round < 2000 && this.#time.now < end, 'some delivery or job never ends');
      const alarms = this.#stores.map(({ object }) => object.alarm ?? Number.POSITIVE_INFINITY);
      const next = Math.min(this.#queues.nextAt(), ...alarms);
      must(Number.isFinite(next), 'something waits and nothing will ever happen');
      if (next > this.#time.now) await this.#time.advance(next - this.#time.now);
      const due = this.#stores.filter(
        ({ object }) => object.alarm !== null && object.alarm <= this.#time.now,
      );
      const activities = due.map((store) => this.#startRing(store));
      while (this.#queues.names.some((name) => this.#queues.visible(name).length > 0))
        activities.push(this.#startConsumer());
      await this.#end(activities);
      this.check();
    }
    this.check();
    const deliveries = this.figures.deliveries + 10 * this.#stores.length;
    must(this.#counts.alarms - rings <= 40 * deliveries, `${this.#counts.alarms - rings} alarms in peace`);
  }

  /** A week later nothing is kept, and no alarm rings any more. */
  async #runUntilSwept(): Promise<void> {
    await this.#time.advance(RETENTION_MS + DAY_MS);
    for (const store of this.#stores) {
      const { object, ledger, place } = store;
      for (let rings = 0; object.alarm !== null; rings++) {
        must(rings < 60 + ledger.stored, 'the alarm of an empty store rings for ever');
        if (object.alarm > this.#time.now) await this.#time.advance(object.alarm - this.#time.now);
        await this.#end([this.#startRing(store)]);
      }
      this.check();
      if (place.isDeleted) continue;
      must(object.store.total() === 0, `${object.store.total()} deliveries are left`);
      for (const table of [
        'deliveries',
        'segments',
        'packs',
        'pack_groups',
        'bodies',
        'tally',
        'history_pages',
        'exported',
        'export_parts',
        'exports',
      ]) {
        must(object.rows(`SELECT 1 FROM ${table}`).length === 0, `rows of ${table} are left`);
      }
    }
  }

  /** The work of a life is bounded by what happened in it. */
  #checkWork(): void {
    const { posts, deliveries, alarms, begins, faults } = this.figures;
    const happened = 100 + 10 * deliveries + posts + Object.values(faults).reduce((sum, one) => sum + one, 0);
    must(alarms <= 4 * happened, `${alarms} alarms for ${deliveries} deliveries`);
    must(begins <= 4 * happened, `${begins} calls of begin for ${deliveries} deliveries`);
    must(this.#counts.dispatches <= 4 * happened, `${this.#counts.dispatches} dispatches`);
  }

  #isAtWork(): boolean {
    if (!this.#queues.isEmpty || this.#activities.size > 0) return true;
    return this.#living.some(({ object }) => {
      const open = `SELECT 1 FROM deliveries WHERE due_at IS NOT NULL UNION ALL SELECT 1 FROM first_retries
        UNION ALL SELECT 1 FROM pack_groups WHERE reason IS NULL LIMIT 1`;
      if (object.rows(open).length > 0) return true;
      return ['redeliveries', 'exports'].some(
        (table) => object.rows(`SELECT 1 FROM ${table} WHERE state = 'processing'`).length > 0,
      );
    });
  }

  // --- What must be true ----------------------------------------------------------------------------------

  /** @throws Broken that names the rule that does not hold */
  check(): void {
    if (this.#broken !== undefined) throw this.#broken;
    let queued: Set<string> | undefined;
    const isKept = (eventId: string) => {
      queued ??= new Set([...this.#queues.all()].flatMap(({ body }) => bodyIds(body)));
      return queued.has(eventId) || this.#letters.has(eventId);
    };
    for (const { ledger, object, isAlarmLost } of this.#living) {
      object.ask(() => ledger.check(this.#time.now, isKept));
      if (object.busy === 0) ledger.checkAlarm(this.#time.now, isAlarmLost);
    }
  }

  /** A rule that is asked inside a call. The service may catch what it throws, so it is kept for `check`. */
  #rule(ask: () => void): void {
    try {
      ask();
    } catch (error) {
      this.#broken ??= error;
    }
  }

  // --- Things under way -------------------------------------------------------------------------------------

  /** Begins something that goes on beside everything else. Its errors are its own. */
  #start(name: string, work: (activity: Activity) => Promise<unknown>): Activity {
    const activity = new Activity(name);
    this.#activities.add(activity);
    const end = () => {
      activity.isDone = true;
      this.#activities.delete(activity);
    };
    work(activity).then(end, (error: unknown) => {
      if (error instanceof Broken) this.#broken ??= error;
      end();
    });
    return activity;
  }

  /** Lets time pass until these are done. */
  async #end(activities: readonly Activity[]): Promise<void> {
    const isDone = () => activities.every((activity) => activity.isDone);
    await this.#time.until(isDone, HOUR_MS);
    must(isDone(), `under way for an hour: ${activities.map(({ name }) => name).join()}`);
  }

  #startRing(store: Store): Activity {
    const { now } = this.#time;
    this.#counts.alarms++;
    store.rings = [...store.rings.filter((at) => at > now - 10 * SECOND_MS), now];
    const atOnce = store.rings.filter((at) => at === now).length;
    this.#rule(() => {
      must(atOnce <= RINGS_AT_ONCE_MAX, `${atOnce} alarms at the same moment`);
      must(store.rings.length <= RINGS_IN_TEN_SECONDS_MAX, `${store.rings.length} alarms in ten seconds`);
    });
    this.#trouble(store);
    return this.#start('alarm', () => store.object.ring());
  }

  /** One invocation of a consumer, with a batch of one queue. */
  #startConsumer(): Activity {
    const names = this.#queues.names.filter((name) => this.#queues.visible(name).length > 0);
    if (names.length === 0) return this.#start('nothing', async () => undefined);
    const queue = this.#random.pick(names);
    const visible = this.#queues.visible(queue);
    const batch = this.#queues.take(visible.slice(0, this.#random.whole(1, 5)));
    return this.#start(queue, (activity) => this.#deliver(queue, batch, activity));
  }

  async #deliver(queue: string, batch: readonly QueuedMessage[], activity: Activity): Promise<void> {
    const messages = batch.map((message) => this.#message(message, activity));
    const ports = this.#ports(activity);
    await this.#time.hop();
    switch (queue) {
      case QUEUES.events:
        return await consumeEvents(messages, ports);
      case QUEUES.slices:
        return await consumeSlices(messages, ports);
      case QUEUES.deliveries:
      case QUEUES.unhealthy:
        return await consumeDeliveries(messages, {
          ...ports,
          findSubscriptionsById: async () => {
            this.#mayFail(0.03, 'D1 fails');
            const deletedAt = (place: Place) => (place.isDeleted ? 1 : null);
            return new Map(
              this.#places.map((place) => [place.row.id, { ...place.row, deletedAt: deletedAt(place) }]),
            );
          },
        });
      case QUEUES.deadLetters:
        return await consumeDeadLetters(messages, { ...ports.deadLetters, now: ports.now });
      default:
        throw new Broken(`nobody consumes ${queue}`);
    }
  }

  #message(message: QueuedMessage, activity: Activity): Message<unknown> {
    return {
      id: message.id,
      timestamp: new Date(message.sentAt),
      body: message.body,
      attempts: message.attempts,
      ack: () => {
        if (activity.isDead) return;
        // An acknowledgement may be lost. The message then comes once more.
        if (this.#happens(0.04, 'acknowledgement lost')) return;
        this.#queues.acknowledge(message);
      },
      retry: ({ delaySeconds = 0 } = {}) => {
        if (!activity.isDead) this.#queues.retry(message, delaySeconds * SECOND_MS);
      },
    };
  }

  #ports(activity: Activity): EventsPorts {
    const alive = () => {
      if (this.#happens(0.006, 'invocation dies')) {
        this.#checkResults(activity);
        activity.isDead = true;
      }
      if (activity.isDead) throw new Fault('the invocation is dead');
    };
    return {
      store: (subscription) => this.#storesPort(subscription, activity, alive),
      host: (customerId, host) => this.#host(customerId, host),
      sign: async (event, subscription) => {
        alive();
        return this.#set(subscription, event.id);
      },
      prepare: (event, subscription) => this.#set(subscription, event.id).replace(/[^.]*$/, ''),
      signStored: async (set) => {
        alive();
        this.#mayFail(0.03, 'D1 fails');
        const { kid } = JSON.parse(atob(set.split('.')[0] ?? '')) as { kid: number };
        return `${set}${part({ signed: kid })}`;
      },
      post: async (endpoint, set) => {
        if (activity.isDead) return { kind: 'unreachable', message: 'nobody asks' };
        const outcome = await this.#post(endpoint, set, activity);
        const { sid = '', event } = JSON.parse(atob(set.split('.')[1] ?? '')) as Record<string, string>;
        activity.results.set(`${sid} ${event}`, { subscriptionId: sid, at: this.#time.now });
        this.#checkResults(activity);
        return outcome;
      },
      noteHealth: async ({ id: subscriptionId }, { state, since, proof }) => {
        this.#mayFail(0.1, 'D1 fails');
        const place = this.#place(subscriptionId);
        const isProven = place.row.health !== 'unverified' || proof === place.row.proof;
        if (state === 'unverified' || !isProven || (since !== 0 && since < place.row.healthSince)) return;
        place.row = { ...place.row, health: state, healthSince: since };
      },
      noteStoreTenths: async () => undefined,
      openKeys: async () => this.#mayFail(0.02, 'D1 fails'),
      longestAttemptMs: longestAttemptMs(TIMEOUT_MS),
      sendSlices: async (queue, slices, delaySeconds) => {
        alive();
        this.#mayFail(0.04, 'send fails before');
        for (const slice of slices) this.#enqueue(QUEUES[queue], slice, 0, delaySeconds);
        this.#mayFail(0.02, 'send fails after');
      },
      sendDispatches: async (dispatches, delaySeconds) => {
        // Dispatches of a store have places at their host; retries that a consumer sends ahead have none.
        const ahead = dispatches.filter(({ places }) => places === undefined);
        if (ahead.length > 0 && this.#happens(0.05, 'dies before a retry is sent')) activity.isDead = true;
        alive();
        this.#mayFail(0.04, 'send fails before');
        for (const dispatch of dispatches) this.#enqueueDispatch(dispatch, delaySeconds);
        this.#counts.sentAhead += ahead.reduce((sum, { eventIds }) => sum + eventIds.length, 0);
        if (ahead.length > 0 && this.#happens(0.05, 'send is slow'))
          await this.#time.sleep(this.#random.whole(1, 9000));
        this.#mayFail(0.02, 'send fails after');
      },
      // What outlives its batch dies with its invocation, at any call.
      waitUntil: (work) => void this.#start('left behind', () => work),
      findFilters: async (subscriptionIds) => {
        this.#mayFail(0.03, 'D1 fails');
        return new Map(
          this.#places.flatMap(({ row: { id, version, filter } }) =>
            filter === null || !subscriptionIds.includes(id) ? [] : [[id, { version, filter }] as const],
          ),
        );
      },
      findAudiences: async (customerIds, acceptedAt) => {
        alive();
        return await this.#audiences.find(customerIds, acceptedAt, this.#time.now, async (asked, known) => {
          this.#mayFail(0.03, 'D1 fails');
          const answers = asked
            .map((id) => this.#audience(id))
            .map((audience) => {
              const { subscriptions: _, ...rest } = audience;
              const isUnchanged = known.get(audience.customerId) === audience.revision;
              return isUnchanged ? { ...rest, isUnchanged: true as const } : audience;
            });
          return new Map(answers.map((answer) => [answer.customerId, answer]));
        });
      },
      findAudiencesOf: async (customerIds, subscriptionIds) => {
        alive();
        this.#mayFail(0.03, 'D1 fails');
        return new Map(customerIds.map((id) => [id, this.#audience(id, subscriptionIds)]));
      },
      deadLetters: {
        store: async (letters) => {
          this.#mayFail(0.1, 'D1 fails');
          for (const letter of letters) this.#keepLetter(letter);
        },
        send: async (letters) => {
          this.#mayFail(0.2, 'dead letters not sent');
          for (const letter of letters) this.#queues.send(QUEUES.deadLetters, letterMessage(letter));
        },
      },
      captureDomain: 'capture.example',
      now: () => this.#time.now,
      debug: false,
    };
  }

  /** The subscriptions of a customer as D1 has them. */
  #audience(customerId: string, subscriptionIds?: readonly string[]) {
    const own = this.#places.filter(
      ({ row, isDeleted }) =>
        row.customerId === customerId && !isDeleted && (subscriptionIds?.includes(row.id) ?? true),
    );
    const revision = own.map(({ row }) => `${row.id} ${row.version} ${row.health}`).join();
    const key = { algorithm: 'RS256', kid: 'kid' } as const;
    return { customerId, key, revision, subscriptions: own.map(({ row }) => row) };
  }

  /** The stores of a subscription, by the row that a consumer has read. */
  #storesPort({ id, shards }: Sharded, activity: Activity, alive: () => void): StorePort {
    const place = this.#place(id);
    const open = (number: number) => this.#storePort(this.#storeAt(place, number), activity, alive);
    if (shards === null) return open(0);
    return new ShardedStore(new Stores(id, shards, (number) => open(number) as EventStoreRpc));
  }

  #storePort(store: Store, activity: Activity, alive: () => void): StorePort & Pick<EventStoreRpc, 'adopt'> {
    const { ledger, object, place } = store;
    // A consumer may give up a slow call, which takes effect all the same.
    const call = <T>(work: (store: EventStore) => Promise<T>): Promise<T> => {
      const answer = callNow(work);
      this.#start('call', () => answer);
      return answer;
    };
    const callNow = async <T>(work: (store: EventStore) => Promise<T>): Promise<T> => {
      alive();
      this.#mayFail(0.03, 'call fails before');
      if (this.#random.chance(0.1)) await this.#time.sleep(this.#random.whole(1, 50));
      if (this.#happens(0.008, 'call is slow'))
        await this.#time.sleep(this.#random.whole(5, 400) * SECOND_MS);
      alive();
      this.#trouble(store);
      const answer = await object.call(work);
      if (!place.row.enabled) this.#learnDisabled(store);
      this.#mayFail(0.03, 'call fails after');
      return answer;
    };
    const allow = (eventId: string, attempt: number, isFirst: boolean) =>
      activity.allowed.set(`${place.row.id} ${eventId}`, { attempt, isFirst });
    return {
      admit: async (ref, ids, waited) => {
        const answers = await call(async (called) => {
          const admissions = await called.admit(ref, ids, waited);
          for (const [index, { answer }] of admissions.entries())
            if (answer !== 'done' && !place.isDeleted) this.#rule(() => ledger.admitted(ids[index] ?? ''));
          return admissions;
        });
        for (const [index, { answer }] of answers.entries())
          if (answer === 'new') allow(ids[index] ?? '', 1, true);
        return answers;
      },
      begin: async (ref, token, ids, caller) => {
        this.#counts.begins++;
        // During a deploy, consumers of the version before this one are at work: they cannot sign.
        const isOld = this.#happens(0.04, 'an earlier version begins');
        const started = await call(async (called) => {
          const begun = await called.begin(ref, token, ids, isOld ? undefined : caller);
          if (isOld) ledger.refuse(ids);
          for (const { eventId, attempt } of begun) this.#rule(() => ledger.begun(eventId, attempt));
          return begun;
        });
        for (const { eventId, attempt } of started) allow(eventId, attempt, false);
        return started;
      },
      settle: async (ref, reports, caller) => {
        this.#checkResults(activity);
        // During a deploy, consumers of the version before this one are at work: they send no retries.
        const isOld = this.#happens(0.04, 'an earlier version settles');
        for (const { kind, eventId } of reports)
          if (kind === 'attempted') activity.results.delete(`${place.row.id} ${eventId}`);
        const work = async (called: EventStore) => {
          const reply = await called.settle(ref, reports, isOld ? undefined : caller);
          if (!place.isDeleted) this.#rule(() => checkSuccesses(ledger, reports));
          for (const { eventId, leaseToken } of reply.retries ?? [])
            this.#rule(() => ledger.leased(eventId, leaseToken, isOld ? undefined : caller));
          return reply;
        };
        if (!activity.isDead && this.#happens(0.06, 'settle takes effect late')) {
          this.#late.push(() => object.call(work));
          throw new Fault('settle');
        }
        if (this.#happens(0.03, 'settle is repeated')) await call(work);
        return await call(work);
      },
      release: async (ids) => {
        await call(async (called) => {
          await called.release(ids);
          ledger.refuse(ids);
        });
      },
      adopt: async (ref) => {
        await call((called) => called.adopt(ref));
      },
      mayStart: async () => {
        alive();
        return await object.call((called) => called.mayStart());
      },
    };
  }

  /** The limit of a host. Whatever happens to it, no event is lost. */
  #host(customerId: string, host: string): HostLimitRpc {
    return {
      visit: async (visit) => {
        await this.#time.hop();
        const name = `${customerId} ${host}`;
        if (this.#happens(0.01, 'host limit evicted')) this.#hosts.delete(name);
        if (this.#happens(0.02, 'host limit away')) {
          const granted = Math.min(1, visit.want);
          return { granted, waitMs: SECOND_MS, isAnswering: false, isGrowing: false };
        }
        const places = this.#hosts.get(name) ?? new Places(() => this.#random.whole(0, 99) / 100);
        this.#hosts.set(name, places);
        const answer = places.visit(visit, this.#time.now);
        await this.#time.hop();
        return answer;
      },
    };
  }

  // --- The outside ------------------------------------------------------------------------------------------

  async #post(endpoint: string, set: string, activity: Activity): Promise<Outcome> {
    const { sid, event: eventId, aud } = JSON.parse(atob(set.split('.')[1] ?? '')) as Record<string, string>;
    const place = this.#place(sid ?? '');
    const key = `${sid} ${eventId}`;
    const allowed = activity.allowed.get(key);
    const attempt = allowed?.attempt;
    activity.allowed.delete(key);
    // A fault of ours: no request is made, and it must cost nothing.
    if (this.#happens(0.04, 'our fault')) {
      return { kind: 'our_fault', message: 'the name service gave no answer' };
    }
    const outcome = this.#answer(endpoint);
    this.#counts.posts++;
    this.#rule(() => {
      must(attempt !== undefined, `${eventId}: a request that no store allowed`);
      must(!set.endsWith('.'), `${eventId}: sent without its signature`);
      must(aud === endpoint, `${eventId}: a SET for ${aud} sent to ${endpoint}`);
      const { ledger, disabledSince } = this.#storeOf(place, eventId ?? '');
      const since = disabledSince ?? Number.POSITIVE_INFINITY;
      must(this.#time.now - since <= DISABLED_SLACK_MS, `${eventId}: sent while disabled`);
      const { now } = this.#time;
      const succeeded = outcome.kind === 'success';
      const isTest = place.tests.has(eventId ?? '');
      const maySend = !this.#verifies || isTest || place.verified.has(endpoint);
      must(maySend, `${eventId}: sent to ${endpoint}, which is not verified`);
      if (isTest && succeeded) place.verified.add(endpoint);
      if (place.isDeleted) return;
      // While nothing has gone wrong, nothing is sent twice.
      must(
        this.#isDisturbed || !ledger.wasPosted(eventId ?? '', attempt ?? 0, now),
        `${eventId}: attempt ${attempt} sent twice`,
      );
      const sent = { at: now, attempt: attempt ?? 0, succeeded, endpoint, set };
      // Two first attempts may overlap when a claim or a result was lost, with an endpoint or a key changed in between.
      ledger.post(eventId ?? '', sent, allowed?.isFirst === true && this.#isDisturbed);
    });
    await this.#time.sleep(this.#durationMs(outcome));
    return outcome;
  }

  #answer(endpoint: string): Outcome {
    let mood = this.#moods.get(endpoint) ?? 'well';
    if (this.#flapMs !== undefined)
      mood = Math.floor(this.#time.now / this.#flapMs) % 2 === 0 ? 'well' : 'failing';
    if (mood === 'mixed') mood = this.#random.pick(['well', 'failing', 'hanging', 'slow'] as const);
    switch (mood) {
      case 'well':
      case 'slow':
        return { kind: 'success', response: { statusCode: mood === 'slow' ? 202 : 200, headers: {} } };
      case 'hanging':
        return { kind: 'timed_out', message: 'no answer' };
      case 'failing': {
        const statusCode = this.#random.pick([500, 503, 503, 404, 302]);
        const retryAfterMs = statusCode === 503 && this.#random.chance(0.3) ? MINUTE_MS : undefined;
        const response = { statusCode, headers: {} };
        return { kind: 'http_error', response, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
      }
    }
  }

  #durationMs(outcome: Outcome): number {
    if (outcome.kind === 'timed_out') return TIMEOUT_MS;
    const isSlow = outcome.kind === 'success' && outcome.response.statusCode === 202;
    return isSlow ? this.#random.whole(2001, TIMEOUT_MS - 1) : this.#random.whole(0, 100);
  }

  /** A SET as this world signs it: readable, and different for each key. */
  #set({ id, endpoint }: Recipient, eventId: string): string {
    const payload = { aud: endpoint, event: eventId, jti: notificationId(id, eventId), sid: id };
    return `${part({ alg: 'RS256', kid: this.#kid })}.${part(payload)}.${part({ signed: this.#kid })}`;
  }

  // --- Faults -----------------------------------------------------------------------------------------------

  #count(fault: string): void {
    this.#isDisturbed ||= !HARMLESS.has(fault);
    this.#faults.set(fault, (this.#faults.get(fault) ?? 0) + 1);
    this.story.push(`  ${fault}`);
  }

  #happens(probability: number, fault: string): boolean {
    if (!this.#hasFaults) return false;
    if (this.#plan === undefined ? !this.#random.chance(probability) : !isNext(this.#plan, fault))
      return false;
    this.#count(fault);
    return true;
  }

  #mayFail(probability: number, fault: string): void {
    if (this.#happens(probability, fault)) throw new Fault(fault);
  }

  /** What may happen to an object at any call. */
  #trouble({ object }: Store): void {
    if (this.#happens(0.015, 'object evicted')) object.evict();
    if (this.#happens(0.02, 'turn rolled back')) object.rollBackNextTurn();
    if (this.#happens(0.02, 'a write will be refused')) object.refuseWrite(this.#random.whole(0, 5));
    if (this.#happens(0.004, 'database full')) object.fill(this.#random.whole(1, 600) * SECOND_MS);
  }

  // --- Inside -----------------------------------------------------------------------------------------------

  #newPlace(index: number): Place {
    const random = this.#random;
    const id = uuidOf(random);
    const customerId = random.pick(this.#customers);
    const urls = [`https://${index}.example/one`, `https://${index}.example/two`];
    for (const url of urls) this.#moods.set(url, random.chance(0.5) ? 'well' : random.pick(MOODS));
    const env = { ...ENV, VERIFY_ENDPOINTS: String(this.#verifies), HOST_LIMIT: this.#hostNamespace };
    const { now } = this.#time;
    const proof = this.#verifies && random.chance(0.7) ? 1 : null;
    const row: Subscription = {
      id,
      customerId,
      title: 'title',
      endpoint: urls[0] ?? '',
      events: random.chance(0.8) ? ['entityCreated', 'entityDeleted'] : ['entityDeleted'],
      enabled: random.chance(0.9),
      ...(random.chance(0.3) ? { filter: FILTER, filterSteps: 100 } : { filter: null, filterSteps: 0 }),
      storeTenths: 0,
      ...freshHealth(proof, 0),
      proof,
      shards: null,
      version: 1,
      createdAt: now,
      updatedAt: now,
    };
    const verified = new Set(row.proof === null ? urls.slice(0, 1) : []);
    const place: Place = { row, urls, env, verified, tests: new Set(), stores: [], isDeleted: false };
    this.#storeAt(place, 0);
    return place;
  }

  /** A store of a subscription; it is made when it is called for the first time. */
  #storeAt(place: Place, number: number): Store {
    for (let next = place.stores.length; next <= number; next++) {
      const object: SimulatedObject = new SimulatedObject(this.#time, place.env, (bodies) =>
        this.#sendDispatches(bodies, ledger),
      );
      object.onRefused = () => this.#count('write refused');
      const ledger = new Ledger(object, this.#random);
      place.stores.push({ place, object, ledger, isAlarmLost: false, disabledSince: undefined, rings: [] });
    }
    return place.stores[number] as Store;
  }

  /** The store of an event. */
  #storeOf(place: Place, eventId: string): Store {
    const { shards } = place.row;
    return this.#storeAt(place, shards === null ? 0 : shardOf(eventId, shards));
  }

  #place(subscriptionId: string): Place {
    const place = this.#places.find(({ row }) => row.id === subscriptionId);
    if (place === undefined) throw new Broken(`no subscription ${subscriptionId}`);
    return place;
  }

  /** The queue takes what an alarm dispatched: at once, slowly, twice, late, or not at all. */
  async #sendDispatches(bodies: readonly unknown[], ledger: Ledger): Promise<void> {
    const { now } = this.#time;
    for (const body of bodies) {
      const { token, eventIds } = body as Dispatch;
      this.#counts.dispatches += eventIds.length;
      for (const eventId of eventIds) this.#rule(() => ledger.dispatch(eventId, token, now));
    }
    try {
      this.#mayFail(0.04, 'send fails before');
      for (const body of bodies) this.#enqueueDispatch(body as Dispatch);
      if (this.#happens(0.03, 'send is slow')) await this.#time.sleep(this.#random.whole(1, 5000));
      this.#mayFail(0.02, 'send fails after');
    } catch (error) {
      for (const body of bodies) ledger.refuse((body as Dispatch).eventIds);
      throw error;
    }
  }

  #enqueueDispatch(dispatch: Dispatch, delaySeconds = 0): void {
    const queue = dispatch.unhealthy === true ? QUEUES.unhealthy : QUEUES.deliveries;
    this.#enqueue(queue, dispatch, 0, delaySeconds);
  }

  #enqueue(queue: string, body: unknown, attempts = 0, delaySeconds = 0): void {
    const copies = this.#happens(0.06, 'message comes twice') ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      const lagMs = this.#random.chance(0.1) ? this.#random.whole(0, 300_000) : 0;
      this.#queues.send(queue, body, delaySeconds * SECOND_MS + lagMs, attempts);
    }
  }

  /** A message of events is in the queue from now on: it must arrive. */
  #enqueueEvents(body: unknown): void {
    // A few messages have been delivered in vain nearly as often as the platform does it.
    const attempts = this.#happens(0.03, 'message near its last delivery') ? this.#random.whole(96, 100) : 0;
    this.#enqueue(QUEUES.events, body, attempts);
    for (const event of eventsOf(body, this.#time.now)) {
      for (const place of this.#places)
        if (!place.isDeleted && matches(place.row, event))
          this.#storeOf(place, event.id).ledger.accept(event.id, event.acceptedAt);
    }
  }

  #keepLetter(letter: DeadLetter): void {
    const [id] = bodyIds(JSON.parse(letter.body));
    if (id === undefined || this.#letters.has(id)) return;
    this.#counts.deadLetters++;
    this.#letters.set(id, letter);
  }

  async #patch(place: Place, change: Partial<Subscription>): Promise<void> {
    place.row = { ...place.row, ...change, version: place.row.version + 1 };
    if (place.row.enabled) for (const store of place.stores) store.disabledSince = undefined;
    if (place.isDeleted || this.#random.chance(0.3)) return;
    await this.#ask(place, (store, ref) => store.adopt(ref));
    if (!place.row.enabled) for (const store of place.stores) this.#learnDisabled(store);
  }

  #learnDisabled(store: Store): void {
    const [row] = store.object.rows<{ enabled: number }>('SELECT enabled FROM store');
    if (!store.place.isDeleted && row?.enabled === 0) store.disabledSince ??= this.#time.now;
  }

  async #visit(place: Place): Promise<void> {
    if (place.isDeleted) await this.#api(place).erase(refOf(place.row));
    else await this.#ask(place, (store, ref) => store.ensureAlarm(ref));
    for (const store of place.stores) store.isAlarmLost = false;
  }

  /** A call of the API or the cron, which may fail as any other. */
  async #ask<T>(place: Place, work: (store: EventStoreRpc, ref: SubscriptionRef) => Promise<T>): Promise<T> {
    return await work(this.#api(place, true), refOf(place.row));
  }

  /** The stores of a subscription as the API calls them. @param isTroubled something may happen to an object at each call */
  #api(place: Place, isTroubled = false): EventStoreRpc {
    const open = (number: number) => {
      const store = this.#storeAt(place, number);
      return new Proxy({} as EventStoreRpc, {
        get:
          (_, name: keyof EventStoreRpc) =>
          (...values: unknown[]) => {
            if (isTroubled) this.#trouble(store);
            return store.object.call((called) =>
              (called as unknown as Record<string, (...all: unknown[]) => unknown>)[name]?.(...values),
            );
          },
      });
    };
    const { shards } = place.row;
    return shards === null ? open(0) : new ShardedStore(new Stores(place.row.id, shards, open));
  }

  /** An id that its producer may repeat: ids older than a day are refused. */
  #repeatable(customerId: string): string | undefined {
    const { now } = this.#time;
    const ids = [...this.#published]
      .filter(([id, one]) => one.customerId === customerId && eventIdTime(id) > now - DAY_MS)
      .map(([id]) => id);
    return ids.length === 0 ? undefined : this.#random.pick(ids);
  }

  #bytes(): Uint8Array {
    return Uint8Array.from({ length: 16 }, () => this.#random.whole(0, 255));
  }
}

/** What D1 says of the health of an endpoint that was just set. */
function freshHealth(proof: number | null, since: number) {
  return { health: proof === null ? ('healthy' as const) : ('unverified' as const), healthSince: since };
}

/** A part of a SET. */
function part(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

/** Whether a subscription receives an event: what the types and the filter of this world say, in plain words. */
function matches({ customerId, events, filter }: Subscription, event: IdentityEvent): boolean {
  if (customerId !== event.customerId || !events.includes(event.type)) return false;
  return filter === null || event.type !== 'entityCreated' || event.captureClientId === 'a';
}

function checkSuccesses(ledger: Ledger, reports: readonly SentReport[]): void {
  for (const report of reports) {
    if (report.kind === 'attempted' && report.result.outcome.kind === 'success')
      ledger.succeeded(report.eventId, report.result.attempt);
  }
}
