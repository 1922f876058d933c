/**
 * What an import would do, and the mistakes that it meets at the old service. test/journey/command-line.test.ts imports into the real service.
 */
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Subscription } from '../src/command.ts';
import { refusalOf } from '../src/import/endpoint.ts';
import { type OldSubscription, planOf, warningsOf } from '../src/import/plan.ts';
import { aMachine } from './machine.ts';
import { type OldService, old, startOldService } from './old-service.ts';
import { aSubscription, json, LOGGED_IN, list, problem, scripted } from './scripted-service.ts';

const OPTIONS = { privateRefused: true, maxSubscriptions: 1000 };
const there = (title: string, rest: object = {}) =>
  ({ filter: undefined, ...old(title, rest) }) as OldSubscription;
const here = (from: OldSubscription, rest: object = {}) =>
  aSubscription({
    id: crypto.randomUUID(),
    title: from.title,
    endpoint: from.endpoint,
    events: from.events,
    ...rest,
  }) as unknown as Subscription;
const FILTER = { properties: { entityUpdated: { properties: { entityType: { const: 'user' } } } } };

describe('the plan of an import', () => {
  it('what is not here is created, and what is here under its title and endpoint is kept', () => {
    const olds = [there('New'), there('Same'), there('Filtered', { filter: FILTER })];
    const existing = [
      here(olds[1] as OldSubscription),
      here(olds[2] as OldSubscription, { filter: { ...FILTER } }),
    ];
    expect(planOf(olds, existing, OPTIONS).map(({ action }) => action)).toEqual(['create', 'keep', 'keep']);
  });

  it('event types and filter follow the old service, whatever their order', () => {
    const one = there('One', { events: ['entityUpdated', 'entityCreated'] });
    const two = there('Two', { filter: FILTER });
    const three = there('Three');
    const existing = [
      here(one, { events: ['entityCreated', 'entityUpdated'] }),
      here(two, { events: ['entityDeleted'] }),
      here(three, { filter: FILTER }),
    ];
    expect(planOf([one, two, three], existing, OPTIONS).map(({ changes }) => changes)).toEqual([
      [],
      ['events', 'filter'],
      ['filter'],
    ]);
  });

  it('a subscription that is enabled on one side alone is left so, and the report says it', () => {
    const one = there('One');
    const [step] = planOf([one], [here(one, { enabled: false })], OPTIONS);
    expect(step).toMatchObject({ action: 'keep', notes: ['disabled here and enabled there: left alone'] });
  });

  it('a title with another endpoint here is never changed', () => {
    const one = there('One');
    const mine = here(one, { endpoint: 'https://other.example.com/' });
    const [step] = planOf([one], [mine], OPTIONS);
    expect(step?.action).toBe('refuse');
    expect(step?.notes[0]).toContain(mine.id);
  });

  it('a title that the old service has twice is imported once', () => {
    const actions = planOf([there('One'), there('One', { endpoint: 'https://b.example/' })], [], OPTIONS).map(
      ({ action }) => action,
    );
    expect(actions).toEqual(['create', 'refuse']);
  });

  it('what finds no room is refused; what is kept takes none', () => {
    const olds = [there('One'), there('Two'), there('Three')];
    const steps = planOf(olds, [here(olds[2] as OldSubscription)], { ...OPTIONS, maxSubscriptions: 2 });
    expect(steps.map(({ action }) => action)).toEqual(['create', 'refuse', 'keep']);
    expect(steps[1]?.notes[0]).toContain('at most 2 subscriptions');
  });

  it.each([
    [{ endpoint: 'http://listener.example.com/' }, 'the endpoint is not https'],
    [{ endpoint: 'https://10.0.0.1/' }, 'the endpoint is an IP address, not a name'],
    [{ events: ['entityRenamed'] }, 'unknown event types: entityRenamed'],
    [{ title: 'x' }, 'a title has 2 to 200 characters'],
  ])('%j is refused with its reason', (rest, reason) => {
    expect(planOf([there('One', rest)], [], OPTIONS)[0]).toMatchObject({ action: 'refuse', notes: [reason] });
  });

  it('a service on this machine takes http endpoints, and the report says that others do not', () => {
    const [step] = planOf([there('One', { endpoint: 'http://127.0.0.1:9000/' })], [], {
      ...OPTIONS,
      privateRefused: false,
    });
    expect(step).toMatchObject({
      action: 'create',
      notes: ['the endpoint is not https: a service with https refuses it'],
    });
  });

  it('a pattern in a filter is noted, because its syntax is another one here', () => {
    const filter = { properties: { entityUpdated: { properties: { sub: { pattern: '^a' } } } } };
    expect(planOf([there('One', { filter })], [], OPTIONS)[0]?.notes[0]).toContain('RE2');
  });

  it('filters that are too large together are a warning', () => {
    const filter = { enum: ['x'.repeat(60_000)] };
    const olds = Array.from({ length: 18 }, (_, index) => there(`Title ${index}`, { filter }));
    expect(warningsOf(planOf(olds, [], OPTIONS), [])[0]).toContain('a customer may have 1,048,576');
    expect(warningsOf(planOf(olds.slice(1), [], OPTIONS), [])).toEqual([]);
  });

  it.each([
    ['https://listener.example.com/hooks?a=b', undefined],
    ['https://listener.example.com:8443/', undefined],
    ['https://user:pass@listener.example.com/', 'a user or a password'],
    ['https://listener.example.com/#', 'a fragment'],
    ['https://[::1]/', 'an IP address'],
    ['https://0x7f.1/', 'an IP address'],
    ['https://listener/', 'private'],
    ['https://listener.internal/', 'private'],
    ['https://listener.example.com:80/', 'a port'],
    ['https://listener.example.com/a b', 'not a URL'],
    [`https://listener.example.com/${'x'.repeat(2048)}`, 'more than 2048'],
  ])('the endpoint %s is judged by its URL', (endpoint, reason) => {
    if (reason === undefined) expect(refusalOf(endpoint)).toBeUndefined();
    else expect(refusalOf(endpoint)).toContain(reason);
  });
});

