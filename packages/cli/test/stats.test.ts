/** Figures: of a subscription, of all of a customer, and of the whole service; and the endpoints in trouble. */
import { describe, expect, it } from 'vitest';
import { answerTimeOf, daysOf } from '../src/figures-view.ts';
import { aMachine } from './machine.ts';
import { CUSTOMER, json, LOGGED_IN, list, problem, SUBSCRIPTION, scripted } from './scripted-service.ts';

type Script = Parameters<typeof scripted>[0];

const BOUNDS = [25, 50, 100, 250, 500, 1000, 2000, 5000, 10_000];
const NO_ANSWERS = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const figures = (delivered: number, failed: number, answerTimes = NO_ANSWERS) => ({
  delivered,
  failed,
  attempts: delivered + failed,
  answerTimes,
});
const hourAt = (index: number, from = '2026-01-31T10:00:00.000Z') =>
  new Date(Date.parse(from) + index * 3_600_000).toISOString();

const STATS = {
  from: '2026-01-31T10:00:00.000Z',
  until: '2026-01-31T11:34:56.789Z',
  answerTimeBoundsMs: BOUNDS,
  exact: true,
  totals: figures(1200, 2, [0, 800, 300, 80, 20, 0, 0, 0, 0, 0]),
  waiting: 3,
  oldestWaitingAt: '2026-01-31T11:34:00.000Z',
  lastDeliveredAt: '2026-01-31T11:34:50.000Z',
  hours: [
    { hour: hourAt(0), ...figures(1200, 1, [0, 800, 300, 80, 20, 0, 0, 0, 0, 0]) },
    { hour: hourAt(1), ...figures(0, 1) },
  ],
  _links: {},
};

async function run(script: Script, ...args: readonly string[]) {
  const { calls, fetch } = scripted(script);
  const machine = aMachine({ fetch });
  Object.assign(machine.env, LOGGED_IN);
  const { code, out, err } = await machine.iw(...args);
  return { code, out, err, paths: calls.map(({ path }) => path) };
}

describe('the words for answer times', () => {
  it.each([
    ['no success', NO_ANSWERS, undefined],
    [
      'times of two classes',
      [0, 80, 30, 8, 2, 0, 0, 0, 0, 0],
      'half within 50 ms, 95 % within 250 ms, of 120 successful requests',
    ],
    ['times of one class', [1, 0, 0, 0, 0, 0, 0, 0, 0, 0], '95 % within 25 ms, of 1 successful request'],
    [
      'exactly a half',
      [0, 0, 0, 0, 0, 1, 0, 1, 0, 0],
      'half within 1 s, 95 % within 5 s, of 2 successful requests',
    ],
    [
      'a slow few',
      [0, 0, 90, 0, 0, 0, 0, 0, 0, 10],
      'half within 100 ms, more than 5 % over 10 s, of 100 successful requests',
    ],
    ['slow ones alone', [0, 0, 0, 0, 0, 0, 0, 0, 1, 2], 'more than half over 10 s, of 3 successful requests'],
  ])('a histogram with %s is described by its bounds', (_, answerTimes, words) => {
    expect(answerTimeOf(figures(0, 0, answerTimes), BOUNDS)).toBe(words);
  });
});

describe('days of hours', () => {
  it('the same hours are below each other, and an hour with anything is never shown as none', () => {
    const hours = Array.from({ length: 26 }, (_, index) => ({
      hour: hourAt(index, '2026-01-30T23:00:00.000Z'),
      ...figures(index === 0 ? 800 : index === 2 ? 1 : index === 25 ? 400 : 0, index === 1 ? 1 : 0),
    }));
    expect(daysOf(hours)).toEqual([
      {
        day: '2026-01-30',
        delivered: 800,
        failed: 0,
        deliveredByHour: `${' '.repeat(23)}█`,
        failedByHour: `${' '.repeat(23)}·`,
      },
      {
        day: '2026-01-31',
        delivered: 1,
        failed: 1,
        deliveredByHour: `·▁${'·'.repeat(22)}`,
        failedByHour: `█${'·'.repeat(23)}`,
      },
      { day: '2026-02-01', delivered: 400, failed: 0, deliveredByHour: '▄', failedByHour: '·' },
    ]);
  });
});

