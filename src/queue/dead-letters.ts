/**
 * Consumer of `webhook-dead-letters`: brings letters to the operator's list in D1. Letters come in our own form,
 * or raw, moved here by the platform after the last retry. The letter's id is the key that makes a repeat
 * harmless.
 */
import { describeError, logWarn } from '../log.ts';
import { DeadLetterMessage, Dispatch, QUEUES } from '../outbound/queues.ts';
import type { DeadLetter } from '../storage/dead-letters.ts';
import { acknowledge } from './acknowledge.ts';
import { deadLetterOf, readEventMessage } from './event-message.ts';

interface DeadLettersPorts {
  store(letters: readonly DeadLetter[]): Promise<void>;
  send(letters: readonly DeadLetter[]): Promise<void>;
  readonly now: () => number;
}

/** Handles a batch. Never rejects: letters that could not be stored return to the queue. */
export async function consumeDeadLetters(
  messages: readonly Message<unknown>[],
  ports: DeadLettersPorts,
): Promise<void> {
  const readings = messages.map((message) => ({ message, letters: readLetters(message, ports.now()) }));
  const isDone = await ports.store(readings.flatMap(({ letters }) => letters)).then(
    () => true,
    (error: unknown) => {
      logWarn('dead letters returned to the queue', {
        messages: messages.length,
        error: describeError(error),
      });
      return false;
    },
  );
  await Promise.all(
    readings.map(({ message, letters }) => acknowledge(message, isDone, () => ports.send(letters))),
  );
}

function readLetters(message: Message<unknown>, now: number): readonly DeadLetter[] {
  const own = DeadLetterMessage.safeParse(message.body);
  if (own.success) {
    const { deadLetter: _, ...letter } = own.data;
    return [letter];
  }
  const dispatch = Dispatch.safeParse(message.body).data;
  if (dispatch !== undefined) {
    // The store dispatches again what was not begun.
    const queue = dispatch.unhealthy === true ? QUEUES.unhealthy : QUEUES.deliveries;
    logWarn('dispatch given up', { queue, messageId: message.id });
    return [];
  }
  const { events, letters } = readEventMessage(message, now);
  return [
    ...letters,
    ...events.map(([position, event]) =>
      deadLetterOf(message, position, event, 'moved here by the platform after its last retry', now),
    ),
  ];
}
