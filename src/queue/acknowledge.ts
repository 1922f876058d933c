/**
 * The one place that decides between acknowledging a queue message and putting it back.
 *
 * Acknowledged is only what is finished. All else is put back, after a wait that doubles up to fifteen minutes,
 * or as long as the store asked for. A message at its last delivery is handed to `giveUp` instead, because the
 * platform would move it (or, from the dead letters' own queue, delete it) without the ids it was given here.
 */
import type { Finish } from '../delivery/deliver.ts';

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

/** @param giveUp stores the message elsewhere; when it throws the message is put back once more */
export async function acknowledge(
  message: Acknowledgeable,
  finish: Finish,
  giveUp: () => Promise<void>,
): Promise<void> {
  if (finish.finished) {
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
  message.retry({ delaySeconds: retryDelaySeconds(message.attempts, finish.retryAfterMs) });
}

/** @param attempts deliveries of the message so far, from 1 */
export function retryDelaySeconds(attempts: number, retryAfterMs?: number): number {
  if (retryAfterMs !== undefined) return Math.min(Math.ceil(retryAfterMs / 1000), QUEUE_RETRY_MAX_SECONDS);
  return Math.min(2 ** Math.min(attempts, 20), QUEUE_RETRY_MAX_SECONDS);
}
