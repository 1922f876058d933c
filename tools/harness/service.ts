/**
 * Runs the service for a program, by the same script as `npm start`: on a free port, with its own secrets and state. It is
 * a process group of its own, so that one signal ends all of it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const START = join(import.meta.dirname, '../../scripts/start.ts');
const READY_WITHIN_MS = 180_000;
const STOPPED_WITHIN_MS = 5_000;

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
  const vars = Object.entries(variables).flatMap(([name, value]) => ['--var', `${name}:${value}`]);
  const state = [
    '--persist-to',
    join(home.directory, 'state'),
    '--env-file',
    join(home.directory, 'secrets.env'),
  ];
  const child = spawn(process.execPath, [START, ...state, ...vars], {
    env: {
      ...process.env,
      PORT: String(port),
      WRANGLER_LOG_PATH: join(home.directory, 'logs'),
      NO_COLOR: '1',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true, // a process group of its own
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-200_000);
    });
  }
  const url = `http://127.0.0.1:${port}`;
  const ready = async () => {
    const deadline = Date.now() + READY_WITHIN_MS;
    while (!(await answers(url))) {
      if (child.exitCode !== null || Date.now() > deadline) {
        await end(child, 'SIGKILL');
        throw new Error(`the service does not answer:\n${output}`);
      }
      await pause(100);
    }
  };
  return {
    url,
    home,
    output: () => output,
    stop: () => end(child, 'SIGTERM'),
    kill: () => end(child, 'SIGKILL'),
    ready,
  };
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(`${url}/healthz`, { signal: AbortSignal.timeout(2000) })).ok;
  } catch {
    return false;
  }
}

/** Sends a signal to a process group, and SIGKILL after five seconds to what is left of it. */
async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  const { pid } = child;
  if (pid === undefined) return;
  signalGroup(pid, signal);
  const deadline = Date.now() + STOPPED_WITHIN_MS;
  while (signalGroup(pid, 0)) {
    if (Date.now() > deadline) signalGroup(pid, 'SIGKILL');
    await pause(50);
  }
}

/** @param signal 0 sends none @returns whether the group exists */
function signalGroup(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(-pid, signal);
    return true;
  } catch {
    return false;
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
