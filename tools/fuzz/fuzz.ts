/**
 * `npm run fuzz`: Schemathesis, from PyPI, calls the running service with what docs/openapi.json allows and with what it forbids.
 * The table says for each operation how many calls the service accepted and refused. The command fails if an answer is a 5xx or
 * breaks the document, and if an operation accepted no call.
 *
 * Most calls use a subscription, events, an export, clients and customers that were made before; deletions have some of their own.
 * Flags: `--examples N`, how many calls are made up for each operation in each phase; `--seed N`, to repeat a run. All calls and answers of the last run are in node_modules/.cache/schemathesis/reports.
 */
import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { OperatorClient, WebhooksClient } from '@identity-webhooks/client';
import { type Hook, startHooks } from '../harness/hooks.ts';
import { makeHome, pause, startService } from '../harness/service.ts';
import { newEvents, publish, subscribe } from '../harness/tenant.ts';
import { newTally, type Tally, talliesOf } from './report.ts';

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '../..');
const DOCUMENT = join(ROOT, 'docs/openapi.json');
/** Kept between runs. */
const VENV = join(ROOT, 'node_modules/.cache/schemathesis');
const SCHEMATHESIS = join(VENV, 'bin/schemathesis');
const PACKAGE = 'schemathesis==4.32.5';

const EVENTS = 25;
const DISPOSABLE = 60;
/** The service admits 1,000 calls in 10 seconds, and 250 units of costly work. */
const RATE = '20/s';
const WITHIN_MS = 60_000;
const VARIABLES = {
  RETRY_DELAYS_SECONDS: '1,1',
  REDELIVER_INTERVAL_SECONDS: '1',
  SECURITY_CONTACT: 'mailto:security@example.com',
};

/** Lists by page number: a `page` that is no number is no fault (contract 3.4). */
const BY_PAGE = ['listSubscriptions', 'listCustomers', 'listDeadLetters'];

/** What no made-up call can reach, and why. Each is tested by hand in `test/http`. */
const OUT_OF_REACH: Readonly<Record<string, string>> = {
  'DELETE /{cid}/webhooks/subscriptions/{sid}/exports/{exportId}':
    'an export of so few events is over at once',
  'DELETE /{cid}/webhooks/subscriptions/{sid}/redeliveries/{redeliveryId}':
    'a bulk redelivery of so few events is over at once',
  'GET /operator/dead-letters/{id}': 'no call over HTTPS makes a dead letter',
  'DELETE /operator/dead-letters/{id}': 'no call over HTTPS makes a dead letter',
  'POST /operator/dead-letters/{id}/replay': 'no call over HTTPS makes a dead letter',
};

const PARAMETERS = ['cid', 'sid', 'eid', 'exportId', 'redeliveryId', 'clientId'] as const;
type Parameter = (typeof PARAMETERS)[number];

interface Run {
  readonly name: string;
  /** Flags of Schemathesis. */
  readonly filter: readonly string[];
  /** What is taken for a parameter instead of the one that all other calls use. */
  readonly instead?: Partial<Record<Parameter, 'otherSid' | 'otherCid' | 'otherClientId'>>;
}

/** These use up or disable what they are called with, so each has a run of its own. */
const ONCE: Readonly<Record<string, Run['instead']>> = {
  startExport: { sid: 'otherSid' },
  startRedelivery: {},
  updateSubscription: { sid: 'otherSid' },
  deleteSubscription: { sid: 'otherSid' },
  deleteClient: { clientId: 'otherClientId' },
  eraseCustomer: { cid: 'otherCid' },
};
const OTHERS = Object.keys(ONCE).flatMap((operationId) => ['--exclude-operation-id', operationId]);

const RUNS: readonly Run[] = [
  { name: 'customers', filter: ['--exclude-path-regex', '^/operator', ...OTHERS] },
  ...Object.entries(ONCE).map(([operationId, instead]) => ({
    name: operationId,
    filter: ['--include-operation-id', operationId],
    instead: instead ?? {},
  })),
  { name: 'operator', filter: ['--include-path-regex', '^/operator', ...OTHERS] },
];

const { values } = parseArgs({
  options: {
    examples: { type: 'string', default: '15' },
    seed: { type: 'string' },
  },
});
if (!(Number(values.examples) >= 1 && Number(values.examples) <= 1000)) {
  console.error('--examples must be from 1 to 1000');
  process.exit(2);
}

