/**
 * Runs the service for a program, by the same script as `npm start`: on a free port, with its own secrets and state. Other Workers
 * run beside it, each in a session of its own. Each is a process group of its own, so that one signal ends all of it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { endGroup, pause } from './processes.ts';

const START = join(import.meta.dirname, '../../scripts/start.ts');
const WRANGLER = join(
  dirname(createRequire(import.meta.url).resolve('wrangler/package.json')),
  'bin/wrangler.js',
);
const READY_WITHIN_MS = 180_000;

/** A folder with throw-away secrets and state. Several services may run on it, one after another. */
export interface Home {
  readonly directory: string;
  readonly operatorToken: string;
  remove(): void;
}

export interface RunningService {
  readonly url: string;
  readonly home: Home;
  /** The last 200,000 characters that the service has written. */
  output(): string;
  /** Ends it with SIGTERM, and resolves when it is gone. */
  stop(): Promise<void>;
  /** Ends it with SIGKILL, and resolves when it is gone. */
  kill(): Promise<void>;
}

export interface LaunchedService extends RunningService {
  /** Resolves when it answers. Rejects with its output if it does not within three minutes. */
  ready(): Promise<void>;
}

export function makeHome(): Home {
  const directory = mkdtempSync(join(tmpdir(), 'identity-webhooks-'));
  const operatorToken = randomBytes(24).toString('hex');
  const secrets = [
    `OPERATOR_TOKEN=${operatorToken}`,
    `KEY_ENCRYPTION_KEY=${randomBytes(32).toString('base64')}`,
    `TOKEN_SIGNING_KEY=${randomBytes(32).toString('base64')}`,
  ];
  writeFileSync(join(directory, 'secrets.env'), `${secrets.join('\n')}\n`, { mode: 0o600 });
  return {
    directory,
    operatorToken,
    remove: () => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }),
  };
}

/** @returns a port that is free now; another program may take it before the caller does */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

/**
 * Starts the service and waits until it answers.
 * @param variables values for those of wrangler.toml
 * @param port default: a free one. After a restart, give the same one again
 * @throws Error with the service's output if it does not answer in time
 */
export async function startService(
  home: Home,
  variables: Readonly<Record<string, string>> = {},
  port?: number,
): Promise<RunningService> {
  const service = launchService(home, variables, port ?? (await freePort()));
  await service.ready();
  return service;
}

/** Starts the service without waiting: the caller can stop it before it answers. */
export function launchService(
  home: Home,
  variables: Readonly<Record<string, string>>,
  port: number,
): LaunchedService {
  const secrets = ['--env-file', join(home.directory, 'secrets.env')];
  const state = ['--persist-to', join(home.directory, 'state')];
  const child = spawnGroup(home, port, [START, ...state, ...secrets, ...varFlags(variables)]);
  return watch(child, home, `http://127.0.0.1:${port}`, '/healthz');
}

/**
 * Starts another Worker in a session of its own, without waiting. It reaches the service by queues and service bindings, because they
 * share the registry of `home`.
 * @param config path of its wrangler.toml
 */
export function launchWorker(home: Home, config: string, port: number): LaunchedService {
  return watch(spawnWorker(home, config, {}, port), home, `http://127.0.0.1:${port}`, '/');
}

/** The process of `launchWorker`: a process group of its own, which prints `Ready on` when it listens. */
export function spawnWorker(
  home: Home,
  config: string,
  variables: Readonly<Record<string, string>>,
  port: number,
): ChildProcess {
  const flags = ['--ip', '127.0.0.1', '--inspector-port', '0', '--show-interactive-dev-session=false'];
  const own = ['--config', config, '--port', String(port)];
  const state = ['--persist-to', join(home.directory, `state-${port}`)];
  return spawnGroup(home, port, [WRANGLER, 'dev', ...own, ...flags, ...state, ...varFlags(variables)]);
}

function varFlags(variables: Readonly<Record<string, string>>): string[] {
  return Object.entries(variables).flatMap(([name, value]) => ['--var', `${name}:${value}`]);
}

function spawnGroup(home: Home, port: number, values: readonly string[]): ChildProcess {
  return spawn(process.execPath, values, {
    env: {
      ...process.env,
      PORT: String(port),
      WRANGLER_LOG_PATH: join(home.directory, 'logs'),
      // Sessions of wrangler that share a registry share queues and bindings by the names of Workers.
      WRANGLER_REGISTRY_PATH: join(home.directory, 'registry'),
      WRANGLER_SEND_METRICS: 'false',
      CLOUDFLARE_CF_FETCH_ENABLED: 'false',
      NO_COLOR: '1',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true, // a process group of its own
  });
}

/** @param path what is asked for until it answers */
function watch(child: ChildProcess, home: Home, url: string, path: string): LaunchedService {
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-200_000);
    });
  }
  const ready = async () => {
    const deadline = Date.now() + READY_WITHIN_MS;
    while (!(await answers(url + path))) {
      if (child.exitCode !== null || Date.now() > deadline) {
        await endGroup(child, 'SIGKILL');
        throw new Error(`the service does not answer:\n${output}`);
      }
      await pause(100);
    }
  };
  return {
    url,
    home,
    output: () => output,
    stop: () => endGroup(child, 'SIGTERM'),
    kill: () => endGroup(child, 'SIGKILL'),
    ready,
  };
}

async function answers(url: string): Promise<boolean> {
  try {
    const { ok, status } = await fetch(url, { signal: AbortSignal.timeout(2000) });
    return ok || status === 405; // a Worker may take POST alone
  } catch {
    return false;
  }
}

export { pause };
