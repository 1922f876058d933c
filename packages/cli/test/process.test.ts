/** The program as a process: signals, pipes, exit codes, and the archive that is installed elsewhere. */
import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createSecureServer } from 'node:tls';
import { promisify } from 'node:util';
import { describe, expect, it, onTestFinished } from 'vitest';
import { aSubscription, CLIENT, CUSTOMER, SECRET, SUBSCRIPTION } from './scripted-service.ts';

const PACKAGE = join(import.meta.dirname, '..');
const IW = join(PACKAGE, 'bin/iw.js');

/**
 * A service that gives tokens and lists, on this machine.
 * @returns the environment of somebody who is logged in there, and when events were first asked for
 */
async function aService(subscriptions: readonly object[] = [aSubscription()]) {
  let followed: () => void = () => undefined;
  const isFollowed = new Promise<void>((resolve) => {
    followed = resolve;
  });
  const server = createServer((request, response) => {
    if (request.url?.includes('/events')) followed();
    const body = request.url?.endsWith('/login/token')
      ? { access_token: 't', expires_in: 3600, token_type: 'Bearer', scope: 's' }
      : {
          total: 0,
          _links: {},
          _embedded: request.url?.includes('/events') ? { events: [] } : { subscriptions },
        };
    request.resume();
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const folder = aFolder();
  const env = {
    PATH: process.env['PATH'] ?? '',
    HOME: folder,
    XDG_CONFIG_HOME: folder,
    IW_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    IW_CUSTOMER: CUSTOMER,
    IW_CLIENT_ID: CLIENT,
    IW_CLIENT_SECRET: SECRET,
  };
  return { env, isFollowed };
}

function aFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'iw-process-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

async function end(command: string, args: readonly string[], env: NodeJS.ProcessEnv) {
  return await promisify(execFile)(command, [...args], { env }).then(
    ({ stdout, stderr }) => ({ code: 0, out: stdout, err: stderr }),
    ({ code, stdout, stderr }: { code: number; stdout: string; stderr: string }) => ({
      code,
      out: stdout,
      err: stderr,
    }),
  );
}

describe('the program', () => {
  it('its exit code and its streams are those of the command', async () => {
    const { env } = await aService();
    expect(await end(process.execPath, [IW, 'subscriptions', 'list', '-q'], env)).toEqual({
      code: 0,
      out: `${SUBSCRIPTION}\n`,
      err: '',
    });
    expect(await end(process.execPath, [IW, 'subscriptions', 'show', 'none'], env)).toMatchObject({
      code: 5,
      out: '',
    });
    expect((await end(process.execPath, [IW, '--version'], env)).out).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it.each(['SIGINT', 'SIGTERM'] as const)(
    'a %s ends it with 130 and without a stack trace',
    async (signal) => {
      const { env, isFollowed } = await aService();
      const child = spawn(process.execPath, [IW, 'events', 'tail', SUBSCRIPTION, '--interval', '1'], { env });
      let err = '';
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        err += text;
      });
      // The first request shows that the program listens for signals.
      await isFollowed;
      child.kill(signal);
      const code = await new Promise((resolve) => child.once('exit', resolve));
      expect({ code, err }).toEqual({ code: 130, err: '\n' });
    },
  );

  it('a pipe that is closed early is no error', async () => {
    const { env } = await aService(Array.from({ length: 2000 }, () => aSubscription()));
    const script = `set -o pipefail; "${process.execPath}" "${IW}" subscriptions list -q | head -1`;
    expect(await end('bash', ['-c', script], env)).toEqual({ code: 0, out: `${SUBSCRIPTION}\n`, err: '' });
  });

  it('a standard error that nobody reads keeps the result and the exit code', async () => {
    const { env } = await aService([]);
    const script = `"${process.execPath}" "${IW}" subscriptions show none 2> >(exec 0<&-; true); echo $?`;
    expect((await end('bash', ['-c', script], env)).out).toBe('5\n');
  });

  it('a result that cannot be written is a failure that says why', async () => {
    const { env } = await aService();
    // Standard output may only be read.
    const script = `"${process.execPath}" "${IW}" subscriptions list 1< "${IW}"`;
    const ended = await end('bash', ['-c', script], env);
    expect(ended.code).toBe(1);
    expect(ended.err).toMatch(/^iw: The result cannot be written: .*EBADF[^\n]*\n$/);
  });

  it('https to a port of http, and http to a port of https, say what to do', async () => {
    const { env } = await aService();
    const httpsUrl = env.IW_URL.replace('http:', 'https:');
    expect(await end(process.execPath, [IW, 'subscriptions', 'list'], { ...env, IW_URL: httpsUrl })).toEqual({
      code: 3,
      out: '',
      err: `iw: No answer from ${httpsUrl}: what listens there does not speak https.\n    Did you mean ${env.IW_URL}?\n`,
    });
    const secure = createSecureServer().on('tlsClientError', () => undefined);
    await new Promise<void>((resolve) => secure.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void secure.close());
    const url = `http://127.0.0.1:${(secure.address() as AddressInfo).port}`;
    expect(await end(process.execPath, [IW, 'subscriptions', 'list'], { ...env, IW_URL: url })).toEqual({
      code: 3,
      out: '',
      err: `iw: No answer from ${url}: the connection broke off.\n    Does the service still run? If it speaks https: ${url.replace('http:', 'https:')}\n`,
    });
  });

  it('a Node that is too old is named in one line', async () => {
    const old =
      "Object.defineProperty(process.versions, 'node', { value: '20.20.2' }); await import(process.env.IW)";
    const ended = await end(process.execPath, ['--input-type=module', '-e', old], { ...process.env, IW });
    expect(ended).toEqual({ code: 2, out: '', err: 'iw needs Node 22.18 or newer; this is Node 20.20.2.\n' });
  });
});

describe('the archive of npm pack', () => {
  it('it runs elsewhere without any other package, and has no source and no test', async () => {
    const folder = aFolder();
    const env = {
      ...process.env,
      npm_config_cache: join(folder, 'cache'),
      npm_config_update_notifier: 'false',
    };
    const { stdout } = await promisify(execFile)('npm', ['pack', '--json', '--pack-destination', folder], {
      cwd: PACKAGE,
      env,
    });
    const text = stdout.slice(stdout.search(/^[[{]/m));
    const [packed] = Object.values(
      JSON.parse(text) as Record<string, { filename: string; files: { path: string }[] }>,
    );
    expect(packed?.files.map(({ path }) => path).sort()).toEqual([
      'README.md',
      'bin/iw.js',
      'dist/iw.js',
      'dist/licences.txt',
      'package.json',
    ]);
    await promisify(execFile)('tar', ['-xzf', join(folder, packed?.filename ?? ''), '-C', folder]);
    const { env: loggedIn } = await aService();
    const installed = join(folder, 'package/bin/iw.js');
    expect(await end(process.execPath, [installed, 'subscriptions', 'list', '-q'], loggedIn)).toEqual({
      code: 0,
      out: `${SUBSCRIPTION}\n`,
      err: '',
    });
  });
});