try {
  if (!existsSync(SCHEMATHESIS)) await run('python3', ['-m', 'venv', VENV]);
  await run(join(VENV, 'bin/python'), ['-m', 'pip', 'install', '--quiet', PACKAGE]);
} catch (error) {
  console.error(`This needs Python 3 and its package index, to install ${PACKAGE}: ${error}`);
  process.exit(2);
}

const home = makeHome();
console.log('starting the service …');
const hooks = await startHooks(1);
const [hook] = hooks.all as [Hook];
const service = await startService(home, VARIABLES);
let passed = false;
try {
  const { made, credentials } = await prepare();
  const results: Result[] = [];
  for (const one of RUNS) results.push(await fuzz(one, configuration(one, made, credentials)));
  passed = show(results) && results.every(({ isClean }) => isClean);
} finally {
  await service.stop();
  await hooks.close();
  home.remove();
}
process.exit(passed ? 0 : 1);

interface Credentials {
  readonly clientId: string;
  readonly clientSecret: string;
  readonly token: string;
}

type Made = Readonly<Record<Parameter | 'otherSid' | 'otherCid' | 'otherClientId', readonly string[]>>;

/** Makes what the calls use. */
async function prepare(): Promise<{ made: Made; credentials: Credentials }> {
  const operator = new OperatorClient({ baseUrl: service.url, token: home.operatorToken });
  const newCustomer = async (name: string) => (await operator.call('createCustomer', { body: { name } })).id;
  const cid = await newCustomer('Acme');
  const newClient = (name: string) => operator.call('createClient', { cid, body: { name } });
  const client = await newClient('fuzz');
  const customer = new WebhooksClient({ baseUrl: service.url, customerId: cid, ...client });
  const [sid = ''] = await subscribe(customer, [hook.url]);
  const others = await inTurn(DISPOSABLE, async (index) => {
    const body = { title: `disposable ${index}`, endpoint: hook.url, events: ['entityDeleted' as const] };
    return (await customer.call('createSubscription', { body })).id;
  });
  const events = newEvents(2 * EVENTS);
  await publish(customer, events.slice(0, EVENTS));
  await statesAre(customer, sid, (states) => states.length === EVENTS);
  hook.mood = 'refusing';
  await publish(customer, events.slice(EVENTS));
  await statesAre(customer, sid, (states) => states.length === 2 * EVENTS);
  // What waits when a subscription is disabled becomes a failure, so there is something to redeliver.
  await customer.call('updateSubscription', { sid, body: { enabled: false } });
  await statesAre(customer, sid, (states) => states.filter((state) => state === 'failure').length === EVENTS);
  await customer.call('updateSubscription', { sid, body: { enabled: true } });
  hook.mood = 'well';
  const { id: exportId } = await customer.call('startExport', { sid });
  const span = { since: '2020-01-01T00:00:00.000Z', until: '2020-01-02T00:00:00.000Z' };
  const { id: redeliveryId } = await customer.call('startRedelivery', { sid, body: span });
  const customers = await inTurn(DISPOSABLE, (index) => newCustomer(`Disposable ${index}`));
  const clients = await inTurn(
    DISPOSABLE,
    async (index) => (await newClient(`disposable ${index}`)).clientId,
  );
  const made = {
    cid: [cid],
    sid: [sid],
    eid: events.map(({ id }) => id),
    exportId: [exportId],
    redeliveryId: [redeliveryId],
    clientId: clients.slice(0, 1),
    otherSid: others,
    otherCid: customers,
    otherClientId: clients.slice(1),
  };
  return { made, credentials: { ...client, token: await accessToken(cid, client) } };
}

