/**
 * Runs the service as `npm start` does, for programs: on a free port, with secrets and state of its own, in a process
 * group of its own, so that nothing of it is left behind.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const READY_WITHIN_MS = 45_000;
const STOPPED_WITHIN_MS = 5_000;

/** Throw-away secrets and state; outlives the services started on it. */
export interface Home {
  readonly directory: string;
  readonly operatorToken: string;
  remove(): void;
}

export interface RunningService {
  readonly url: string;
  readonly home: Home;
  /** Everything the service has written so far. */
  output(): string;
  /** Asks it to end, and waits until it has. */
  stop(): Promise<void>;
  /** `kill -9`, all of it at once, and waits until it is gone. */
  kill(): Promise<void>;
}

export interface LaunchedService extends RunningService {
  /** Resolves when it answers. */
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

/** A port that was free a moment ago. */
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
 * @param variables as in wrangler.toml
 * @param port the same one again after a restart; default: a free one
 * @throws Error with the service's output when it does not come up
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

/** Launches the service: there is something to stop from here on, though it does not answer yet. */
export function launchService(
  home: Home,
  variables: Readonly<Record<string, string>>,
  bound: number,
): LaunchedService {
  const vars = Object.entries(variables).flatMap(([name, value]) => ['--var', `${name}:${value}`]);
  const state = [
    '--persist-to',
    join(home.directory, 'state'),
    '--env-file',
    join(home.directory, 'secrets.env'),
  ];
  const child = spawn(process.execPath, [join(here, '../../scripts/start.ts'), ...state, ...vars], {
    env: {
      ...process.env,
      PORT: String(bound),
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
  const url = `http://127.0.0.1:${bound}`;
  const ready = async () => {
    const deadline = Date.now() + READY_WITHIN_MS;
    while (!(await answers(url))) {
      if (child.exitCode !== null || Date.now() > deadline) {
        await end(child, 'SIGKILL');
        throw new Error(`the service did not come up:\n${output}`);
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

/** Ends a process group: the signal first, `kill -9` for what does not heed it. */
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

/** @returns whether the group was still there */
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
