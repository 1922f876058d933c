/**
 * The command line against the real service: the README's quick start as it is written, what an operator and a customer do each day,
 * and a customer who moves here. The service is started as `npm start` starts it.
 */
import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { WebhooksClient } from '@identity-webhooks/client';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { aMachine, type Machine } from '../../packages/cli/test/machine.ts';
import { type OldService, old, startOldService } from '../../packages/cli/test/old-service.ts';
import {
  freePort,
  type Home,
  makeHome,
  pause,
  type RunningService,
  startService,
} from '../../tools/harness/service.ts';
import { type ScriptedListener, startScriptedListener } from '../support/scripted-listener.ts';

const ROOT = join(import.meta.dirname, '../..');
const VARIABLES = {
  RETRY_DELAYS_SECONDS: '1,1',
  REDELIVER_INTERVAL_SECONDS: '0',
  EXPORT_INTERVAL_SECONDS: '0',
};

/** A safety net for commands that hang. */
const GIVE_UP_MS = 180_000;

let home: Home;
let service: RunningService;
let listener: ScriptedListener;

beforeAll(async () => {
  home = makeHome();
  [service, listener] = await Promise.all([startService(home, VARIABLES), startScriptedListener()]);
});

afterAll(async () => {
  await service?.stop();
  await listener?.close();
  home?.remove();
});

/** A machine on which the operator is logged in, with a customer and a client of its own. */
async function aCustomer(id?: string, ...more: Parameters<typeof aMachine>): Promise<Machine> {
  const machine = aMachine(...more);
  await succeed(machine.pipe(home.operatorToken, 'login', service.url, '--operator', '--secret-stdin'));
  await succeed(
    machine.iw('customers', 'create', 'Acme', '--use', ...(id === undefined ? [] : ['--id', id])),
  );
  await succeed(machine.iw('clients', 'create', 'backend', '--login'));
  return machine;
}

async function succeed(run: Promise<{ code: number; out: string; err: string }>): Promise<string> {
  const { code, out, err } = await run;
  expect({ code, err: code === 0 ? '' : err }).toEqual({ code: 0, err: '' });
  return out.trim();
}

const jsonOf = async (run: Promise<{ code: number; out: string; err: string }>) =>
  JSON.parse(await succeed(run));

const EVENT = {
  type: 'entityUpdated',
  captureApplicationId: 'tep2dcqy4fwurwtpkaxg76twgf',
  captureClientId: 'zfccfzzcf626t449wu5umbt6zhek2det',
  entityType: 'user',
  sub: '726087ec-35df-4041-aec8-c11ecc208efa',
  attributes: ['givenName'],
};

describe('the quick start of the README', () => {
  it('its commands run as they are written, and the listener verifies the event', async () => {
    const port = await freePort();
    const folder = mkdtempSync(join(tmpdir(), 'quick-start-'));
    const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
    const section = readme.slice(readme.indexOf('## Quick start'), readme.indexOf('## Words'));
    // The first block starts the service, which runs here already.
    const [start, ...blocks] = [...section.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, text = '']) => text);
    expect(start).toContain('npm start');
    // As in a person's shell, each job is a process group, so that `kill %1` ends the listener and not npm alone.
    const commands = ["set -em; trap 'kill %1 2> /dev/null' EXIT", ...blocks]
      .join('\n')
      .replaceAll('http://127.0.0.1:8787', service.url)
      .replaceAll('.dev.vars', join(home.directory, 'secrets.env'))
      .replaceAll('9000', String(port));
    const { stdout } = await promisify(execFile)('bash', ['-c', commands], {
      cwd: ROOT,
      timeout: GIVE_UP_MS,
      env: {
        ...process.env,
        XDG_CONFIG_HOME: folder,
        PATH: [join(ROOT, 'node_modules/.bin'), process.env['PATH']].join(delimiter),
      },
    });
    rmSync(folder, { recursive: true, force: true });
    expect(stdout).toContain('tep2dcqy4fwurwtpkaxg76twgf');
    expect(stdout).toMatch(/updated +success +1 +HTTP 202/);
    expect(stdout).toMatch(/State +success/);
    expect(stdout).not.toContain(home.operatorToken);
  });
});

