/**
 * The example listeners in Node, as a Worker, in Python, Go and Java, against the running service. The last three need the tools of
 * their language and its package index; where one of them is missing, the test says so and is skipped.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { OperatorClient, WebhooksClient } from '@identity-webhooks/client';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  ENDPOINT,
  type Service as KeyServer,
  startService as startKeyServer,
} from '../../packages/listener/test/service.ts';
import { endGroup } from '../../tools/harness/processes.ts';
import {
  freePort,
  type Home,
  makeHome,
  pause,
  type RunningService,
  spawnWorker,
  startService,
} from '../../tools/harness/service.ts';
import type { Call } from '../support/listener-script.ts';
import { type ScriptedListener, startScriptedListener } from '../support/scripted-listener.ts';

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '../..');
const LISTENERS = join(ROOT, 'examples/listeners');
/** Kept between runs. */
const CACHE = join(ROOT, 'node_modules/.cache/listeners');
const WITHIN_MS = 120_000;

interface Settings {
  readonly jwksUrl: string;
  readonly issuer: string;
  readonly audiences: readonly string[];
  readonly port: number;
}

interface Language {
  readonly name: string;
  /** @returns why the listener cannot be made here; `undefined` once it is made */
  prepare(): Promise<string | undefined>;
  /** Starts a process group. */
  launch(settings: Settings): ChildProcess;
}

/** Starts a listener that reads its settings from the environment. */
function launch(command: string, values: readonly string[], settings: Settings): ChildProcess {
  const { jwksUrl, issuer, audiences, port } = settings;
  const own = { JWKS_URL: jwksUrl, ISSUER: issuer, AUDIENCE: audiences.join(' '), PORT: String(port) };
  return spawn(command, values, { env: { ...process.env, ...own }, detached: true });
}

const PYTHON = join(CACHE, 'python/bin/python');

const LANGUAGES: readonly Language[] = [
  {
    name: 'Node',
    prepare: async () => undefined,
    launch: ({ jwksUrl, issuer, audiences, port }) => {
      const endpoints = audiences.flatMap((url) => ['--endpoint', url]);
      const values = ['--jwks', jwksUrl, '--issuer', issuer, '--port', String(port), ...endpoints];
      return spawn(process.execPath, [join(ROOT, 'examples/listener/listener.ts'), ...values], {
        detached: true,
      });
    },
  },
  {
    name: 'a Worker',
    prepare: async () => undefined,
    launch: ({ jwksUrl, issuer, audiences, port }) => {
      const config = join(ROOT, 'examples/listener/wrangler.toml');
      const variables = { JWKS_URL: jwksUrl, ISSUER: issuer, ENDPOINT: audiences.join(' ') };
      return spawnWorker(home, config, variables, port);
    },
  },
  {
    name: 'Python',
    prepare: async () => {
      try {
        await run('python3', ['--version']);
        if (!existsSync(PYTHON)) await run('python3', ['-m', 'venv', join(CACHE, 'python')]);
        const packages = join(LISTENERS, 'python/requirements.txt');
        await run(PYTHON, ['-m', 'pip', 'install', '--quiet', '-r', packages]);
      } catch (error) {
        return `no Python, or its package index does not answer: ${error}`;
      }
      return undefined;
    },
    launch: (settings) => launch(PYTHON, [join(LISTENERS, 'python/listener.py')], settings),
  },
  {
    name: 'Go',
    prepare: async () => {
      const cwd = join(LISTENERS, 'go');
      try {
        await run('go', ['mod', 'download'], { cwd });
      } catch (error) {
        return `no Go, or its module index does not answer: ${error}`;
      }
      await run('go', ['vet', '.'], { cwd });
      await run('go', ['build', '-mod=readonly', '-o', join(CACHE, 'go/listener'), '.'], { cwd });
      return undefined;
    },
    launch: (settings) => launch(join(CACHE, 'go/listener'), [], settings),
  },
  {
    name: 'Java',
    prepare: async () => {
      const folder = join(CACHE, 'java');
      try {
        await run('javac', ['-version']);
        const pom = join(LISTENERS, 'java/pom.xml');
        const goal = ['dependency:copy-dependencies', `-DoutputDirectory=${folder}`];
        await run('mvn', ['--quiet', '--batch-mode', '--file', pom, ...goal]);
      } catch (error) {
        return `no JDK, no Maven, or its repository does not answer: ${error}`;
      }
      const source = join(LISTENERS, 'java/Listener.java');
      await run('javac', ['-d', join(folder, 'classes'), '-cp', join(folder, '*'), source]);
      return undefined;
    },
    launch: (settings) => {
      const path = [join(CACHE, 'java/classes'), join(CACHE, 'java/*')].join(
        process.platform === 'win32' ? ';' : ':',
      );
      return launch('java', ['-cp', path, 'Listener'], settings);
    },
  },
];

interface RunningListener {
  readonly url: string;
  /** How often the listener has done its work for an event. */
  taken(jti: string): number;
}

const running: ChildProcess[] = [];

