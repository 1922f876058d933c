/** A world: the service of src on a modelled platform, with customers, their listeners, and a clock of its own. */
import { publish } from '../../src/delivery/publish.ts';
import { Outage } from '../../src/domain/errors.ts';
import { seeded } from '../../test/support/random.ts';
import { Clock, install } from './clock.ts';
import { D1 } from './d1.ts';
import { readDeployment } from './deployment.ts';
import { createHandler, createHostLimit, createObject, eventIdOf } from './entry.ts';
import { createFetch, Hook, HostMeter, isInSample, type Mood } from './listeners.ts';
import { count, Meters, raise } from './meters.ts';
import { Namespace, type ObjectParts } from './object.ts';
import { CPU, SCALING, type Scaling, STEPS_PER_MS, TIMES, type Times } from './platform.ts';
import { type Batch, type Handler, ModelQueue } from './queue.ts';

export interface WorldOptions {
  readonly seed: number;
  /** Isolates that invocations take in turn; without them, all use the modules that are loaded here. */
  readonly isolates?: readonly (typeof createHandler)[];
  readonly times?: Partial<Times>;
  readonly scaling?: Scaling;
  readonly vars?: Readonly<Record<string, string>>;
  /** Says how far a long run is. */
  readonly progress?: (line: string) => void;
}

/** Work that a world has left undone for this long ends its run, ms. */
const IDLE_MS = 60_000;
/** A delivery that is due within this time waits for its turn, ms. */
const SOON_MS = 60_000;
const KEY = Buffer.alloc(32, 1).toString('base64');
const CONSOLE = ['debug', 'info', 'warn', 'error'] as const;

export interface Customer {
  readonly id: string;
  readonly name: string;
  readonly hooks: readonly Hook[];
  /** Events published, with their times of acceptance; those of the sample. */
  readonly events: Map<string, number>;
  readonly sampleOf: number;
  /** How many events were published. */
  published: number;
}

export interface Traits {
  /** Processor time that the filters of all its subscriptions take for one event, ms. */
  readonly filterMs?: number;
  /** All its listeners are at one host. */
  readonly isOneHost?: boolean;
  /** Event stores of each subscription, from the first event on; 1 by default. */
  readonly shards?: number;
  /** Of so many events one is remembered; 1 by default. */
  readonly sampleOf?: number;
}

/** A producer whose call was a 503 tries again after this time. */
const PRODUCER_WAITS_MS = 1000;

export class World {
  readonly clock = new Clock();
  readonly meters = new Meters();
  readonly random: () => number;
  readonly queues = new Map<string, ModelQueue>();
  readonly customers: Customer[] = [];
  readonly hosts = new Map<string, HostMeter>();
  readonly namespace: Namespace;
  readonly hostLimits: Namespace;
  readonly d1: D1;
  /** By second: the most calls and alarms that one event store got in it. */
  readonly callsMost = new Map<number, number>();
  readonly #hooksByUrl = new Map<string, Hook>();
  readonly #hooksById = new Map<string, Hook>();
  readonly #restore: () => void;
  readonly #progress: (line: string) => void;
  readonly #events: ModelQueue;
  #publishing = 0;
  /** Calls of publish that the queue had no room for. Each is made once more. */
  refusedPublishes = 0;
  #emptyBytes = 0;
  #failure: unknown;

