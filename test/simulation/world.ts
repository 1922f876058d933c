/**
 * # A simulated world for one subscription, driven by a seed
 *
 * The event store, the two consumers, the acknowledgement and the rules are the real ones. The world simulates the
 * queues (in memory, at least once, in no order), the listener, the producer, and the subscription's row in D1, and it
 * holds the clock. Everything that can go wrong does: calls fail before or after they take effect, invocations die
 * half-way, messages come twice, alarms ring twice or are lost, objects are evicted at any moment.
 *
 * After each step `check` compares the store with the rules that must always hold, and with what this world remembers:
 * which events were accepted, which were posted, and which waits were promised.
 */
import type { Outcome } from '../../src/domain/attempt.ts';
import type { Delivery } from '../../src/domain/delivery.ts';
import { newEventIds } from '../../src/domain/ids.ts';
import { refOf, type Subscription } from '../../src/domain/subscription.ts';
import type { Env } from '../../src/env.ts';
import { EventStore } from '../../src/event-store/event-store.ts';
import type { RedeliveryJob } from '../../src/event-store/rpc.ts';
import { type PackedEvents, packEvents } from '../../src/outbound/queues.ts';
import { consumeDeliveries } from '../../src/queue/deliveries.ts';
import { consumeEvents, consumeSlices, type EventsPorts } from '../../src/queue/events.ts';
import type { HeldClock } from '../support/clock.ts';
import { aSet, aSubscription } from '../support/delivery-fixtures.ts';
import type { Random } from '../support/random.ts';

export const DELAYS_MS = [3000, 30_000, 300_000];
const DAY_MS = 86_400_000;
const QUEUE_LEASE_MS = 60_000;

interface QueuedMessage {
  readonly id: string;
  readonly queue: 'events' | 'slices' | 'deliveries';
  readonly body: unknown;
  attempts: number;
  visibleAt: number;
}

interface Post {
  readonly eventId: string;
  readonly set: string;
  readonly at: number;
}

/** Thrown where the world makes a call fail. */
class Fault extends Error {}

type Mood = 'well' | 'failing' | 'hanging' | 'mixed';

export class World {
  readonly #state: DurableObjectState;
  readonly #random: Random;
  readonly #clock: HeldClock;
  readonly #env: Env;
  #store: EventStore;
  #subscription: Subscription;
  #deleted = false;
  #kid = 0;
  #mood: Mood = 'well';
  #faults = true;
  #queue: QueuedMessage[] = [];
  #sequence = 0;
  readonly #accepted = new Map<string, number>();
  readonly #posts: Post[] = [];
  readonly #succeeded = new Set<string>();
  /** How many faults happened so far. While there were none, nothing may be sent twice. */
  #faultsSoFar = 0;
  #alarmLost = false;
  /** The steps so far, printed when the seed fails. */
  readonly story: string[] = [];

