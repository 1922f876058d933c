/**
 * The queues of the platform: at least once, in no order, up to a hundred deliveries of a message. A new queue needs a row
 * in `dead letters of` and a consumer in `world.ts`, no more.
 */
import { QUEUE_MAX_RETRIES } from '../../src/outbound/queues.ts';
import type { Time } from './time.ts';

export interface QueuedMessage {
  readonly id: string;
  readonly queue: string;
  readonly body: unknown;
  readonly sentAt: number;
  attempts: number;
  visibleAt: number;
}

/** A message that its consumer did not finish comes again after this long, ms. */
const IN_FLIGHT_MS = 60_000;

export class Queues {
  readonly #time: Time;
  readonly #deadLetterQueue: string;
  readonly #messages = new Map<string, Set<QueuedMessage>>();
  #sequence = 0;
  /** Messages that were ever sent, and how often messages were handed to consumers. */
  sent = 0;
  handed = 0;

  /** @param names the queues, without that of the dead letters */
  constructor(time: Time, names: readonly string[], deadLetterQueue: string) {
    this.#time = time;
    this.#deadLetterQueue = deadLetterQueue;
    for (const name of [...names, deadLetterQueue]) this.#messages.set(name, new Set());
  }

  get names(): string[] {
    return [...this.#messages.keys()];
  }

  /** @param attempts how often the message was delivered already */
  send(queue: string, body: unknown, delayMs = 0, attempts = 0): void {
    const { now } = this.#time;
    this.sent++;
    const id = `message ${this.#sequence++}`;
    const message = { id, queue, body, sentAt: now, attempts, visibleAt: now + delayMs };
    this.#of(queue).add(message);
  }

  /** The same message once more, as a platform does that delivers twice. */
  repeat(message: QueuedMessage): void {
    this.#of(message.queue).add({ ...message, visibleAt: this.#time.now });
  }

  *all(): Iterable<QueuedMessage> {
    for (const messages of this.#messages.values()) yield* messages;
  }

  get isEmpty(): boolean {
    for (const messages of this.#messages.values()) if (messages.size > 0) return false;
    return true;
  }

  /** When the next message can be taken, ms. */
  nextAt(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const { visibleAt } of this.all()) next = Math.min(next, visibleAt);
    return next;
  }

  visible(queue: string): QueuedMessage[] {
    return [...this.#of(queue)].filter(({ visibleAt }) => visibleAt <= this.#time.now);
  }

  /** Hands messages to a consumer. The last delivery is over for those with more than a hundred: they move. */
  take(messages: readonly QueuedMessage[]): QueuedMessage[] {
    return messages.filter((message) => {
      if (message.attempts > QUEUE_MAX_RETRIES) {
        this.#move(message);
        return false;
      }
      this.handed++;
      message.attempts++;
      message.visibleAt = this.#time.now + IN_FLIGHT_MS;
      return true;
    });
  }

  acknowledge(message: QueuedMessage): void {
    this.#of(message.queue).delete(message);
  }

  /** Returns a message to its queue. */
  retry(message: QueuedMessage, delayMs: number): void {
    if (message.attempts > QUEUE_MAX_RETRIES) this.#move(message);
    else message.visibleAt = this.#time.now + delayMs;
  }

  /** After its last retry a message moves to the dead letters; those of the dead letters' own queue are deleted. */
  #move(message: QueuedMessage): void {
    if (!this.#of(message.queue).delete(message) || message.queue === this.#deadLetterQueue) return;
    const { sentAt, body, id } = message;
    const { now } = this.#time;
    this.#of(this.#deadLetterQueue).add({
      id,
      queue: this.#deadLetterQueue,
      body,
      sentAt,
      attempts: 0,
      visibleAt: now,
    });
  }

  #of(queue: string): Set<QueuedMessage> {
    const messages = this.#messages.get(queue);
    if (messages === undefined) throw new Error(`there is no queue ${queue}`);
    return messages;
  }
}
