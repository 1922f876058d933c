/**
 * The Python client that openapi-generator makes of docs/openapi.json, against the running service. It needs a JDK, Python and its
 * package index; where one of them is missing, the test says so and is skipped.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { OperatorClient } from '@identity-webhooks/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Home, makeHome, type RunningService, startService } from '../../tools/harness/service.ts';
import { type ScriptedListener, startScriptedListener } from '../support/scripted-listener.ts';

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '../..');
/** Kept between runs: making it takes half a minute. */
const FOLDER = join(ROOT, 'node_modules/.cache/python-client');
const PYTHON = join(FOLDER, 'venv/bin/python');
const PACKAGES = [
  'openapi-generator-cli==7.26.0',
  'pydantic==2.14.4',
  'python-dateutil==4.0.0',
  'typing-extensions==4.16.0',
  'urllib3==2.8.0',
];

/** @returns why the client cannot be made here; `undefined` once it is made */
async function makeClient(): Promise<string | undefined> {
  try {
    await run('java', ['-version']);
    await run('python3', ['--version']);
  } catch (error) {
    return `no JDK or no Python: ${error}`;
  }
  mkdirSync(FOLDER, { recursive: true });
  try {
    if (!existsSync(PYTHON)) await run('python3', ['-m', 'venv', join(FOLDER, 'venv')]);
    await run(PYTHON, ['-m', 'pip', 'install', '--quiet', ...PACKAGES]);
  } catch (error) {
    return `the package index does not answer: ${error}`;
  }
  const generator = join(FOLDER, 'venv/bin/openapi-generator-cli');
  const options = ['-g', 'python', '--additional-properties=packageName=identity_webhooks'];
  const input = join(ROOT, 'docs/openapi.json');
  await run(generator, ['generate', '-i', input, '-o', join(FOLDER, 'client'), ...options]);
  return undefined;
}

let home: Home;
let service: RunningService;
let listener: ScriptedListener;
let missing: string | undefined;

beforeAll(async () => {
  missing = await makeClient();
  if (missing !== undefined) return;
  home = makeHome();
  [service, listener] = await Promise.all([startService(home), startScriptedListener()]);
});

afterAll(async () => {
  await service?.stop();
  await listener?.close();
  home?.remove();
});

describe('a generated Python client', () => {
  it('a generated client gets a token, subscribes, publishes, lists its events and reads the faults of a refusal', async (context) => {
    if (missing !== undefined) context.skip(missing);
    const operator = new OperatorClient({ baseUrl: service.url, token: home.operatorToken });
    const { id: cid } = await operator.call('createCustomer', { body: { name: 'Acme' } });
    const { clientId, clientSecret } = await operator.call('createClient', { cid, body: { name: 'Python' } });
    const walk = join(import.meta.dirname, 'python/walk.py');
    const values = [service.url, cid, clientId, clientSecret, `${listener.url}/hooks/python`];
    const environment = { ...process.env, PYTHONPATH: join(FOLDER, 'client') };
    const { stdout } = await run(PYTHON, [walk, ...values], { env: environment });
    expect(JSON.parse(stdout)).toEqual({
      subscription: 'from Python',
      listed: 1,
      published: ['entityCreated', 'entityUpdated'],
      states: ['success', 'success'],
      newest: [['entityUpdated', null]],
      went: [['from Python', 'success']],
      dry_run: [0, true],
      history: ['awaiting-executing', 'executing', 'success'],
      refused: ['endpoint'],
    });
  });
});
