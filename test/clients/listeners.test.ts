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
  type Algorithm,
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

/** What listeners of one algorithm are tried with. */
interface Scene {
  /** Signs tokens that the service would never send. */
  readonly keys: KeyServer;
  readonly customer: Customer;
  /** Endpoint that the recorded token is for. */
  readonly endpoint: string;
  /** A token that the service has sent: of the customer, for `endpoint`. */
  readonly token: string;
  /** The same for another endpoint, and of another customer. */
  readonly forAnother: string;
  readonly ofAnother: string;
}

const ALGORITHMS = ['RS256', 'EdDSA'] as const;
const scenes = new Map<Algorithm, Scene>();

async function createCustomer(name: string, signingAlgorithm: Algorithm): Promise<Customer> {
  const operator = new OperatorClient({ baseUrl: service.url, token: home.operatorToken });
  const { id: cid } = await operator.call('createCustomer', { body: { name, signingAlgorithm } });
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
  const at = text.lastIndexOf('.') + 40;
  return `${text.slice(0, at)}${text[at] === 'A' ? 'B' : 'A'}${text.slice(at + 1)}`;
}

/** The same token, whose header names the other algorithm. */
function withOtherAlgorithm(text: string): string {
  const [header = '', ...rest] = text.split('.');
  const { alg, ...others } = JSON.parse(Buffer.from(header, 'base64url').toString());
  const other = { alg: alg === 'RS256' ? 'EdDSA' : 'RS256', ...others };
  return [Buffer.from(JSON.stringify(other)).toString('base64url'), ...rest].join('.');
}

async function post(url: string, body: string, type = 'application/secevent+jwt') {
  const response = await fetch(url, { method: 'POST', headers: { 'content-type': type }, body });
  const text = await response.text();
  return { response, status: response.status, err: text === '' ? undefined : JSON.parse(text).err };
}

async function prepareScene(algorithm: Algorithm): Promise<Scene> {
  const name = (what: string) => `${algorithm}-${what}`;
  const endpoint = `${recorder.url}/hooks/${name('own')}`;
  const [keys, another, customer] = await Promise.all([
    startKeyServer(algorithm),
    createCustomer('Another', algorithm),
    createCustomer('Acme', algorithm),
  ]);
  await subscribe(customer, endpoint);
  await subscribe(customer, `${recorder.url}/hooks/${name('partner')}`);
  await subscribe(another, `${recorder.url}/hooks/${name('another')}`);
  await Promise.all([publish(customer), publish(another)]);
  const [token, forAnother, ofAnother] = await Promise.all([
    recorded(name('own')),
    recorded(name('partner')),
    recorded(name('another')),
  ]);
  return { keys, customer, endpoint, token, forAnother, ofAnother };
}

function sceneOf(algorithm: Algorithm): Scene {
  const scene = scenes.get(algorithm);
  if (scene === undefined) throw new Error('the scene was not prepared');
  return scene;
}

beforeAll(async () => {
  mkdirSync(CACHE, { recursive: true });
  home = makeHome();
  [service, recorder] = await Promise.all([startService(home), startScriptedListener()]);
  for (const algorithm of ALGORITHMS) scenes.set(algorithm, await prepareScene(algorithm));
});

afterEach(async () => {
  await Promise.all(running.splice(0).map((child) => endGroup(child, 'SIGKILL')));
});

afterAll(async () => {
  await service?.stop();
  await recorder?.close();
  for (const { keys } of scenes.values()) await keys.close();
  home?.remove();
});

describe.each(LANGUAGES)('the listener in $name', (language) => {
  let missing: string | undefined;
  beforeAll(async () => {
    missing = await language.prepare();
  });

  it.for(ALGORITHMS)(
    'a listener takes an event that is signed with %s, and copies of its token do no work',
    async (algorithm, context) => {
      const { customer, endpoint, token } = sceneOf(algorithm);
      expect(JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString())).toMatchObject({
        alg: algorithm,
      });
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
    },
  );

  it.for(ALGORITHMS)(
    'a listener refuses what is signed with %s and not for it, with the errors of RFC 8935',
    async (algorithm, context) => {
      const { customer, endpoint, token, forAnother, ofAnother } = sceneOf(algorithm);
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
        ['the other algorithm in its header', withOtherAlgorithm(token)],
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
        'the other algorithm in its header': '400 invalid_key',
        'no token': '400 invalid_request',
        nothing: '400 invalid_request',
        'another media type': '415 invalid_request',
      });
      const { response } = await post(listener.url, 'not a token');
      expect(response.headers.get('content-type')).toBe('application/json');
      expect(response.headers.get('content-language')).toBe('en');
      for (const refused of [forAnother, ofAnother, token])
        expect(listener.taken(claimsOf(refused).jti)).toBe(0);
    },
  );

  it('a listener of another issuer refuses the token', async (context) => {
    const { customer, endpoint, token } = sceneOf('RS256');
    if (missing !== undefined) context.skip(missing);
    const issuer = 'https://other.example/webhooks';
    const settings = { jwksUrl: customer.jwksUrl, issuer, audiences: [endpoint], port: await freePort() };
    const { status, err } = await post((await start(language, settings)).url, token);
    expect([status, err]).toEqual([400, 'invalid_issuer']);
  });

  it.for(ALGORITHMS)(
    'a listener refuses a token that is signed with a published key for %s and is no event for it',
    async (algorithm, context) => {
      const { keys } = sceneOf(algorithm);
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
    },
  );

  it('a listener that cannot fetch the keys asks for the token again later', async (context) => {
    const { customer, endpoint, token } = sceneOf('RS256');
    if (missing !== undefined) context.skip(missing);
    const jwksUrl = `http://127.0.0.1:${await freePort()}/login/jwk`;
    const settings = { jwksUrl, issuer: customer.issuer, audiences: [endpoint], port: await freePort() };
    const { response } = await post((await start(language, settings)).url, token);
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '10']);
  });
});
