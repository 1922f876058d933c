/** The groups of packs: table `pack_groups`, kept in memory as well. Each group has packs (pack-rows.ts). */
import type { HeldFailure } from '../../domain/delivery.ts';
import type { StoreDatabase } from '../database.ts';

/** Packs that share their endpoint and their fate. */
export type PackGroup = {
  readonly number: number;
  readonly endpoint: string;
  /** That of the rows that were written when the group began (disabled.ts). */
  readonly generation: number;
  /** Why its deliveries failed; null: they are held. */
  readonly reason: HeldFailure | null;
  /** When its deliveries failed, ms; null in a group that failed: those of each pack failed when they had waited too long. */
  readonly failed_at: number | null;
  /** Merging has seen the packs up to this last id. */
  readonly merged_up_to: string;
};

export class PackGroups {
  readonly #database: StoreDatabase;
  #kept: Map<number, PackGroup> | undefined;

  constructor(database: StoreDatabase) {
    this.#database = database;
    database.whenRolledBack(() => {
      this.#kept = undefined;
    });
  }

  /** All groups, the oldest first. */
  all(): PackGroup[] {
    return [...this.#all.values()];
  }

  /** Those that are held. */
  held(): PackGroup[] {
    return this.all().filter(({ reason }) => reason === null);
  }

  /** Those that failed. */
  failed(): PackGroup[] {
    return this.all().filter(({ reason }) => reason !== null);
  }

  get(number: number): PackGroup {
    const group = this.#all.get(number);
    if (group === undefined) throw new Error('a group of packs is gone');
    return group;
  }

  open(group: Omit<PackGroup, 'number' | 'merged_up_to'>): PackGroup {
    const number = (this.all().at(-1)?.number ?? 0) + 1;
    this.#save({ ...group, number, merged_up_to: '' });
    return this.get(number);
  }

  /** All deliveries of a group have failed. */
  fail(group: PackGroup, reason: HeldFailure, failedAt: number): void {
    this.#save({ ...group, reason, failed_at: failedAt });
  }

  /** Merging has seen the packs of a group up to a last id. */
  markMerged(number: number, lastId: string): void {
    this.#save({ ...this.get(number), merged_up_to: lastId });
  }

  /** A group has no packs any more. */
  end(number: number): void {
    this.#database.run('DELETE FROM pack_groups WHERE number = ?', number);
    this.#all.delete(number);
  }

  get #all(): Map<number, PackGroup> {
    this.#kept ??= new Map(
      this.#database
        .rows<PackGroup>('SELECT * FROM pack_groups ORDER BY number')
        .map((group) => [group.number, group]),
    );
    return this.#kept;
  }

  #save(group: PackGroup): void {
    const { number, endpoint, generation, reason, failed_at, merged_up_to } = group;
    this.#database.run(
      `INSERT OR REPLACE INTO pack_groups (number, endpoint, generation, reason, failed_at, merged_up_to)
       VALUES (?, ?, ?, ?, ?, ?)`,
      number,
      endpoint,
      generation,
      reason,
      failed_at,
      merged_up_to,
    );
    this.#all.set(number, group);
  }
}
