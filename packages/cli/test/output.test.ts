/** Tables for people, JSON for machines, ids for scripts. */
import { describe, expect, it } from 'vitest';
import { tableOf } from '../src/table.ts';
import { aMachine } from './machine.ts';
import { anEvent, aSubscription, json, LOGGED_IN, list, SUBSCRIPTION, scripted } from './scripted-service.ts';

const subscriptions = [
  aSubscription(),
  aSubscription({ id: SUBSCRIPTION.replace('7', '8'), title: 'Clean-up', enabled: false }),
];

function withSubscriptions(columns?: number) {
  const machine = aMachine({
    ...scripted(() => list('subscriptions', subscriptions)),
    ...(columns === undefined ? {} : { columns }),
  });
  Object.assign(machine.env, LOGGED_IN);
  return machine;
}

describe('a table', () => {
  const rows = [
    { id: 'a1', title: 'short' },
    { id: 'a2', title: 'a title that is rather long for this terminal' },
  ];
  const columns = [
    { title: 'ID', of: (row: (typeof rows)[number]) => row.id },
    { title: 'TITLE', of: (row: (typeof rows)[number]) => row.title, shrinks: true },
  ];

  it('columns that may shrink are cut to the width of the terminal, and ids stay whole', () => {
    expect(tableOf(rows, columns, 24)).toEqual(['ID  TITLE', 'a1  short', 'a2  a title that is rat…']);
    expect(tableOf(rows, columns, undefined)[2]).toBe('a2  a title that is rather long for this terminal');
    expect(tableOf(rows, columns, 5)[2]).toBe('a2  a title tha…');
  });

  it('wide letters and composed letters are measured as a terminal shows them', () => {
    const wide = [
      { id: '日本', title: 'x' },
      { id: 'e\u0301', title: 'y' },
    ];
    expect(tableOf(wide, columns, undefined)).toEqual(['ID    TITLE', '日本  x', 'e\u0301     y']);
  });

  it('escape sequences, line feeds and hidden letters of a title are shown as code points', () => {
    const line = tableOf([{ id: 'a', title: '\u001b]0;owned\u0007\n\u202eevil' }], columns, undefined)[1];
    expect(line).toBe('a   \\u{1b}]0;owned\\u{7}\\u{a}\\u{202e}evil');
  });
});

describe('a list', () => {
  it('people get a table; without a terminal it has no colour and is not cut', async () => {
    const { out } = await withSubscriptions().iw('subscriptions', 'list');
    expect(out).toBe(
      [
        'ID                                    TITLE         EVENTS           ENABLED  HEALTH   ENDPOINT',
        `${SUBSCRIPTION}  Profile sync  created,updated  yes      healthy  https://listener.example.com/hooks`,
        `${SUBSCRIPTION.replace('7', '8')}  Clean-up      created,updated  no       healthy  https://listener.example.com/hooks`,
        '',
      ].join('\n'),
    );
  });

  it('a terminal gets bold titles and lines that fit, and NO_COLOR gets no colour', async () => {
    const machine = withSubscriptions(100);
    const coloured = await machine.iw('subscriptions', 'list');
    expect(coloured.out).toContain('\u001b[1m');
    expect(coloured.out.split('\n')[1]).toHaveLength(100);
    machine.env['NO_COLOR'] = '1';
    expect((await machine.iw('subscriptions', 'list')).out).not.toContain('\u001b');
  });

  it('machines get the resources of the API as one JSON array', async () => {
    const { out, err } = await withSubscriptions().iw('subscriptions', 'list', '--json');
    expect(JSON.parse(out)).toEqual(subscriptions);
    expect(err).toBe('');
  });

  it('scripts get ids alone', async () => {
    const { out } = await withSubscriptions().iw('subscriptions', 'list', '-q');
    expect(out).toBe(subscriptions.map(({ id }) => `${id}\n`).join(''));
  });

  it('an empty list is said on standard error, so a pipe gets nothing', async () => {
    const machine = aMachine(scripted(() => list('subscriptions', [])));
    Object.assign(machine.env, LOGGED_IN);
    expect(await machine.iw('subscriptions', 'list')).toEqual({
      code: 0,
      out: '',
      err: 'No subscriptions.\n',
    });
    expect((await machine.iw('subscriptions', 'list', '--json')).out).toBe('[]\n');
  });

  it('a list of events ends at its limit, says that there are more, and reads no further page', async () => {
    const times = ['2026-01-31T11:00:00.000Z', '2026-01-31T11:00:01.000Z', '2026-01-31T11:00:02.000Z'];
    const { calls, fetch } = scripted(() =>
      list(
        'events',
        times.map((at) => anEvent(at)),
        '/second',
      ),
    );
    const machine = aMachine({ fetch });
    Object.assign(machine.env, LOGGED_IN);
    const { out, err } = await machine.iw(
      'events',
      'list',
      SUBSCRIPTION,
      '--limit',
      '2',
      '--state',
      'success',
      '-q',
    );
    expect(out.trim().split('\n')).toHaveLength(2);
    expect(err).toBe(`There are more: add --after ${anEvent(times[1] ?? '').id}, --limit or --all.\n`);
    expect(calls.map(({ path }) => path.slice(path.indexOf('?')))).toEqual(['?limit=2&state=success']);
  });
});

describe('one event', () => {
  it('its history follows its fields, and its claims come when they are asked for', async () => {
    const event = anEvent('2026-01-31T11:00:00.000Z', {
      state: 'failure',
      response: { statusCode: 503, headers: {} },
    });
    const history = [
      { createdAt: event.createdAt, state: 'failure', attempts: 1, reason: 'HTTP 503', durationMs: 41 },
    ];
    const machine = aMachine(
      scripted(({ path }) => (path.endsWith('/history') ? list('history', history) : json(event))),
    );
    Object.assign(machine.env, LOGGED_IN);
    const { out } = await machine.iw('events', 'show', SUBSCRIPTION, event.id, '--claims');
    expect(out).toContain('Claims    {"events":{"entityUpdated":{}}}');
    expect(out).toMatch(/failure +1 +41 ms +HTTP 503\n$/);
    const asJson = await machine.iw('events', 'show', SUBSCRIPTION, event.id, '--json');
    expect(JSON.parse(asJson.out)).toEqual({ ...event, history });
  });
});
