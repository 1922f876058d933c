/** `npm start`: what it prints, what it serves, and that it never outlives the process that started it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { finished } from 'node:stream/promises';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { CRON_PATH, HeldOutput } from '../../scripts/start/output.ts';
import { welcome } from '../../scripts/start/welcome.ts';
import { freePort, type Home, makeHome, pause } from '../../tools/harness/service.ts';

const ROOT = join(import.meta.dirname, '../..');
/** A safety net, far above what a busy machine takes, ms. */
const GIVE_UP_MS = 500_000;

async function until(check: () => Promise<boolean> | boolean, what: string): Promise<void> {
  for (const deadline = Date.now() + GIVE_UP_MS; !(await check()); await pause(100)) {
    if (Date.now() > deadline) throw new Error(`gave up waiting until ${what}`);
  }
}

const answers = async (url: string) =>
  await fetch(`${url}/healthz`).then(
    ({ ok }) => ok,
    () => false,
  );

describe('the welcome', () => {
  const started = {
    url: 'http://127.0.0.1:4711',
    state: '/tmp/state',
    secrets: join(ROOT, '.dev.vars'),
    areSecretsNew: true,
  };

  it('the welcome shows the first commands of the README, with the address of this service', () => {
    const [, quickStart = ''] =
      /^## Quick start\n([\s\S]*?)^## /m.exec(readFileSync(join(ROOT, 'README.md'), 'utf8')) ?? [];
    const screen = welcome(started);
    const shown = screen.split('in this folder:\n')[1]?.split('README.md')[0] ?? '';
    const lines = shown.split('\n').flatMap((line) => line.trim() || []);
    expect(lines.length).toBeGreaterThan(2);
    for (const line of lines) expect(quickStart).toContain(line.replaceAll('4711', '8787'));
    expect(shown).toContain('http://127.0.0.1:4711');
  });

  it('the welcome fits one screen and says nothing twice', () => {
    const lines = welcome(started).split('\n');
    expect(lines.length).toBeLessThanOrEqual(30);
    const said = lines.filter((line) => line.trim() !== '');
    expect(new Set(said).size).toBe(said.length);
  });

  it('the welcome names no file of secrets when the caller brought its own', () => {
    expect(welcome({ ...started, secrets: undefined }).split('Next,')[0]).not.toContain('.dev.vars');
  });
});

describe('what wrangler prints', () => {
  const BEFORE = ['a table of bindings', '✘ [ERROR] {"level":"error","event":"configuration is wrong"}'];
  const AFTER = [`[wrangler:info] GET ${CRON_PATH} 200 OK (5ms)`, '[wrangler:info] GET /docs 200 OK (1ms)'];

  async function printed(what: 'all' | 'our log'): Promise<string[]> {
    const from = new PassThrough();
    const lines: string[] = [];
    const output = new HeldOutput();
    output.take(from, { write: (line: string) => lines.push(line.trimEnd()) });
    from.write(`${BEFORE.join('\n')}\n`);
    await new Promise((resolve) => setImmediate(resolve));
    expect(lines).toEqual([]);
    output.release(what);
    from.end(`${AFTER.join('\n')}\n`);
    await finished(from);
    return lines;
  }

  it('what wrangler prints before the service answers is left out, except our own log, and calls of the cron always', async () => {
    expect(await printed('our log')).toEqual([BEFORE[1], AFTER[1]]);
  });

  it('what wrangler prints is shown when it ends before the service answers', async () => {
    expect(await printed('all')).toEqual([...BEFORE, AFTER[1]]);
  });
});

describe('a port that another program uses', () => {
  it('npm start names the port and ends, before it makes anything', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    const args = [join(ROOT, 'scripts/start.ts'), '--persist-to', '/nonexistent/state'];
    const { status, stderr } = await new Promise<{ status: number | null; stderr: string }>((resolve) => {
      const child = spawn(process.execPath, args, { env: { ...process.env, PORT: String(port) } });
      let stderr = '';
      child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
        stderr += chunk;
      });
      child.on('close', (status) => resolve({ status, stderr }));
    });
    expect(status).toBe(1);
    expect(stderr).toBe(`port ${port} is in use; choose another: PORT=8788 npm start\n`);
  });
});

describe('a service that npm start runs', () => {
  let home: Home;
  let port: number;
  let url: string;
  let parent: ChildProcess;
  let text = '';

  /** Starts the service as a person does. npm starts it by a shell, which outlives npm. */
  beforeAll(async () => {
    home = makeHome();
    port = await freePort();
    url = `http://127.0.0.1:${port}`;
    const args = ['start', '--', '--persist-to', join(home.directory, 'state')];
    args.push('--env-file', join(home.directory, 'secrets.env'));
    parent = spawn('npm', args, {
      cwd: ROOT,
      env: {
        ...process.env,
        PORT: String(port),
        WRANGLER_LOG_PATH: join(home.directory, 'logs'),
        NO_COLOR: '1',
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [parent.stdout, parent.stderr]) {
      stream?.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
    }
    await until(() => text.includes('Ctrl+C stops the service'), `the service welcomes:\n${text}`);
  });

  afterAll(() => {
    parent.kill('SIGKILL');
    home.remove();
  });

  it('the service has a registry of its own, in the folder of its state', () => {
    expect(readdirSync(join(home.directory, 'state', 'registry'))).toContain('identity-webhooks');
  });

  it('the screen names the address once, and no table of bindings', () => {
    expect(text.split('runs on this machine').length).toBe(2);
    expect(text).not.toContain('Your Worker has access');
    expect(text).not.toContain('not automatically triggered');
  });

  it.each(['/', '/docs'])(
    'the page %s is served under a policy that permits its style sheet alone',
    async (path) => {
      const response = await fetch(url + path, { headers: { accept: 'text/html' } });
      expect(response.status).toBe(200);
      expect(response.headers.get('content-type')).toMatch(/^text\/html/);
      expect(response.headers.get('content-security-policy')).toBe(
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
      );
      expect(response.headers.get('x-content-type-options')).toBe('nosniff');
      await response.body?.cancel();
    },
  );

  it('a path that is no page goes to the API, also when a browser asks', async () => {
    for (const path of ['/nothing', '/operator/customers', '/docs/nothing']) {
      const response = await fetch(url + path, {
        headers: { accept: 'text/html', 'sec-fetch-mode': 'navigate' },
      });
      expect(response.headers.get('content-type'), path).toMatch(/^application\/json/);
      await response.body?.cancel();
    }
  });

  it('the cron can be rung', async () => {
    expect((await fetch(url + CRON_PATH)).status).toBe(200);
  });

  it('the service ends when npm is killed, and its port is free', async () => {
    expect(await answers(url)).toBe(true);
    parent.kill('SIGKILL');
    await until(async () => !(await answers(url)), 'the port is free');
  });
});
