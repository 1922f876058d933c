import { describe, expect, it } from 'vitest';
import { axisTop, barsOf, boundOf, grouped } from '../src/lib/chart.ts';
import { adviceOf, type FiguresOfOne, type FiguresPage, together } from '../src/lib/figures.ts';
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
      one('off', { enabled: false, totals: failed, health: { state: 'failing' } }),
      one('slow', { health: { state: 'slow' } }),
      one('mended', { totals: failed, lastDeliveredAt: 't' }),
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