describe('the figures of a subscription', () => {
  it('people get the sums, what waits, and a line for each hour', async () => {
    const { code, out, err, paths } = await run(() => json(STATS), 'stats', SUBSCRIPTION, '--hours', '2');
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(paths).toEqual([`/${CUSTOMER}/webhooks/subscriptions/${SUBSCRIPTION}/stats?hours=2`]);
    expect(out).toBe(
      [
        'From            2026-01-31 10:00:00Z to 2026-01-31 11:34:56Z',
        'Delivered       1,200',
        'Failed          2',
        'Attempts        1,202',
        'Answers         half within 50 ms, 95 % within 250 ms, of 1,200 successful requests',
        'Waiting         3, the oldest since 2026-01-31 11:34:00Z',
        'Last delivered  2026-01-31 11:34:50Z',
        '',
        'HOUR               DELIVERED  FAILED  ATTEMPTS  HALF WITHIN',
        '2026-01-31 10:00Z  1,200      1       1,201     50 ms',
        '2026-01-31 11:00Z  0          1       1',
        '',
      ].join('\n'),
    );
  });

  it('a week is a line for each day, which fits a terminal of 80 columns', async () => {
    const hours = Array.from({ length: 168 }, (_, index) => ({
      hour: hourAt(index),
      ...figures(1_234_567, 1),
    }));
    const machine = aMachine({ ...scripted(() => json({ ...STATS, hours })), columns: 80 });
    Object.assign(machine.env, LOGGED_IN, { NO_COLOR: '1' });
    const { out, err } = await machine.iw('stats', SUBSCRIPTION);
    const [heading, ...days] = out.trimEnd().split('\n').slice(8);
    expect(heading).toMatch(/^DAY +DELIVERED +FAILED +DELIVERED BY HOUR +FAILED BY HOUR$/);
    expect(days).toHaveLength(8);
    expect(days[1]).toBe(`02-01  29,629,608  24      ${'█'.repeat(24)}  ${'█'.repeat(24)}`);
    expect(Math.max(...days.map((line) => line.length))).toBeLessThanOrEqual(80);
    expect(err).toBe(
      'A character is an hour (UTC). The highest ones are 1,234,567 delivered, and 1 failed.\n',
    );
  });

  it('figures that are not exact are said to be at least so many', async () => {
    const script = () => json({ ...STATS, exact: false });
    expect((await run(script, 'stats', SUBSCRIPTION)).err).toContain('the figures are at least these');
    expect((await run(script, 'stats', SUBSCRIPTION, '-q')).err).toContain('the figures are at least these');
    expect((await run(script, 'stats', SUBSCRIPTION, '--json')).err).toBe('');
  });

  it('a subscription that got nothing says so', async () => {
    const { oldestWaitingAt: _, lastDeliveredAt: __, ...rest } = STATS;
    const { out } = await run(
      () => json({ ...rest, totals: figures(0, 0), waiting: 0 }),
      'stats',
      SUBSCRIPTION,
    );
    expect(out).toContain('Answers         no successful request\n');
    expect(out).toContain('Waiting         0\n');
    expect(out).toContain('Last delivered  none in the last seven days\n');
  });

  it('machines get the document, and scripts three numbers', async () => {
    expect(JSON.parse((await run(() => json(STATS), 'stats', SUBSCRIPTION, '--json')).out)).toEqual(STATS);
    expect(await run(() => json(STATS), 'stats', SUBSCRIPTION, '-q')).toMatchObject({
      out: '1200 2 3\n',
      err: '',
    });
  });

  it('a subscription is found by its title', async () => {
    const { paths } = await run(
      ({ path }) =>
        path.endsWith('/subscriptions')
          ? list('subscriptions', [{ id: SUBSCRIPTION, title: 'Profile sync' }])
          : json(STATS),
      'stats',
      'Profile sync',
    );
    expect(paths[1]).toBe(`/${CUSTOMER}/webhooks/subscriptions/${SUBSCRIPTION}/stats`);
  });
});

