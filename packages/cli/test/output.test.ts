/** Tables for people, JSON for machines, ids for scripts. */
import { describe, expect, it } from 'vitest';
import { tableOf } from '../src/table.ts';
import { aMachine } from './machine.ts';
import {
  anEvent,
  aSubscription,
  CUSTOMER,
  json,
  LOGGED_IN,
  list,
  SUBSCRIPTION,
  scripted,
} from './scripted-service.ts';

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
    expect(calls.map(({ path }) => path.slice(path.indexOf('?')))).toEqual([
      '?limit=2&state=success&fields=summary',
    ]);
  });
});

describe('a search of events', () => {
  const AT = '2026-01-31T11:00:00.000Z';
  async function search(...args: string[]) {
    const { calls, fetch } = scripted(() => list('events', [anEvent(AT)], '/second'));
    const machine = aMachine({ fetch });
    Object.assign(machine.env, LOGGED_IN);
    const ended = await machine.iw('events', 'list', SUBSCRIPTION, '--limit', '1', ...args);
    return { ...ended, query: Object.fromEntries(new URLSearchParams(calls[0]?.path.split('?')[1])) };
  }

  it('its options are the parameters of the API, by the time of acceptance', async () => {
    const { query } = await search(
      ...['--order', 'desc', '--type', 'updated,test,updated', '--state', 'failure', '--until', AT],
      ...['--since', '2026-01-31T09:30', '--before', anEvent(AT).id],
    );
    expect(query).toEqual({
      limit: '1',
      order: 'desc',
      type: 'entityUpdated,test',
      state: 'failure',
      since: '2026-01-31T09:30:00.000Z',
      until: AT,
      before: anEvent(AT).id,
      fields: 'summary',
    });
  });

  it('newest first, the next page comes before the last event that was shown', async () => {
    expect((await search('--order', 'desc')).err).toContain(`add --before ${anEvent(AT).id}`);
    expect((await search()).err).toContain(`add --after ${anEvent(AT).id}`);
  });

  it('machines get whole events, and summaries when they ask for them', async () => {
    expect((await search('--json')).query).toEqual({ limit: '1' });
    expect((await search('--json', '--summary')).query).toEqual({ limit: '1', fields: 'summary' });
  });

  it('a summary says its type, and a whole event has it in its token', async () => {
    const { request: _, ...summary } = anEvent(AT);
    const machine = aMachine(
      scripted(() => list('events', [{ ...summary, type: 'entityDeleted' }, anEvent(AT)])),
    );
    Object.assign(machine.env, LOGGED_IN);
    const { out } = await machine.iw('events', 'list', SUBSCRIPTION);
    expect(out.split('\n').slice(1, 3)).toEqual([
      expect.stringContaining('Z  deleted  success'),
      expect.stringContaining('Z  updated  success'),
    ]);
  });

  it.each([
    ['2026-01-31', '2026-01-31T00:00:00.000Z'],
    ['2026-01-31 12:00:05Z', '2026-01-31T12:00:05.000Z'],
    ['2026-01-31T12:00', '2026-01-31T12:00:00.000Z'],
    ['2026-01-31T12:00:00.5+01:00', '2026-01-31T11:00:00.500Z'],
  ])('the time %s is read in UTC unless it says otherwise', async (given, read) => {
    expect((await search('--since', given)).query['since']).toBe(read);
  });
});

describe('where an event went', () => {
  const EVENT = anEvent('2026-01-31T11:00:00.000Z');
  const { request: _, ...summary } = EVENT;
  const delivery = {
    ...summary,
    type: 'entityUpdated',
    subscription: { id: SUBSCRIPTION, title: 'Profile sync' },
  };

  async function where(deliveries: readonly object[], ...args: string[]) {
    const { calls, fetch } = scripted((_, nth) =>
      // Pages may be empty and still have a next one.
      nth === 1 ? list('deliveries', [], '/second') : list('deliveries', deliveries),
    );
    const machine = aMachine({ fetch });
    Object.assign(machine.env, LOGGED_IN);
    return { ...(await machine.iw('events', 'where', EVENT.id, ...args)), calls };
  }

  it('each subscription that has it is a line, on whatever page it is', async () => {
    const { code, out, calls } = await where([delivery]);
    expect(code).toBe(0);
    expect(out).toBe(
      [
        'SUBSCRIPTION                          TITLE         TYPE     STATE    ATTEMPTS  ANSWER    CHANGED',
        `${SUBSCRIPTION}  Profile sync  updated  success  1         HTTP 200  2026-01-31 11:00:00Z`,
        '',
      ].join('\n'),
    );
    expect(calls.map(({ path }) => path)).toEqual([
      expect.stringMatching(`/webhooks/events/${EVENT.id}$`),
      '/second',
    ]);
  });

  it('machines get the deliveries, scripts the ids of the subscriptions', async () => {
    expect(JSON.parse((await where([delivery], '--json')).out)).toEqual([delivery]);
    expect((await where([delivery], '-q')).out).toBe(`${SUBSCRIPTION}\n`);
  });

  it('an event that is nowhere is an empty list, with what that may mean', async () => {
    const { code, out, err } = await where([]);
    expect({ code, out }).toEqual({ code: 0, out: '' });
    expect(err).toMatch(/^No subscription has this event\.\nIt may have matched none/);
    expect((await where([], '--json')).out).toBe('[]\n');
  });
});

describe('a link into the console', () => {
  const LINK = {
    url: 'https://webhooks.example.com/console/#/sign-in/iwh_link_x',
    readOnly: true,
    expiresAt: '2026-01-31T12:15:00.000Z',
    sessionEndsAfterSeconds: 28_800,
  };
  async function link(...args: string[]) {
    const { calls, fetch } = scripted(() => json(LINK, 201));
    const machine = aMachine({ fetch });
    Object.assign(machine.env, LOGGED_IN);
    return { ...(await machine.iw('customers', 'console-link', ...args)), calls };
  }

  it('it is made for the customer of the profile, and says what it may and until when', async () => {
    const { code, out, err, calls } = await link('--read-only', '--expires', '15m');
    expect(code).toBe(0);
    expect(calls).toMatchObject([
      {
        method: 'POST',
        path: `/operator/customers/${CUSTOMER}/console-links`,
        body: { readOnly: true, expiresInSeconds: 900 },
      },
    ]);
    expect(out).toBe(
      `Link         ${LINK.url}\nMay          read\nWorks until  2026-01-31 12:15:00Z, once\n`,
    );
    expect(err).toContain('shown this once');
  });

  it('machines get the document, and scripts the link alone', async () => {
    expect(JSON.parse((await link('--json')).out)).toEqual(LINK);
    expect(await link(SUBSCRIPTION, '-q')).toMatchObject({
      out: `${LINK.url}\n`,
      err: '',
      calls: [{ path: `/operator/customers/${SUBSCRIPTION}/console-links`, body: {} }],
    });
  });

  it.each(['30s', '25h', 'soon', '15'])('a link cannot be usable for %s', async (expires) => {
    const { code, err, calls } = await link('--expires', expires);
    expect({ code, calls }).toEqual({ code: 2, calls: [] });
    expect(err).toContain('from 60 s to 86400 s');
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
