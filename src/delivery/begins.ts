/**
 * The calls of `begin` for one message of dispatches. Deliveries that get their slots at the same moment begin together. When the listener
 * is quick, those of the message that can start within a second begin with them: they need no call of their own.
 *
 * A delivery that has begun has spent its token. So none begins long before its request: an event must not be sent when its subscription
 * was disabled meanwhile, and what a dying consumer has begun waits until its lease lapses.
 */
import type { StartedAttempt } from '../event-store/rpc.ts';

/** What the store answers for one delivery; `undefined`: it does not begin. */
type Answer = StartedAttempt | undefined;

/** Makes one call of `begin`. */
type Call = (eventIds: readonly string[]) => Promise<readonly StartedAttempt[]>;

export class Begins {
  readonly #call: Call;
  readonly #ahead: () => number;
  /** Deliveries that have not begun, in their order. */
  readonly #left: Set<string>;
  readonly #begun = new Map<string, Promise<Answer>>();
  /** Deliveries that got their slots in this step of the program. */
  #asking: string[] = [];
  #next: Promise<readonly StartedAttempt[]> | undefined;

  /** @param ahead how many deliveries could start soon beside those that have slots */
  constructor(eventIds: readonly string[], call: Call, ahead: () => number) {
    this.#left = new Set(eventIds);
    this.#call = call;
    this.#ahead = ahead;
  }

  /** Begins a delivery that has its slot. Rejects when the store was away. */
  async begin(eventId: string): Promise<Answer> {
    const known = this.#begun.get(eventId);
    if (known !== undefined) return await known;
    this.#left.delete(eventId);
    this.#asking.push(eventId);
    this.#next ??= Promise.resolve().then(() => this.#ask());
    const answer = this.#next.then((all) => all.find((one) => one.eventId === eventId));
    this.#begun.set(eventId, answer);
    return await answer;
  }

  /** A delivery that gets no slot does not begin any more. @returns its attempt, if it began with others */
  async giveUp(eventId: string): Promise<Answer> {
    this.#left.delete(eventId);
    return await this.#begun.get(eventId)?.catch(() => undefined);
  }

  async #ask(): Promise<readonly StartedAttempt[]> {
    const ahead = [...this.#left].slice(0, this.#ahead());
    const eventIds = [...this.#asking, ...ahead];
    this.#asking = [];
    this.#next = undefined;
    const answer = this.#call(eventIds);
    for (const eventId of ahead) {
      this.#left.delete(eventId);
      const begun = answer.then((all) => all.find((one) => one.eventId === eventId));
      // The delivery that gets its slot later throws this, too.
      begun.catch(() => undefined);
      this.#begun.set(eventId, begun);
    }
    return await answer;
  }
}