describe('the figures of all subscriptions', () => {
  const row = (title: string, more: object = {}) => ({
    id: `7d0e3f52-43c1-4c35-8f41-${title.padStart(12, '0')}`,
    title,
    enabled: true,
    health: { state: 'healthy', since: STATS.from },
    totals: figures(10, 0),
    delivered: [10, 0],
    failed: [0, 0],
    waiting: 0,
    lastDeliveredAt: '2026-01-31T11:34:50.000Z',
    _links: {},
    ...more,
  });
  const page = (subscriptions: readonly object[], more: object = {}) =>
    json({
      from: STATS.from,
      until: STATS.until,
      answerTimeBoundsMs: BOUNDS,
      exact: true,
      totals: figures(0, 0),
      hours: [],
      _embedded: { subscriptions },
      _links: {},
      ...more,
    });
  const health = (state: string) => ({ health: { state, since: STATS.from } });
  const first = [
    row('a1'),
    row('a2', { waiting: 7 }),
    row('a3', { totals: figures(1000, 4) }),
    row('a4', { enabled: false, ...health('failing') }),
  ];
  const second = [row('a5', health('slow')), row('a6', { ...health('failing'), lastDeliveredAt: undefined })];
  const pages: Script = (_, nth) =>
    nth === 1 ? page(first, { _links: { next: { href: '/second' } } }) : page(second, { until: hourAt(2) });

  it('people get a table over all pages, the worst first', async () => {
    const { code, out, err, paths } = await run(pages, 'stats', '--hours', '2');
    expect(code).toBe(0);
    expect(paths).toEqual([`/${CUSTOMER}/webhooks/stats?hours=2`, '/second']);
    expect(out).toBe(
      [
        'TITLE  DELIVERED  FAILED  WAITING  HEALTH    LAST DELIVERED',
        'a6     10         0       0        failing',
        'a5     10         0       0        slow      2026-01-31 11:34:50Z',
        'a3     1,000      4       0        healthy   2026-01-31 11:34:50Z',
        'a2     10         0       7        healthy   2026-01-31 11:34:50Z',
        'a1     10         0       0        healthy   2026-01-31 11:34:50Z',
        'a4     10         0       0        disabled  2026-01-31 11:34:50Z',
        '',
      ].join('\n'),
    );
    expect(err).toContain('From 2026-01-31 10:00:00Z to 2026-01-31 12:00:00Z.\n');
  });

  it('machines get each subscription with the span that its figures are of, and scripts the ids', async () => {
    const read = JSON.parse((await run(pages, 'stats', '--json')).out);
    expect(read).toHaveLength(6);
    expect(read[0]).toEqual({
      from: STATS.from,
      until: hourAt(2),
      answerTimeBoundsMs: BOUNDS,
      exact: true,
      ...row('a6', health('failing')),
      lastDeliveredAt: undefined,
    });
    const { out, err } = await run(pages, 'stats', '-q');
    expect(out.split('\n')[0]).toBe(row('a6').id);
    expect(err).toBe('');
  });

  it('one page that is not exact makes the table one of figures that are at least so many', async () => {
    const { err } = await run(
      (_, nth) =>
        nth === 1 ? page(first, { _links: { next: { href: '/second' } } }) : page(second, { exact: false }),
      'stats',
    );
    expect(err).toContain('Not everything is counted yet: the figures are at least these.\n');
  });

  it('no subscription is an empty list', async () => {
    expect(await run(() => page([]), 'stats')).toMatchObject({
      code: 0,
      out: '',
      err: 'No subscriptions.\n',
    });
    expect((await run(() => page([]), 'stats', '--json')).out).toBe('[]\n');
  });

  it('an operator without a client is sent to the figures of the whole service', async () => {
    const machine = aMachine(scripted(() => undefined));
    Object.assign(machine.env, { ...LOGGED_IN, IW_CLIENT_ID: '', IW_CLIENT_SECRET: '' });
    const { code, err } = await machine.iw('stats');
    expect(code).toBe(4);
    expect(err).toContain('The figures of the whole service: iw stats --operator');
  });

  it('hours beyond a week are refused before a call', async () => {
    const { code, err, paths } = await run(pages, 'stats', '--hours', '169');
    expect({ code, paths }).toEqual({ code: 2, paths: [] });
    expect(err).toContain('It is a whole number from 1 to 168.');
  });
});

