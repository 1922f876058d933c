/**
 * The outlines of packs that were read last, in memory.
 *
 * Any pack whose last id is up to a quarter of an hour after an id may have that id, so each question about an id looks at the packs of a
 * quarter of an hour: a thousand, after a thousand events a second. An export or a bulk redelivery asks hundreds of times in one ring, each
 * time a little further on. So it reads those outlines once, and each further question reads only what comes after them.
 */

/** A pack without its content. */
export type PackOutline = {
  readonly group_number: number;
  readonly last_id: string;
  readonly first_id: string;
  readonly events: number;
  /** How many of them were not taken out. */
  readonly present: number;
  readonly accepted_from: number;
  readonly accepted_until: number;
  /** When the last of its deliveries has waited too long, ms. */
  readonly held_until: number;
  readonly bytes: number;
  /** A bit for each delivery that was taken out; null: none was. */
  readonly gone: ArrayBuffer | null;
};

/** Outlines kept in memory at most. Beyond them each question reads its own. */
const SCAN_MAX = 5000;
/** Outlines that the first query of a scan reads. Each further one reads twice as many. */
const FIRST_CHUNK = 2;

/** Reads the next packs of a group whose last id is after another, in order of their last ids. */
type ReadNext = (group: number, lastId: string, limit: number) => PackOutline[];

export class PackScan {
  readonly #readNext: ReadNext;
  #group = -1;
  /** The kept outlines have last ids after this one. */
  #from = '';
  #kept: PackOutline[] = [];
  /** Whether no pack of the group comes after the kept ones. */
  #isWhole = false;

  constructor(readNext: ReadNext) {
    this.#readNext = readNext;
  }

  /** Packs of a group whose last id is after another, in order of their last ids. Write no pack before the last one that is asked for. */
  *after(group: number, lastId: string): Generator<PackOutline> {
    if (group !== this.#group || lastId < this.#from || this.#kept.length > SCAN_MAX)
      this.#begin(group, lastId);
    // What lies behind is asked for no more.
    this.#kept.splice(0, this.#indexAfter(lastId));
    this.#from = lastId;
    for (let index = 0, chunk = FIRST_CHUNK; ; chunk *= 2) {
      for (; index < this.#kept.length; index++) yield this.#kept[index] as PackOutline;
      if (this.#isWhole) return;
      const next = this.#readNext(group, this.#kept.at(-1)?.last_id ?? lastId, chunk);
      this.#kept.push(...next);
      this.#isWhole = next.length < chunk;
    }
  }

  /** Packs of a group whose last id is from one id to another; `undefined` when not all of them are in memory. */
  between(group: number, lastFrom: string, lastUntil: string): PackOutline[] | undefined {
    const isKept = this.#isWhole || (this.#kept.at(-1)?.last_id ?? '') > lastUntil;
    if (group !== this.#group || lastFrom <= this.#from || !isKept) return undefined;
    const found: PackOutline[] = [];
    for (let index = this.#indexAfter(lastFrom, true); index < this.#kept.length; index++) {
      const pack = this.#kept[index] as PackOutline;
      if (pack.last_id > lastUntil) break;
      found.push(pack);
    }
    return found;
  }

  /** A pack was written: its outline is another now. */
  note(pack: PackOutline): void {
    if (pack.group_number !== this.#group) return;
    const index = this.#indexAfter(pack.last_id, true);
    if (this.#kept[index]?.last_id === pack.last_id) this.#kept[index] = pack;
  }

  forget(): void {
    this.#begin(-1, '');
  }

  #begin(group: number, from: string): void {
    this.#group = group;
    this.#from = from;
    this.#kept = [];
    this.#isWhole = false;
  }

  /** The index of the first kept outline whose last id is after another, or is that one when it is included. */
  #indexAfter(lastId: string, isIncluded = false): number {
    let [low, high] = [0, this.#kept.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      const id = this.#kept[middle]?.last_id ?? '';
      if (id < lastId || (id === lastId && !isIncluded)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
