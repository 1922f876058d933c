/** Where credentials come from, where they are kept, and where they never appear. */
import { chmodSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { profilesFile } from '../src/profiles.ts';
import { aMachine, type Machine } from './machine.ts';
import {
  aSubscription,
  CLIENT,
  CUSTOMER,
  json,
  LOGGED_IN,
  list,
  OPERATOR_TOKEN,
  problem,
  SECRET,
  scripted,
  URL,
} from './scripted-service.ts';

const service = () =>
  scripted(({ path, authorization }) => {
    if (path.startsWith('/operator/')) {
      return authorization === `Bearer ${OPERATOR_TOKEN}`
        ? list('customers', [])
        : json({ errors: 'Forbidden' }, 403);
    }
    return path.includes('/subscriptions') ? list('subscriptions', [aSubscription()]) : undefined;
  });

const LOGIN = ['login', URL, '--customer', CUSTOMER, '--client-id', CLIENT];
const file = ({ folder }: Machine) => join(folder, 'identity-webhooks', 'config.json');
const profiles = (machine: Machine) => JSON.parse(readFileSync(file(machine), 'utf8'));

describe('a login', () => {
  it('a secret from standard input is checked, and kept in a file that only its owner may read', async () => {
    const machine = aMachine(service());
    const { code, out, err } = await machine.pipe(`${SECRET}\n`, ...LOGIN, '--secret-stdin');
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toContain(`client ${CLIENT} of customer ${CUSTOMER}`);
    expect(profiles(machine)).toEqual({
      current: 'default',
      profiles: { default: { url: URL, customer: CUSTOMER, clientId: CLIENT, clientSecret: SECRET } },
    });
    expect(statSync(file(machine)).mode & 0o777).toBe(0o600);
    expect(statSync(join(machine.folder, 'identity-webhooks')).mode & 0o777).toBe(0o700);
    expect(readdirSync(join(machine.folder, 'identity-webhooks'))).toEqual(['config.json']);
    expect((await machine.iw('subscriptions', 'list', '-q')).code).toBe(0);
  });

  it('a secret that a person types is not shown, nor is a prompt on standard output', async () => {
    const machine = aMachine(service());
    const { code, out, err } = await machine.type([SECRET], ...LOGIN);
    expect(code).toBe(0);
    expect(err).toContain('Client secret: ');
    expect(out + err).not.toContain(SECRET);
    expect(profiles(machine).profiles.default.clientSecret).toBe(SECRET);
  });

  it('a person is asked for whatever is missing', async () => {
    const machine = aMachine(service());
    const { code } = await machine.type([URL, CUSTOMER, CLIENT, SECRET], 'login');
    expect(code).toBe(0);
    expect(profiles(machine).profiles.default).toMatchObject({
      url: URL,
      customer: CUSTOMER,
      clientId: CLIENT,
    });
  });

  it('an operator logs in beside the customer, and neither replaces the other', async () => {
    const machine = aMachine(service());
    await machine.pipe(SECRET, ...LOGIN, '--secret-stdin');
    expect((await machine.pipe(OPERATOR_TOKEN, 'login', '--operator', '--secret-stdin')).code).toBe(0);
    expect(profiles(machine).profiles.default).toEqual({
      url: URL,
      customer: CUSTOMER,
      clientId: CLIENT,
      clientSecret: SECRET,
      operatorToken: OPERATOR_TOKEN,
    });
  });

  it('a wrong secret is not kept', async () => {
    const machine = aMachine(service());
    const { code, err } = await machine.pipe('wrong', ...LOGIN, '--secret-stdin');
    expect(code).toBe(4);
    expect(err).toContain('The id or the secret of the client is wrong');
    expect(existsSync(file(machine))).toBe(false);
  });

  it('a profile can be kept without its secret, which the environment then gives', async () => {
    const machine = aMachine(service());
    await machine.pipe(SECRET, ...LOGIN, '--secret-stdin');
    machine.env['IW_CLIENT_SECRET'] = SECRET;
    expect((await machine.iw(...LOGIN, '--no-save-secret')).code).toBe(0);
    expect(readFileSync(file(machine), 'utf8')).not.toContain(SECRET);
    expect((await machine.iw('subscriptions', 'list', '-q')).code).toBe(0);
    delete machine.env['IW_CLIENT_SECRET'];
    const { code, err } = await machine.iw('subscriptions', 'list');
    expect(code).toBe(4);
    expect(err).toContain('no secret of the client');
  });

  it.each(['--secret', '--client-secret', '--token', '--password'])(
    'the option %s is refused without showing its value',
    async (option) => {
      const { code, out, err } = await aMachine(service()).iw(...LOGIN, `${option}=${SECRET}`);
      expect(code).toBe(2);
      expect(err).toContain('A secret is never an argument');
      expect(out + err).not.toContain(SECRET);
    },
  );

  it('a login without a terminal says where the secret can come from', async () => {
    const { code, err } = await aMachine(service()).iw(...LOGIN);
    expect(code).toBe(2);
    expect(err).toContain('Set IW_CLIENT_SECRET, or pipe it to standard input with --secret-stdin.');
  });

  it.each([
    ['http://webhooks.example.com', 'is not encrypted'],
    ['https://me:secret@webhooks.example.com', 'has no user, no query and no fragment'],
    ['webhooks.example.com', 'must begin with https://'],
  ])('the URL %s is refused before a secret is sent', async (url, reason) => {
    const { calls, fetch } = service();
    const { code, err } = await aMachine({ fetch }).pipe(
      SECRET,
      'login',
      url,
      ...LOGIN.slice(2),
      '--secret-stdin',
    );
    expect(code).toBe(2);
    expect(err).toContain(reason);
    expect(calls).toEqual([]);
  });
});

describe('profiles', () => {
  async function withTwo() {
    const machine = aMachine(service());
    await machine.pipe(SECRET, ...LOGIN, '--secret-stdin');
    const second = await machine.pipe(
      OPERATOR_TOKEN,
      'login',
      URL,
      '--operator',
      '--secret-stdin',
      '--profile',
      'ops',
    );
    expect(second.err).toContain('The current profile is still default');
    return machine;
  }

  it('the current profile counts unless IW_PROFILE names another, and a flag counts before that', async () => {
    const machine = await withTwo();
    const shown = async (...args: string[]) => (await machine.iw('status', '-q', ...args)).out.trim();
    expect(await shown()).toBe('default');
    machine.env['IW_PROFILE'] = 'ops';
    expect(await shown()).toBe('ops');
    expect(await shown('--profile', 'default')).toBe('default');
    delete machine.env['IW_PROFILE'];
    await machine.iw('profiles', 'use', 'ops');
    expect(await shown()).toBe('ops');
  });

  it('the list shows no secret', async () => {
    const { out } = await (await withTwo()).iw('profiles', 'list', '--json');
    expect(JSON.parse(out)).toEqual([
      { name: 'default', current: true, url: URL, customer: CUSTOMER, clientId: CLIENT, operator: false },
      { name: 'ops', current: false, url: URL, operator: true },
    ]);
    expect(out).not.toContain(SECRET);
  });

  it('a profile that does not exist is a fault of the command line, and the others are named', async () => {
    const { code, err } = await (await withTwo()).iw('subscriptions', 'list', '--profile', 'prod');
    expect(code).toBe(2);
    expect(err).toBe(
      'iw: There is no profile prod.\n    Choose one of: default, ops. Or make it: iw login URL --profile prod\n',
    );
  });

  it('a logout deletes the profile with its secrets', async () => {
    const machine = await withTwo();
    await machine.iw('logout', '--profile', 'default');
    expect(readFileSync(file(machine), 'utf8')).not.toContain(SECRET);
    expect((await machine.iw('logout', '--profile', 'default')).code).toBe(5);
  });

  it('a file that others may read is refused', async () => {
    const machine = await withTwo();
    chmodSync(file(machine), 0o640);
    const { code, err } = await machine.iw('subscriptions', 'list');
    expect(code).toBe(2);
    expect(err).toContain(`chmod 600 ${file(machine)}`);
  });

  it('what is stored for one deployment or customer is not sent to another', async () => {
    const { calls, fetch } = service();
    const machine = aMachine({ fetch });
    await machine.pipe(SECRET, ...LOGIN, '--secret-stdin');
    calls.length = 0;
    const elsewhere = await machine.iw('subscriptions', 'list', '--url', 'https://elsewhere.example');
    const other = await machine.iw('subscriptions', 'list', '--customer', crypto.randomUUID());
    expect([elsewhere.code, other.code]).toEqual([4, 4]);
    expect(elsewhere.err).toBe(
      `iw: The profile default is for ${URL}, so its credentials are not sent to https://elsewhere.example.\n` +
        '    Leave out --url or IW_URL, choose a profile with --profile, or log in there: ' +
        'iw login https://elsewhere.example --customer CUSTOMER --client-id CLIENT --profile OTHER\n',
    );
    const operator = await machine.iw('customers', 'list', '--url', 'https://elsewhere.example');
    expect(operator.err).toContain('iw login https://elsewhere.example --operator --profile OTHER');
    expect(other.err).toContain('has no client for this customer');
    expect(calls).toEqual([]);
  });

  it('a login elsewhere does not throw the secrets of a profile away unasked', async () => {
    const machine = await withTwo();
    const before = readFileSync(file(machine), 'utf8');
    const elsewhere = ['login', 'https://elsewhere.example', '--operator'];
    const script = await machine.pipe('token', ...elsewhere, '--secret-stdin');
    expect(script.code).toBe(2);
    expect(script.err).toBe(
      `iw: Not done: the profile default is for ${URL}, and its secrets would be lost.\n` +
        '    Keep it with --profile OTHER, or replace it with --yes.\n',
    );
    expect((await machine.type(['n'], ...elsewhere)).code).toBe(1);
    expect(readFileSync(file(machine), 'utf8')).toBe(before);
  });

  it('a login elsewhere replaces a profile when the person agrees', async () => {
    const machine = await withTwo();
    const moved = aMachine({ fetch: async () => list('customers', []) });
    Object.assign(moved.env, { XDG_CONFIG_HOME: machine.folder });
    const { code, out } = await moved.pipe(
      'token',
      'login',
      'https://elsewhere.example',
      '--operator',
      '--secret-stdin',
      '--yes',
    );
    expect({ code, out }).toMatchObject({
      code: 0,
      out: expect.stringContaining('https://elsewhere.example'),
    });
    expect(profiles(machine).profiles.default).toEqual({
      url: 'https://elsewhere.example',
      operatorToken: 'token',
    });
  });

  const OTHER = 'iwh_client_other';
  const AS_ANOTHER = ['login', URL, '--customer', CUSTOMER, '--client-id', OTHER];
  const LOST = `iw: Not done: the profile default has the secret of client ${CLIENT} of customer ${CUSTOMER}, and it would be lost.
    Keep it with --profile OTHER, or replace it with --yes.
`;
  /** A service that knows every client. */
  const generous = () =>
    scripted(({ method }) =>
      method === 'POST'
        ? json(
            { clientId: OTHER, clientSecret: 'iwh_secret_other', name: 'backend', scope: '*', _links: {} },
            201,
          )
        : list('customers', []),
    );
  async function withClientAndOperator() {
    const { calls, fetch } = generous();
    const machine = aMachine({
      fetch: async (request) =>
        request.url.endsWith('/login/token')
          ? json({ access_token: 'x', expires_in: 3600, token_type: 'Bearer' })
          : await fetch(request),
    });
    await machine.pipe(SECRET, ...LOGIN, '--secret-stdin');
    await machine.pipe(OPERATOR_TOKEN, 'login', '--operator', '--secret-stdin');
    calls.length = 0;
    return { machine, calls, before: readFileSync(file(machine), 'utf8') };
  }

  it('a login as another client does not throw the secret of the earlier one away unasked', async () => {
    const { machine, before } = await withClientAndOperator();
    const script = await machine.pipe('iwh_secret_other', ...AS_ANOTHER, '--secret-stdin');
    expect(script).toEqual({ code: 2, out: '', err: LOST });
    expect((await machine.type(['n'], ...AS_ANOTHER)).code).toBe(1);
    const otherCustomer = ['login', '--customer', crypto.randomUUID(), '--secret-stdin'];
    expect((await machine.pipe(SECRET, ...otherCustomer)).err).toBe(LOST);
    expect(readFileSync(file(machine), 'utf8')).toBe(before);
  });

  it('a login as another client replaces the earlier one when the person or the script agrees', async () => {
    for (const agreed of [true, false]) {
      const { machine } = await withClientAndOperator();
      const { code } = agreed
        ? await machine.type(['y', 'iwh_secret_other'], ...AS_ANOTHER)
        : await machine.pipe('iwh_secret_other', ...AS_ANOTHER, '--secret-stdin', '--yes');
      expect(code).toBe(0);
      expect(profiles(machine).profiles.default).toEqual({
        url: URL,
        customer: CUSTOMER,
        clientId: OTHER,
        clientSecret: 'iwh_secret_other',
        operatorToken: OPERATOR_TOKEN,
      });
    }
  });

  it('a login as the same client replaces its secret without a question', async () => {
    const { machine } = await withClientAndOperator();
    expect((await machine.pipe('iwh_secret_next', ...LOGIN, '--secret-stdin')).code).toBe(0);
    expect(profiles(machine).profiles.default.clientSecret).toBe('iwh_secret_next');
  });

  it('a new client takes the place of another one in a profile only with consent, and is not made without', async () => {
    const { machine, calls, before } = await withClientAndOperator();
    expect((await machine.iw('clients', 'create', 'backend', '--login')).err).toBe(LOST);
    expect(calls).toEqual([]);
    expect(readFileSync(file(machine), 'utf8')).toBe(before);
    expect((await machine.iw('clients', 'create', 'backend', '--login', '--yes')).code).toBe(0);
    expect(profiles(machine).profiles.default.clientId).toBe(OTHER);
  });

  it.each([
    ['no JSON', '{'],
    ['no profiles', '{"current":"default"}'],
    ['a profile without a URL', '{"profiles":{"default":{"clientSecret":"iwh_secret_test"}}}'],
  ])('a file with %s is named, not quoted', async (_, text) => {
    const machine = await withTwo();
    writeFileSync(file(machine), text);
    const { code, err } = await machine.iw('subscriptions', 'list');
    expect(code).toBe(2);
    expect(err).toBe(
      `iw: ${file(machine)} is not a file of iw.\n    Repair it, or move it away and log in again: iw login\n`,
    );
  });

  it('an empty HOME does not put profiles into the folder where one stands', async () => {
    const machine = aMachine();
    Object.assign(machine.env, { HOME: '', XDG_CONFIG_HOME: '' });
    expect(profilesFile(machine.env)).toBe(join(userInfo().homedir, '.config/identity-webhooks/config.json'));
  });

  it('the environment alone is enough', async () => {
    const machine = aMachine(service());
    Object.assign(machine.env, LOGGED_IN);
    expect((await machine.iw('subscriptions', 'list', '-q')).code).toBe(0);
    expect(existsSync(file(machine))).toBe(false);
  });
});

describe('a new client', () => {
  const CREATED = {
    clientId: 'iwh_client_new',
    clientSecret: 'iwh_secret_new',
    name: 'backend',
    scope: '*:webhooks/**',
    createdAt: '2026-01-31T12:00:00.000Z',
    _links: {},
  };
  const creating = (
    machine = aMachine(
      scripted(({ method }) => (method === 'POST' ? json(CREATED, 201) : list('customers', []))),
    ),
  ) => Object.assign(machine, { env: Object.assign(machine.env, LOGGED_IN) });

  it.each([[[]], [['--quiet']], [['--json']]])(
    'its secret is shown once, with a warning (%j)',
    async (flags) => {
      const { code, out, err } = await creating().iw('clients', 'create', 'backend', ...flags);
      expect(code).toBe(0);
      expect(out.split('iwh_secret_new')).toHaveLength(2);
      expect(err).toBe('The secret is shown this once: keep it now. Nobody can read it later.\n');
    },
  );

  it('its secret goes to the profile and is not shown with --login', async () => {
    const machine = creating();
    await machine.pipe(OPERATOR_TOKEN, 'login', URL, '--operator', '--secret-stdin');
    const { out, err } = await machine.iw('clients', 'create', 'backend', '--login', '--json');
    expect(out + err).not.toContain('iwh_secret_new');
    expect(profiles(machine).profiles.default).toMatchObject({
      customer: CUSTOMER,
      clientSecret: 'iwh_secret_new',
    });
  });

  it('a secret that moves here is read from standard input and not shown', async () => {
    const { calls, fetch } = scripted(() => json({ ...CREATED, clientSecret: 's'.repeat(32) }, 201));
    const machine = aMachine({ fetch });
    Object.assign(machine.env, LOGGED_IN);
    const { out, err } = await machine.pipe(
      's'.repeat(32),
      'clients',
      'create',
      'backend',
      '--client-id',
      'old',
      '--secret-stdin',
    );
    expect(calls[0]?.body).toEqual({ name: 'backend', clientId: 'old', clientSecret: 's'.repeat(32) });
    expect(out + err).not.toContain('s'.repeat(32));
  });
});

describe('what cannot be undone', () => {
  const deleting = () => {
    const { calls, fetch } = scripted(({ method, path }) =>
      method === 'GET'
        ? path.endsWith('/subscriptions')
          ? list('subscriptions', [aSubscription()])
          : json(aSubscription())
        : new Response(null, { status: 204 }),
    );
    const machine = aMachine({ fetch });
    Object.assign(machine.env, LOGGED_IN);
    return { machine, deleted: () => calls.filter(({ method }) => method === 'DELETE').length };
  };
  const DELETE = ['subscriptions', 'delete', 'Profile sync'];

  it.each([
    ['y', 0, 1],
    ['n', 1, 0],
    ['', 1, 0],
  ])('the answer "%s" to the question ends with %d and %d deletions', async (answer, code, number) => {
    const { machine, deleted } = deleting();
    expect((await machine.type([answer], ...DELETE)).code).toBe(code);
    expect(deleted()).toBe(number);
  });

  it('a script is not asked: it says --yes, or nothing is done', async () => {
    const { machine, deleted } = deleting();
    const { code, err } = await machine.iw(...DELETE);
    expect(code).toBe(2);
    expect(err).toContain('Add --yes');
    expect(deleted()).toBe(0);
    expect((await machine.iw(...DELETE, '--yes')).code).toBe(0);
    expect(deleted()).toBe(1);
  });

  it('Ctrl-C while standard input is read ends with 130', async () => {
    const { machine } = deleting();
    const reading = machine.open('events', 'publish', '-');
    machine.interrupt();
    expect((await reading).code).toBe(130);
  });

  it('a title cannot repaint the terminal of the person who is asked, or of the script that is not', async () => {
    const machine = aMachine(scripted(() => json(aSubscription({ title: 'Sync\u001b[2J' }))));
    Object.assign(machine.env, LOGGED_IN);
    const asked = await machine.type(['n'], 'subscriptions', 'delete', aSubscription().id);
    expect(asked.err).toContain('Sync\\u{1b}[2J');
    const refused = await machine.iw('subscriptions', 'delete', aSubscription().id);
    expect(refused.err).toContain('Sync\\u{1b}[2J');
    expect(refused.err).not.toContain('\u001b');
  });

  it('Ctrl-C at a question does nothing and ends with 130', async () => {
    const { machine, deleted } = deleting();
    expect((await machine.type(['\u0003'], ...DELETE)).code).toBe(130);
    expect(deleted()).toBe(0);
  });
});

it('a customer that the operator cannot find is named in one line', async () => {
  const machine = aMachine(scripted(() => problem(404, 'Customer not found')));
  Object.assign(machine.env, LOGGED_IN);
  expect(await machine.iw('customers', 'show')).toEqual({
    code: 5,
    out: '',
    err: 'iw: Customer not found.\n',
  });
});