/** A machine that is logged in here, beside an old service. Its calls to the new service are counted. */
async function beside() {
  const service = await startOldService();
  const judged = ({ path, body }: { path: string; body: unknown }) =>
    path.endsWith('/filter-tests')
      ? JSON.stringify(body).includes('$ref')
        ? json(
            { 'invalid-body-params': [{ name: 'filter', reason: 'filter is invalid JSON Schema: $ref' }] },
            400,
          )
        : json({ matches: true, typeNamed: true })
      : undefined;
  const { calls, fetch } = scripted((sent) =>
    sent.method === 'GET'
      ? list('subscriptions', [])
      : (judged(sent) ??
        (sent.method === 'POST' ? json(aSubscription({ id: crypto.randomUUID() }), 201) : undefined)),
  );
  const machine = aMachine({
    fetch: async (request) =>
      request.url.startsWith(service.url) ? await globalThis.fetch(request) : await fetch(request),
  });
  Object.assign(machine.env, LOGGED_IN, {
    IW_FROM_URL: service.url,
    IW_FROM_CUSTOMER: service.customer,
    IW_FROM_CLIENT_ID: service.clientId,
    IW_FROM_CLIENT_SECRET: service.clientSecret,
  });
  return {
    service,
    machine,
    calls,
    posts: () => calls.filter(({ method, path }) => method === 'POST' && path.endsWith('/subscriptions')),
  };
}

const IMPORT = ['import', 'akamai', '--yes'];

