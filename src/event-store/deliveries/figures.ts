/** What a store says of its figures: to somebody who looks (contract 10.14), and at the daily visit. */
import { hourOf } from '../../domain/figures.ts';
import { DAY_MS } from '../../domain/limits.ts';
import type { DayNote, StoreFigures } from '../rpc.ts';
import type { Deliveries } from './deliveries.ts';

export class FiguresReport {
  readonly #deliveries: Deliveries;

  constructor(deliveries: Deliveries) {
    this.#deliveries = deliveries;
  }

  /** @param from the beginning of an hour, ms */
  since(from: number, now: number): StoreFigures {
    const { counting } = this.#deliveries;
    const { counted, isWhole, lastDeliveredAt } = counting.look();
    const since = counting.since(now);
    return {
      at: now,
      hours: counted.figures(from),
      isExact: isWhole && (since === undefined || since <= from),
      ...(lastDeliveredAt === undefined ? {} : { lastDeliveredAt }),
      ...this.#waiting(),
    };
  }

  /** The 24 hours before the running one, and what waits now. */
  lastDay(now: number): DayNote {
    const until = hourOf(now);
    const from = until - DAY_MS;
    const { counted } = this.#deliveries.counting.look();
    const hours = counted.figures(from).filter(({ hour }) => hour < until);
    const inRows = this.#acceptedSince(from) - this.#acceptedSince(until);
    return {
      accepted: inRows + counted.acceptedBetween(from, until),
      delivered: hours.reduce((sum, { delivered }) => sum + delivered, 0),
      failed: hours.reduce((sum, { failed }) => sum + failed, 0),
      ...this.#waiting(),
    };
  }

  /** Of those that are in no segment. */
  #acceptedSince(hour: number): number {
    const { open, succeeded, failed } = this.#deliveries.rows.count(hour);
    return open + succeeded + failed;
  }

  #waiting(): { readonly waiting: number; readonly oldestWaitingAt?: number } {
    const waiting = this.#deliveries.rows.count().open;
    const oldestWaitingAt = waiting === 0 ? undefined : this.#deliveries.oldestWaiting();
    return { waiting, ...(oldestWaitingAt === undefined ? {} : { oldestWaitingAt }) };
  }
}

/** The figures of a store without deliveries. */
export function noFiguresAt(now: number): StoreFigures {
  return { at: now, hours: [], isExact: true, waiting: 0 };
}