describe('the days of a customer', () => {
  it('a subscription is made, changed, tested, disabled, enabled and deleted', async () => {
    const machine = await aCustomer();
    const filter = join(machine.folder, 'filter.json');
    writeFileSync(
      filter,
      JSON.stringify({ properties: { entityUpdated: { properties: { entityType: { const: 'user' } } } } }),
    );
    const created = await jsonOf(
      machine.iw(
        'subscriptions',
        'create',
        'Profile sync',
        `${listener.url}/hooks/cli`,
        '--events',
        'updated',
        '--filter',
        filter,
        '--json',
      ),
    );
    expect(created).toMatchObject({ title: 'Profile sync', events: ['entityUpdated'], enabled: true });
    const edited = await jsonOf(
      machine.iw(
        'subscriptions',
        'edit',
        'Profile sync',
        '--title',
        'Sync',
        '--events',
        'all',
        '--no-filter',
        '--json',
      ),
    );
    expect(edited).toMatchObject({ id: created.id, title: 'Sync' });
    expect(edited.events).toHaveLength(3);
    expect(edited.filter).toBeUndefined();
    expect(await succeed(machine.iw('subscriptions', 'test', 'Sync', '--wait'))).toMatch(/: HTTP 200\.$/);
    expect(await succeed(machine.iw('subscriptions', 'disable', 'Sync', '--yes'))).toContain('Enabled   no');
    const refused = await machine.iw('subscriptions', 'test', 'Sync');
    expect(refused.err).toBe(
      'iw: Refused: Subscription is disabled.\n    Enable it first: iw subscriptions enable SUBSCRIPTION\n',
    );
    expect(await succeed(machine.iw('subscriptions', 'enable', 'Sync'))).toContain('Enabled   yes');
    expect(await jsonOf(machine.iw('subscriptions', 'show', 'Sync', '--json'))).toMatchObject({
      summary: { total: 1 },
      health: { state: 'healthy' },
    });
    const { id } = await jsonOf(machine.iw('subscriptions', 'show', 'Sync', '--json'));
    const set = await jsonOf(machine.iw('shards', 'set', id, '4', '--json'));
    expect(set).toMatchObject({ shards: 4, stores: 4 });
    expect(await jsonOf(machine.iw('shards', 'show', id, '--json'))).toEqual(set);
    await succeed(machine.iw('subscriptions', 'delete', 'Sync', '--yes'));
    expect((await machine.iw('subscriptions', 'show', 'Sync')).code).toBe(5);
  });

  it('failed events are listed, redelivered in bulk, and exported', async () => {
    const machine = await aCustomer();
    const event = join(machine.folder, 'event.json');
    writeFileSync(event, JSON.stringify([EVENT, EVENT]));
    await fetch(`${listener.url}/scripts/trouble`, {
      method: 'PUT',
      body: JSON.stringify([{ status: 302 }, { status: 302 }, {}]),
    });
    await succeed(
      machine.iw('subscriptions', 'create', 'Trouble', `${listener.url}/hooks/trouble`, '--events', 'all'),
    );
    const ids = await jsonOf(machine.iw('events', 'publish', event, '--json'));
    const failed = async (): Promise<string[]> =>
      (await succeed(machine.iw('events', 'list', 'Trouble', '--state', 'failure', '-q')))
        .split('\n')
        .filter((id) => id !== '');
    await expect.poll(failed, { timeout: GIVE_UP_MS }).toHaveLength(2);
    expect((await failed()).sort()).toEqual(ids.map(({ id }: { id: string }) => id).sort());
    expect(await succeed(machine.iw('events', 'show', 'Trouble', ids[0].id))).toContain('HTTP 302');
    expect(await jsonOf(machine.iw('stats', 'Trouble', '--hours', '2', '--json'))).toMatchObject({
      totals: { delivered: 0, failed: 2, attempts: 2 },
      waiting: 0,
    });
    expect(await jsonOf(machine.iw('stats', '--json'))).toMatchObject([
      { title: 'Trouble', totals: { delivered: 0, failed: 2 }, exact: true },
    ]);

    const path = join(machine.folder, 'failed.ndjson');
    const exported = machine.iw('exports', 'start', 'Trouble', '--no-wait', '-q');
    const exportId = await succeed(exported);
    await expect
      .poll(async () => (await jsonOf(machine.iw('exports', 'show', 'Trouble', exportId, '--json'))).state, {
        timeout: GIVE_UP_MS,
      })
      .toBe('completed');
    await succeed(machine.iw('exports', 'download', 'Trouble', exportId, '-o', path));
    expect(readFileSync(path, 'utf8').trim().split('\n')).toHaveLength(2);

    const redelivery = await succeed(machine.iw('redeliver', 'Trouble', '--all', '--no-wait', '-q'));
    await expect
      .poll(
        async () => (await jsonOf(machine.iw('redeliveries', 'show', 'Trouble', redelivery, '--json'))).state,
        { timeout: GIVE_UP_MS },
      )
      .toBe('completed');
    expect(await jsonOf(machine.iw('redeliveries', 'list', 'Trouble', '--json'))).toMatchObject([
      { total: 2, succeeded: 2 },
    ]);
  });

  it('events are searched by type and time, found at each subscription, and counted before they are redelivered', async () => {
    const machine = await aCustomer();
    const subscribe = async (title: string, path: string) =>
      await succeed(
        machine.iw(
          'subscriptions',
          'create',
          title,
          `${listener.url}/hooks/${path}`,
          '--events',
          'all',
          '-q',
        ),
      );
    await fetch(`${listener.url}/scripts/search-fails`, {
      method: 'PUT',
      body: JSON.stringify([{ status: 302 }, { status: 302 }]),
    });
    const [takes, refuses] = [await subscribe('Takes', 'search'), await subscribe('Refuses', 'search-fails')];
    const before = new Date().toISOString();
    const { attributes: _, ...deleted } = { ...EVENT, type: 'entityDeleted' };
    const publish = async (event: object) =>
      await succeed(machine.pipe(JSON.stringify(event), 'events', 'publish', '-', '-q'));
    const [first, second] = [await publish(EVENT), await publish(deleted)];
    const listed = async (title: string, ...args: string[]) =>
      (await succeed(machine.iw('events', 'list', title, '-q', ...args))).split('\n');
    for (const title of ['Takes', 'Refuses']) {
      await expect
        .poll(async () => (await listed(title, '--order', 'desc')).length, { timeout: GIVE_UP_MS })
        .toBe(2);
    }
    expect(await listed('Takes', '--order', 'desc')).toEqual([second, first]);
    expect(await listed('Takes', '--type', 'deleted')).toEqual([second]);
    expect(await listed('Takes', '--since', before)).toEqual([first, second]);
    expect(await listed('Takes', '--until', before)).toEqual(['']);
    const [summary] = await jsonOf(
      machine.iw('events', 'list', 'Takes', '--type', 'updated', '--json', '--summary'),
    );
    expect(summary).toMatchObject({ id: first, type: 'entityUpdated' });
    expect(summary).not.toHaveProperty('request');

    const where = async () => await jsonOf(machine.iw('events', 'where', first, '--json'));
    await expect
      .poll(async () => (await where()).map(({ state }: { state: string }) => state), { timeout: GIVE_UP_MS })
      .toEqual(['success', 'failure']);
    expect((await where()).map((one: { subscription: { id: string } }) => one.subscription.id)).toEqual([
      takes,
      refuses,
    ]);
    const dryRun = ['redeliver', 'Refuses', '--since', before, '--dry-run'];
    expect(await jsonOf(machine.iw(...dryRun, '--json'))).toMatchObject({ total: 2, exact: true });
    expect(await succeed(machine.iw('redeliveries', 'list', 'Refuses', '-q', '--json'))).toBe('[]');
  });

  it('events are followed while they come, until Ctrl-C', async () => {
    const machine = await aCustomer();
    await succeed(
      machine.iw('subscriptions', 'create', 'Followed', `${listener.url}/hooks/followed`, '--events', 'all'),
    );
    await succeed(machine.pipe(JSON.stringify(EVENT), 'events', 'publish', '-'));
    const stored = async () => await succeed(machine.iw('events', 'list', 'Followed', '-q'));
    await expect.poll(stored, { timeout: GIVE_UP_MS }).not.toBe('');
    const iw = join(ROOT, 'packages/cli/bin/iw.js');
    const child = spawn(process.execPath, [iw, 'events', 'tail', 'Followed', '--json', '--interval', '1'], {
      env: { ...process.env, ...machine.env },
    });
    onTestFinished(() => void child.kill());
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const next = lines.next();
    // Nothing shows from outside when it has begun, so an event is published until one is followed.
    const published = new Set<string>();
    let line: IteratorResult<string> | undefined;
    while (line === undefined && published.size < 60) {
      const [{ id }] = await jsonOf(machine.pipe(JSON.stringify(EVENT), 'events', 'publish', '-', '--json'));
      published.add(id);
      line = await Promise.race([next, pause(3000).then(() => undefined)]);
    }
    expect(published.has(JSON.parse(line?.value ?? '{}').id)).toBe(true);
    child.kill('SIGINT');
    expect(await new Promise((resolve) => child.once('exit', resolve))).toBe(130);
  });

  it('a client with a narrow scope logs in with it, and a refusal names the scope that it needs', async () => {
    const machine = await aCustomer();
    const client = await jsonOf(
      machine.iw('clients', 'create', 'narrow', '--scope', 'GET:webhooks/subscriptions', '--json'),
    );
    const { customer } = await jsonOf(machine.iw('status', '--json'));
    const login = [
      'login',
      service.url,
      '--customer',
      customer,
      '--client-id',
      client.clientId,
      '--secret-stdin',
      '--profile',
      'narrow',
    ];
    expect((await machine.pipe(client.clientSecret, ...login)).err).toContain(
      'may not ask for the scope *:webhooks/**',
    );
    await succeed(machine.pipe(client.clientSecret, ...login, '--scope', client.scope));
    await succeed(machine.iw('subscriptions', 'list', '--profile', 'narrow'));
    const { code, err } = await machine.iw('exports', 'list', crypto.randomUUID(), '--profile', 'narrow');
    expect(code).toBe(4);
    expect(err).toContain('the call needs the scope GET:webhooks/subscriptions/*/exports');
  });
});

