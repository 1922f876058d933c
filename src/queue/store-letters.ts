/**
 * Stores the dead letters of a batch in D1. A batch may have twenty thousand, so they are made and stored about a thousand at a
 * time, and other work of the isolate has its turn in between. The letter's id makes a repeat harmless.
 */
import { outageBehind } from '../domain/errors.ts';
import { describeError, logWarn } from '../log.ts';
import type { DeadLetter } from '../storage/dead-letters.ts';

/** A message that has dead letters. */
export interface Lettered {
  readonly letterCount: number;
  letters(): readonly DeadLetter[];
}

/** What became of some messages: their letters are stored, or the error says why they are not. */
type Stored =
  | { readonly isStored: true; readonly letters: readonly DeadLetter[] }
  | { readonly isStored: false; readonly error: unknown };

type Store = (letters: readonly DeadLetter[]) => Promise<void>;

/** Letters that are made and stored in one go. A message has at most as many. */
const LETTERS_AT_ONCE = 1000;

/**
 * Stores the letters of all messages. When the database is there and refuses some, each message is stored alone, so that one does not
 * keep the others from the list. Never rejects.
 * @param end is called once for each message, together with the others of its portion
 */
export async function storeLetters<One extends Lettered>(
  all: readonly One[],
  store: Store,
  end: (some: readonly One[], stored: Stored) => void | Promise<void>,
): Promise<void> {
  for (const some of portionsOf(all)) await storePortion(some, store, end);
}

async function storePortion<One extends Lettered>(
  some: readonly One[],
  store: Store,
  end: (some: readonly One[], stored: Stored) => void | Promise<void>,
): Promise<void> {
  let stored: Stored;
  try {
    const letters = some.flatMap((one) => one.letters());
    await store(letters);
    stored = { isStored: true, letters };
  } catch (error) {
    if (some.length > 1 && outageBehind(error) === undefined) {
      for (const one of some) await storePortion([one], store, end);
      return;
    }
    stored = { isStored: false, error };
  }
  await end(some, stored);
}

function portionsOf<One extends Lettered>(all: readonly One[]): One[][] {
  const portions: One[][] = [];
  let room = 0;
  for (const one of all) {
    if (portions.length === 0 || one.letterCount > room) {
      portions.push([]);
      room = LETTERS_AT_ONCE;
    }
    portions.at(-1)?.push(one);
    room -= one.letterCount;
  }
  return portions;
}

/** Logs what became of the letters of some messages: one line, however many there are. */
export function logStored(queue: string, first: { readonly id: string }, stored: Stored): void {
  if (!stored.isStored) {
    logWarn('dead letter not stored', { queue, error: describeError(stored.error) });
    return;
  }
  const [letter] = stored.letters;
  if (letter === undefined) return;
  const { id, reason } = letter;
  logWarn('dead letters', { queue, messageId: first.id, count: stored.letters.length, id, reason });
}
