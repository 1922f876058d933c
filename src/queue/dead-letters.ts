/**
 * Consumer of `webhook-dead-letters`: brings letters to the operator's list in D1. Letters come in our own form,
 * or raw, moved here by the platform after the last retry. The letter's id is the key that makes a repeat
 * harmless.
 */

import { faultsOf } from '../domain/errors.ts';
import { faultOfAcceptance } from '../domain/event.ts';
import { isTooLarge } from '../domain/json-size.ts';
import { describeError, logWarn } from '../log.ts';
import { DeadLetterMessage, Dispatch, QUEUES } from '../outbound/queues.ts';
import type { DeadLetter } from '../storage/dead-letters.ts';
import { acknowledge } from './acknowledge.ts';
import { isForm, readEventMessage } from './event-message.ts';
import { deadLetterOf, describeFaults, notUnderstood } from './letters.ts';
import { type Lettered, storeLetters } from './store-letters.ts';

const MOVED = 'moved here by the platform after its last retry';

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
  const readings = messages.map((message) => ({ message, ...readLetters(message, ports.now()) }));
  await storeLetters(readings, ports.store, async (some, stored) => {
    if (!stored.isStored) {
      const error = describeError(stored.error);
      logWarn('dead letters returned to the queue', { messages: some.length, error });
    }
    await Promise.all(
      some.map(({ message, letters }) => acknowledge(message, stored.isStored, () => ports.send(letters()))),
    );
  });
}

function readLetters(message: Message<unknown>, now: number): Lettered {
  const one = (letter: DeadLetter) => ({ letterCount: 1, letters: () => [letter] });
  try {
    if (!isTooLarge(message.body)) {
      if (isForm(message.body, 'deadLetter')) return one(readOwn(message, now));
      const dispatch = Dispatch.safeParse(message.body).data;
      if (dispatch !== undefined) {
        // The store dispatches again what was not begun.
        const queue = dispatch.unhealthy === true ? QUEUES.unhealthy : QUEUES.deliveries;
        logWarn('dispatch given up', { queue, messageId: message.id });
        return { letterCount: 0, letters: () => [] };
      }
    }
    const { events, letterCount, letters } = readEventMessage(message, now);
    return {
      letterCount: letterCount + events.length,
      letters: () => [
        ...letters(),
        ...events.map(([position, event]) => deadLetterOf(message, position, event, MOVED, now)),
      ],
    };
  } catch {
    return one(notUnderstood(message, 'cannot be read', now, {}));
  }
}

/** A letter in our own form. Anyone with a binding may have written it, so what is wrong with it makes another letter. */
function readOwn(message: Message<unknown>, now: number): DeadLetter {
  const own = DeadLetterMessage.safeParse(message.body);
  if (!own.success) return notUnderstood(message, describeFaults(faultsOf(own.error.issues, 'letter')), now);
  const { deadLetter: _, customerId = null, refused = false, ...letter } = own.data;
  const fault =
    faultOfAcceptance(letter.acceptedAt, message.timestamp.getTime(), now) ??
    faultOfAcceptance(letter.createdAt, message.timestamp.getTime(), now)?.replace('acceptedAt', 'createdAt');
  if (fault !== undefined) return notUnderstood(message, fault, now);
  return { ...letter, customerId, refused };
}
