/** What takes a while: following events, redeliveries and exports with progress, and Ctrl-C in each. */
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { aMachine } from './machine.ts';
import {
  anEvent,
  json,
  LOGGED_IN,
  list,
  noContent,
  problem,
  type Sent,
  SUBSCRIPTION,
  scripted,
} from './scripted-service.ts';

type Script = Parameters<typeof scripted>[0];

/** A machine whose person presses Ctrl-C at the nth wait. */
function machineOf(script: Script, interruptAt?: number) {
  const { calls, fetch } = scripted(script);
  const machine = aMachine({ fetch, onWait: (nth) => nth === interruptAt && machine.interrupt() });
  Object.assign(machine.env, LOGGED_IN);
  return { machine, calls };
}

const after = ({ path }: Sent) => new URLSearchParams(path.slice(path.indexOf('?'))).get('after') ?? '';
const at = (seconds: number) => new Date(Date.parse('2026-01-31T12:00:00Z') + seconds * 1000).toISOString();

describe('following events', () => {
  it('each new event is printed once, and what was there before is not', async () => {
    const before = anEvent(at(-5));
    const first = anEvent(at(1));
    const late = anEvent(at(-1));
    const second = anEvent(at(40));
    const { machine } = machineOf(
      (_, nth) =>
        list('events', [[before], [before, first], [before, late, first], [second], [second]][nth - 1] ?? []),
      5,
    );
    const { code, out } = await machine.iw('events', 'tail', SUBSCRIPTION, '--json');
    const lines = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown);
    expect(lines).toEqual([first, late, second]);
    expect(code).toBe(130);
  });

  it('each poll begins 20 seconds before the newest event that is known, never earlier than the last one', async () => {
    const { machine, calls } = machineOf(
      (_, nth) => list('events', nth === 1 ? [anEvent(at(0))] : nth === 2 ? [anEvent(at(100))] : []),
      4,
    );
    await machine.iw('events', 'tail', SUBSCRIPTION, '-q', '--interval', '5');
    const times = calls.map(
      (sent) => (Number.parseInt(after(sent).replace('-', '').slice(0, 12), 16) - Date.parse(at(0))) / 1000,
    );
    expect(times).toEqual([-60, -20, 80, 80]);
    expect(machine.waits).toEqual([5000, 5000, 5000, 5000]);
  });

  it('a time in the past brings the events since then', async () => {
    const { machine } = machineOf(() => list('events', [anEvent(at(-5))]), 1);
    const { out } = await machine.iw('events', 'tail', SUBSCRIPTION, '--since', '2026-01-31T11:00:00Z');
    expect(out).toMatch(/ {2}2026-01-31 11:59:55Z {2}updated {2}success {13}1 {9}HTTP 200\n$/);
  });

  it('a service that is away for five minutes is waited for, and then given up', async () => {
    const away = () => problem(503, 'Away', { 'retry-after': '60' });
    const { machine } = machineOf((_, nth) => (nth < 10 ? away() : list('events', [])), 20);
    expect((await machine.iw('events', 'tail', SUBSCRIPTION)).code).toBe(130);
    const never = machineOf(away);
    const { code, err } = await never.machine.iw('events', 'tail', SUBSCRIPTION, '--interval', '10');
    expect(code).toBe(3);
    expect(err).toContain('is briefly away (503)');
    expect(never.machine.waits.reduce((sum, ms) => sum + ms, 0)).toBeGreaterThan(300_000);
    expect(never.machine.waits.length).toBeLessThan(40);
  });

  it('a subscription that is deleted ends it, as any other error does', async () => {
    const { machine } = machineOf(() => problem(404, 'Subscription not found'));
    expect((await machine.iw('events', 'tail', SUBSCRIPTION)).code).toBe(5);
  });
});

