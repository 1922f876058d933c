/**
 * Stores the dead letters of a batch in D1. A batch may have fifty thousand, or fifty megabytes of them. So they are made and stored
 * about a thousand at a time, and a few megabytes, and other work of the isolate has its turn in between. The letter's id makes a
 * repeat harmless.
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
  | {
      readonly isStored: true;
      /** Those of each message. */
      readonly letters: readonly (readonly DeadLetter[])[];
    }
  | { readonly isStored: false; readonly error: unknown };

type Store = (letters: readonly DeadLetter[]) => Promise<void>;

/** Letters that are made and stored in one go. Most messages have fewer. */
const LETTERS_AT_ONCE = 1000;
/** Characters of their bodies, not counting those of the last message: it has at most about as many. An isolate has 128 MB. */
const CHARACTERS_AT_ONCE = 2_000_000;

type End<One> = (some: readonly One[], stored: Stored) => void | Promise<void>;

/** A message with its letters, now that they are made. */
interface Made<One> {
  readonly one: One;
  readonly letters: readonly DeadLetter[];
}

/**
 * Stores the letters of all messages. When the database is there and refuses some, each message is stored alone, so that one does not
 * keep the others from the list. Never rejects.
 * @param end is called once for each message, together with the others of its portion
 */
export async function storeLetters<One extends Lettered>(
  all: readonly One[],
  store: Store,
  end: End<One>,
): Promise<void> {
  let portion: Made<One>[] = [];
  let count = 0;
  let characters = 0;
  for (const one of all) {
    const isFull = count + one.letterCount > LETTERS_AT_ONCE || characters > CHARACTERS_AT_ONCE;
    if (portion.length > 0 && isFull) {
      await storePortion(portion, store, end);
      portion = [];
      count = 0;
      characters = 0;
    }
    try {
      const letters = one.letters();
      portion.push({ one, letters });
      count += one.letterCount;
      for (const { body } of letters) characters += body.length;
    } catch (error) {
      await end([one], { isStored: false, error });
    }
  }
  if (portion.length > 0) await storePortion(portion, store, end);
}

async function storePortion<One>(some: readonly Made<One>[], store: Store, end: End<One>): Promise<void> {
  const letters = some.flatMap((made) => made.letters);
  let stored: Stored;
  try {
    await store(letters);
    stored = { isStored: true, letters: some.map((made) => made.letters) };
  } catch (error) {
    if (some.length > 1 && outageBehind(error) === undefined) {
      for (const made of some) await storePortion([made], store, end);
      return;
    }
    stored = { isStored: false, error };
  }
  await end(
    some.map(({ one }) => one),
    stored,
  );
}

/** A message with what names it in a log line. */
interface Named {
  readonly message: { readonly id: string };
  readonly requestId?: string | undefined;
}

/**
 * Logs what became of the letters of some messages. Those whose requests are known have a line for each request; all others share one
 * line, however many there are.
 */
export function logStored(queue: string, some: readonly Named[], stored: Stored): void {
  if (!stored.isStored) {
    logWarn('dead letter not stored', { queue, error: describeError(stored.error) });
    return;
  }
  const named = some.map((one, index) => ({ ...one, letters: stored.letters[index] ?? [] }));
  for (const own of Map.groupBy(named, ({ requestId }) => requestId).values()) {
    const [first] = own;
    const letters = own.flatMap((one) => one.letters);
    if (first !== undefined) logLetters(queue, first, letters);
  }
}

/** Logs the letters of one message, or of several that share a line. */
export function logLetters(
  queue: string,
  { message, requestId }: Named,
  letters: readonly DeadLetter[],
): void {
  const [letter] = letters;
  if (letter === undefined) return;
  const { id, reason } = letter;
  logWarn('dead letters', { queue, messageId: message.id, requestId, count: letters.length, id, reason });
}