describe('the days of the operator', () => {
  it('the operator lets EdDSA sign for a customer, from the start or a day later, and RS256 again', async () => {
    const machine = await aCustomer();
    const edit = (algorithm: string, ...more: string[]) =>
      machine.iw('customers', 'edit', '--signing-algorithm', algorithm, ...more);
    expect((await edit('EdDSA')).code).toBe(2);
    expect((await edit('ES256', '--yes')).err).toContain('RS256, EdDSA');
    const changed = await jsonOf(edit('EdDSA', '--yes', '--json'));
    expect(Date.parse(changed.signingAlgorithmFrom)).toBeGreaterThan(Date.now() + 86_000_000);
    expect(await succeed(machine.iw('customers', 'show'))).toMatch(/Signed by +EdDSA, from /);
    expect((await succeed(machine.iw('keys', 'list'))).match(/EdDSA/g)).toHaveLength(2);
    expect(await jsonOf(edit('RS256', '--json'))).toMatchObject({ signingAlgorithm: 'RS256' });
    await succeed(machine.iw('customers', 'create', 'Quick', '--signing-algorithm', 'EdDSA', '--use'));
    expect(await succeed(machine.iw('keys', 'list'))).toMatch(/EdDSA +signs now/);
    expect(await succeed(machine.iw('customers', 'list'))).toMatch(/Quick.* EdDSA/);
  });

  it('an endpoint that fails is listed with its customer, and counted among the figures of the service', async () => {
    const machine = await aCustomer();
    await fetch(`${listener.url}/scripts/failing`, {
      method: 'PUT',
      body: JSON.stringify(Array.from({ length: 5 }, () => ({ status: 302 }))),
    });
    const sid = await succeed(
      machine.iw(
        'subscriptions',
        'create',
        'Failing',
        `${listener.url}/hooks/failing`,
        '--events',
        'all',
        '-q',
      ),
    );
    const events = JSON.stringify(Array.from({ length: 5 }, () => EVENT));
    await succeed(machine.pipe(events, 'events', 'publish', '-'));
    await expect
      .poll(async () => await succeed(machine.iw('endpoints', '-q')), { timeout: GIVE_UP_MS })
      .toContain(sid);
    expect(await succeed(machine.iw('endpoints'))).toMatch(/^Acme +Failing +127\.0\.0\.1:\d+ +failing /m);
    const { customer } = await jsonOf(machine.iw('status', '--json'));
    const stats = await jsonOf(machine.iw('stats', '--operator', '--json'));
    expect(stats.subscriptions.failing).toBeGreaterThan(0);
    expect(await succeed(machine.iw('stats', '--operator'))).toMatch(/^Last day .*\(up to a day old\)$/m);
    expect(await succeed(machine.iw('stats'))).toMatch(/^Failing .* failing/m);
    expect(await succeed(machine.iw('metrics'))).toMatch(/^identity_webhooks_customers \d+$/m);
    await succeed(machine.iw('customers', 'erase', customer, '--yes'));
  });

  it('keys are rotated, secrets replaced, the audit trail read, and the customer erased', async () => {
    const machine = await aCustomer();
    const before = (await succeed(machine.iw('keys', 'list', '-q'))).split('\n');
    const after = (await succeed(machine.iw('keys', 'rotate', '--yes', '-q'))).split('\n');
    expect(after[0]).toBe(before[1]);
    expect(await jsonOf(machine.iw('keys', 'reseal', '--json'))).toMatchObject({ remaining: 0 });
    const { clientId, customer } = await jsonOf(machine.iw('status', '--json'));
    const rotated = await jsonOf(
      machine.iw('clients', 'rotate-secret', clientId, '--keep-old', '60', '--json'),
    );
    expect(rotated.clientSecret).toMatch(/^iwh_secret_/);
    expect(await jsonOf(machine.iw('customers', 'adopt-again', '--json'))).toEqual({ total: 0, adopted: 0 });
    const unknown = crypto.randomUUID();
    expect((await machine.iw('shards', 'show', unknown)).code).toBe(5);
    expect((await machine.iw('shards', 'set', unknown, '17')).code).toBe(2);
    expect(await succeed(machine.iw('dead-letters', 'list', '-q'))).toBe('');
    const endpoint = `${listener.url}/hooks/notices`;
    expect(await jsonOf(machine.iw('notices', 'set', endpoint, '--json'))).toMatchObject({
      endpoint,
      enabled: true,
    });
    expect(await succeed(machine.iw('notices', 'show'))).toContain(endpoint);
    await succeed(machine.iw('notices', 'erase', '--yes'));
    expect((await machine.iw('notices', 'show')).code).toBe(5);
    const events = (await jsonOf(machine.iw('audit', '--customer', customer, '--all', '--json'))).map(
      ({ event }: { event: string }) => event,
    );
    expect(events).toEqual(
      expect.arrayContaining([
        'customer-created',
        'client-created',
        'signing-keys-rotated',
        'client-secret-rotated',
      ]),
    );
    const link = await succeed(machine.iw('customers', 'console-link', '--read-only', '-q'));
    expect(link).toMatch(/^http:.*\/console\/#\/sign-in\/iwh_link_/);
    const signIn = await fetch(`${service.url}/console/session`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', origin: service.url, 'sec-fetch-site': 'same-origin' },
      body: JSON.stringify({ code: link.split('/').at(-1) }),
    });
    expect(await signIn.json()).toMatchObject({ kind: 'customer', customerId: customer, readOnly: true });
    expect((await machine.iw('customers', 'erase', customer)).code).toBe(2);
    await succeed(machine.iw('customers', 'erase', customer, '--yes'));
    expect((await machine.iw('customers', 'show', customer)).code).toBe(5);
    const gone = await machine.iw('subscriptions', 'list');
    expect(gone.code).toBe(4);
  });
});

