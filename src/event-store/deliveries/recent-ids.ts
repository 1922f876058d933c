/**
 * Which ids of packed deliveries an object may have, kept in memory for those that were added since it woke. New events are the
 * rule, so asking whether one is known must read no segment, however late its id is.
 *
 * It may say "perhaps" for an id that is not there, and then the segments are searched. It never says "no" for one that is there.
 * So whatever is added to segments is added here in the same call, and nothing is ever taken out
 * (docs/decisions/0027-late-ids-stay-cheap.md).
 */

/** Ids of the first filter; each next one has room for twice as many, so a store with little traffic takes little memory. */
const FIRST_IDS = 512;
const MAX_IDS = 32_768;
/** Filters that are kept: a megabyte and a half, for 390,000 ids. */
const MAX_FILTERS = 12;
/** With 32 bits for an id and six hashes, one of 40,000 ids is taken for a known one by mistake. */
const BITS_PER_ID = 32;
const HASHES = 6;

/** A Bloom filter. */
class Filter {
  readonly #bits: Uint8Array;
  readonly #mask: number;
  readonly #capacity: number;
  #ids = 0;
  /** The greatest id in it. */
  last = '';

  /** @param capacity a power of two */
  constructor(capacity: number) {
    this.#capacity = capacity;
    this.#bits = new Uint8Array((capacity * BITS_PER_ID) / 8);
    this.#mask = capacity * BITS_PER_ID - 1;
  }

  get isFull(): boolean {
    return this.#ids >= this.#capacity;
  }

  get capacity(): number {
    return this.#capacity;
  }

  add(id: string, [hash, step]: readonly [number, number]): void {
    for (let index = 0; index < HASHES; index++) {
      const bit = (hash + index * step) & this.#mask;
      this.#bits[bit >>> 3] = (this.#bits[bit >>> 3] ?? 0) | (1 << (bit & 7));
    }
    if (id > this.last) this.last = id;
    this.#ids++;
  }

  mayHave([hash, step]: readonly [number, number]): boolean {
    for (let index = 0; index < HASHES; index++) {
      const bit = (hash + index * step) & this.#mask;
      if (((this.#bits[bit >>> 3] ?? 0) & (1 << (bit & 7))) === 0) return false;
    }
    return true;
  }
}

export class RecentIds {
  /** The greatest id that may be stored and in no filter. */
  #unknownUpTo: string;
  readonly #filters: Filter[] = [];

  /** @param greatest the greatest id that was stored when the object woke; empty: none */
  constructor(greatest: string) {
    this.#unknownUpTo = greatest;
  }

  add(ids: readonly string[]): void {
    for (const id of ids) this.#open().add(id, hashesOf(id));
  }

  /** False only when the id is not stored. */
  mayHave(id: string): boolean {
    if (id <= this.#unknownUpTo) return true;
    const hashes = hashesOf(id);
    return this.#filters.some((filter) => filter.mayHave(hashes));
  }

  #open(): Filter {
    const newest = this.#filters.at(-1);
    if (newest !== undefined && !newest.isFull) return newest;
    const filter = new Filter(newest === undefined ? FIRST_IDS : Math.min(2 * newest.capacity, MAX_IDS));
    this.#filters.push(filter);
    if (this.#filters.length > MAX_FILTERS) {
      const oldest = this.#filters.shift();
      if (oldest !== undefined && oldest.last > this.#unknownUpTo) this.#unknownUpTo = oldest.last;
    }
    return filter;
  }
}

/** Two hashes of an id (FNV-1a from two starts); the second is odd, so that its multiples reach every bit. */
function hashesOf(id: string): readonly [number, number] {
  let [first, second] = [0x811c9dc5, 0x9747b28c];
  for (let index = 0; index < id.length; index++) {
    const code = id.charCodeAt(index);
    first = Math.imul(first ^ code, 0x01000193);
    second = Math.imul(second ^ code, 0x01000193);
  }
  return [mixed(first), mixed(second) | 1];
}

/** The low bits of FNV depend on the low bits of its input alone. */
function mixed(hash: number): number {
  const half = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return half ^ (half >>> 13);
}
