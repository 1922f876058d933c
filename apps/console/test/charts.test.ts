import { describe, expect, it } from 'vitest';
import { axisTop, barsOf, boundOf, grouped, labelsOf } from '../src/lib/chart.ts';
import {
  adviceOf,
  type FiguresOfOne,
  type FiguresPage,
  failedLeft,
  together,
  wasTried,
  withFailures,
} from '../src/lib/figures.ts';
import { merged } from '../src/lib/live-list.ts';

const hour = (delivered: number, failed: number) => ({ hour: `h${delivered}`, delivered, failed });

describe('bars', () => {
  it('failures stand on deliveries, and both fit in the box', () => {
    const [bar] = barsOf([hour(60, 40)], 100, 100, 100);
    expect(bar?.delivered).toEqual({ y: 40, height: 60 });
    expect(bar?.failed).toEqual({ y: 0, height: 40 });
  });

  it('one failure beside ten thousand deliveries can be seen', () => {
    const [bar] = barsOf([hour(10_000, 1)], 100, 100, 10_000);
    expect(bar?.failed.height).toBe(2);
    expect(bar?.delivered.height).toBe(98);
  });

  it('an hour without anything has no bar', () => {
    const [bar] = barsOf([hour(0, 0)], 100, 100, 4);
    expect(bar?.delivered.height).toBe(0);
    expect(bar?.failed.height).toBe(0);
  });

  it.each([
    [0, 4],
    [5, 10],
    [11, 20],
    [103, 150],
    [1_000, 1_000],
    [1_001, 1_500],
  ])('an axis for %d ends at %d', (value, top) => {
    expect(axisTop(value)).toBe(top);
  });

  it('values are added in groups, the last one shorter', () => {
    expect(grouped([1, 2, 3, 4, 5], 2)).toEqual([3, 7, 5]);
  });

  it('the time within which a share of the answers came is a bound of the histogram', () => {
    const bounds = [25, 50, 100];
    expect(boundOf([50, 49, 1, 0], bounds, 0.5)).toBe(25);
    expect(boundOf([50, 49, 1, 0], bounds, 0.99)).toBe(50);
    expect(boundOf([0, 0, 0, 1], bounds, 0.5)).toBe(Number.POSITIVE_INFINITY);
    expect(boundOf([0, 0, 0, 0], bounds, 0.5)).toBeUndefined();
  });
});

describe('labels of the axis', () => {
  const hoursFrom = (start: string, length: number) =>
    Array.from({ length }, (_, index) => ({
      hour: new Date(Date.parse(start) + index * 3_600_000).toISOString(),
      delivered: 0,
      failed: 0,
    }));
  const labels = (start: string, length: number) =>
    labelsOf(hoursFrom(start, length), { locale: 'en-GB', timeZone: 'Europe/Berlin' });

  it('each hour of a day is named under the middle of its bar, and the last bar is now', () => {
    const found = labels('2026-01-30T18:00:00Z', 24);
    expect(found.map(({ text }) => text)).toEqual(['22:00', '02:00', '06:00', '10:00', '14:00', 'now']);
    expect(found.map(({ share }) => Math.round(share * 240))).toEqual([35, 75, 115, 155, 195, 235]);
  });

  it('a day of a week is named under its own hours, and a piece of a day that is short is not named', () => {
    const found = labels('2026-01-23T18:00:00Z', 168);
    expect(found.map(({ text }) => text)).toEqual([
      'Sat 24',
      'Sun 25',
      'Mon 26',
      'Tue 27',
      'Wed 28',
      'Thu 29',
      'Fri 30',
      'now',
    ]);
    // 23:00 UTC is midnight in Berlin: Saturday has the bars 5 to 28.
    expect(found[0]?.share).toBeCloseTo((5 + 12) / 168);
    expect(found.at(-1)?.share).toBeCloseTo(167.5 / 168);
  });

  it('the day that runs has no name while there is no room for it beside now', () => {
    expect(labels('2026-01-23T12:00:00Z', 168).map(({ text }) => text)).toEqual([
      'Sat 24',
      'Sun 25',
      'Mon 26',
      'Tue 27',
      'Wed 28',
      'Thu 29',
      'now',
    ]);
  });

  it('every other label goes in a narrow window, never the last one', () => {
    expect(labels('2026-01-30T18:00:00Z', 24).map(({ minor }) => minor)).toEqual([
      true,
      false,
      true,
      false,
      true,
      false,
    ]);
    expect(labels('2026-01-30T18:00:00Z', 1)).toMatchObject([{ text: 'now', minor: false }]);
    expect(labels('2026-01-30T18:00:00Z', 0)).toEqual([]);
  });
});

const one = (id: string, more: Partial<FiguresOfOne> = {}): FiguresOfOne => ({
  id,
  title: id,
  enabled: true,
  health: { state: 'healthy' },
  totals: { delivered: 1, failed: 0, attempts: 1, answerTimes: [] },
  delivered: [1],
  failed: [0],
  waiting: 0,
  ...more,
});
const failed = { delivered: 0, failed: 3, attempts: 18, answerTimes: [] };
const never = { delivered: 0, failed: 0, attempts: 0, answerTimes: [] };

