/**
 * One queue: it keeps messages, hands batches to concurrent consumers, and adds consumers only when a batch ends. A message
 * comes at least once, in no fixed order; past its retries it goes to the dead letter queue.
 */
import { type Clock, currentActor, runAs } from './clock.ts';
import { currentInvocation, type Death, Invocation } from './invocation.ts';
import { type Meters, raise } from './meters.ts';
import {
  CONSUMERS_MAX,
  type Deployment,
  DRAIN_MS,
  INVOCATION_WALL_MS,
  QUEUE_LIMITS,
  type Scaling,
  type Times,
} from './platform.ts';

interface Stored {
  readonly id: string;
  readonly sentAt: number;
  /** JSON text, so that nobody shares an object with the sender. */
  readonly text: string;
  attempts: number;
  readyAt: number;
}

/** A message as a consumer sees it. */
export interface Delivered {
  readonly id: string;
  readonly timestamp: Date;
  readonly body: unknown;
  readonly attempts: number;
  ack(): void;
  retry(options?: { delaySeconds?: number }): void;
}

export interface Batch {
  readonly queue: string;
  readonly messages: readonly Delivered[];
  ackAll(): void;
  retryAll(options?: { delaySeconds?: number }): void;
}

export type Handler = (
  batch: Batch,
  context: { waitUntil(promise: Promise<unknown>): void },
) => Promise<void>;

/** What a queue needs of its surroundings. */
export interface QueueParts {
  readonly clock: Clock;
  readonly meters: Meters;
  readonly random: () => number;
  readonly times: Times;
  readonly scaling: Scaling;
  readonly deployment: Deployment;
  readonly handler: Handler;
  /** The queue for messages past their retries. */
  deadLetterQueue(name: string): ModelQueue | undefined;
  /** Processor time that a batch costs before any request, ms. */
  cpuOf(batch: Batch): number;
}

type Decision = { readonly retry: boolean; readonly delaySeconds: number };

const UNIT_BYTES = 64_000;
const units = ({ text }: Stored) => Math.max(1, Math.ceil(text.length / UNIT_BYTES));

export class ModelQueue {
  readonly name: string;
  /** Consumers that run now, and that may run. */
  running = 0;
  consumers: number;
  runningMost = 0;
  readonly #parts: QueueParts;
  readonly #settings: Deployment['consumers'][number] | undefined;
  readonly #ready: Stored[] = [];
  #delayed = 0;
  #sent = 0;
  #second = { at: 0, messages: 0 };
  #isWaitingForMore = false;

  constructor(name: string, parts: QueueParts) {
    this.name = name;
    this.#parts = parts;
    this.#settings = parts.deployment.consumers.find(({ queue }) => queue === name);
    this.consumers = parts.scaling.first;
  }

  /** Messages that wait, those with a delay included. */
  get waiting(): number {
    return this.#ready.length + this.#delayed;
  }

  /** Messages that wait for a consumer. */
  get ready(): number {
    return this.#ready.length;
  }

  /** The binding of a producer. */
  readonly binding = {
    send: (body: unknown, options: { delaySeconds?: number } = {}) => this.#send([{ body, ...options }]),
    sendBatch: (
      messages: Iterable<{ body: unknown; delaySeconds?: number }>,
      options: { delaySeconds?: number } = {},
    ) => this.#send([...messages].map((message) => ({ ...options, ...message }))),
  };

