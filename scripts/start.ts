/**
 * `npm start`: runs the whole service on this machine (contract 10.6). It makes `.dev.vars` with random secrets and the tables if they
 * are not there, starts wrangler's development server, and prints one screen when the service answers. It also rings the cron each
 * minute, which wrangler does not. Other flags go to wrangler.
 *
 * It ends on a signal and when npm or whatever started it ends, and takes wrangler with it: a service that nobody sees would keep the port. Each state
 * folder has a registry of its own, so that two copies of the service on one machine never get each other's events.
 */
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { whenAskedToEnd } from '../tools/harness/processes.ts';
import { buildConsole, isConsoleOld } from './console.ts';
import { DEFAULT_STATE, makeSecrets, migrate, QUIET, ROOT, SECRETS_FILE, WRANGLER } from './start/local.ts';
import { CRON_PATH, HeldOutput } from './start/output.ts';
import { welcome } from './start/welcome.ts';

const CRON_EVERY_MS = 60_000;
/** After that, wrangler is ended by force. */
const STOPS_WITHIN_MS = 5_000;
/** wrangler ends when the process that started it is gone, even after `kill -9`: the channel between the two closes then. */
const END_WITH_PARENT = `data:text/javascript,process.once('disconnect',()=>process.kill(process.pid,'SIGTERM'));process.channel?.unref()`;

const flags = process.argv.slice(2);
const port = readFlag('--port') ?? process.env['PORT'] ?? '8787';

if (!/^\d{1,5}$/.test(port) || Number(port) < 1 || Number(port) > 65_535) {
  console.error(`PORT must be a number from 1 to 65535, not ${JSON.stringify(port)}`);
  process.exit(1);
}
if (!(await isFree(Number(port)))) {
  console.error(`port ${port} is in use; choose another: PORT=8788 npm start`);
  process.exit(1);
}
const url = `http://127.0.0.1:${port}`;
const state = resolve(ROOT, readFlag('--persist-to') ?? DEFAULT_STATE);
const hasOwnSecrets = readFlag('--env-file') !== undefined;
const areSecretsNew = !hasOwnSecrets && makeSecrets();
try {
  if (isConsoleOld()) {
    console.log('building the console: it is missing, or older than its sources');
    await buildConsole();
  }
  migrate(state);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}
serve();

/** wrangler finds out only when it has built everything. */
async function isFree(wanted: number): Promise<boolean> {
  const server = createServer();
  const free = await new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false)).listen(wanted, '127.0.0.1', () => resolve(true));
  });
  await new Promise((resolve) => server.close(resolve));
  return free;
}

/** The value of a flag given as `--flag value` or `--flag=value`. */
function readFlag(name: string): string | undefined {
  const index = flags.findIndex((flag) => flag === name || flag.startsWith(`${name}=`));
  if (index < 0) return undefined;
  const flag = flags[index] ?? '';
  return flag.includes('=') ? flag.slice(name.length + 1) : flags[index + 1];
}

/** Whether `--var NAME:value` sets the variable. */
function isGiven(variable: string): boolean {
  return flags.some((flag) => flag.startsWith(`${variable}:`) || flag.startsWith(`--var=${variable}:`));
}

function serve(): void {
  const args = ['dev', '--ip', '127.0.0.1', '--inspector-port', '0', '--show-interactive-dev-session=false'];
  if (readFlag('--port') === undefined) args.push('--port', port);
  if (!isGiven('BASE_URL')) args.push('--var', `BASE_URL:${url}`);
  if (!isGiven('ALLOW_PRIVATE_ENDPOINTS')) args.push('--var', 'ALLOW_PRIVATE_ENDPOINTS:true');
  const child = spawn(process.execPath, ['--import', END_WITH_PARENT, WRANGLER, ...args, ...flags], {
    cwd: ROOT,
    env: {
      ...QUIET,
      WRANGLER_REGISTRY_PATH: join(state, 'registry'),
      ...process.env,
      IDENTITY_WEBHOOKS_PREPARED: 'true',
    },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  const output = new HeldOutput();
  output.take(child.stdout as Readable, process.stdout);
  output.take(child.stderr as Readable, process.stderr);
  let stopping = false;
  const stop = () => {
    if (stopping) return;
    stopping = true;
    child.kill('SIGTERM');
    setTimeout(() => child.kill('SIGKILL'), STOPS_WITHIN_MS).unref();
  };
  whenAskedToEnd(stop);
  const ringCron = () => fetch(url + CRON_PATH).catch(() => undefined);
  // wrangler sends a message when it listens. The first answer comes when the Worker runs.
  child.once('message', async () => {
    await ringCron();
    if (stopping) return;
    const secrets = hasOwnSecrets ? undefined : SECRETS_FILE;
    console.log(welcome({ url, state, secrets, areSecretsNew }));
    output.release('our log');
    setInterval(ringCron, CRON_EVERY_MS).unref();
  });
  child.on('exit', (code) => {
    // Whatever wrangler said before it could start is the reason.
    if (!stopping) output.release('all');
    process.exitCode = stopping ? 0 : (code ?? 1);
  });
}