describe('the figures of the whole service', () => {
  const SERVICE = {
    at: '2026-01-31T12:00:05.000Z',
    accepted: { lastDay: 86_400 },
    delivered: { lastDay: 86_000 },
    failed: { lastDay: 12 },
    customers: 40,
    subscriptions: { total: 320, disabled: 12, unverified: 1, slow: 2, failing: 3 },
    waiting: 410,
    oldestWaitingAt: '2026-01-31T11:00:00.000Z',
    deadLetters: 2,
    queues: [
      {
        name: 'webhook-events',
        backlogMessages: 3,
        backlogBytes: 12_000,
        oldestMessageAt: '2026-01-31T12:00:00.000Z',
      },
      { name: 'webhook-slices', backlogMessages: 0, backlogBytes: 0 },
    ],
    stores: { fullestPercent: 30, above50Percent: 0, above80Percent: 0 },
  };

  it('people get the last day, which they know to be old, endpoints, stores and queues', async () => {
    const { code, out, err, paths } = await run(() => json(SERVICE), 'stats', '--operator');
    expect({ code, paths }).toEqual({ code: 0, paths: ['/operator/stats'] });
    expect(out).toBe(
      [
        'At             2026-01-31 12:00:05Z',
        'Last day       86,400 accepted, 86,000 delivered, 12 failed (up to a day old)',
        'Waiting        410, the oldest since 2026-01-31 11:00:00Z (up to a day old)',
        'Customers      40',
        'Subscriptions  320, 12 of them disabled',
        'Endpoints      3 failing, 2 slow, 1 unverified',
        'Dead letters   2',
        'Event stores   the fullest 30 % to 40 % full; 0 from 50 % on, 0 from 80 % on',
        '',
        'QUEUE           MESSAGES  BYTES   OLDEST',
        'webhook-events  3         12,000  2026-01-31 12:00:00Z',
        'webhook-slices  0         0',
        '',
      ].join('\n'),
    );
    expect(err).toBe(
      'The last day and what waits are what each event store said at its daily visit. The rest is of now.\n' +
        'Which endpoints: iw endpoints --state failing, slow or unverified\n' +
        'Which dead letters: iw dead-letters list\n',
    );
  });

  it('a healthy service has no hints, and queues without metrics are said', async () => {
    const healthy = {
      ...SERVICE,
      subscriptions: { total: 1, disabled: 0, unverified: 0, slow: 0, failing: 0 },
      deadLetters: 0,
      queues: [],
      stores: { fullestPercent: 0, above50Percent: 0, above80Percent: 0 },
    };
    const { out, err } = await run(() => json(healthy), 'stats', '--operator');
    expect(out).not.toContain('QUEUE');
    expect(out).toContain('the fullest less than 10 % full;');
    expect(err).not.toContain('Which');
    expect(err).toContain('The platform gives no metrics of the queues at the moment.\n');
  });

  it('machines get the document, and scripts three numbers', async () => {
    expect(JSON.parse((await run(() => json(SERVICE), 'stats', '--operator', '--json')).out)).toEqual(
      SERVICE,
    );
    expect(await run(() => json(SERVICE), 'stats', '--operator', '-q')).toMatchObject({
      out: '86000 12 410\n',
      err: '',
    });
  });

  it.each([[[SUBSCRIPTION]], [['--hours', '2']]])('the words %j do not go with --operator', async (more) => {
    const { code, err, paths } = await run(() => json(SERVICE), 'stats', '--operator', ...more);
    expect({ code, paths }).toEqual({ code: 2, paths: [] });
    expect(err).toContain('Leave out the subscription and --hours, or --operator.');
  });
});

