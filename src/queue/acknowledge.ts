/**
 * The one place that acknowledges a queue message, or returns it to the queue.
 *
 * Only a message that is done is acknowledged. A message of which something failed returns to the queue, for a wait that doubles
 * up to fifteen minutes. Each return costs it one of its 100 retries, so nothing returns that has not failed. A message at its
 * last delivery goes to `giveUp` instead, because the platform would move it without the ids it was given here (or, from the
 * dead letters' own queue, delete it).
 */
import { QUEUE_MAX_RETRIES } from '../outbound/queues.ts';

/** The longest wait before a message that is not done comes again. */
const QUEUE_RETRY_MAX_SECONDS = 900;

/** The part of a queue message this needs. */
export interface Acknowledgeable {
  readonly attempts: number;
  ack(): void;
  retry(options: { delaySeconds: number }): void;
}

/**
 * @param giveUp stores the message elsewhere; when it throws, the message returns to the queue once more
 * @param failuresBefore how often its work had failed before it was sent
 */
export async function acknowledge(
  message: Acknowledgeable,
  isDone: boolean,
  giveUp: () => Promise<void>,
  failuresBefore = 0,
): Promise<void> {
  if (isDone) {
    message.ack();
    return;
  }
  const failures = message.attempts + failuresBefore;
  if (failures > QUEUE_MAX_RETRIES) {
    try {
      await giveUp();
      message.ack();
      return;
    } catch {
      // The platform has the last word: it moves the message to the dead letter queue.
    }
  }
  message.retry({ delaySeconds: retryDelaySeconds(failures) });
}

/** Returns messages to their queue that nobody has looked at: each comes again after a wait that doubles. */
export function returnAll(messages: readonly Pick<Acknowledgeable, 'attempts' | 'retry'>[]): void {
  for (const message of messages) message.retry({ delaySeconds: retryDelaySeconds(message.attempts) });
}

/** @param failures how often the work of the message has failed, from 1 */
export function retryDelaySeconds(failures: number): number {
  return Math.min(2 ** Math.min(failures, 20), QUEUE_RETRY_MAX_SECONDS);
}
