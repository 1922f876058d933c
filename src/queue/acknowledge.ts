/**
 * The one place that acknowledges a queue message, or returns it to the queue.
 *
 * Only a message that is done is acknowledged. Any other returns to the queue, for a wait that doubles up to fifteen minutes,
 * or for as long as its disposition says. A message at its last delivery goes to `giveUp` instead, because the platform would
 * move it without the ids it was given here (or, from the dead letters' own queue, delete it).
 */
import type { Disposition } from '../delivery/disposition.ts';

/** `max_retries` of every consumer in wrangler.toml: the platform's highest. */
export const QUEUE_MAX_RETRIES = 100;
/** The longest wait before a message that is not done comes again. */
const QUEUE_RETRY_MAX_SECONDS = 900;

/** The part of a queue message this needs. */
export interface Acknowledgeable {
  readonly attempts: number;
  ack(): void;
  retry(options: { delaySeconds: number }): void;
}

/** @param giveUp stores the message elsewhere; when it throws, the message returns to the queue once more */
export async function acknowledge(
  message: Acknowledgeable,
  disposition: Disposition,
  giveUp: () => Promise<void>,
): Promise<void> {
  if (disposition.kind === 'done') {
    message.ack();
    return;
  }
  if (message.attempts > QUEUE_MAX_RETRIES) {
    try {
      await giveUp();
      message.ack();
      return;
    } catch {
      // The platform has the last word: it moves the message to the dead letter queue.
    }
  }
  message.retry({ delaySeconds: retryDelaySeconds(message.attempts, disposition) });
}

/** Returns messages to their queue that nobody has looked at: each comes again after a wait that doubles. */
export function returnAll(messages: readonly Pick<Acknowledgeable, 'attempts' | 'retry'>[]): void {
  for (const message of messages) message.retry({ delaySeconds: retryDelaySeconds(message.attempts) });
}

/** @param attempts deliveries of the message so far, from 1 */
export function retryDelaySeconds(
  attempts: number,
  disposition: Exclude<Disposition, { kind: 'done' }> = { kind: 'retry' },
): number {
  const seconds =
    disposition.kind === 'retry-after' ? Math.ceil(disposition.waitMs / 1000) : 2 ** Math.min(attempts, 20);
  return Math.min(seconds, QUEUE_RETRY_MAX_SECONDS);
}
