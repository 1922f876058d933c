/** Bounds the signed tokens that one invocation holds: before each signature the invocation waits until there is room. */
import { UNSTORED_MAX_CHARACTERS } from './tuning.ts';

export class Memory {
  #used = 0;
  readonly #waiting: (() => void)[] = [];

  /** Resolves when another token may be made. */
  async room(): Promise<void> {
    while (this.#used >= UNSTORED_MAX_CHARACTERS) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** A token is in memory. @returns a function to call once when it is stored, or given up */
  hold(set: string): () => void {
    this.#used += set.length;
    return () => {
      this.#used -= set.length;
      for (const resume of this.#waiting.splice(0)) resume();
    };
  }
}