describe('an import', () => {
  it('every page of the old service is read', async () => {
    const { service, machine, posts } = await beside();
    service.subscriptions.push(...Array.from({ length: 205 }, (_, index) => old(`Title ${index}`)));
    const { code, out } = await machine.iw(...IMPORT, '--json');
    expect(code).toBe(0);
    expect(posts()).toHaveLength(205);
    expect(JSON.parse(out)).toMatchObject({ dryRun: false, counts: { created: 205 } });
    expect(
      service.requests.filter((request) => request.includes('page=')).map((request) => request.slice(-6)),
    ).toEqual(['page=1', 'page=2', 'page=3']);
  });

  it('a dry run changes nothing, judges each filter once, and names every difference', async () => {
    const { service, machine, posts, calls } = await beside();
    service.subscriptions.push(
      old('Plain'),
      old('Filtered', { filter: FILTER }),
      old('Filtered too', { filter: FILTER }),
      old('With a reference', { filter: { $ref: '#/definitions/a' } }),
      old('Private', { endpoint: 'http://10.0.0.1/' }),
      old('Off', { enabled: false }),
    );
    const { code, out, err } = await machine.iw('import', 'akamai', '--dry-run', '--json');
    expect(code).toBe(1);
    expect(posts()).toEqual([]);
    expect(calls.filter(({ path }) => path.endsWith('/filter-tests'))).toHaveLength(2);
    const report = JSON.parse(out) as {
      subscriptions: { title: string; result: string; notes: string[] }[];
      counts: object;
    };
    expect(report.counts).toEqual({ create: 4, refused: 2 });
    expect(report.subscriptions.map(({ title, result, notes }) => [title, result, notes.join()])).toEqual([
      ['Plain', 'create', ''],
      ['Filtered', 'create', ''],
      ['Filtered too', 'create', ''],
      ['With a reference', 'refused', 'filter is invalid JSON Schema: $ref'],
      ['Private', 'refused', 'the endpoint is not https'],
      ['Off', 'create', 'disabled there, and so here'],
    ]);
    expect(JSON.parse(err)).toMatchObject({
      error: { message: '2 of 6 subscriptions cannot be imported as they are.' },
    });
    const forPeople = await machine.iw('import', 'akamai', '--dry-run');
    expect(forPeople.out).toContain('Private: the endpoint is not https\n');
    expect(forPeople.err).toContain('4 create, 2 refused. Nothing was changed: --dry-run.');
  });

  it('subscriptions can be made disabled, to be enabled at the switch', async () => {
    const { service, machine, posts } = await beside();
    service.subscriptions.push(old('One'));
    const { out } = await machine.iw(...IMPORT, '--disabled');
    expect(posts()[0]?.body).toMatchObject({ title: 'One', enabled: false });
    expect(out).toContain('One: made disabled; it is enabled there');
  });

  it('nothing is made before a person agrees', async () => {
    const { service, machine, posts } = await beside();
    service.subscriptions.push(old('One'));
    const { code, err } = await machine.type(['n'], 'import', 'akamai');
    expect(code).toBe(1);
    expect(err).toContain('Create 1 subscription at https://webhooks.example.com');
    expect(posts()).toEqual([]);
  });

  it.each<
    [string, (service: OldService, env: Record<string, string | undefined>) => unknown, number, string]
  >([
    [
      'a wrong secret',
      (_, env) => Object.assign(env, { IW_FROM_CLIENT_SECRET: 'wrong' }),
      4,
      'The id or the secret of the client is wrong',
    ],
    [
      'a wrong customer',
      (_, env) => Object.assign(env, { IW_FROM_CUSTOMER: crypto.randomUUID() }),
      4,
      'has no customer',
    ],
    [
      'a wrong URL',
      (service, env) => Object.assign(env, { IW_FROM_URL: `${service.url}/v3` }),
      3,
      'Something else than the service answers',
    ],
    ['a service that is down', (service) => service.close(), 3, 'the connection is refused'],
    [
      'a limit',
      (service) => service.fail({ status: 429, headers: { 'retry-after': '600' } }),
      6,
      'Try again in 600 s.',
    ],
    [
      'a fault of the service',
      (service) => service.fail({ status: 500, body: '{"details":"x"}' }),
      1,
      'failed (500)',
    ],
    [
      'an answer of something else',
      (service) => service.fail({ status: 200, body: '{"welcome":true}' }),
      3,
      'Something else than the service answers',
    ],
    [
      'a subscription without a title',
      (service) => service.subscriptions.push({ ...old('x'), title: undefined as never }),
      3,
      'shows a subscription without id, title or endpoint',
    ],
    ['no source', (_, env) => Object.assign(env, { IW_FROM_URL: undefined }), 2, 'Which old service?'],
    [
      'the same service twice',
      (_, env) => Object.assign(env, { IW_FROM_URL: env['IW_URL'], IW_FROM_CUSTOMER: env['IW_CUSTOMER'] }),
      2,
      'are the same',
    ],
  ])('%s of the old service ends it before anything is made', async (_, mistake, code, text) => {
    const { service, machine, calls } = await beside();
    service.subscriptions.push(old('One'));
    await mistake(service, machine.env);
    const ended = await machine.iw(...IMPORT);
    expect(ended.err).toContain(text);
    expect(ended.code).toBe(code);
    expect(calls).toEqual([]);
    expect(ended.out + ended.err).not.toContain(service.clientSecret);
  });

  it('a 429 of the old service with a short wait is waited for', async () => {
    const { service, machine } = await beside();
    service.subscriptions.push(old('One'));
    service.fail({ status: 429, headers: { 'retry-after': '3' } });
    expect((await machine.iw(...IMPORT)).code).toBe(0);
    expect(machine.waits).toEqual([3000]);
  });

  it('the secret of the old service can be piped, or typed without echo', async () => {
    const { service, machine } = await beside();
    delete machine.env['IW_FROM_CLIENT_SECRET'];
    expect((await machine.pipe(service.clientSecret, ...IMPORT, '--from-secret-stdin')).code).toBe(0);
    const typed = await machine.type([service.clientSecret], ...IMPORT);
    expect(typed.code).toBe(0);
    expect(typed.out + typed.err).not.toContain(service.clientSecret);
  });
});