/** @throws Error with the listener's output if it does not start */
async function start(language: Language, settings: Settings): Promise<RunningListener> {
  const child = language.launch(settings);
  running.push(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  for (const deadline = Date.now() + WITHIN_MS; !/listening on|Ready on/.test(output); await pause(50)) {
    if (child.exitCode !== null || Date.now() > deadline) throw new Error(`no listener:\n${output}`);
  }
  return {
    url: `http://127.0.0.1:${settings.port}`,
    taken: (jti) => output.split(`verified ${jti}`).length - 1,
  };
}

async function until<T>(find: () => Promise<T | undefined>): Promise<T> {
  for (const deadline = Date.now() + WITHIN_MS; ; await pause(100)) {
    const found = await find();
    if (found !== undefined) return found;
    if (Date.now() > deadline) throw new Error('it does not come');
  }
}

interface Customer {
  readonly client: WebhooksClient;
  readonly jwksUrl: string;
  readonly issuer: string;
}

let home: Home;
let service: RunningService;
let recorder: ScriptedListener;
/** Signs tokens that the service would never send. */
let keys: KeyServer;
let customer: Customer;
/** Endpoint that the recorded token is for. */
let endpoint: string;
/** A token that the service has sent: of the customer, for `endpoint`. */
let token: string;
/** The same for another endpoint, and of another customer. */
let forAnother: string;
let ofAnother: string;

async function createCustomer(name: string): Promise<Customer> {
  const operator = new OperatorClient({ baseUrl: service.url, token: home.operatorToken });
  const { id: cid } = await operator.call('createCustomer', { body: { name } });
  const { clientId, clientSecret } = await operator.call('createClient', { cid, body: { name } });
  return {
    client: new WebhooksClient({ baseUrl: service.url, customerId: cid, clientId, clientSecret }),
    jwksUrl: `${service.url}/${cid}/login/jwk`,
    issuer: `${service.url}/${cid}/webhooks`,
  };
}

/** @returns the subscription's id */
async function subscribe({ client }: Customer, url: string): Promise<string> {
  const body = { title: url, endpoint: url, events: ['entityCreated' as const] };
  return (await client.call('createSubscription', { body })).id;
}

async function publish({ client }: Customer): Promise<void> {
  const ids = { captureApplicationId: 'application', captureClientId: 'client', sub: crypto.randomUUID() };
  await client.call('publishEvents', { body: { type: 'entityCreated', entityType: 'user', ...ids } });
}

/** The first token that came at a name of the recorder. */
function recorded(name: string): Promise<string> {
  return until(async () => {
    const calls = (await (await fetch(`${recorder.url}/scripts/${name}/calls`)).json()) as Call[];
    return calls[0]?.body;
  });
}

function claimsOf(text: string): { readonly jti: string } {
  return JSON.parse(Buffer.from(text.split('.')[1] ?? '', 'base64url').toString());
}

/** Changes one byte of the claims: the last digit of the `jti`. */
function withChangedClaim(text: string): string {
  const [header, payload = '', signature] = text.split('.');
  const claims = Buffer.from(payload, 'base64url').toString();
  const { jti } = claimsOf(text);
  const other = `${jti.slice(0, -1)}${jti.endsWith('0') ? '1' : '0'}`;
  return [header, Buffer.from(claims.replace(jti, other)).toString('base64url'), signature].join('.');
}

/** Changes one character in the middle of the signature. */
function withChangedSignature(text: string): string {
  const at = text.length - 100;
  return `${text.slice(0, at)}${text[at] === 'A' ? 'B' : 'A'}${text.slice(at + 1)}`;
}

async function post(url: string, body: string, type = 'application/secevent+jwt') {
  const response = await fetch(url, { method: 'POST', headers: { 'content-type': type }, body });
  const text = await response.text();
  return { response, status: response.status, err: text === '' ? undefined : JSON.parse(text).err };
}

beforeAll(async () => {
  mkdirSync(CACHE, { recursive: true });
  home = makeHome();
  keys = await startKeyServer();
  [service, recorder] = await Promise.all([startService(home), startScriptedListener()]);
  const another = await createCustomer('Another');
  customer = await createCustomer('Acme');
  endpoint = `${recorder.url}/hooks/own`;
  await subscribe(customer, endpoint);
  await subscribe(customer, `${recorder.url}/hooks/partner`);
  await subscribe(another, `${recorder.url}/hooks/another`);
  await Promise.all([publish(customer), publish(another)]);
  token = await recorded('own');
  forAnother = await recorded('partner');
  ofAnother = await recorded('another');
});

afterEach(async () => {
  await Promise.all(running.splice(0).map((child) => endGroup(child, 'SIGKILL')));
});

afterAll(async () => {
  await service?.stop();
  await recorder?.close();
  await keys?.close();
  home?.remove();
});

describe.each(LANGUAGES)('the listener in $name', (language) => {
  let missing: string | undefined;
  beforeAll(async () => {
    missing = await language.prepare();
  });

  it('a listener takes an event of the service, and copies of its token do no work', async (context) => {
    if (missing !== undefined) context.skip(missing);
    const port = await freePort();
    const url = `http://127.0.0.1:${port}/hooks`;
    const { jwksUrl, issuer } = customer;
    const listener = await start(language, { jwksUrl, issuer, audiences: [url, endpoint], port });
    const sid = await subscribe(customer, url);
    await publish(customer);
    const delivered = await until(async () => {
      const { events } = (await customer.client.call('listEvents', { sid }))._embedded;
      return events[0]?.state.startsWith('awaiting') || events[0]?.state === 'executing'
        ? undefined
        : events[0];
    });
    expect(delivered.state).toBe('success');

    const { jti } = claimsOf(token);
    const together = await Promise.all(Array.from({ length: 20 }, () => post(listener.url, token)));
    // A copy that comes while the first is at work may be asked for again.
    expect(together.filter(({ status }) => status !== 202 && status !== 503)).toEqual([]);
    expect(together.some(({ status }) => status === 202)).toBe(true);
    const copy = await post(listener.url, token, 'application/secevent+jwt; charset=utf-8');
    expect([copy.status, copy.err]).toEqual([202, undefined]);
    await until(async () => listener.taken(jti) > 0 || undefined);
    expect(listener.taken(jti)).toBe(1);
    await customer.client.call('deleteSubscription', { sid });
  });

  it('a listener refuses what is not for it, with the errors of RFC 8935', async (context) => {
    if (missing !== undefined) context.skip(missing);
    const { jwksUrl, issuer } = customer;
    const listener = await start(language, {
      jwksUrl,
      issuer,
      audiences: [endpoint],
      port: await freePort(),
    });
    const answers: Record<string, unknown> = {};
    for (const [what, body, type] of [
      ['for another endpoint', forAnother],
      ['of another customer', ofAnother],
      ['a changed claim', withChangedClaim(token)],
      ['a changed signature', withChangedSignature(token)],
      ['no token', 'not a token'],
      ['nothing', ''],
      ['another media type', token, 'application/json'],
    ] as const) {
      const { status, err } = await post(listener.url, body, type);
      answers[what] = `${status} ${err}`;
    }
    expect(answers).toEqual({
      'for another endpoint': '400 invalid_audience',
      'of another customer': '400 invalid_key',
      'a changed claim': '400 invalid_key',
      'a changed signature': '400 invalid_key',
      'no token': '400 invalid_request',
      nothing: '400 invalid_request',
      'another media type': '415 invalid_request',
    });
    const { response } = await post(listener.url, 'not a token');
    expect(response.headers.get('content-type')).toBe('application/json');
    expect(response.headers.get('content-language')).toBe('en');
    for (const refused of [forAnother, ofAnother, token])
      expect(listener.taken(claimsOf(refused).jti)).toBe(0);
  });

  it('a listener of another issuer refuses the token', async (context) => {
    if (missing !== undefined) context.skip(missing);
    const issuer = 'https://other.example/webhooks';
    const settings = { jwksUrl: customer.jwksUrl, issuer, audiences: [endpoint], port: await freePort() };
    const { status, err } = await post((await start(language, settings)).url, token);
    expect([status, err]).toEqual([400, 'invalid_issuer']);
  });

  it('a listener refuses a token that is signed with a published key and is no event for it', async (context) => {
    if (missing !== undefined) context.skip(missing);
    const { jwksUrl, issuer, sign } = keys;
    const listener = await start(language, {
      jwksUrl,
      issuer,
      audiences: [ENDPOINT],
      port: await freePort(),
    });
    const answers: Record<string, unknown> = {};
    for (const [what, claims, header] of [
      ['an event', {}, {}],
      ['another type', {}, { typ: 'JWT' }],
      ['no type', {}, { typ: undefined } as object],
      ['no issuer', { iss: undefined }, {}],
      ['no audience', { aud: undefined }, {}],
      ['no id', { jti: undefined }, {}],
      ['an empty id', { jti: '' }, {}],
      ['no time', { iat: undefined }, {}],
      ['no events', { events: undefined }, {}],
      ['events that are a text', { events: 'entityCreated' }, {}],
      ['a time ahead, because two clocks differ', { iat: 4_000_000_000 }, {}],
      ['expired', { exp: 1_700_000_000 }, {}],
    ] as const) {
      const { status, err } = await post(listener.url, await sign(claims, header));
      answers[what] = `${status} ${err}`;
    }
    expect(answers).toEqual({
      'an event': '202 undefined',
      'another type': '400 invalid_request',
      'no type': '400 invalid_request',
      'no issuer': '400 invalid_issuer',
      'no audience': '400 invalid_audience',
      'no id': '400 invalid_request',
      'an empty id': '400 invalid_request',
      'no time': '400 invalid_request',
      'no events': '400 invalid_request',
      'events that are a text': '400 invalid_request',
      'a time ahead, because two clocks differ': '202 undefined',
      expired: '400 invalid_request',
    });
  });

  it('a listener that cannot fetch the keys asks for the token again later', async (context) => {
    if (missing !== undefined) context.skip(missing);
    const jwksUrl = `http://127.0.0.1:${await freePort()}/login/jwk`;
    const settings = { jwksUrl, issuer: customer.issuer, audiences: [endpoint], port: await freePort() };
    const { response } = await post((await start(language, settings)).url, token);
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '10']);
  });
});
