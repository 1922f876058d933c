/**
 * What an isolate remembers between invocations: opened keys, credentials, compiled filters, verdicts on hosts. Invocations of all
 * customers share it, so each cache has a bound, and drops the entry that was not used for longest.
 *
 * An entry may go at any moment in which another invocation works. So an invocation takes what it needs out of the cache
 * once, and holds it until its end.
 */
export class BoundedCache<Value> {
  /** The entry that was used last is at the end. */
  readonly #entries = new Map<string, Value>();
  readonly #max: number;
  readonly #sizeOf: (value: Value) => number;
  #size = 0;

  /**
   * @param max the sizes of all entries together
   * @param sizeOf the size of an entry, always the same for the same value; without it, `max` is a number of entries
   */
  constructor(max: number, sizeOf: (value: Value) => number = () => 1) {
    this.#max = max;
    this.#sizeOf = sizeOf;
  }

  /** The sizes of all entries together. */
  get size(): number {
    return this.#size;
  }

  get(key: string): Value | undefined {
    const value = this.#entries.get(key);
    if (value === undefined) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, value);
    return value;
  }

  /** Keeps an entry. It stays even if it is larger than all entries together may be, until the next one comes. */
  set(key: string, value: Value): void {
    this.delete(key);
    this.#entries.set(key, value);
    this.#size += this.#sizeOf(value);
    for (const longestUnused of this.#entries.keys()) {
      if (this.#size <= this.#max || longestUnused === key) return;
      this.delete(longestUnused);
    }
  }

  delete(key: string): void {
    const value = this.#entries.get(key);
    if (value === undefined) return;
    this.#entries.delete(key);
    this.#size -= this.#sizeOf(value);
  }
}
