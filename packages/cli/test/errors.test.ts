/** Every failure: an exit code, what is wrong, and what to do; never a stack trace or a secret. */
import { describe, expect, it } from 'vitest';
import { aMachine, type Ended } from './machine.ts';
import {
  aSubscription,
  json,
  LOGGED_IN,
  list,
  OPERATOR_TOKEN,
  problem,
  SECRET,
  SUBSCRIPTION,
  scripted,
  URL,
} from './scripted-service.ts';

type Script = Parameters<typeof scripted>[0];

async function run(
  script: Script,
  args: readonly string[],
  env: object = {},
): Promise<Ended & { waits: number[] }> {
  const machine = aMachine(scripted(script));
  Object.assign(machine.env, LOGGED_IN, env);
  const ended = await machine.iw(...args);
  expect(ended.out + ended.err).not.toContain(SECRET);
  expect(ended.out + ended.err).not.toContain(OPERATOR_TOKEN);
  expect(ended.err).not.toMatch(/\n\s+at /);
  return { ...ended, waits: machine.waits };
}

const LIST = ['subscriptions', 'list'];
const failing =
  (code: string): Script =>
  () =>
    Promise.reject(new TypeError('fetch failed', { cause: Object.assign(new Error(code), { code }) }));

describe('a failure', () => {
  it.each<[string, Script, readonly string[], object, number, string]>([
    [
      'nobody is logged in',
      () => undefined,
      LIST,
      { IW_URL: '' },
      4,
      'iw: Not logged in: the profile default names no service.\n    Log in: iw login URL\n',
    ],
    [
      'a wrong secret',
      () => undefined,
      LIST,
      { IW_CLIENT_SECRET: 'wrong' },
      4,
      'The id or the secret of the client is wrong',
    ],
    [
      'an unknown customer',
      () => undefined,
      LIST,
      { IW_CUSTOMER: '00000000-0000-4000-8000-000000000000' },
      4,
      `${URL} has no customer 00000000-0000-4000-8000-000000000000.`,
    ],
    [
      'a wrong operator token',
      () => json({ errors: 'Forbidden' }, 403),
      ['customers', 'list'],
      {},
      4,
      'The operator token is wrong.',
    ],
    [
      'no operator token',
      () => undefined,
      ['customers', 'list'],
      { IW_OPERATOR_TOKEN: '' },
      4,
      'has no operator token',
    ],
    [
      'a service without an operator API',
      () => problem(404, 'Route not found'),
      ['customers', 'list'],
      {},
      4,
      'has no operator API',
    ],
    [
      'a scope that lacks',
      () => json({ errors: 'Forbidden' }, 403),
      ['events', 'list', SUBSCRIPTION],
      { IW_SCOPE: 'GET:webhooks/subscriptions' },
      4,
      'the call needs the scope GET:webhooks/subscriptions/*/events, and this profile asks for GET:webhooks/subscriptions.',
    ],
    [
      'a scope that the client may not ask for',
      () => undefined,
      LIST,
      { IW_SCOPE: 'GET:too/much' },
      4,
      'The client may not ask for the scope GET:too/much.',
    ],
    [
      'a refused connection',
      failing('ECONNREFUSED'),
      LIST,
      {},
      3,
      `No answer from ${URL}: the connection is refused.\n    Is the URL right, and does the service run?`,
    ],
    ['a host that does not exist', failing('ENOTFOUND'), LIST, {}, 3, 'the host name does not exist'],
    [
      'a certificate that is not trusted',
      failing('CERT_HAS_EXPIRED'),
      LIST,
      {},
      3,
      `${URL}: its certificate is not trusted (CERT_HAS_EXPIRED).\n    Is the URL right? The certificate of an authority of your own: NODE_EXTRA_CA_CERTS=FILE`,
    ],
    [
      'a URL with a path of the API, as the customer',
      () => undefined,
      LIST,
      { IW_URL: `${URL}/${SUBSCRIPTION}/webhooks` },
      4,
      `The URL has a path. Did you mean ${URL}?`,
    ],
    [
      'a URL with a path, as the operator',
      () => undefined,
      ['customers', 'list'],
      { IW_URL: `${URL}/docs` },
      3,
      `${URL}/docs does not know this call.\n    The URL has a path. Did you mean ${URL}?`,
    ],
    [
      'a URL without https',
      () => undefined,
      LIST,
      { IW_URL: 'webhooks.example.com/x' },
      2,
      'must begin with https://\n    Did you mean https://webhooks.example.com?',
    ],
    [
      'a URL of this machine without http',
      () => undefined,
      LIST,
      { IW_URL: 'localhost:8787' },
      2,
      'Did you mean http://localhost:8787?',
    ],
    [
      'a wrong URL',
      () => new Response('<html>', { status: 404 }),
      LIST,
      {},
      3,
      `Something else than the service answers at ${URL}.`,
    ],
    [
      'a page instead of an answer',
      () => new Response('<html>Welcome', { status: 200 }),
      LIST,
      {},
      3,
      'Something else than the service answers',
    ],
    [
      'a redirect to another place',
      () => new Response('', { status: 302 }),
      LIST,
      {},
      3,
      'Something else than the service answers',
    ],
    [
      'a service that is away',
      () => problem(503, 'Briefly away', { 'retry-after': '2' }),
      LIST,
      {},
      3,
      `${URL} is briefly away (503).\n    Try again in 2 s.`,
    ],
    [
      'a fault of the service',
      () => problem(500, 'Something went wrong'),
      LIST,
      {},
      1,
      'Give the operator this id of the request: e3b0c442',
    ],
    [
      'no such subscription',
      () => problem(404, 'Subscription not found'),
      ['subscriptions', 'show', SUBSCRIPTION],
      {},
      5,
      'iw: Subscription not found.\n',
    ],
    [
      'no such title',
      () => list('subscriptions', []),
      ['subscriptions', 'show', 'x'],
      {},
      5,
      'There is no subscription with the id or the title "x".\n    See all: iw subscriptions list',
    ],
    [
      'a title that is nearly right',
      () =>
        list('subscriptions', [
          aSubscription(),
          aSubscription({ title: 'Billing' }),
          aSubscription({ title: 'Profile synch' }),
        ]),
      ['events', 'list', 'profile-sync'],
      {},
      5,
      'Did you mean "Profile sync" or "Profile synch"? See all: iw subscriptions list',
    ],
    [
      'a limit',
      () => problem(429, 'One redelivery every 60 seconds', { 'retry-after': '45' }),
      ['redeliver', SUBSCRIPTION, SUBSCRIPTION],
      {},
      6,
      'Too many requests: One redelivery every 60 seconds.\n    Try again in 45 s.',
    ],
    [
      'a conflict',
      () => problem(409, 'Subscription is disabled'),
      ['subscriptions', 'test', SUBSCRIPTION],
      {},
      1,
      'Refused: Subscription is disabled.\n    Enable it first: iw subscriptions enable SUBSCRIPTION',
    ],
    [
      'an option that does not exist',
      () => undefined,
      [...LIST, '--colour'],
      {},
      2,
      "iw: unknown option '--colour'",
    ],
    [
      'a command that does not exist',
      () => undefined,
      ['subscriptions', 'lst'],
      {},
      2,
      "iw: unknown command 'lst'\n    Did you mean list?",
    ],
    [
      'a noun that does not exist',
      () => undefined,
      ['event', 'list'],
      {},
      2,
      "iw: unknown command 'event'\n    Did you mean events?",
    ],
    [
      'a noun that resembles none',
      () => undefined,
      ['frobnicate'],
      {},
      2,
      "iw: unknown command 'frobnicate'\n    See all: iw --help",
    ],
    [
      'a missing argument',
      () => undefined,
      ['subscriptions', 'show'],
      {},
      2,
      "missing required argument 'subscription'",
    ],
    [
      'a wrong value',
      () => undefined,
      ['events', 'list', 'x', '--limit', 'many'],
      {},
      2,
      'It is a whole number from 1 to 1000000.',
    ],
    [
      'an event type that does not exist',
      () => undefined,
      ['subscriptions', 'create', 'Title', 'https://a.example', '--events', 'renamed'],
      {},
      2,
      'It is one of created, updated, deleted.',
    ],
    [
      'a day that its month does not have',
      () => undefined,
      ['events', 'list', 'x', '--since', '2026-02-30T00:00:00Z'],
      {},
      2,
      'It is a time such as 2026-01-31T12:00:00Z',
    ],
    [
      'a dry run of one event',
      () => undefined,
      ['redeliver', SUBSCRIPTION, SUBSCRIPTION, '--dry-run'],
      {},
      2,
      'A dry run is of many events',
    ],
    [
      'a time that does not exist',
      () => undefined,
      ['audit', '--since', 'yesterday'],
      {},
      2,
      'or how long ago',
    ],
    [
      'a file that does not exist',
      () => undefined,
      ['events', 'publish', '/nowhere/events.json'],
      {},
      2,
      '/nowhere/events.json does not exist.',
    ],
    [
      'a customer id that is none',
      () => undefined,
      [...LIST, '--customer', 'acme'],
      {},
      2,
      'The id of a customer is a UUID',
    ],
  ])('%s ends with a code and what to do', async (_, script, args, env, code, text) => {
    const ended = await run(script, args, env);
    expect(ended.err).toContain(text);
    expect(ended.code).toBe(code);
    expect(ended.out).toBe('');
    const lines = ended.err
      .trim()
      .split('\n')
      .filter((line) => !line.startsWith('The service asks to wait'));
    expect(lines.length).toBeLessThanOrEqual(2);
  });

  it('every fault of a refused body is in the message, ten at most', async () => {
    const faults = Array.from({ length: 12 }, (_, index) => ({ name: `events[${index}]`, reason: 'is odd' }));
    const { code, err } = await run(
      () => json({ title: 'Bad Request', 'invalid-body-params': faults }, 400),
      ['subscriptions', 'create', 'Title', 'https://a.example', '--events', 'all'],
    );
    expect(code).toBe(1);
    expect(err).toMatch(/^iw: Refused: events\[0\] is odd; .*events\[9\] is odd; and 2 more\.\n$/);
  });

  it('an answer that asks to wait is waited for, and a person sees it', async () => {
    const { code, err, waits } = await run(
      (_, nth) =>
        nth === 1
          ? problem(429, 'Slow down', { 'retry-after': '7' })
          : list('subscriptions', [aSubscription()]),
      LIST,
    );
    expect(code).toBe(0);
    expect(waits).toEqual([7000]);
    expect(err).toBe('The service asks to wait 7 s …\n');
  });

  it('--json writes the error as one JSON document to standard error, and nothing to standard output', async () => {
    const { out, err } = await run(
      () => problem(404, 'Subscription not found'),
      ['subscriptions', 'show', SUBSCRIPTION, '--json'],
    );
    expect(out).toBe('');
    expect(JSON.parse(err)).toEqual({
      error: { exit: 5, message: 'Subscription not found.', status: 404, requestId: 'e3b0c442' },
    });
  });

  it.each([
    [['events', 'lst'], "unknown command 'lst'", 'Did you mean list?'],
    [['events', 'list', 'x', '--limit', 'many'], 'It is a whole number from 1 to 1000000.', undefined],
    [
      ['events', 'list', 'x', '--secret=hunter2'],
      "unknown option '--secret=…'",
      'A secret is never an argument',
    ],
    [['events'], 'Which command of iw events?', 'See all: iw events --help'],
  ])('--json writes a fault of the command line %j as a document, too', async (args, message, hint) => {
    const { code, out, err } = await run(() => undefined, [...args, '--json']);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    const { error } = JSON.parse(err.trim().split('\n').at(-1) ?? '');
    expect(error.exit).toBe(2);
    expect(error.message).toContain(message);
    if (hint === undefined) expect(error).not.toHaveProperty('hint');
    else expect(error.hint).toContain(hint);
    expect(err).not.toContain('hunter2');
  });

  it.each([
    [['help', 'evnts'], "unknown command 'evnts'", 'Did you mean events?'],
    [['help', 'events', 'lst'], "unknown command 'lst'", 'Did you mean list?'],
    [['events', 'help', 'lst'], "unknown command 'lst'", 'Did you mean list?'],
    [['help', 'something'], "unknown command 'something'", 'See all: iw --help'],
    [['help', 'audit', 'list'], "unknown command 'list'", 'See all: iw audit --help'],
    [['evnts', '--help'], "unknown command 'evnts'", 'Did you mean events?'],
    [['--profile', 'events', 'evnts', '-h'], "unknown command 'evnts'", 'Did you mean events?'],
    [['events', 'lst', '--help'], "unknown command 'lst'", 'Did you mean list?'],
  ])('help for %j names the word that is no command, and shows nothing else', async (args, message, hint) => {
    const { code, out, err } = await run(() => undefined, args);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toBe(`iw: ${message}\n    ${hint}\n`);
  });

  it.each([
    [['help', 'events', 'list'], 'iw events list'],
    [['events', 'help', 'list'], 'iw events list'],
    [['help', 'events'], 'iw events'],
    [['--json', 'help', 'audit'], 'iw audit'],
    [['help', 'help'], 'iw'],
    [['help'], 'iw'],
    [['subscriptions', 'show', 'help', '--help'], 'iw subscriptions show'],
    [['--profile', 'help', 'events', 'list', '--help'], 'iw events list'],
    [['--help'], 'iw'],
  ])('help for %j is that of %s', async (args, command) => {
    const { code, out, err } = await run(() => undefined, args);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toContain(`Usage: ${command} [options]`);
  });

  it('a noun without its verb shows what the noun can do', async () => {
    const { code, err } = await run(() => undefined, ['events']);
    expect(code).toBe(2);
    expect(err).toMatch(/^Usage: iw events [\s\S]*where <event>/);
  });

  it('--debug shows where an error comes from, without secrets', async () => {
    const machine = aMachine(scripted(failing('ECONNREFUSED')));
    Object.assign(machine.env, LOGGED_IN);
    const { err } = await machine.iw(...LIST, '--debug');
    expect(err).toMatch(/WebhooksError: listSubscriptions: no answer\n\s+at /);
    expect(err).not.toContain(SECRET);
  });

  it('what the service says cannot repaint the terminal', async () => {
    const { err } = await run(
      () => problem(409, 'Refused\u001b[2J\u202e'),
      ['subscriptions', 'test', SUBSCRIPTION],
    );
    expect(err).toContain('Refused\\u{1b}[2J\\u{202e}');
  });
});
