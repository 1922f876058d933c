/**
 * The path of one event, with one fault in each of its steps. The first attempt gets a 503, the consumer sends the second ahead,
 * which succeeds, and the event is deleted after seven days. Whatever fails, the event ends as a success with two
 * attempts. The table says how many attempts each fault repeats. A second table is about an event whose consumer is of the version before, so that
 * the alarm dispatches its retry, and a third about one that succeeds at once, so that it is packed instead of getting its own row.
 *
 * The store, the consumers, the acknowledgement and the rules are the real ones. The queues and the listener are made
 * in this file, so that a fault happens exactly where the table says.
 */
import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { publish } from '../../src/delivery/publish.ts';
import type { Outcome } from '../../src/domain/attempt.ts';
import { newEventIds } from '../../src/domain/ids.ts';
import { refOf, type Subscription } from '../../src/domain/subscription.ts';
import { EventStore } from '../../src/event-store/event-store.ts';
import { consumeDeliveries } from '../../src/queue/deliveries.ts';
import { consumeEvents, type EventsPorts } from '../../src/queue/events.ts';
import { type HeldClock, holdClock } from '../support/clock.ts';
import { A_KEY, aSet, aSubscription, signing } from '../support/delivery-fixtures.ts';
import { eventStoreStub } from '../support/event-store.ts';
import { unlimited } from '../support/host-limit.ts';
import { anEvent } from '../support/world.ts';

const STEPS = [
  'publish',
  'route',
  'admit',
  'sign and POST',
  'settle',
  'send a retry',
  'dispatch',
  'begin',
  'POST of a retry',
  'settle of a retry',
  'sweep',
] as const;
type Step = (typeof STEPS)[number];

const FAULTS = [
  'throws before',
  'throws after',
  'object evicted',
  'invocation dies',
  'comes twice',
  'write refused',
] as const;
type FaultKind = (typeof FAULTS)[number];

/** How many attempts are made twice. Only a lost result costs one, because its request was already sent. */
const DUPLICATES: Readonly<Record<Step, Readonly<Partial<Record<FaultKind, number>>>>> = {
  publish: row(0, 0, 0, 0, 0),
  route: row(0, 0, 0, 0, 0),
  admit: row(0, 0, 0, 0, 0, 0),
  'sign and POST': row(0, 1, 0, 1, 0),
  settle: row(1, 0, 0, 0, 0, 1),
  'send a retry': row(0, 0, 0, 0, 0),
  dispatch: row(0, 0, 0, 0, 0, 0),
  begin: row(0, 0, 0, 0, 0),
  'POST of a retry': row(0, 1, 0, 1, 0),
  'settle of a retry': row(1, 0, 0, 0, 0, 1),
  sweep: row(0, 0, 0, 0, 0),
};

/** How long after it is due a retry comes at the latest that its consumer sends, ms: in most cases at once. */
const LATE_MS: Partial<Record<Step, Partial<Record<FaultKind, number>>>> = {
  // The consumer dies, or has not heard of the lease, so that nobody sends the retry: it comes when the lease ends.
  settle: { 'throws after': 120_000, 'invocation dies': 120_000 },
  begin: { 'throws before': 2000, 'throws after': 120_000, 'invocation dies': 120_000 },
  'POST of a retry': { 'throws before': 120_000 },
};

/** The same for an event that its first attempt delivers, in the steps that it takes. */
const DUPLICATES_AT_ONCE: Partial<typeof DUPLICATES> = {
  publish: DUPLICATES.publish,
  route: DUPLICATES.route,
  admit: DUPLICATES.admit,
  'sign and POST': DUPLICATES['sign and POST'],
  settle: DUPLICATES.settle,
  sweep: DUPLICATES.sweep,
};

/** @param refused absent for a step in which the store writes nothing */
function row(before: number, after: number, evicted: number, dies: number, twice: number, refused?: number) {
  return {
    ...(refused === undefined ? {} : { 'write refused': refused }),
    'throws before': before,
    'throws after': after,
    'object evicted': evicted,
    'invocation dies': dies,
    'comes twice': twice,
  };
}