describe('a bulk redelivery', () => {
  const job = (redelivered: number, overrides: object = {}) => ({
    id: '01890a5d-ac96-774b-bcce-b302099a8057',
    state: 'processing',
    createdAt: at(0),
    updatedAt: at(0),
    total: 3,
    redelivered,
    succeeded: redelivered,
    failed: 0,
    ...overrides,
  });

  it('its progress is shown until it ends', async () => {
    const { machine, calls } = machineOf(({ method }, nth) =>
      method === 'POST' ? json(job(0), 202) : json(nth === 2 ? job(1) : job(3, { state: 'completed' })),
    );
    const { code, out, err } = await machine.iw('redeliver', SUBSCRIPTION, '--since', '2026-01-31T00:00:00Z');
    expect(code).toBe(0);
    expect(calls[0]).toMatchObject({ method: 'POST', body: { since: '2026-01-31T00:00:00.000Z' } });
    expect(err).toContain('Redelivered 0 of 3');
    expect(out).toContain('State        completed');
  });

  it('events that fail again are an exit code of 1', async () => {
    const { machine } = machineOf(() => json(job(3, { state: 'completed', succeeded: 1, failed: 2 }), 202));
    const { code, err } = await machine.iw('redeliver', SUBSCRIPTION, '--all');
    expect(code).toBe(1);
    expect(err).toContain('2 events failed again.');
  });

  it('Ctrl-C stops watching, and says how to cancel', async () => {
    const { machine } = machineOf(() => json(job(1), 202), 1);
    const { code, err } = await machine.iw('redeliver', SUBSCRIPTION, '--all');
    expect(code).toBe(130);
    expect(err).toContain(`iw redeliveries cancel ${SUBSCRIPTION} ${job(0).id}`);
  });

  it.each([[[]], [['01890a5d-ac96-774b-bcce-b302099a8057', '--all']]])(
    'one event or many is a choice that must be made: %j',
    async (args) => {
      const { machine, calls } = machineOf(() => undefined);
      expect((await machine.iw('redeliver', SUBSCRIPTION, ...args)).code).toBe(2);
      expect(calls).toEqual([]);
    },
  );
});

describe('a dry run of a bulk redelivery', () => {
  const EVENT = '01890a5d-ac96-774b-bcce-b302099a8057';
  const preview = (overrides: object = {}) => ({
    dryRun: true,
    total: 1118,
    exact: true,
    oldest: { id: EVENT, createdAt: at(0) },
    newest: { id: EVENT, createdAt: at(5) },
    leftOut: { notKept: 2, notVerified: 0 },
    _links: {},
    ...overrides,
  });

  it('it shows what would be sent, and starts nothing', async () => {
    const { machine, calls } = machineOf(() => json(preview()));
    const { code, out, err } = await machine.iw('redeliver', SUBSCRIPTION, '--until', at(9), '--dry-run');
    expect(code).toBe(0);
    expect(out).toBe(
      [
        'Would send                1,118 events',
        `Oldest                    ${EVENT}, accepted 2026-01-31 12:00:00Z`,
        `Newest                    ${EVENT}, accepted 2026-01-31 12:00:05Z`,
        'Left out, token not kept  2',
        '',
      ].join('\n'),
    );
    expect(err).toBe('Nothing was sent.\n');
    expect(calls).toMatchObject([{ method: 'POST', body: { until: at(9), dryRun: true } }]);
  });

  it('a count that is not exact is at least so many', async () => {
    const { machine } = machineOf(() => json(preview({ exact: false })));
    const { out } = await machine.iw('redeliver', SUBSCRIPTION, '--all', '--dry-run');
    expect(out).toMatch(/^Would send +at least 1,118 events\n/);
  });

  it('machines get the document, and scripts the number', async () => {
    const { machine } = machineOf(() => json(preview()));
    const asJson = await machine.iw('redeliver', SUBSCRIPTION, '--all', '--dry-run', '--json');
    expect(JSON.parse(asJson.out)).toEqual(preview());
    const quiet = await machine.iw('redeliver', SUBSCRIPTION, '--all', '--dry-run', '-q');
    expect(quiet).toMatchObject({ out: '1118\n', err: '' });
  });

  it('a service that is too old has started the redelivery, and the error says how to cancel it', async () => {
    const { machine } = machineOf(() => json({ id: EVENT, state: 'processing' }, 202));
    const { code, err } = await machine.iw('redeliver', SUBSCRIPTION, '--all', '--dry-run');
    expect(code).toBe(1);
    expect(err).toMatch(
      /too old to know dry runs: it has started the redelivery\.\n {4}Cancel it: iw redeliveries/,
    );
  });
});

