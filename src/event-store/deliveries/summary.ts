/**
 * Counts of the last seven days, from the beginning of an hour (contract 3.8). Counting reads the outline of every segment. So a
 * large store saves the figures it counted last, answers with them, and counts again behind the answer. The first question after a quiet time, when neither the object nor
 * its pages are in memory, is then as cheap as any other.
 */
import { windowStart } from '../../domain/retention.ts';
import { logError } from '../../log.ts';
import type { StoreDatabase } from '../database.ts';
import type { Summary } from '../rpc.ts';
import { SUMMARY_FRESH_UP_TO_ROWS, SUMMARY_KEPT_MS, SUMMARY_MAX_AGE_MS } from '../tuning.ts';
import type { Deliveries } from './deliveries.ts';
import type { Tallied } from './tally.ts';

export class Summaries {
  readonly #database: StoreDatabase;
  readonly #deliveries: Deliveries;
  readonly #countExported: (acceptedAfter: number) => number;
  readonly #isErased: () => boolean;
  #isCounting = false;

  /** @param countExported how many failed deliveries accepted after a time are in a completed export */
  constructor(
    database: StoreDatabase,
    deliveries: Deliveries,
    countExported: (acceptedAfter: number) => number,
    isErased: () => boolean,
  ) {
    this.#database = database;
    this.#deliveries = deliveries;
    this.#countExported = countExported;
    this.#isErased = isErased;
  }

  /**
   * The figures to answer with. When they are a minute old, the store counts again behind the answer.
   * @param names whose store this is, for the log
   * @param waitUntil keeps the object alive for work behind its answer
   */
  current(
    now: number,
    names: Readonly<Record<string, string | undefined>>,
    waitUntil: (work: Promise<void>) => void,
  ): Summary {
    const kept = this.#kept();
    if (kept === undefined || kept.at <= now - SUMMARY_KEPT_MS) return this.count(now);
    if (kept.at <= now - SUMMARY_MAX_AGE_MS) waitUntil(this.#countLater(names));
    return kept;
  }

  /** Counts, and saves the figures when the store is large. */
  count(now: number): Summary {
    const hour = windowStart(now);
    const counts = this.#deliveries.countSince(hour);
    const summary = summarize(counts, this.#countExported(hour - 1), now);
    if (this.#deliveries.total() > SUMMARY_FRESH_UP_TO_ROWS) {
      this.#database.run(
        'INSERT OR REPLACE INTO summary (one, figures) VALUES (1, ?)',
        JSON.stringify(summary),
      );
    } else if (this.#kept() !== undefined) {
      this.#database.run('DELETE FROM summary');
    }
    return summary;
  }

  /** Counts again once the answer is on its way. Never rejects. */
  async #countLater(names: Readonly<Record<string, string | undefined>>): Promise<void> {
    if (this.#isCounting) return;
    this.#isCounting = true;
    await scheduler.wait(0);
    try {
      if (!this.#isErased()) this.count(Date.now());
    } catch (error) {
      logError('summary not counted', error, names);
    }
    this.#isCounting = false;
  }

  #kept(): Summary | undefined {
    const row = this.#database.first<{ figures: string }>('SELECT figures FROM summary');
    // Written by `count` alone.
    return row && (JSON.parse(row.figures) as Summary);
  }
}

/** The figures of a store without deliveries. */
export function emptySummary(at: number): Summary {
  return summarize({ open: 0, succeeded: 0, failed: 0 }, 0, at);
}

function summarize({ open, succeeded, failed }: Tallied, exported: number, at: number): Summary {
  return { at, succeeded, retrying: open, failed, exportable: failed - exported };
}