const DAY_MS = 86_400_000;
const DELAYS = '3,30,300';

interface Queued {
  readonly queue: 'events' | 'deliveries';
  readonly id: string;
  readonly body: unknown;
  attempts: number;
  visibleAt: number;
}

class Injected extends Error {}

/** One subscription with its store and its queues. One fault happens to them. */
class Line {
  readonly #state: DurableObjectState;
  readonly #clock: HeldClock;
  readonly #step: Step;
  readonly #fault: FaultKind;
  readonly #firstAnswer: Outcome;
  readonly #subscription: Subscription;
  /** Its consumers are of a version that leaves retries to the alarm. */
  readonly #isOld: boolean;
  readonly #env: typeof env;
  #store: EventStore;
  #queued: Queued[] = [];
  #sequence = 0;
  #hasFaulted = false;
  /** The number of the attempt that each POST was for. */
  readonly posts: number[] = [];
  /** When the first retry was posted for the first time, ms. */
  retriedAt = 0;
  #attempt = 1;

  constructor(
    state: DurableObjectState,
    clock: HeldClock,
    step: Step,
    fault: FaultKind,
    firstAnswer: Outcome,
    isOld: boolean,
  ) {
    this.#isOld = isOld;
    this.#firstAnswer = firstAnswer;
    this.#state = state;
    this.#clock = clock;
    this.#step = step;
    this.#fault = fault;
    this.#env = {
      ...env,
      RETRY_DELAYS_SECONDS: DELAYS,
      DELIVERIES: this.#sender('deliveries'),
      UNHEALTHY: this.#sender('deliveries'),
    };
    this.#store = new EventStore(state, this.#env);
    this.#subscription = aSubscription(clock.now());
  }

  get hasFaulted(): boolean {
    return this.#hasFaulted;
  }

  /** Publishes as a producer does: again under the same id until it works. */
  async publish(): Promise<string> {
    const [id = ''] = newEventIds(this.#clock.now(), 1, crypto.getRandomValues(new Uint8Array(16)));
    const { customerId } = this.#subscription;
    const once = () => publish(this.#sender('events'), anEvent({ id }), this.#clock.now(), customerId);
    for (let tries = 0; tries < 3; tries++) {
      try {
        await this.#around('publish', undefined, once);
        return id;
      } catch (error) {
        if (!(error instanceof Injected)) throw error;
      }
    }
    throw new Error('never published');
  }

  /** Runs the queues and the alarm in order of time until nothing is left to do before `end`. */
  async runUntil(end: number): Promise<void> {
    for (let turns = 0; turns < 100; turns++) {
      const alarm = (await this.#state.storage.getAlarm()) ?? Number.POSITIVE_INFINITY;
      const message = Math.min(...this.#queued.map(({ visibleAt }) => visibleAt));
      const next = Math.min(alarm, message);
      if (next > end) return;
      if (next > this.#clock.now()) this.#clock.advance(next - this.#clock.now());
      if (message <= alarm) await this.#consume();
      else await this.ring();
    }
    throw new Error('the queues and the alarm never rest');
  }

  async ring(): Promise<void> {
    await this.#state.storage.deleteAlarm();
    if (this.#fires('dispatch', 'write refused')) this.#breakNext(WRITES, false);
    await this.#store.alarm();
    if (this.#fires('dispatch', 'comes twice') || this.#fires('sweep', 'comes twice'))
      await this.#store.alarm();
  }

  /** Moves the clock by seven days and sweeps, with the fault of that step. */
  async expire(): Promise<void> {
    this.#clock.advance(7 * DAY_MS);
    if (this.#step === 'sweep') {
      if (this.#fault === 'object evicted') this.#evict();
      // The alarm is lost for good. The daily visit arms it again.
      if (this.#fault === 'invocation dies') await this.#state.storage.deleteAlarm();
      if (this.#fault.startsWith('throws')) this.#breakNext(DELETES, this.#fault === 'throws after');
      this.#hasFaulted = true;
    }
    await this.#store.ensureAlarm(refOf(this.#subscription));
    await this.runUntil(this.#clock.now() + 2 * 3_600_000);
  }

  async read(id: string) {
    return this.#store.read(id);
  }

  get waiting(): number {
    return this.#queued.length;
  }

  async #consume(): Promise<void> {
    const now = this.#clock.now();
    const due = this.#queued.filter(({ visibleAt }) => visibleAt <= now);
    const queue = due[0]?.queue;
    // The platform hands a message to one consumer at a time, unless it delivers it twice.
    for (const message of due.filter((one) => one.queue === queue)) {
      const runs = [this.#invocation(message)];
      const steps: Step[] =
        queue === 'events'
          ? ['route', 'admit', 'sign and POST', 'settle', 'send a retry']
          : ['begin', 'POST of a retry', 'settle of a retry'];
      for (const step of steps)
        if (this.#fires(step, 'comes twice')) runs.push(this.#invocation({ ...message }));
      await Promise.all(runs);
    }
  }

  async #invocation(queued: Queued): Promise<void> {
    const invocation = { dead: false };
    queued.attempts++;
    queued.visibleAt = this.#clock.now() + 60_000;
    const message = {
      id: queued.id,
      timestamp: new Date(this.#clock.now()),
      body: queued.body,
      attempts: queued.attempts,
      ack: () => {
        if (!invocation.dead) this.#queued = this.#queued.filter((one) => one !== queued);
      },
      retry: ({ delaySeconds = 0 } = {}) => {
        if (!invocation.dead) queued.visibleAt = this.#clock.now() + delaySeconds * 1000;
      },
    };
    const ports = this.#ports(invocation);
    if (queued.queue === 'events') await consumeEvents([message], ports);
    else
      await consumeDeliveries([message], {
        ...ports,
        findSubscriptionsById: async () =>
          new Map([[this.#subscription.id, { ...this.#subscription, deletedAt: null }]]),
      });
  }

  #ports(invocation: { dead: boolean }): EventsPorts {
    const { customerId } = this.#subscription;
    let retry = false;
    const settleStep = (): Step => (retry ? 'settle of a retry' : 'settle');
    const route = () =>
      this.#around('route', invocation, async () => {
        const audience = { customerId, key: A_KEY, subscriptions: [this.#subscription] };
        return new Map([[customerId, audience]]);
      });
    return {
      store: () => ({
        admit: (ref, ids) => this.#around('admit', invocation, () => this.#store.admit(ref, ids)),
        begin: (ref, token, ids, caller) =>
          this.#around('begin', invocation, async () => {
            retry = true;
            const begun = await this.#store.begin(ref, token, ids, caller);
            this.#attempt = begun[0]?.attempt ?? this.#attempt;
            return begun;
          }),
        settle: (ref, reports, caller) =>
          this.#around(settleStep(), invocation, () =>
            this.#store.settle(ref, reports, this.#isOld ? undefined : caller),
          ),
        release: async (ids: readonly string[]) => this.#store.release(ids),
        mayStart: async () => this.#store.mayStart(),
      }),
      host: () => unlimited,
      ...signing,
      sign: async (event) => {
        if (this.#fires('sign and POST', 'throws before')) throw new Injected('sign');
        return aSet(event.id);
      },
      post: async () => {
        if (invocation.dead) return LOST;
        const step = retry ? 'POST of a retry' : 'sign and POST';
        // A POST never throws. A failure before it means that the listener was not reached and nobody reports it.
        if (this.#fires(step, 'throws before')) {
          invocation.dead = true;
          return LOST;
        }
        this.posts.push(retry ? this.#attempt : 1);
        if (retry) this.retriedAt ||= this.#clock.now();
        if (this.#fires(step, 'object evicted')) this.#evict();
        if (this.#fires(step, 'throws after') || this.#fires(step, 'invocation dies')) invocation.dead = true;
        return retry ? OK : this.#firstAnswer;
      },
      findAudiences: route,
      findAudiencesOf: route,
      noteHealth: async () => undefined,
      noteStoreTenths: async () => undefined,
      findFilters: async () => new Map(),
      longestAttemptMs: 1000,
      sendSlices: async (_, slices, delaySeconds) => {
        if (invocation.dead) throw new Injected('dead');
        for (const body of slices) this.#enqueue('events', body, delaySeconds);
      },
      sendDispatches: (dispatches, delaySeconds) =>
        this.#around('send a retry', invocation, async () => {
          for (const body of dispatches) this.#enqueue('deliveries', body, delaySeconds);
        }),
      waitUntil: () => undefined,
      openKeys: async () => undefined,
      deadLetters: { store: async () => undefined, send: async () => undefined },
      captureDomain: 'capture.example',
      now: () => this.#clock.now(),
      debug: false,
    };
  }

  /** Makes the call of a step, with the fault if it belongs to this step. */
  async #around<T>(
    step: Step,
    invocation: { dead: boolean } | undefined,
    call: () => Promise<T>,
  ): Promise<T> {
    if (invocation?.dead) throw new Injected('dead');
    if (this.#fires(step, 'throws before')) throw new Injected(step);
    if (this.#fires(step, 'write refused')) this.#breakNext(WRITES, false);
    const result = await call();
    if (step === 'publish' && this.#fires(step, 'comes twice')) await call();
    if (SENDS.has(step) && this.#fires(step, 'comes twice')) await call();
    if (this.#fires(step, 'object evicted')) this.#evict();
    if (this.#fires(step, 'invocation dies')) {
      if (invocation !== undefined) invocation.dead = true;
      throw new Injected(`${step}: dead`);
    }
    if (this.#fires(step, 'throws after')) throw new Injected(step);
    return result;
  }

  /** Whether the fault happens at this point. It happens once. */
  #fires(step: Step, fault: FaultKind): boolean {
    if (this.#hasFaulted || step !== this.#step || fault !== this.#fault) return false;
    this.#hasFaulted = true;
    return true;
  }

  #sender(queue: 'events' | 'deliveries') {
    const send = async (messages: Iterable<MessageSendRequest<unknown>>): Promise<void> => {
      if (queue === 'deliveries' && this.#fires('dispatch', 'throws before')) throw new Injected('queue');
      // The store has written the lease, but the message is lost.
      if (queue === 'deliveries' && this.#fires('dispatch', 'invocation dies')) return;
      for (const { body } of messages) this.#enqueue(queue, body);
      if (queue === 'deliveries' && this.#fires('dispatch', 'object evicted')) this.#evict();
      if (queue === 'deliveries' && this.#fires('dispatch', 'throws after')) throw new Injected('queue');
    };
    return { sendBatch: send } as unknown as Queue<unknown>;
  }

  #enqueue(queue: Queued['queue'], body: unknown, delaySeconds = 0): void {
    const id = `message ${this.#sequence++}`;
    const visibleAt = this.#clock.now() + delaySeconds * 1000;
    this.#queued.push({ queue, id, body, attempts: 0, visibleAt });
  }

  #evict(): void {
    this.#store = new EventStore(this.#state, this.#env);
  }

  /** Makes the next statement of a kind fail, before or after it takes effect. */
  #breakNext(kind: RegExp, after: boolean): void {
    const { sql } = this.#state.storage;
    const exec = sql.exec.bind(sql);
    const broken = (query: string, ...values: SqlStorageValue[]) => {
      if (!kind.test(query)) return exec(query, ...values);
      Reflect.deleteProperty(sql, 'exec');
      if (after) exec(query, ...values);
      throw new Injected('storage');
    };
    Object.defineProperty(sql, 'exec', { configurable: true, value: broken });
  }
}

/** Steps that happen twice when a call is repeated, and not when their message comes twice. */
const SENDS: ReadonlySet<Step> = new Set(['settle', 'settle of a retry', 'send a retry']);
const DELETES = /^DELETE FROM (deliveries|segments)/;
const WRITES = /^\s*(INSERT|UPDATE)/;
const OK: Outcome = { kind: 'success', response: { statusCode: 200, headers: {} } };
const UNAVAILABLE: Outcome = { kind: 'http_error', response: { statusCode: 503, headers: {} } };
const LOST: Outcome = { kind: 'unreachable', message: 'connection lost' };

beforeEach(() => {
  for (const level of ['log', 'info', 'warn', 'error'] as const)
    vi.spyOn(console, level).mockImplementation(() => undefined);
});
afterEach(() => vi.restoreAllMocks());

const ALL_CELLS = STEPS.flatMap((step) =>
  FAULTS.filter((fault) => DUPLICATES[step][fault] !== undefined).map((fault) => [step, fault] as const),
);

/** Follows one event, with one fault on its path, until it is deleted. */
async function follow(
  step: Step,
  fault: FaultKind,
  firstAnswer: Outcome,
  attempts: readonly number[],
  duplicates: number | undefined,
  isOld = false,
): Promise<void> {
  const clock = holdClock();
  const stub = eventStoreStub(crypto.randomUUID());
  await runInDurableObject(stub, async (_, state) => {
    const line = new Line(state, clock, step, fault, firstAnswer, isOld);
    const id = await line.publish();
    await line.runUntil(clock.now() + 15 * 60_000);
    const delivery = await line.read(id);
    expect(delivery).toMatchObject({ state: 'success', attempts: attempts.length });
    expect(line.waiting).toBe(0);
    expect(line.posts.length - new Set(line.posts).size).toBe(duplicates);
    expect(new Set(line.posts)).toEqual(new Set(attempts));
    const dueAt = delivery?.history.find(({ nextAttemptAt }) => nextAttemptAt !== undefined)?.nextAttemptAt;
    if (!isOld && dueAt !== undefined) expect(line.retriedAt - dueAt).toBe(LATE_MS[step]?.[fault] ?? 0);
    const rows = (table: string) =>
      state.storage.sql.exec<{ n: number }>(`SELECT count(*) AS n FROM ${table}`).one().n;
    const tables = ['first_retries', 'deliveries', 'segments'];
    expect(tables.map(rows)).toEqual([0, 0, 1]);
    await line.expire();
    expect(await line.read(id)).toBeUndefined();
    expect(tables.map(rows)).toEqual([0, 0, 0]);
    // A cell whose fault never happened would prove nothing.
    expect(line.hasFaulted).toBe(true);
    await state.storage.deleteAlarm();
  });
}

const cells = ALL_CELLS.filter(([step]) => step !== 'dispatch');

describe('a retried event with one fault', () => {
  it.each(cells)('a retried event is neither lost nor stuck after a fault in %s: %s', async (step, fault) => {
    await follow(step, fault, UNAVAILABLE, [1, 2], DUPLICATES[step][fault]);
  });
});

describe('an event that its alarm dispatches, with one fault', () => {
  it.each(ALL_CELLS.filter(([step]) => step !== 'send a retry'))(
    'an event that its alarm dispatches is neither lost nor stuck after a fault in %s: %s',
    async (step, fault) => {
      await follow(step, fault, UNAVAILABLE, [1, 2], DUPLICATES[step][fault], true);
    },
  );
});

describe('an event delivered at once, with one fault', () => {
  it.each(cells.filter(([step]) => step in DUPLICATES_AT_ONCE))(
    'an event delivered at once is neither lost nor stuck after a fault in %s: %s',
    async (step, fault) => {
      await follow(step, fault, OK, [1], DUPLICATES_AT_ONCE[step]?.[fault]);
    },
  );
});