describe('an import of clients', () => {
  const SECRETS = ['first-secret-of-the-tests-0123456789', 'second-secret-of-the-tests-012345678'] as const;
  const LIST = [
    { clientId: 'one', clientSecret: SECRETS[0], name: 'backend' },
    { clientId: 'two', clientSecret: SECRETS[1], scope: 'POST:webhooks/events' },
    { clientId: 'short', clientSecret: 'only-20-characters-x' },
  ];
  const importing = () => {
    const { calls, fetch } = scripted(({ method, body }) =>
      method === 'GET' ? list('clients', []) : json({ ...(body as object) }, 201),
    );
    const machine = aMachine({ fetch });
    Object.assign(machine.env, LOGGED_IN);
    return { machine, calls, posts: () => calls.filter(({ method }) => method === 'POST') };
  };

  it('clients keep their ids and secrets, and no secret is shown', async () => {
    const { machine, posts } = importing();
    const { code, out, err } = await machine.pipe(JSON.stringify(LIST), 'import', 'clients', '-');
    expect(posts().map(({ body }) => body)).toEqual([
      { clientId: 'one', clientSecret: SECRETS[0], name: 'backend' },
      { clientId: 'two', clientSecret: SECRETS[1], name: 'two', scope: 'POST:webhooks/events' },
    ]);
    expect(code).toBe(1);
    expect(out).toContain('its secret has 20 characters: here it has 32 to 255');
    for (const secret of [...SECRETS, 'only-20']) expect(out + err).not.toContain(secret);
  });

  it('a dry run makes none', async () => {
    const { machine, posts } = importing();
    const { out } = await machine.pipe(JSON.stringify(LIST), 'import', 'clients', '-', '--dry-run', '--json');
    expect(posts()).toEqual([]);
    expect(JSON.parse(out)).toMatchObject({ dryRun: true, counts: { create: 2, refused: 1 } });
  });

  it('a file that others may read is refused, and no message quotes a file that is not JSON', async () => {
    const { machine, calls } = importing();
    const file = join(machine.folder, 'clients.json');
    writeFileSync(file, JSON.stringify(LIST), { mode: 0o644 });
    const open = await machine.iw('import', 'clients', file);
    expect(open.code).toBe(2);
    expect(open.err).toContain(`chmod 600 ${file}`);
    writeFileSync(file, `one ${SECRETS[0]}`);
    chmodSync(file, 0o600);
    const broken = await machine.iw('import', 'clients', file);
    expect(broken.code).toBe(2);
    expect(broken.err).not.toContain(SECRETS[0]);
    expect(calls).toEqual([]);
  });

  it('a service that goes away leaves a report of what is made', async () => {
    const { fetch } = scripted(({ method }, nth) =>
      method === 'GET' ? list('clients', []) : nth === 2 ? json({}, 201) : problem(503, 'Away'),
    );
    const machine = aMachine({ fetch });
    Object.assign(machine.env, LOGGED_IN);
    const { code, out } = await machine.pipe(JSON.stringify(LIST), 'import', 'clients', '-', '--json');
    expect(code).toBe(3);
    expect(JSON.parse(out)).toMatchObject({ counts: { created: 1, 'not reached': 2 } });
  });
});