  constructor(options: WorldOptions) {
    const { seed, isolates = [createHandler], times = {}, scaling = SCALING, vars = {} } = options;
    const { progress = () => undefined } = options;
    const deployment = readDeployment();
    const { clock, meters } = this;
    this.#progress = progress;
    this.random = seeded(seed);
    const parts = { clock, meters, random: this.random, times: { ...TIMES, ...times } };
    this.d1 = new D1(parts);
    const env: Record<string, unknown> = {
      ...deployment.vars,
      BASE_URL: 'https://webhooks.test',
      OPERATOR_TOKEN: 'operator-token-of-the-model',
      KEY_ENCRYPTION_KEY: KEY,
      TOKEN_SIGNING_KEY: KEY,
      ...vars,
    };
    const objects: ObjectParts = {
      ...parts,
      create: (state) => createObject(state, env),
      onAnswer: (id, answer) => this.#onAnswer(id, answer),
      onCall: (second, calls) => raise(this.callsMost, second, calls),
    };
    const handlers = isolates.map((create) => create(env));
    let batches = 0;
    const handler: Handler = async (batch, context) => {
      await handlers[batches++ % handlers.length]?.(batch, context);
    };
    const name = (queue: string) => {
      let known = this.queues.get(queue);
      if (known === undefined) {
        const rest = { scaling, deployment, handler, deadLetterQueue: name };
        known = new ModelQueue(queue, { ...parts, ...rest, cpuOf: (batch) => this.#cpuOf(batch) });
        this.queues.set(queue, known);
      }
      return known;
    };
    for (const { binding, queue } of deployment.producers) env[binding] = name(queue).binding;
    for (const { binding } of deployment.databases) env[binding] = this.d1;
    for (const { name } of deployment.rateLimits) env[name] = { limit: async () => ({ success: true }) };
    this.#events = name('webhook-events');
    this.#restore = install(clock, this.random, {
      fetch: createFetch(this.#hooksByUrl, eventIdOf, parts),
      console: this.#console(),
    });
    this.namespace = new Namespace(objects, this.#emptyStore(objects));
    this.hostLimits = new Namespace({
      ...parts,
      // It writes no row, and computes little.
      times: { ...parts.times, objectCall: 1 },
      create: (state) => createHostLimit(state, env),
      onAnswer: () => undefined,
    });
    for (const { name, class_name } of deployment.objects) {
      env[name] = class_name === 'HostLimit' ? this.hostLimits : this.namespace;
    }
  }

  /** Gives the globals back. */
  close(): void {
    this.#restore();
    for (const { objects } of [this.namespace, this.hostLimits]) {
      for (const { sqlite } of objects.values()) sqlite.close();
    }
    this.d1.sqlite.close();
  }

  /** @param mood of each listener, by its number */
  addCustomer(
    name: string,
    subscriptions: number,
    mood: (index: number) => Mood,
    traits: Traits = {},
  ): Customer {
    const id = this.#uuid();
    const now = Math.floor(this.clock.now);
    const { sqlite } = this.d1;
    sqlite.query('INSERT INTO customers (id, name, created_at) VALUES (?, ?, ?)', [id, name, now]);
    const kid = this.#uuid().replaceAll('-', '').padEnd(40, '0');
    sqlite.query(
      `INSERT INTO signing_keys (kid, customer_id, role, public_jwk, sealed_private_key, created_at, current_since)
       VALUES (?, ?, 'current', '{}', 'sealed', ?, ?)`,
      [kid, id, now, now],
    );
    const filterSteps = Math.floor(((traits.filterMs ?? 0) * STEPS_PER_MS) / subscriptions);
    const { shards = 1, sampleOf = 1 } = traits;
    const epochs = shards === 1 ? null : { epochs: [{ since: 0, n: shards }], most: shards };
    const hooks = Array.from({ length: subscriptions }, (_, index) => {
      const subscriptionId = this.#uuid();
      const host = traits.isOneHost === true ? name : `${name}-${index}`;
      const meter = this.hosts.get(host) ?? new HostMeter();
      this.hosts.set(host, meter);
      const hook = new Hook(`https://${host}.example.com/hook/${index}`, name, mood(index), meter, sampleOf);
      this.#hooksByUrl.set(hook.url, hook);
      this.#hooksById.set(subscriptionId, hook);
      sqlite.query(
        `INSERT INTO subscriptions (id, customer_id, title, endpoint, events, enabled, version, created_at, updated_at,
                                    filter, filter_steps, shards)
         VALUES (?, ?, ?, ?, '["entityCreated","entityUpdated"]', 1, 1, ?, ?, ?, ?, ?)`,
        [
          subscriptionId,
          id,
          `hook ${index}`,
          hook.url,
          now,
          now,
          filterSteps === 0 ? null : '{}',
          filterSteps,
          epochs && JSON.stringify(epochs),
        ],
      );
      return hook;
    });
    const customer: Customer = { id, name, hooks, events: new Map(), sampleOf, published: 0 };
    this.customers.push(customer);
    return customer;
  }

  /** Publishes events of a customer in one call, by the code of src. @param attributes names that each event carries */
  publish(customer: Customer, events: number, attributes?: readonly string[]): void {
    this.#publishing++;
    this.meters.units.requests++;
    this.#publish(customer, events, attributes).then(
      () => this.#publishing--,
      (error: unknown) => {
        this.#failure ??= error;
      },
    );
  }

  async #publish(customer: Customer, events: number, attributes?: readonly string[]): Promise<void> {
    const now = Math.floor(this.clock.now);
    const bodies = Array.from({ length: events }, () => ({
      type: attributes === undefined ? 'entityCreated' : 'entityUpdated',
      captureApplicationId: 'tep2dcqy4fwurwtpkaxg76twgf',
      captureClientId: 'zfccfzzcf626t449wu5umbt6zhek2det',
      entityType: 'user',
      sub: '7f3b7b7e-9d2f-4c8e-8f54-4b7f6f4b1d20',
      ...(attributes === undefined ? {} : { attributes }),
    }));
    const result = await publish(this.#events.binding, bodies, now, customer.id).catch((error: unknown) => {
      if (error instanceof Outage) return undefined;
      throw error;
    });
    if (result === undefined) {
      // The queue takes 5,000 messages a second, what consumers send on among them. The producer gets a 503, and tries again.
      this.refusedPublishes++;
      await new Promise<void>((resolve) => this.clock.at(this.clock.now + PRODUCER_WAITS_MS, resolve));
      return await this.#publish(customer, events, attributes);
    }
    if (!result.ok) throw new Error(result.faults.map(({ name, reason }) => `${name} ${reason}`).join('; '));
    customer.published += events;
    for (const { id } of result.events) if (isInSample(id, customer.sampleOf)) customer.events.set(id, now);
  }

  /** Does something at a time of the run, ms from its start. */
  at(ms: number, work: () => void): void {
    this.clock.at(this.clock.startedAt + ms, work);
  }

  /** Publishes one event every so often. */
  publishEvery(customer: Customer, everyMs: number, fromMs: number, toMs: number): void {
    for (let ms = fromMs; ms < toMs; ms += everyMs) this.at(ms, () => this.publish(customer, 1));
  }

  /** The same without an entry in the clock for each: for a busy customer. @param events of one call */
  publishSteadily(customer: Customer, everyMs: number, fromMs: number, toMs: number, events: number): void {
    if (fromMs >= toMs) return;
    this.at(fromMs, () => {
      this.publish(customer, events);
      this.publishSteadily(customer, everyMs, fromMs + everyMs, toMs, events);
    });
  }

  /** Milliseconds since the start. */
  get elapsedMs(): number {
    return this.clock.now - this.clock.startedAt;
  }

  get expected(): number {
    return this.customers.reduce((sum, { events, hooks }) => sum + events.size * hooks.length, 0);
  }

  get delivered(): number {
    return [...this.#hooksById.values()].reduce((sum, hook) => sum + hook.delivered.size, 0);
  }

  /** Runs until everything is delivered and stored, or nothing moves for a minute, or until the time given, ms from the start. */
  async run(untilMs: number, isOver: () => boolean = () => this.isDone()): Promise<void> {
    let over = false;
    let idleSince = Number.POSITIVE_INFINITY;
    let shownAt = process.hrtime.bigint();
    let invocations = 0;
    const look = () => {
      const { requests } = this.meters.units;
      const isQuiet = [...this.queues.values()].every(({ waiting, running }) => waiting + running === 0);
      const isIdle = isQuiet && requests === invocations;
      invocations = requests;
      if (!isIdle || this.#publishing > 0) idleSince = Number.POSITIVE_INFINITY;
      else idleSince = Math.min(idleSince, this.clock.now);
      over = isOver() || (this.elapsedMs > 1000 && this.clock.now - idleSince > IDLE_MS);
      const now = process.hrtime.bigint();
      if (now - shownAt > 5_000_000_000n) {
        shownAt = now;
        this.#progress(`${(this.elapsedMs / 1000).toFixed(0)} s: ${this.delivered} of ${this.expected}`);
      }
      if (!over) this.clock.at(this.clock.now + 1000, look);
    };
    this.clock.at(this.clock.now + 1000, look);
    await this.clock.run(() => over || this.#failure !== undefined, this.clock.startedAt + untilMs);
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Lets time pass, in which only alarms ring. */
  async wait(ms: number): Promise<void> {
    await this.clock.run(() => false, this.clock.now + ms);
  }

  /** Lets time pass until `isOver` says so, or the time given, ms from the start. A run ends when nothing moves for a minute; some retries wait longer. */
  async waitFor(isOver: () => boolean, untilMs: number): Promise<void> {
    while (!isOver() && this.elapsedMs < untilMs) await this.wait(IDLE_MS);
  }

  /** Whether everything is delivered, and no message is left. */
  isDone(): boolean {
    if (this.#publishing > 0 || this.elapsedMs < 2000) return false;
    const isQuiet = [...this.queues.values()].every(({ waiting, running }) => waiting + running === 0);
    return isQuiet && this.delivered === this.expected;
  }

  /** Letters in the operator's list, and messages that the platform moved. */
  deadLetters(): number {
    const { rows } = this.d1.sqlite.query('SELECT count(*) FROM dead_letters', []);
    return Number(rows[0]?.[0] ?? 0) + this.meters.deadLetters;
  }

  /** Deliveries that the event stores have as a success. */
  storedSuccesses(): number {
    let stored = 0;
    for (const { sqlite } of this.namespace.objects.values()) {
      const { rows } = sqlite.query(
        `SELECT (SELECT coalesce(sum(events), 0) FROM segments)
              + (SELECT count(*) FROM deliveries WHERE state = 'success')`,
        [],
      );
      stored += Number(rows[0]?.[0] ?? 0);
    }
    return stored;
  }

  /** Deliveries that are not final: they are held, wait for a retry, or have a request without an answer. */
  openDeliveries(): number {
    let open = 0;
    for (const { sqlite } of this.namespace.objects.values()) {
      const { rows } = sqlite.query('SELECT sum(open) FROM tally', []);
      open += Number(rows[0]?.[0] ?? 0);
    }
    return open;
  }

  /** Those of them that wait for their endpoint or their turn, and not for a retry that is more than a minute away by the schedule. */
  waitingDeliveries(): number {
    const soon = this.clock.now + SOON_MS;
    let late = 0;
    for (const { sqlite } of this.namespace.objects.values()) {
      const { rows } = sqlite.query(
        "SELECT count(*) FROM deliveries WHERE due_at > ? AND hold IS NOT 'held'",
        [soon],
      );
      late += Number(rows[0]?.[0] ?? 0);
    }
    return this.openDeliveries() - late;
  }

  /** Bytes that the databases of the event stores have grown by. */
  storedBytes(): number {
    return [...this.namespace.objects.values()].reduce((sum, { bytes }) => sum + bytes - this.#emptyBytes, 0);
  }

  #cpuOf({ messages }: Batch): number {
    let ms = 0;
    for (const { body } of messages) {
      if (typeof body !== 'object' || body === null || !('customerId' in body) || !('events' in body))
        continue;
      const { customerId, events } = body as { customerId: string; events: unknown[] };
      const customer = this.customers.find(({ id }) => id === customerId);
      if (customer === undefined) continue;
      // A slice names its subscriptions; other messages are for all of them.
      const named = Object.entries(body).find(
        ([name, value]) => /subscription/i.test(name) && Array.isArray(value),
      );
      const subscriptions = (named?.[1] as unknown[] | undefined)?.length ?? customer.hooks.length;
      ms += events.length * (CPU.event + CPU.match * subscriptions);
    }
    return ms;
  }

  /** Notes when a success is stored: whatever the call is named, its answer says so for each report. */
  #onAnswer(name: string, answer: unknown): void {
    // The name of a further store of a subscription has its number behind a slash.
    const [subscriptionId = ''] = name.split('/');
    const hook = this.#hooksById.get(subscriptionId);
    const { settled = [] } = (answer ?? {}) as {
      settled?: readonly { eventId: string; state: string }[];
    };
    for (const { eventId, state } of settled) {
      if (state === 'success' && hook?.stored.has(eventId) === false && isInSample(eventId, hook.sampleOf))
        hook.stored.set(eventId, this.clock.now);
    }
  }

  /** Lines are counted, not written. */
  #console(): Console {
    const lines = CONSOLE.map((level) => [
      level,
      (line: unknown) => {
        this.meters.units.logLines++;
        const { event } = JSON.parse(String(line)) as { event: string };
        count(this.meters.lines, event);
      },
    ]);
    return { ...console, ...Object.fromEntries(lines) } as Console;
  }

  /** The database of a store that nobody has called yet: made once, then copied. */
  #emptyStore(parts: ObjectParts): Uint8Array {
    const namespace = new Namespace(parts);
    namespace.get({ name: 'template' });
    const template = namespace.objects.get('template');
    template?.wake();
    const bytes = template?.sqlite.database.serialize() ?? new Uint8Array();
    this.#emptyBytes = bytes.length;
    template?.sqlite.close();
    return bytes;
  }

  #uuid(): string {
    return crypto.randomUUID();
  }
}
