/**
 * The progress of one message of `webhook-events` or `webhook-slices`: it counts the parts that are still open, and ends the
 * message when none is left.
 *
 * A message ends in one of three ways. All is done: it is acknowledged. Something failed and nothing else is left: it returns to
 * the queue. Something must go on elsewhere: the rest is sent on as slices, and only then is the message acknowledged. If
 * the consumer dies in between, both the slices and the message go on, and the event stores say which events they have already.
 */
import type { Disposition } from '../delivery/disposition.ts';
import { SharedLines } from '../delivery/shared-lines.ts';
import { slicesFor } from '../delivery/slices.ts';
import type { IdentityEvent } from '../domain/event.ts';
import { describeError, logInfo, logWarn } from '../log.ts';
import { type PackedEvents, QUEUE_MAX_RETRIES, type SliceOf } from '../outbound/queues.ts';
import { type Acknowledgeable, acknowledge, retryDelaySeconds } from './acknowledge.ts';

/** What the progress of a message needs of the service. */
interface ProgressPorts {
  sendRest(slices: Iterable<PackedEvents>, delaySeconds: number): Promise<void>;
  /** Deliveries of one slice, at most. */
  readonly restDeliveries: number;
  /** Makes dead letters of the whole message. */
  giveUp(): Promise<void>;
  now(): number;
}

/** An invocation whose time is used up sends on the rest as a matter of course. */
const routine = new SharedLines();

/** Deliveries of one customer that go on elsewhere: each of these events may still be open for each of these subscriptions. */
interface Rest {
  readonly subscriptionIds: Set<string>;
  readonly events: Map<string, IdentityEvent>;
}

/** By customer id. */
type Rests = Map<string, Rest>;

/** Waits of slices are rounded up to one of these, s, so that deliveries with about the same wait share a slice. */
const WAITS_SECONDS = [0, 1, 2, 5, 10, 30, 60, 120];

export class Progress {
  readonly finished: Promise<void>;
  readonly #message: Acknowledgeable & { readonly id: string };
  readonly #failuresBefore: number;
  readonly #hasWaited: boolean;
  readonly #sharedHosts: SliceOf['sharedHosts'];
  readonly #requestId: string | undefined;
  readonly #ports: ProgressPorts;
  readonly #finish: () => void;
  /** The first part is the reading of the message: it ends when all other parts are known. */
  #open = 1;
  /** Something failed that no slice can name: the message must return to the queue. */
  #mustReturn = false;
  readonly #failed: Rests = new Map();
  /** By wait, s. */
  readonly #later = new Map<number, Rests>();

  /** @param slice what is known of a slice from before: how often work on it had failed, and whether it has waited */
  constructor(
    message: Acknowledgeable & { readonly id: string },
    { requestId, ...slice }: SliceOf & Pick<PackedEvents, 'requestId'>,
    ports: ProgressPorts,
  ) {
    this.#message = message;
    this.#failuresBefore = slice.failures ?? 0;
    this.#hasWaited = slice.waited === true;
    this.#sharedHosts = slice.sharedHosts;
    this.#requestId = requestId;
    this.#ports = ports;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.finished = promise;
    this.#finish = resolve;
  }

  /** Waits for one more delivery, or other part of the message. */
  expect(): void {
    this.#open++;
  }

  /** A delivery has ended in this invocation. */
  end(subscriptionId: string, event: IdentityEvent, disposition: Disposition): void {
    if (disposition.kind === 'failed') add(this.#failed, subscriptionId, event);
    else if (disposition.kind === 'later') {
      const seconds = WAITS_SECONDS.find((one) => one * 1000 >= disposition.waitMs) ?? 120;
      const rests = this.#later.get(seconds) ?? new Map();
      this.#later.set(seconds, rests);
      add(rests, subscriptionId, event);
    }
    this.#countDown();
  }

  /** Another part of the message has ended: dead letters are stored, or slices are sent. */
  endPart(isDone: boolean): void {
    if (!isDone) this.#mustReturn = true;
    this.#countDown();
  }

  #countDown(): void {
    this.#open--;
    if (this.#open === 0) void this.#end().then(this.#finish);
  }

  async #end(): Promise<void> {
    const isDone = !this.#mustReturn && (await this.#sendRest());
    await acknowledge(this.#message, isDone, () => this.#ports.giveUp(), this.#failuresBefore);
  }

  /** @returns whether nothing of the message is left to do */
  async #sendRest(): Promise<boolean> {
    const before = this.#failuresBefore + this.#message.attempts - 1;
    try {
      for (const [seconds, rests] of this.#later) await this.#send(rests, before, seconds);
      if (this.#failed.size === 0) return true;
      // Alone, what failed returns with its message. Else it goes on by itself, and its failures are counted in the slice.
      if (this.#later.size === 0 || before + 1 > QUEUE_MAX_RETRIES) return false;
      await this.#send(this.#failed, before + 1, retryDelaySeconds(before + 1));
      return true;
    } catch (error) {
      logWarn('slices not sent', {
        messageId: this.#message.id,
        requestId: this.#requestId,
        error: describeError(error),
      });
      return false;
    }
  }

  async #send(rests: Rests, failures: number, waitSeconds: number): Promise<void> {
    for (const [customerId, { subscriptionIds, events }] of rests) {
      const { restDeliveries } = this.#ports;
      const hasWaited = this.#hasWaited || waitSeconds > 0;
      const marks = {
        // More than all retries says nothing more: the next failure gives up.
        ...(failures === 0 ? {} : { failures: Math.min(failures, QUEUE_MAX_RETRIES) }),
        ...(hasWaited ? { waited: true as const } : {}),
        ...(this.#sharedHosts === undefined ? {} : { sharedHosts: this.#sharedHosts }),
      };
      const slices = slicesFor([...events.values()], [...subscriptionIds], restDeliveries, marks);
      await this.#ports.sendRest(slices, waitSeconds);
      const isRoutine = failures === 0 && waitSeconds === 0;
      const messages = isRoutine ? routine.count(customerId, this.#ports.now()) : 1;
      if (messages === 0) continue;
      logInfo('sent on', {
        customerId,
        messageId: this.#message.id,
        requestId: this.#requestId,
        subscriptions: subscriptionIds.size,
        events: events.size,
        failures,
        waitSeconds,
        messages,
      });
    }
  }
}

function add(rests: Rests, subscriptionId: string, event: IdentityEvent): void {
  let rest = rests.get(event.customerId);
  if (rest === undefined) {
    rest = { subscriptionIds: new Set(), events: new Map() };
    rests.set(event.customerId, rest);
  }
  rest.subscriptionIds.add(subscriptionId);
  rest.events.set(event.id, event);
}
