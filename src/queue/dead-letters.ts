/**
 * Consumer of `webhook-dead-letters`: brings letters to the operator's list in D1. Letters come in our own form,
 * or raw, moved here by the platform after the last retry. The letter's id is the key that makes a repeat
 * harmless.
 */
import type { Finish } from '../delivery/deliver.ts';
import { describeError, logWarn } from '../log.ts';
import { DeadLetterMessage, Dispatch, QUEUES } from '../outbound/queues.ts';
import type { DeadLetter } from '../storage/dead-letters.ts';
import { acknowledge } from './acknowledge.ts';
import { deadLetterOf, readEventMessage } from './event-message.ts';

export interface DeadLettersPorts {
  storeDeadLetters(letters: readonly DeadLetter[]): Promise<void>;
  sendDeadLetters(letters: readonly DeadLetter[]): Promise<void>;
  readonly now: () => number;
}

/** Handles a batch. Never rejects: what could not be stored is put back. */
export async function consumeDeadLetters(
  messages: readonly Message<unknown>[],
  ports: DeadLettersPorts,
): Promise<void> {
  const readings = messages.map((message) => ({ message, letters: readLetters(message, ports.now()) }));
  const finish = await ports.storeDeadLetters(readings.flatMap(({ letters }) => letters)).then(
    (): Finish => ({ finished: true }),
    (error: unknown): Finish => {
      logWarn('dead letters returned to the queue', {
        messages: messages.length,
        error: describeError(error),
      });
      return { finished: false };
    },
  );
  await Promise.all(
    readings.map(({ message, letters }) =>
      acknowledge(message, finish, () => ports.sendDeadLetters(letters)),
    ),
  );
}

function readLetters(message: Message<unknown>, now: number): readonly DeadLetter[] {
  const own = DeadLetterMessage.safeParse(message.body);
  if (own.success) {
    const { deadLetter: _, ...letter } = own.data;
    return [letter];
  }
  if (Dispatch.safeParse(message.body).success) {
    // The store dispatches again what was not begun.
    logWarn('dispatch given up', { queue: QUEUES.deliveries, messageId: message.id });
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