  async #send(messages: readonly { body: unknown; delaySeconds?: number }[]): Promise<void> {
    const { clock, random, times } = this.#parts;
    const texts = messages.map(({ body }) => JSON.stringify(body));
    const bytes = texts.reduce((sum, text) => sum + text.length, 0);
    if (texts.some(({ length }) => length > QUEUE_LIMITS.messageBytes)) throw new Error('message too large');
    if (texts.length > QUEUE_LIMITS.sendMessages || bytes > QUEUE_LIMITS.sendBytes) {
      throw new Error('batch too large');
    }
    const invocation = currentInvocation();
    invocation?.subrequest();
    await new Promise<void>((resolve, reject) => {
      const use = () => {
        const from = Math.max(clock.now, currentActor()?.busyUntil ?? 0);
        clock.at(from + between(times.queueSend, random), () => {
          const isRefused = this.#isBeyondRate(texts.length);
          if (!isRefused) {
            const latencyMs = this.#latencyMs();
            for (const [index, text] of texts.entries()) {
              this.#store(text, messages[index]?.delaySeconds ?? 0, latencyMs);
            }
          }
          // The message is stored even when its sender is dead.
          clock.at(
            clock.now,
            () => {
              invocation?.release();
              if (isRefused) reject(new Error('Too Many Requests'));
              else resolve();
            },
            invocation,
          );
        });
      };
      if (invocation === undefined) use();
      else invocation.connect(() => runAs(invocation, use));
    });
  }

  #isBeyondRate(messages: number): boolean {
    const second = Math.floor(this.#parts.clock.now / 1000);
    if (this.#second.at !== second) this.#second = { at: second, messages: 0 };
    this.#second.messages += messages;
    return this.#second.messages > (this.#parts.scaling.messagesPerSecond ?? QUEUE_LIMITS.perSecond);
  }

  /** @param latencyMs messages of one send come together */
  #store(text: string, delaySeconds: number, latencyMs: number): void {
    const { clock, meters } = this.#parts;
    const id = `${this.name}-${this.#sent++}`;
    const stored: Stored = { id, sentAt: clock.now, text, attempts: 0, readyAt: 0 };
    meters.units.queueOperations += units(stored);
    this.#later(stored, delaySeconds * 1000 + latencyMs);
  }

  /** Takes over a message that another queue gave up. */
  takeOver(message: Stored): void {
    this.#store(message.text, 0, this.#latencyMs());
  }

  #latencyMs(): number {
    return between(this.#parts.times.queueLatency, this.#parts.random);
  }

  #later(message: Stored, ms: number): void {
    const { clock } = this.#parts;
    this.#delayed++;
    clock.at(clock.now + ms, () => {
      this.#delayed--;
      message.readyAt = clock.now;
      this.#ready.push(message);
      // Messages of one moment share a batch.
      clock.at(clock.now, () => this.#pump());
    });
  }

  #pump(): void {
    const { max_batch_size: size = 10, max_batch_timeout: seconds = 5 } = this.#settings ?? {};
    if (this.#settings === undefined) return;
    while (this.running < this.consumers && this.#ready.length > 0) {
      const readyAt = this.#ready[0]?.readyAt ?? 0;
      const waitMs = readyAt + seconds * 1000 - this.#parts.clock.now;
      if (this.#ready.length < size && waitMs > 0) {
        if (!this.#isWaitingForMore) {
          this.#isWaitingForMore = true;
          this.#parts.clock.at(this.#parts.clock.now + waitMs, () => {
            this.#isWaitingForMore = false;
            this.#pump();
          });
        }
        return;
      }
      this.#start(this.#ready.splice(0, size));
    }
  }

  #start(messages: readonly Stored[]): void {
    const { clock, meters, handler, deployment, cpuOf } = this.#parts;
    this.running++;
    this.runningMost = Math.max(this.runningMost, this.running);
    meters.units.requests++;
    const decisions = new Map<Stored, Decision>();
    for (const message of messages) {
      message.attempts++;
      raise(meters.deliveries, this.name, message.attempts);
      meters.units.queueOperations += units(message);
    }
    const invocation = new Invocation(clock, meters, deployment);
    invocation.hold(messages.reduce((sum, { text }) => sum + 2 * text.length, 0));
    const delivered = messages.map((message) => deliveredOf(message, decisions));
    const batch: Batch = {
      queue: this.name,
      messages: delivered,
      ackAll: () => delivered.forEach((one) => void one.ack()),
      retryAll: (options) => delivered.forEach((one) => void one.retry(options)),
    };
    let isOver = false;
    const finish = (outcome: 'ok' | 'failed') => {
      if (isOver) return;
      isOver = true;
      stopWall();
      this.#end(messages, decisions, outcome);
    };
    const stopWall = clock.at(clock.now + INVOCATION_WALL_MS, () => invocation.die('wall time'));
    invocation.onDeath = (_: Death) => finish('failed');
    const waitUntil = (promise: Promise<unknown>) => {
      promise.catch(() => undefined);
      invocation.waiting.push(promise);
    };
    const run = async (): Promise<'ok' | 'failed'> => {
      const outcome = await handler(batch, { waitUntil }).then(
        () => 'ok' as const,
        () => 'failed' as const,
      );
      if (!deployment.waitsForWaitUntil) return outcome;
      const drained = await allOf(invocation.waiting);
      return outcome === 'ok' && drained ? 'ok' : 'failed';
    };
    runAs(invocation, () => {
      invocation.work(cpuOf(batch));
      clock.at(
        clock.now,
        () => {
          run().then((outcome) => {
            const endAt = Math.max(clock.now, invocation.busyUntil);
            clock.at(endAt, () => {
              finish(outcome);
              this.#drain(invocation);
            });
          });
        },
        invocation,
      );
    });
  }

  /** What was given to `waitUntil` goes on for a while after the batch. */
  #drain(invocation: Invocation): void {
    const { clock, meters } = this.#parts;
    const stop = clock.at(clock.now + DRAIN_MS, () => {
      if (!invocation.isAlive) return;
      meters.drained++;
      invocation.end();
    });
    allOf(invocation.waiting).then(() => {
      stop();
      invocation.end();
    });
  }

  #end(
    messages: readonly Stored[],
    decisions: ReadonlyMap<Stored, Decision>,
    outcome: 'ok' | 'failed',
  ): void {
    const { meters, scaling } = this.#parts;
    const { retry_delay: retryDelay = 0, max_concurrency: most } = this.#settings ?? {};
    this.running--;
    for (const message of messages) {
      const decision = decisions.get(message) ?? { retry: outcome === 'failed', delaySeconds: retryDelay };
      if (decision.retry) this.#retry(message, decision.delaySeconds);
      else meters.units.queueOperations += units(message);
    }
    if (outcome === 'ok' && this.#ready.length > 0) {
      this.consumers = Math.min(this.consumers + scaling.added, most ?? CONSUMERS_MAX, CONSUMERS_MAX);
    } else if (this.#ready.length === 0) this.consumers = Math.max(scaling.first, this.consumers - 1);
    this.#pump();
  }

  #retry(message: Stored, delaySeconds: number): void {
    const { max_retries: retries = 3, dead_letter_queue: letters } = this.#settings ?? {};
    if (message.attempts <= retries) {
      this.#later(message, delaySeconds * 1000 + this.#latencyMs());
      return;
    }
    this.#parts.meters.deadLetters++;
    if (letters !== undefined) this.#parts.deadLetterQueue(letters)?.takeOver(message);
  }
}

function deliveredOf(message: Stored, decisions: Map<Stored, Decision>): Delivered {
  // The first decision on a message counts.
  const decide = (decision: Decision) => {
    if (!decisions.has(message)) decisions.set(message, decision);
  };
  return {
    id: message.id,
    timestamp: new Date(message.sentAt),
    body: JSON.parse(message.text),
    attempts: message.attempts,
    ack: () => decide({ retry: false, delaySeconds: 0 }),
    retry: ({ delaySeconds = 0 } = {}) => decide({ retry: true, delaySeconds }),
  };
}

/** Waits for promises and for those that join meanwhile. @returns whether none was rejected */
async function allOf(promises: readonly Promise<unknown>[]): Promise<boolean> {
  let areFine = true;
  for (let seen = 0; seen < promises.length; seen++) {
    areFine =
      (await promises[seen]?.then(
        () => true,
        () => false,
      )) !== false && areFine;
  }
  return areFine;
}

export function between([from, to]: readonly [number, number], random: () => number): number {
  return from + (to - from) * random();
}
