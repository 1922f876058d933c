/** Figures, as the API shows them (contract 10.14). */
import { z } from 'zod';
import {
  ANSWER_TIME_BOUNDS_MS,
  addFigures,
  type Figures,
  type HourFigures,
  NO_FIGURES,
} from '../../domain/figures.ts';
import type { StoreFigures } from '../../event-store/rpc.ts';
import { timestamp } from './context.ts';
import { EXAMPLE } from './examples.ts';
import { time, wholeNumber } from './schemas.ts';

export const FiguresResource = z
  .object({
    delivered: wholeNumber.meta({ description: 'deliveries that became a success' }),
    failed: wholeNumber.meta({ description: 'deliveries that became a failure' }),
    attempts: wholeNumber.meta({ description: 'requests that ended' }),
    answerTimes: z.array(wholeNumber).meta({
      description:
        'successful requests by answer time: element i has those that took at most answerTimeBoundsMs[i], the last one the rest',
    }),
  })
  .meta({ id: 'Figures' });

export const HourResource = FiguresResource.extend({ hour: time }).meta({ id: 'HourFigures' });

/** What waits in an event store, and when it last delivered. */
export const waitingShape = {
  waiting: wholeNumber.meta({ description: 'events that are not final' }),
  oldestWaitingAt: time.optional().meta({ description: 'absent: none waits' }),
  lastDeliveredAt: time.optional().meta({ description: 'absent: none in the last seven days' }),
};

/** The span of figures. */
export const spanShape = {
  from: time.meta({ description: 'the beginning of the first hour' }),
  until: time,
  answerTimeBoundsMs: z.array(wholeNumber),
  exact: z
    .boolean()
    .meta({ description: 'false: not everything is counted yet, the figures are at least these' }),
};

export const FIGURES_EXAMPLE: z.infer<typeof FiguresResource> = {
  delivered: 120,
  failed: 2,
  attempts: 130,
  answerTimes: [0, 80, 30, 8, 2, 0, 0, 0, 0, 0],
};
export const SPAN_EXAMPLE = {
  from: EXAMPLE.early,
  until: EXAMPLE.late,
  answerTimeBoundsMs: [...ANSWER_TIME_BOUNDS_MS],
  exact: true,
};

export function figuresResource({ delivered, failed, attempts, answerTimes }: Figures) {
  return { delivered, failed, attempts, answerTimes: [...answerTimes] };
}

/** The figures of each hour, also of those in which nothing happened. */
export function everyHour(hours: readonly number[], some: readonly HourFigures[]): HourFigures[] {
  const known = new Map(some.map((figures) => [figures.hour, figures]));
  return hours.map((hour) => known.get(hour) ?? { hour, ...NO_FIGURES });
}

export function sumOf(all: readonly Figures[]): Figures {
  return all.reduce(addFigures, NO_FIGURES);
}

export function spanResource(hours: readonly number[], until: number, exact: boolean) {
  return {
    from: timestamp(hours[0] ?? until),
    until: timestamp(until),
    answerTimeBoundsMs: [...ANSWER_TIME_BOUNDS_MS],
    exact,
  };
}

export function waitingResource({ waiting, oldestWaitingAt, lastDeliveredAt }: StoreFigures) {
  return {
    waiting,
    ...(oldestWaitingAt === undefined ? {} : { oldestWaitingAt: timestamp(oldestWaitingAt) }),
    ...(lastDeliveredAt === undefined ? {} : { lastDeliveredAt: timestamp(lastDeliveredAt) }),
  };
}