describe('a customer who moves here', () => {
  const titles = ['One', 'Two', 'Three', 'Four', 'Five'];

  function credentialsOf({ url, customer, clientId, clientSecret }: OldService) {
    return {
      IW_FROM_URL: url,
      IW_FROM_CUSTOMER: customer,
      IW_FROM_CLIENT_ID: clientId,
      IW_FROM_CLIENT_SECRET: clientSecret,
    };
  }

  it('ids and secrets are kept, an import runs twice, and nothing is made twice', async () => {
    const from = await startOldService();
    from.subscriptions.push(
      ...titles.map((title) => old(title, { endpoint: `${listener.url}/hooks/${title}` })),
      old('Refused', {
        endpoint: `${listener.url}/hooks/refused`,
        filter: { properties: { sub: { pattern: '(?=a)' } } },
      }),
    );
    const machine = aMachine();
    await succeed(machine.pipe(home.operatorToken, 'login', service.url, '--operator', '--secret-stdin'));
    await succeed(machine.iw('customers', 'create', 'Moving', '--id', from.customer, '--use'));
    const secret = 'a-secret-that-the-customer-has-in-its-programs';
    const clients = JSON.stringify([{ clientId: from.clientId, clientSecret: secret, name: 'old backend' }]);
    const imported = async (text: string) =>
      JSON.parse((await machine.pipe(text, 'import', 'clients', '-', '--json')).out).counts;
    expect(await imported(clients)).toEqual({ created: 1 });
    expect(await imported(clients)).toEqual({ kept: 1 });
    expect(await imported(clients.replace(secret, `${secret}-another`))).toEqual({ refused: 1 });
    await succeed(machine.pipe(secret, 'login', '--client-id', from.clientId, '--secret-stdin'));

    Object.assign(machine.env, credentialsOf(from));
    const run = async (...flags: string[]) => {
      const { code, out } = await machine.iw('import', 'akamai', '--yes', '--json', ...flags);
      return {
        code,
        ...(JSON.parse(out) as {
          counts: object;
          subscriptions: { id: string; result: string; notes: string[] }[];
        }),
      };
    };
    expect(await run('--dry-run')).toMatchObject({ code: 1, counts: { create: 5, refused: 1 } });
    expect(await succeed(machine.iw('subscriptions', 'list', '-q'))).toBe('');
    const first = await run();
    expect(first).toMatchObject({ code: 1, counts: { created: 5, refused: 1 } });
    expect(first.subscriptions[5]?.notes[0]).toMatch(/^filter is invalid JSON Schema/);
    const second = await run();
    expect(second).toMatchObject({ counts: { kept: 5, refused: 1 } });
    expect(second.subscriptions.map(({ id }) => id)).toEqual(first.subscriptions.map(({ id }) => id));

    // The customer changes a filter there, and disables a subscription here: the one follows, the other stays.
    from.subscriptions[0] = {
      ...from.subscriptions[0],
      filter: { properties: { entityCreated: false } },
    } as never;
    await succeed(machine.iw('subscriptions', 'disable', 'Two', '--yes'));
    from.subscriptions.pop();
    expect(await run()).toMatchObject({ code: 0, counts: { changed: 1, kept: 4 } });
    const here = await jsonOf(machine.iw('subscriptions', 'list', '--json'));
    expect(
      here.map(({ filter, enabled }: { filter?: object; enabled: boolean }) => [
        filter !== undefined,
        enabled,
      ]),
    ).toEqual([
      [true, true],
      [false, false],
      [false, true],
      [false, true],
      [false, true],
    ]);
  });

  it.each([
    ['before the third request arrives', 'before'],
    ['after the third request, before its answer', 'after'],
  ])('an import that is cut off %s goes on when it is run again', async (_, moment) => {
    const from = await startOldService();
    from.subscriptions.push(
      ...titles.map((title) => old(title, { endpoint: `${listener.url}/hooks/${title}` })),
    );
    let created = 0;
    const cut: typeof fetch = async (input) => {
      const request = input as Request;
      const isCreate = request.method === 'POST' && request.url.endsWith('/webhooks/subscriptions');
      const cutsNow = isCreate && ++created === 3;
      if (cutsNow && moment === 'before') throw new TypeError('fetch failed');
      const answer = await fetch(request);
      if (cutsNow) throw new TypeError('terminated');
      return answer;
    };
    const machine = await aCustomer(from.customer, { fetch: cut });
    Object.assign(machine.env, credentialsOf(from));
    const first = await machine.iw('import', 'akamai', '--yes', '--json');
    expect(first.code).toBe(3);
    expect(first.err).toContain('Run the same command again');
    expect(JSON.parse(first.out).counts).toEqual({ created: 2, unknown: 1, 'not reached': 2 });
    const second = await jsonOf(machine.iw('import', 'akamai', '--yes', '--json'));
    expect(second.counts).toEqual(moment === 'before' ? { kept: 2, created: 3 } : { kept: 3, created: 2 });
    expect(await jsonOf(machine.iw('subscriptions', 'list', '--json'))).toHaveLength(5);
  });

  it('subscriptions that are imported disabled deliver at the switch what came since', async () => {
    const from = await startOldService();
    from.subscriptions.push(old('Switch', { endpoint: `${listener.url}/hooks/switch` }));
    const machine = await aCustomer(from.customer);
    Object.assign(machine.env, credentialsOf(from));
    await succeed(machine.iw('import', 'akamai', '--disabled', '--yes'));
    await succeed(machine.pipe(JSON.stringify(EVENT), 'events', 'publish', '-'));
    const failed = async () =>
      await succeed(machine.iw('events', 'list', 'Switch', '--state', 'failure', '-q'));
    await expect.poll(failed, { timeout: GIVE_UP_MS }).not.toBe('');
    await succeed(machine.iw('subscriptions', 'enable', 'Switch'));
    const id = await succeed(
      machine.iw(
        'redeliver',
        'Switch',
        '--since',
        new Date(Date.now() - 600_000).toISOString(),
        '--no-wait',
        '-q',
      ),
    );
    const job = async () => await jsonOf(machine.iw('redeliveries', 'show', 'Switch', id, '--json'));
    await expect.poll(job, { timeout: GIVE_UP_MS }).toMatchObject({ state: 'completed', succeeded: 1 });
    // A repeat of the import does not disable it.
    expect((await jsonOf(machine.iw('import', 'akamai', '--disabled', '--yes', '--json'))).counts).toEqual({
      kept: 1,
    });
    expect(await jsonOf(machine.iw('subscriptions', 'show', 'Switch', '--json'))).toMatchObject({
      enabled: true,
    });
  });

  it('a title that is taken here by another endpoint is left alone, and said', async () => {
    const from = await startOldService();
    from.subscriptions.push(old('Mine', { endpoint: `${listener.url}/hooks/theirs` }));
    const machine = await aCustomer(from.customer);
    await succeed(
      machine.iw('subscriptions', 'create', 'Mine', `${listener.url}/hooks/mine`, '--events', 'all'),
    );
    Object.assign(machine.env, credentialsOf(from));
    const { code, out } = await machine.iw('import', 'akamai', '--yes');
    expect(code).toBe(1);
    expect(out).toContain('Mine: a subscription here has the same title and another endpoint');
    expect(await jsonOf(machine.iw('subscriptions', 'show', 'Mine', '--json'))).toMatchObject({
      endpoint: `${listener.url}/hooks/mine`,
    });
  });

  it('the old service is read by the client of the package, as any Webhooks v3 API is', async () => {
    const from = await startOldService();
    from.subscriptions.push(old('One'));
    const { url, customer, clientId, clientSecret } = from;
    const client = new WebhooksClient({ baseUrl: url, customerId: customer, clientId, clientSecret });
    expect(await client.call('listSubscriptions')).toMatchObject({
      total: 1,
      _embedded: { subscriptions: [{ title: 'One' }] },
    });
  });
});