  private constructor(state: DurableObjectState, env: Env, clock: HeldClock, random: Random) {
    this.#state = state;
    this.#clock = clock;
    this.#random = random;
    const sender = {
      sendBatch: async (messages: Iterable<MessageSendRequest<unknown>>) => {
        this.#mayFail(0.05, 'send');
        for (const { body } of messages) this.#enqueue('deliveries', body);
        this.#mayFail(0.02, 'send, after');
      },
    };
    this.#env = {
      ...env,
      ATTEMPT_TIMEOUT_SECONDS: '1',
      RETRY_DELAYS_SECONDS: '3,30,300',
      DELIVERIES: sender as unknown as Queue<unknown>,
      UNHEALTHY: sender as unknown as Queue<unknown>,
    };
    this.#subscription = aSubscription(clock.now());
    this.#store = new EventStore(state, this.#env);
  }

  /** Makes a new world in the storage of an object, and empties that storage first. */
  static async create(state: DurableObjectState, env: Env, clock: HeldClock, random: Random): Promise<World> {
    await state.storage.deleteAlarm();
    await state.storage.deleteAll();
    return new World(state, env, clock, random);
  }

  // --- Steps ------------------------------------------------------------------------------------------

  /** Takes one random step. */
  async step(): Promise<void> {
    const step = this.#random.weighted({
      publish: 18,
      consume: 30,
      ring: 22,
      wait: 6,
      mood: 5,
      evict: 5,
      redeliver: 5,
      redeliverAll: 2,
      toggle: 3,
      rotate: 2,
      visit: 2,
      loseAlarm: 1,
      ringTwice: 2,
      export: 2,
      test: 2,
      delete: 0.3,
    });
    this.story.push(`${this.#clock.now()} ${step}`);
    try {
      await this[step]();
    } catch (error) {
      // A fault on purpose fails for its caller only. The world goes on.
      if (!(error instanceof Fault)) throw error;
    }
  }

  async publish(): Promise<void> {
    const repeated = this.#random.chance(0.15) && this.#accepted.size > 0;
    const now = this.#clock.now();
    const count = this.#random.whole(1, 4);
    const ids = repeated
      ? [this.#random.pick([...this.#accepted.keys()])]
      : newEventIds(now, count, this.#bytes());
    const events = ids.map((id) => ({
      customerId: this.#subscription.customerId,
      id,
      type: 'entityCreated' as const,
      acceptedAt: now,
      occurredAt: now,
      captureApplicationId: 'a',
      captureClientId: 'c',
      entityType: 'user',
      sub: id,
    }));
    for (const message of packEvents(events, now)) this.#enqueue('events', message);
    for (const id of ids) if (!this.#accepted.has(id)) this.#accepted.set(id, now);
  }

  async consume(): Promise<void> {
    const runs = this.#random.chance(0.25) ? 2 : 1;
    await Promise.all(Array.from({ length: runs }, () => this.#consumer()));
  }

  async wait(): Promise<void> {
    const wait = this.#random.pick([10, 1000, 5000, 60_000, 3_600_000, DAY_MS / 2]);
    this.#clock.advance(this.#random.whole(1, wait));
  }

  /** Moves the clock to the alarm, if it is at most two days away, and rings it. */
  async ring(): Promise<void> {
    const at = await this.#state.storage.getAlarm();
    if (at === null) return;
    if (at > this.#clock.now() + 2 * DAY_MS) return;
    if (at > this.#clock.now()) this.#clock.advance(at - this.#clock.now());
    await this.#state.storage.deleteAlarm();
    await this.#store.alarm();
  }

  async ringTwice(): Promise<void> {
    await this.#store.alarm();
  }

  async loseAlarm(): Promise<void> {
    await this.#state.storage.deleteAlarm();
    this.#alarmLost = true;
  }

  async visit(): Promise<void> {
    if (this.#deleted) return;
    await this.#store.ensureAlarm(refOf(this.#subscription));
    this.#alarmLost = false;
  }

  async evict(): Promise<void> {
    this.#evict();
  }

  async mood(): Promise<void> {
    this.#mood = this.#random.pick(['well', 'failing', 'hanging', 'mixed'] as const);
  }

  async rotate(): Promise<void> {
    this.#kid++;
  }

  /** PATCH of `enabled`: changes D1 first, then the store, unless the call is cut short. */
  async toggle(): Promise<void> {
    const { enabled, version } = this.#subscription;
    this.#subscription = { ...this.#subscription, enabled: !enabled, version: version + 1 };
    if (this.#deleted || this.#random.chance(0.3)) return;
    await this.#store.adopt(refOf(this.#subscription));
  }

  async redeliver(): Promise<void> {
    const failed = this.#rows("state = 'failure'");
    if (failed.length === 0) return;
    await this.#store.redeliver(refOf(this.#subscription), this.#random.pick(failed));
  }

  async redeliverAll(): Promise<void> {
    const span = { since: 0, until: Number.MAX_SAFE_INTEGER };
    const started = await this.#store.startRedelivery(refOf(this.#subscription), span);
    if (started.answer === 'started' && this.#random.chance(0.2))
      this.#store.cancelRedelivery(started.job.id);
  }

  async export(): Promise<void> {
    await this.#store.startExport(refOf(this.#subscription));
  }

  /** A test notification is stored at once and never held. */
  async test(): Promise<void> {
    if (this.#deleted || !this.#subscription.enabled) return;
    const [eventId = ''] = newEventIds(this.#clock.now(), 1, this.#bytes());
    const acceptedAt = this.#clock.now();
    const facts = { eventId, acceptedAt, endpoint: this.#subscription.endpoint, set: aSet(eventId, 'test') };
    await this.#store.settle(refOf(this.#subscription), [{ ...facts, kind: 'deferred', neverHeld: true }]);
    this.#accepted.set(eventId, acceptedAt);
  }

  /** DELETE: marks the row in D1 first, then erases the store, unless the call is cut short. The cron finishes it. */
  async delete(): Promise<void> {
    this.#deleted = true;
    this.#subscription = { ...this.#subscription, version: this.#subscription.version + 1 };
    if (this.#random.chance(0.7)) await this.#store.erase(refOf(this.#subscription));
  }

  /** Ends the faults and heals the endpoint. @throws Error if some delivery still does not reach its end */
  async settleDown(): Promise<void> {
    this.#faults = false;
    this.#mood = 'well';
    if (this.#deleted) await this.#store.erase(refOf(this.#subscription));
    for (let round = 0; round < 300; round++) {
      if (!this.#deleted) await this.visit();
      while (this.#queue.length > 0) {
        const next = Math.min(...this.#queue.map(({ visibleAt }) => visibleAt));
        if (next > this.#clock.now()) this.#clock.advance(next - this.#clock.now());
        await this.#consumer();
        this.check();
      }
      if (!this.#isAtWork()) return;
      await this.ring();
      await this.checkAlarm();
      this.check();
    }
    throw new Error('some delivery or job never ends');
  }

  // --- What must be true ------------------------------------------------------------------------------

  /** @throws Error that names the rule that does not hold */
  check(): void {
    if (this.#deleted) return;
    const stored = new Set(this.#store.list({ limit: 100_000 }).map(({ eventId }) => eventId));
    for (const eventId of this.#rows('1'))
      must(stored.has(eventId), `${eventId} has a row and is not listed`);
    const queued = new Set(
      this.#queue
        .filter(({ queue }) => queue !== 'deliveries')
        .flatMap(({ body }) => (body as PackedEvents).events.map(([id]) => id)),
    );
    for (const [eventId, acceptedAt] of this.#accepted) {
      const isOld = acceptedAt + 7 * DAY_MS <= this.#clock.now();
      must(isOld || stored.has(eventId) || queued.has(eventId), `${eventId} is neither stored nor queued`);
    }
    for (const eventId of stored) this.#checkDelivery(eventId);
    must(this.#store.total() === stored.size, `total ${this.#store.total()}, stored ${stored.size}`);
    for (const job of this.#store.redeliveries()) checkJob(job);
  }

  /** A store with an open delivery must have an alarm, unless the platform lost the alarm. */
  async checkAlarm(): Promise<void> {
    if (this.#deleted || this.#alarmLost || this.#rows('due_at IS NOT NULL').length === 0) return;
    must((await this.#state.storage.getAlarm()) !== null, 'something is open and no alarm is set');
  }

  #checkDelivery(eventId: string): void {
    const delivery = this.#read(eventId);
    const { history, state, attempts, runBase } = delivery;
    must(history.at(-1)?.state === state, `${eventId}: the history does not end in ${state}`);
    must(attempts - runBase <= DELAYS_MS.length + 1, `${eventId}: ${attempts - runBase} attempts in a run`);
    let before = history[0];
    must(before?.state === 'awaiting-executing', `${eventId}: the history does not begin`);
    let runAttempt = 0;
    let runSince = before?.at ?? 0;
    for (const entry of history.slice(1)) {
      if (before === undefined) continue;
      must(canFollow(before.state, entry.state), `${eventId}: ${entry.state} after ${before.state}`);
      if (before.state === 'awaiting-retry' && entry.state === 'success') {
        // Each attempt of the run has failed once, so the success is of one more request.
        const requests = this.#posts.filter((post) => post.eventId === eventId && post.at >= runSince).length;
        must(requests > runAttempt, `${eventId}: success after ${requests} requests that all failed`);
      }
      if (entry.state === 'executing') {
        runAttempt++;
        must(entry.attempts === before.attempts + 1, `${eventId}: attempt ${entry.attempts} out of order`);
        must(entry.at >= (before.nextAttemptAt ?? 0), `${eventId}: attempted early`);
      } else {
        must(entry.attempts === before.attempts, `${eventId}: ${entry.state} changes attempts`);
      }
      if (entry.state === 'awaiting-retry') {
        const wait = (entry.nextAttemptAt ?? 0) - entry.at;
        must(wait >= (DELAYS_MS[runAttempt - 1] ?? 0), `${eventId}: waits ${wait} ms after ${runAttempt}`);
        must(entry.reason !== undefined, `${eventId}: does not say why it failed`);
      }
      if (entry.state === 'awaiting-executing') {
        runAttempt = 0;
        runSince = entry.at;
      }
      before = entry;
    }
    must(history.filter((one) => one.state === 'executing').length === attempts, `${eventId}: lost attempts`);
    const last = history.at(-1);
    if (runBase === 0 && (last?.response ?? last?.error) !== undefined) {
      const requests = this.#posts.filter((post) => post.eventId === eventId).length;
      must(attempts <= requests, `${eventId}: ${attempts} attempts charged for ${requests} requests`);
    }
    if (this.#succeeded.has(eventId)) must(state === 'success', `${eventId}: no longer a success`);
    if (state === 'success') this.#succeeded.add(eventId);
  }

  // --- The outside ------------------------------------------------------------------------------------

  async #consumer(): Promise<void> {
    const now = this.#clock.now();
    const visible = this.#queue.filter(({ visibleAt }) => visibleAt <= now);
    if (visible.length === 0) return;
    const { queue } = this.#random.pick(visible);
    const batch = visible.filter((message) => message.queue === queue).slice(0, this.#random.whole(1, 3));
    for (const message of batch) message.visibleAt = now + QUEUE_LEASE_MS;
    const invocation = { dead: false };
    const messages = batch.map((message) => this.#message(message, invocation));
    const ports = this.#ports(invocation);
    if (queue === 'events') await consumeEvents(messages, ports);
    else if (queue === 'slices') await consumeSlices(messages, ports);
    else
      await consumeDeliveries(messages, {
        ...ports,
        findSubscriptionsById: async () => {
          this.#mayFail(0.03, 'D1');
          const deletedAt = this.#deleted ? 1 : null;
          return new Map([[this.#subscription.id, { ...this.#subscription, deletedAt }]]);
        },
      });
  }

  #message(message: QueuedMessage, invocation: { dead: boolean }): Message<unknown> {
    message.attempts++;
    return {
      id: message.id,
      timestamp: new Date(this.#clock.now()),
      body: message.body,
      attempts: message.attempts,
      ack: () => {
        if (invocation.dead) return;
        // An acknowledgement may be lost. The message then comes once more.
        if (this.#faults && this.#random.chance(0.05)) {
          this.#faultsSoFar++;
          return;
        }
        this.#queue = this.#queue.filter((one) => one !== message);
      },
      retry: ({ delaySeconds = 0 } = {}) => {
        if (!invocation.dead) message.visibleAt = this.#clock.now() + delaySeconds * 1000;
      },
    };
  }

  #ports(invocation: { dead: boolean }): EventsPorts {
    const alive = () => {
      if (this.#faults && this.#random.chance(0.01)) {
        this.#faultsSoFar++;
        invocation.dead = true;
      }
      if (invocation.dead) throw new Fault('the invocation died');
    };
    const call = async <T>(work: (store: EventStore) => Promise<T>): Promise<T> => {
      alive();
      this.#mayFail(0.04, 'store');
      if (this.#faults && this.#random.chance(0.02)) this.#evict();
      const result = await work(this.#store);
      this.#mayFail(0.03, 'store, after');
      return result;
    };
    return {
      store: () => ({
        admit: (ref, ids) => call((store) => store.admit(ref, ids)),
        begin: (ref, token, ids) => call((store) => this.#watched(store.begin(ref, token, ids))),
        settle: (ref, reports) => call((store) => store.settle(ref, reports)),
        release: async (ids: readonly string[]) => this.#store.release(ids),
        mayStart: async () => this.#store.mayStart(),
      }),
      sign: async (event) => {
        alive();
        return aSet(event.id, `key ${this.#kid}`);
      },
      post: async (_, set) => {
        if (invocation.dead) return { kind: 'unreachable', message: 'nobody asks' };
        return this.#post(set);
      },
      noteHealth: async () => this.#mayFail(0.1, 'D1'),
      findFilters: async () => new Map(),
      longestAttemptMs: 5000,
      sendSlices: async (slices, delaySeconds) => {
        this.#mayFail(0.05, 'send');
        for (const slice of slices) this.#enqueue('slices', slice, delaySeconds);
        this.#mayFail(0.02, 'send, after');
      },
      sendDispatches: async (dispatches, delaySeconds) => {
        this.#mayFail(0.05, 'send');
        for (const dispatch of dispatches) this.#enqueue('deliveries', dispatch, delaySeconds);
      },
      waitUntil: () => undefined,
      openKeys: async () => this.#mayFail(0.02, 'D1'),
      findAudiences: async () => {
        alive();
        this.#mayFail(0.03, 'D1');
        const { customerId } = this.#subscription;
        const subscriptions = this.#deleted ? [] : [this.#subscription];
        return new Map([[customerId, { customerId, kid: 'kid', subscriptions }]]);
      },
      deadLetters: {
        store: async () => undefined,
        send: async () => {
          throw new Fault('nothing here is a dead letter');
        },
      },
      captureDomain: 'capture.example',
      now: () => this.#clock.now(),
      debug: false,
    };
  }

  /** Checks that no attempt begins for a delivery that has succeeded. */
  async #watched<T extends readonly { eventId: string }[]>(beginnings: Promise<T>): Promise<T> {
    for (const { eventId } of await beginnings) {
      must(!this.#succeeded.has(eventId), `${eventId}: attempted after its success`);
      const { state } = this.#read(eventId);
      must(state === 'executing', `${eventId}: begun in ${state}`);
    }
    return await beginnings;
  }

  #post(set: string): Outcome {
    const { id: eventId } = JSON.parse(atob(set.split('.')[1] ?? '')) as { id: string };
    const stored = this.#find(eventId);
    // A delivery that succeeded at once is stored without its signature.
    must(
      stored === undefined || stored.set === set || (isPacked(stored) && set.startsWith(stored.set)),
      `${eventId}: sent other bytes than are stored`,
    );
    const isNew = !this.#posts.some((post) => post.eventId === eventId);
    must(isNew || stored !== undefined || this.#faultsSoFar > 0, `${eventId}: sent twice`);
    // A fault of ours: no request is made, and it must cost nothing.
    if (this.#faults && this.#random.chance(0.08))
      return { kind: 'our_fault', message: 'the name service gave no answer' };
    this.#posts.push({ eventId, set, at: this.#clock.now() });
    const mood =
      this.#mood === 'mixed' ? this.#random.pick(['well', 'failing', 'hanging'] as const) : this.#mood;
    switch (mood) {
      case 'well':
        this.#clock.advance(this.#random.whole(0, 100));
        return { kind: 'success', response: { statusCode: 200, headers: {} } };
      case 'hanging':
        this.#clock.advance(1000);
        return { kind: 'timed_out', message: 'no answer' };
      case 'failing': {
        const statusCode = this.#random.pick([500, 503, 404, 302]);
        const retryAfterMs = statusCode === 503 && this.#random.chance(0.3) ? 60_000 : undefined;
        const response = { statusCode, headers: {} };
        return { kind: 'http_error', response, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
      }
    }
  }

  #mayFail(probability: number, what: string): void {
    if (!this.#faults || !this.#random.chance(probability)) return;
    this.#faultsSoFar++;
    this.story.push(`  ${what} fails`);
    throw new Fault(what);
  }

  #evict(): void {
    this.#faultsSoFar++;
    this.story.push('  evicted');
    this.#store = new EventStore(this.#state, this.#env);
  }

  #enqueue(queue: QueuedMessage['queue'], body: unknown, delaySeconds = 0): void {
    const copies = this.#faults && this.#random.chance(0.08) ? 2 : 1;
    if (copies === 2) this.#faultsSoFar++;
    for (let copy = 0; copy < copies; copy++) {
      const lag = this.#random.chance(0.1) ? this.#random.whole(0, 300_000) : 0;
      const visibleAt = this.#clock.now() + delaySeconds * 1000 + lag;
      // Packed events have ids of their own, so the ids of messages do not matter.
      this.#queue.push({ id: `message ${this.#sequence++}`, queue, body, attempts: 0, visibleAt });
    }
  }

  #isAtWork(): boolean {
    if (this.#rows('due_at IS NOT NULL').length > 0 && !this.#deleted) return true;
    return this.#store.redeliveries().some(({ state }) => state === 'processing');
  }

  #rows(where: string): string[] {
    const query = `SELECT event_id AS id FROM deliveries WHERE ${where}`;
    try {
      return this.#state.storage.sql
        .exec<{ id: string }>(query)
        .toArray()
        .map(({ id }) => id);
    } catch (error) {
      // An erased store has no tables left.
      if (this.#deleted) return [];
      throw error;
    }
  }

  #find(eventId: string): Delivery | undefined {
    const next = this.#store.list({ after: previous(eventId), limit: 1 })[0];
    return next?.eventId === eventId ? next : undefined;
  }

  #read(eventId: string): Delivery {
    const delivery = this.#find(eventId);
    if (delivery === undefined) throw new Error(`${eventId} is not stored`);
    return delivery;
  }

  #bytes(): Uint8Array {
    return Uint8Array.from({ length: 16 }, () => this.#random.whole(0, 255));
  }
}

/** The largest id below this one, because lists start after an id. */
function previous(eventId: string): string {
  return eventId.slice(0, -1) + String.fromCharCode(eventId.charCodeAt(35) - 1);
}

function isPacked({ state, attempts }: Delivery): boolean {
  return state === 'success' && attempts === 1;
}

function canFollow(before: Delivery['state'], after: Delivery['state']): boolean {
  switch (before) {
    case 'awaiting-executing':
      return after === 'executing' || after === 'failure';
    case 'awaiting-retry':
      // A late success ends the wait (contract 5.3).
      return after === 'executing' || after === 'failure' || after === 'success';
    case 'executing':
      return after === 'success' || after === 'awaiting-retry' || after === 'failure';
    case 'failure':
      // A late success replaces the failure.
      return after === 'awaiting-executing' || after === 'success';
    case 'success':
      return false;
  }
}

function checkJob({ id, total, redelivered, succeeded, failed, state }: RedeliveryJob): void {
  const figures = `job ${id}: ${JSON.stringify({ total, redelivered, succeeded, failed, state })}`;
  must(redelivered <= total && succeeded >= 0 && failed >= 0, figures);
  must(succeeded + failed <= redelivered, figures);
  if (state === 'completed') must(succeeded + failed === redelivered, figures);
}

function must(isTrue: boolean, what: string): void {
  if (!isTrue) throw new Error(what);
}
