/** What several stores of a subscription say of themselves, as if they were one. */
import { addFigures, type HourFigures } from '../../domain/figures.ts';
import type { DayNote, HealthNote, StoreFigures, VisitNote } from '../rpc.ts';

export function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}

/** A note with the room of the fullest store. */
export function withRoom(note: HealthNote, notes: readonly HealthNote[]): HealthNote {
  const tenths = notes.flatMap(({ storeTenths }) => storeTenths ?? []);
  return tenths.length === 0 ? note : { ...note, storeTenths: Math.max(...tenths) };
}

/** @param home the note of the home store */
export function sumOfVisits(home: HealthNote, notes: readonly VisitNote[]): VisitNote {
  const ended = sum(notes.map((note) => note.ended ?? 0));
  const days = notes.flatMap(({ day }) => day ?? []);
  return {
    ...withRoom(home, notes),
    ...(ended === 0 ? {} : { ended }),
    // A part of the day would be taken for the whole.
    ...(days.length < notes.length ? {} : { day: sumOfDays(days) }),
  };
}

function sumOfDays(days: readonly DayNote[]): DayNote {
  return {
    accepted: sum(days.map(({ accepted }) => accepted)),
    delivered: sum(days.map(({ delivered }) => delivered)),
    failed: sum(days.map(({ failed }) => failed)),
    ...waitingOf(days),
  };
}

export function sumOfFigures(all: readonly StoreFigures[]): StoreFigures {
  const byHour = new Map<number, HourFigures>();
  for (const one of all.flatMap(({ hours }) => hours)) {
    const before = byHour.get(one.hour);
    byHour.set(one.hour, before === undefined ? one : { hour: one.hour, ...addFigures(before, one) });
  }
  const lastDeliveredAt = all.flatMap((one) => one.lastDeliveredAt ?? []);
  return {
    at: Math.min(...all.map(({ at }) => at)),
    hours: [...byHour.values()].sort((a, b) => a.hour - b.hour),
    isExact: all.every(({ isExact }) => isExact),
    ...waitingOf(all),
    ...(lastDeliveredAt.length === 0 ? {} : { lastDeliveredAt: Math.max(...lastDeliveredAt) }),
  };
}

function waitingOf(all: readonly Pick<StoreFigures, 'waiting' | 'oldestWaitingAt'>[]) {
  const oldest = all.flatMap((one) => one.oldestWaitingAt ?? []);
  return {
    waiting: sum(all.map(({ waiting }) => waiting)),
    ...(oldest.length === 0 ? {} : { oldestWaitingAt: Math.min(...oldest) }),
  };
}