describe('the metrics for Prometheus', () => {
  const TEXT = '# HELP identity_webhooks_customers Customers.\nidentity_webhooks_customers 40\n';
  const metrics = (text: string) => () => new Response(text, { headers: { 'content-type': 'text/plain' } });

  it('the text is printed as it is', async () => {
    expect(await run(metrics(TEXT), 'metrics')).toEqual({
      code: 0,
      out: TEXT,
      err: '',
      paths: ['/operator/metrics'],
    });
  });

  it('a page of something else is not printed as metrics', async () => {
    const { code, out, err } = await run(metrics('<html>'), 'metrics');
    expect({ code, out }).toEqual({ code: 3, out: '' });
    expect(err).toContain('Something else than the service answers');
  });

  it('--json is refused, because the same figures are JSON elsewhere', async () => {
    const { code, err, paths } = await run(metrics(TEXT), 'metrics', '--json');
    expect({ code, paths }).toEqual({ code: 2, paths: [] });
    expect(JSON.parse(err).error.hint).toBe('As JSON: iw stats --operator --json');
  });
});

describe('endpoints in trouble', () => {
  const endpoint = (title: string, state = 'failing') => ({
    customerId: CUSTOMER,
    customerName: 'Acme',
    subscriptionId: SUBSCRIPTION,
    title,
    host: 'listener.example.com',
    health: { state, since: '2026-01-31T11:00:00.000Z' },
    _links: {},
  });

  it('failing ones of all customers are a table over all pages', async () => {
    const { code, out, paths } = await run(
      (_, nth) =>
        nth === 1 ? list('endpoints', [endpoint('One')], '/second') : list('endpoints', [endpoint('Two')]),
      'endpoints',
    );
    expect(code).toBe(0);
    expect(paths).toEqual(['/operator/endpoints?state=failing', '/second']);
    expect(out).toBe(
      [
        'CUSTOMER  TITLE  HOST                  STATE    SINCE                 CUSTOMER ID',
        `Acme      One    listener.example.com  failing  2026-01-31 11:00:00Z  ${CUSTOMER}`,
        `Acme      Two    listener.example.com  failing  2026-01-31 11:00:00Z  ${CUSTOMER}`,
        '',
      ].join('\n'),
    );
  });

  it('another state is asked for; machines get the resources, and scripts ids of subscriptions', async () => {
    const slow = endpoint('Slow', 'slow');
    const { out, paths } = await run(
      () => list('endpoints', [slow]),
      'endpoints',
      '--state',
      'slow',
      '--json',
    );
    expect(paths).toEqual(['/operator/endpoints?state=slow']);
    expect(JSON.parse(out)).toEqual([slow]);
    expect((await run(() => list('endpoints', [slow]), 'endpoints', '-q')).out).toBe(`${SUBSCRIPTION}\n`);
  });

  it('none is said on standard error, and a state that does not exist is refused before a call', async () => {
    expect(await run(() => list('endpoints', []), 'endpoints')).toMatchObject({
      code: 0,
      out: '',
      err: 'No failing endpoints.\n',
    });
    const { code, err, paths } = await run(() => undefined, 'endpoints', '--state', 'broken');
    expect({ code, paths }).toEqual({ code: 2, paths: [] });
    expect(err).toContain('failing, slow, unverified');
  });

  it('a wrong operator token is named', async () => {
    const { code, err } = await run(() => problem(403, 'Forbidden'), 'endpoints');
    expect(code).toBe(4);
    expect(err).toContain('The operator token is wrong.');
  });
});