describe('an export', () => {
  const EXPORT = '0b5c1a39-8c1f-4f0e-9f2d-0a7f3c2f4d11';
  const job = (state: string) => ({ id: EXPORT, state, createdAt: at(0), updatedAt: at(0) });
  const file = (body: ConstructorParameters<typeof Response>[0]) =>
    new Response(body, { headers: { 'content-type': 'application/x-ndjson' } });
  const exporting = (body: () => Response, interruptAt?: number) =>
    machineOf(
      ({ method, path }) =>
        method === 'POST'
          ? json(job('processing'), 202)
          : path.endsWith('/download')
            ? body()
            : json(job('completed')),
      interruptAt,
    );

  it('its file appears when it is complete, for its owner alone', async () => {
    const { machine } = exporting(() => file('{"id":1}\n{"id":2}\n'));
    const path = join(machine.folder, 'failed.ndjson');
    const { code, out } = await machine.iw('exports', 'start', SUBSCRIPTION, '--output', path);
    expect({ code, out }).toEqual({ code: 0, out: `The export is in ${path}.\n` });
    expect(readFileSync(path, 'utf8')).toBe('{"id":1}\n{"id":2}\n');
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it('a file that exists is not replaced, and no export is used up for it', async () => {
    const { machine, calls } = exporting(() => file('new'));
    const path = join(machine.folder, 'failed.ndjson');
    writeFileSync(path, 'old');
    expect((await machine.iw('exports', 'start', SUBSCRIPTION, '-o', path)).code).toBe(2);
    expect(calls).toEqual([]);
    expect((await machine.iw('exports', 'start', SUBSCRIPTION, '-o', path, '--force')).code).toBe(0);
    expect(readFileSync(path, 'utf8')).toBe('new');
  });

  it('a download that breaks off leaves no half a file, and says how to get it again', async () => {
    const broken = new ReadableStream({
      pull(controller) {
        controller.enqueue(new TextEncoder().encode('{"id":1}\n'));
        controller.error(new TypeError('terminated'));
      },
    });
    const { machine } = exporting(() => file(broken));
    const { code, err } = await machine.iw(
      'exports',
      'download',
      SUBSCRIPTION,
      EXPORT,
      '-o',
      join(machine.folder, 'failed.ndjson'),
    );
    expect(code).toBe(3);
    expect(err).toContain(`iw exports download ${SUBSCRIPTION} ${EXPORT}`);
    expect(readdirSync(machine.folder)).toEqual([]);
  });

  it('standard output gets the file and nothing else', async () => {
    const { machine } = exporting(() => file('{"id":1}\n'));
    expect(await machine.iw('exports', 'download', SUBSCRIPTION, EXPORT)).toEqual({
      code: 0,
      out: '{"id":1}\n',
      err: '',
    });
  });

  it('Ctrl-C stops waiting, and says how to get the file later', async () => {
    const { machine } = exporting(() => file(''), 1);
    const { code, err } = await machine.iw(
      'exports',
      'start',
      SUBSCRIPTION,
      '-o',
      join(machine.folder, 'failed.ndjson'),
    );
    expect(code).toBe(130);
    expect(err).toContain(`iw exports download ${SUBSCRIPTION} ${EXPORT}`);
    expect(existsSync(join(machine.folder, 'failed.ndjson'))).toBe(false);
  });
});

describe('a request id', () => {
  async function sent(args: readonly string[], env: object = {}) {
    const { fetch } = scripted(() => list('customers', []));
    const ids: (string | null)[] = [];
    const machine = aMachine({
      fetch: async (request) => {
        ids.push(request.headers.get('x-request-id'));
        return await fetch(request);
      },
    });
    Object.assign(machine.env, LOGGED_IN, env);
    return { ...(await machine.iw('customers', 'list', ...args)), ids };
  }

  it('the flag or the variable is sent with each call, and nothing without them', async () => {
    expect((await sent([])).ids).toEqual([null]);
    expect((await sent(['--request-id', 'alice-ticket-7'])).ids).toEqual(['alice-ticket-7']);
    expect((await sent([], { IW_REQUEST_ID: 'bob' })).ids).toEqual(['bob']);
  });

  it('one that the service would ignore is refused before a call', async () => {
    const { code, err, ids } = await sent(['--request-id', 'ticket 7']);
    expect({ code, ids }).toEqual({ code: 2, ids: [] });
    expect(err).toContain('A request id has 1 to 255 letters');
  });
});

describe('dead letters', () => {
  const letter = (id: string) => ({
    id,
    queue: 'webhook-events',
    reason: 'sub must be a UUID',
    acceptedAt: at(0),
    createdAt: at(0),
  });

  it('all of them are read before the first is replayed, and one that is gone does not stop the rest', async () => {
    const { machine, calls } = machineOf(({ method, path }) => {
      if (method === 'GET')
        return path.endsWith('page=2')
          ? list('deadLetters', [letter('c')])
          : list('deadLetters', [letter('a'), letter('b')], '/operator/dead-letters?page=2');
      return path.includes('/b/') ? problem(404, 'Dead letter not found') : json(letter('a'), 202);
    });
    const { code, out, err } = await machine.iw('dead-letters', 'replay', '--all', '--yes', '--json');
    expect(calls.map(({ method }) => method)).toEqual(['GET', 'GET', 'POST', 'POST', 'POST']);
    expect(JSON.parse(out)).toEqual({ replayed: ['a', 'c'], gone: ['b'] });
    expect(code).toBe(5);
    expect(err).toContain('1 letter not found: b');
  });

  it('a letter that is gone does not keep the others from being dropped', async () => {
    const { machine, calls } = machineOf(({ path }) =>
      path.endsWith('/a') ? problem(404, 'Dead letter not found') : noContent(),
    );
    const { code, out } = await machine.iw('dead-letters', 'drop', 'a', 'b', '--yes', '--json');
    expect(code).toBe(5);
    expect(JSON.parse(out)).toEqual({ dropped: ['b'], gone: ['a'] });
    expect(calls).toHaveLength(2);
  });

  it('letters are chosen by a part of their reason, for a list, a replay and a drop', async () => {
    const { machine, calls } = machineOf(({ method }) =>
      method === 'GET'
        ? list('deadLetters', [letter('a'), { ...letter('b'), reason: 'not delivered after 100 retries' }])
        : method === 'POST'
          ? json(letter('b'), 202)
          : noContent(),
    );
    const reason = ['--reason', 'not delivered'];
    expect((await machine.iw('dead-letters', 'list', ...reason, '-q')).out).toBe('b\n');
    expect((await machine.iw('dead-letters', 'replay', ...reason)).code).toBe(2);
    expect((await machine.iw('dead-letters', 'replay', ...reason, '--yes')).out).toBe(
      '1 dead letter replayed.\n',
    );
    expect((await machine.iw('dead-letters', 'drop', ...reason, '--yes')).out).toBe(
      '1 dead letter dropped.\n',
    );
    expect(
      calls.filter(({ method }) => method !== 'GET').map(({ method, path }) => `${method} ${path}`),
    ).toEqual(['POST /operator/dead-letters/b/replay', 'DELETE /operator/dead-letters/b']);
  });

  it.each([[[]], [['a', '--all']], [['--all', '--reason', 'x']]])(
    'a replay or a drop of letters that are named in no way, or in two, is refused: %j',
    async (args) => {
      const { machine, calls } = machineOf(() => undefined);
      for (const verb of ['replay', 'drop'])
        expect((await machine.iw('dead-letters', verb, ...args, '--yes')).code).toBe(2);
      expect(calls).toEqual([]);
    },
  );

  it('a count is one call, and a script gets the number', async () => {
    const { machine, calls } = machineOf(() => list('deadLetters', [letter('a')]));
    expect((await machine.iw('dead-letters', 'count')).out).toBe('1 dead letter\n');
    expect((await machine.iw('dead-letters', 'count', '-q')).out).toBe('1\n');
    expect((await machine.iw('dead-letters', 'count', '--json')).out).toBe('{\n  "total": 1\n}\n');
    expect(calls).toHaveLength(3);
  });

  it('letters are dropped only with consent', async () => {
    const { machine, calls } = machineOf(() => noContent());
    expect((await machine.iw('dead-letters', 'drop', 'a', 'b')).code).toBe(2);
    expect((await machine.iw('dead-letters', 'drop', 'a', 'b', '--yes')).code).toBe(0);
    expect(calls.map(({ method, path }) => `${method} ${path}`)).toEqual([
      'DELETE /operator/dead-letters/a',
      'DELETE /operator/dead-letters/b',
    ]);
  });
});