/** @returns the configuration of Schemathesis for one run */
function configuration({ instead }: Run, made: Made, { clientId, clientSecret, token }: Credentials): string {
  const parameters = PARAMETERS.map((name) => {
    const from = instead?.[name] ?? name;
    const [first, ...more] = made[from];
    // One value is always taken. One of several is taken where values are made up, so nine times in ten there.
    if (more.length === 0) return `"path.${name}" = "${first}"`;
    return `"path.${name}" = { dictionary = "${from}", probability = 0.9 }`;
  });
  const lines = [
    ...Object.entries(made).map(([name, all]) => `[dictionaries.${name}]\nvalues = ${JSON.stringify(all)}`),
    '[parameters]',
    ...parameters,
    '[auth.openapi]',
    `token = { bearer = "${token}" }`,
    `operator = { bearer = "${home.operatorToken}" }`,
    `client = { username = "${clientId}", password = "${clientSecret}" }`,
    // Rules that no schema can say: a title that is taken, an id that is too old, an endpoint that is private.
    '[checks.positive_data_acceptance]',
    'expected-statuses = ["2xx", 400, 401, 403, 404, 409, 413, 428, 429]',
    ...BY_PAGE.flatMap((operationId) => [
      '[[operations]]',
      `include-operation-id = "${operationId}"`,
      'checks.negative_data_rejection.enabled = false',
    ]),
  ];
  return `${lines.join('\n')}\n`;
}

async function accessToken(
  cid: string,
  { clientId, clientSecret }: Omit<Credentials, 'token'>,
): Promise<string> {
  const answer = await fetch(`${service.url}/${cid}/login/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${btoa(`${clientId}:${clientSecret}`)}` },
    body: new URLSearchParams({ grant_type: 'client_credentials', scope: '*:webhooks/**' }),
  });
  const { access_token: token } = (await answer.json()) as { access_token?: string };
  if (token === undefined) throw new Error(`no access token: ${answer.status}`);
  return token;
}

async function statesAre(
  customer: WebhooksClient,
  sid: string,
  isReached: (states: readonly string[]) => boolean,
): Promise<void> {
  const deadline = Date.now() + WITHIN_MS;
  for (;;) {
    const states: string[] = [];
    for await (const { state } of customer.items('listEvents', { sid })) states.push(state);
    if (isReached(states)) return;
    if (Date.now() > deadline) throw new Error(`after a minute the events are ${states.join()}`);
    await pause(500);
  }
}

async function inTurn<T>(count: number, make: (index: number) => Promise<T>): Promise<T[]> {
  const made: T[] = [];
  for (let index = 0; index < count; index++) made.push(await make(index));
  return made;
}

interface Result {
  readonly tallies: Map<string, Tally>;
  readonly isClean: boolean;
}

/** Runs Schemathesis once. What it finds, with a command that repeats it, goes to standard output. */
async function fuzz({ name, filter }: Run, configured: string): Promise<Result> {
  const folder = join(VENV, 'reports', name);
  mkdirSync(folder, { recursive: true });
  const report = join(folder, 'report.ndjson');
  const config = join(home.directory, 'schemathesis.toml');
  writeFileSync(config, configured, { mode: 0o600 });
  const seed = values.seed === undefined ? [] : ['--seed', values.seed];
  const how = ['--url', service.url, '--rate-limit', RATE, '--max-examples', values.examples, ...seed];
  // A call without a token is answered 403, as Akamai does (contract 2), and this check wants 401.
  const checks = ['--exclude-checks', 'missing_required_header', '--continue-on-failure'];
  const options = [...filter, ...how, ...checks, '--report', 'ndjson', '--report-ndjson-path', report];
  const child = spawn(SCHEMATHESIS, ['--config-file', config, 'run', DOCUMENT, ...options], {
    cwd: folder,
    stdio: 'inherit',
  });
  const code = await new Promise((resolve) => child.once('exit', resolve));
  return { tallies: talliesOf(report), isClean: code === 0 };
}

/** Prints the table. @returns whether each operation accepted a call, and none broke */
function show(results: readonly Result[]): boolean {
  const tallies = new Map(results.flatMap((result) => [...result.tallies]));
  const { paths } = JSON.parse(readFileSync(DOCUMENT, 'utf8')) as { paths: Record<string, object> };
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  console.table(Object.fromEntries(operations.map((name) => [name, tallies.get(name) ?? newTally()])));
  const never = operations.filter((name) => (tallies.get(name)?.accepted ?? 0) === 0);
  for (const name of never) console.log(`accepted no call: ${name} (${OUT_OF_REACH[name] ?? 'a fault'})`);
  return (
    never.every((name) => name in OUT_OF_REACH) && ![...tallies.values()].some(({ broken }) => broken > 0)
  );
}
