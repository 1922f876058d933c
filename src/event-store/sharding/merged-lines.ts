/**
 * The file of an export over several stores: each store has a file of lines in order of event id, in parts. A step reads the next part of
 * each file that has nothing left in memory, and gives the lines up to the nearest end of a part. Each step uses up one part at least, so a
 * file is read in as many steps as all files have parts, and no more than one part of each is in memory.
 */
import type { EventStoreRpc } from '../rpc.ts';

interface File {
  readonly store: Pick<EventStoreRpc, 'exportPart'>;
  readonly parts: number;
}

interface Line {
  readonly eventId: string;
  readonly text: string;
}

interface Reading extends File {
  next: number;
  waiting: Line[];
}

/** A line begins with the id of its event (`describeDelivery`). */
const ID_AT = '{"id":"'.length;
const ID_LENGTH = 36;

export class MergedLines {
  readonly #exportId: string;
  readonly #files: Reading[];
  /** Steps so far. */
  read = 0;

  constructor(exportId: string, files: readonly File[]) {
    this.#exportId = exportId;
    this.#files = files.map((file) => ({ ...file, next: 0, waiting: [] }));
  }

  /** The next lines, each ended by a line feed; `undefined` when a file is gone. */
  async next(): Promise<string | undefined> {
    this.read++;
    const areThere = await Promise.all(this.#files.map((file) => this.#refill(file)));
    if (areThere.includes(false)) return undefined;
    const open = this.#files.filter(({ next, parts }) => next < parts);
    const ends = open.flatMap(({ waiting }) => waiting.at(-1)?.eventId ?? []);
    const end = ends.sort()[0];
    const lines: Line[] = [];
    for (const file of this.#files) {
      const upTo = file.waiting.findIndex(({ eventId }) => end !== undefined && eventId > end);
      lines.push(...file.waiting.splice(0, upTo === -1 ? file.waiting.length : upTo));
    }
    return lines
      .sort((a, b) => (a.eventId < b.eventId ? -1 : 1))
      .map(({ text }) => `${text}\n`)
      .join('');
  }

  /** @returns false when its part is gone */
  async #refill(file: Reading): Promise<boolean> {
    if (file.waiting.length > 0 || file.next >= file.parts) return true;
    const text = await file.store.exportPart(this.#exportId, file.next++);
    if (text === undefined) return false;
    file.waiting = text
      .split('\n')
      .slice(0, -1)
      .map((line) => ({ eventId: line.slice(ID_AT, ID_AT + ID_LENGTH), text: line }));
    return true;
  }
}