describe('figures of a customer', () => {
  it('pages are added, hour by hour, also when an hour began between them', () => {
    const page = (
      hours: FiguresPage['hours'],
      subscriptions: readonly FiguresOfOne[],
      exact = true,
    ): FiguresPage => ({
      from: 'h1',
      until: 'h2',
      answerTimeBoundsMs: [25],
      totals: never,
      hours,
      exact,
      _embedded: { subscriptions },
      _links: {},
    });
    const figures = together([
      page([{ hour: 'h1', delivered: 1, failed: 0 }], [one('a', { waiting: 2, oldestWaitingAt: 't2' })]),
      page(
        [
          { hour: 'h1', delivered: 2, failed: 1 },
          { hour: 'h2', delivered: 5, failed: 0 },
        ],
        [one('b', { waiting: 3, oldestWaitingAt: 't1' })],
        false,
      ),
    ]);
    expect(figures.hours).toEqual([
      { hour: 'h1', delivered: 3, failed: 1 },
      { hour: 'h2', delivered: 5, failed: 0 },
    ]);
    expect(figures).toMatchObject({ delivered: 2, waiting: 5, oldestWaitingAt: 't1', exact: false });
  });

  it('the advice without a subscription is to create one', () => {
    expect(adviceOf([])).toEqual([{ kind: 'create first' }]);
  });

  it('what is most urgent comes first: failing, not verified, to send again, slow, disabled, never used', () => {
    const advice = adviceOf([
      one('fresh', { totals: never }),
      one('off', { enabled: false, totals: failed, failedNow: 3, health: { state: 'failing' } }),
      one('slow', { health: { state: 'slow' } }),
      one('mended', { totals: failed, lastDeliveredAt: 't', failedNow: 3 }),
      one('new', { health: { state: 'unverified' } }),
      one('down', { health: { state: 'failing' }, totals: failed }),
    ]);
    expect(advice.map(({ kind }) => kind)).toEqual([
      'failing',
      'unverified',
      'redeliver',
      'slow',
      'disabled',
      'never delivered',
    ]);
  });

  it('a failed event that was sent again since is no advice any more', () => {
    const advice = adviceOf([
      one('all left', { totals: failed, lastDeliveredAt: 't', failedNow: failed.failed }),
      one('none left', { totals: failed, lastDeliveredAt: 't', failedNow: 0 }),
    ]);
    expect(advice).toMatchObject([{ kind: 'redeliver', subscription: { id: 'all left' } }]);
  });

  it('failures are no advice while nobody knows whether some are left', () => {
    expect(adviceOf([one('a', { totals: failed, lastDeliveredAt: 't' })])).toEqual([]);
  });

  it('an endpoint that is slow gets the advice to send again, too', () => {
    const slow = one('a', { health: { state: 'slow' }, totals: failed, failedNow: 2 });
    expect(adviceOf([slow]).map(({ kind }) => kind)).toEqual(['redeliver', 'slow']);
  });

  it('a disabled subscription is no advice when no failed event is left', () => {
    expect(adviceOf([one('a', { enabled: false, totals: failed, failedNow: 0 })])).toEqual([]);
  });

  it('what is left is asked of every subscription with failures, in any state', () => {
    const asked = withFailures([
      one('failing', { health: { state: 'failing' }, totals: failed }),
      one('off', { enabled: false, totals: failed }),
      one('fine'),
    ]);
    expect(asked.map(({ id }) => id)).toEqual(['failing', 'off']);
  });

  it('the failed events that are left are known only when all that had failures were asked', () => {
    const page = (...subscriptions: FiguresOfOne[]) => failedLeft([...subscriptions, one('fine')]);
    expect(page(one('a', { totals: failed, failedNow: 0 }), one('b', { totals: failed, failedNow: 2 }))).toBe(
      2,
    );
    expect(page(one('a', { totals: failed, failedNow: 0 }), one('b', { totals: failed }))).toBeUndefined();
    expect(page()).toBe(0);
  });

  it('an endpoint counts as tried when a request was made, or an event was delivered at any time', () => {
    expect(wasTried({ totals: never })).toBe(false);
    expect(wasTried({ totals: failed })).toBe(true);
    expect(wasTried({ totals: never, lastDeliveredAt: 't' })).toBe(true);
  });

  it('there is no advice when all is well', () => {
    expect(adviceOf([one('a'), one('b')])).toEqual([]);
  });

  it('the advice is short, however many endpoints fail', () => {
    expect(
      adviceOf(Array.from({ length: 40 }, (_, n) => one(`s${n}`, { health: { state: 'failing' } }))),
    ).toHaveLength(6);
  });
});

describe('a live list', () => {
  const item = (id: string, state: string) => ({ id, state });
  const put = (shown: ReturnType<typeof item>[], page: ReturnType<typeof item>[]) =>
    merged(shown, page, ({ id }) => id);

  it('new items come first, and known ones are replaced by what is newer', () => {
    const { list, added } = put(
      [item('b', 'waits'), item('a', 'done')],
      [item('c', 'waits'), item('b', 'done')],
    );
    expect(list).toEqual([item('c', 'waits'), item('b', 'done'), item('a', 'done')]);
    expect(added).toEqual(['c']);
  });

  it('an older page is put below and counts as nothing new', () => {
    const { list, added } = put([item('c', 'x')], [item('b', 'x'), item('a', 'x')]);
    expect(list.map(({ id }) => id)).toEqual(['c', 'b', 'a']);
    expect(added).toEqual([]);
  });
});
