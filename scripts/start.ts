/**
 * `npm start`: runs the whole service on this machine (contract 10.6). It makes `.dev.vars` with random secrets if the
 * file is not there, applies the migrations, then starts wrangler's development server. Other flags go to wrangler.
 */
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const wrangler = join(
  dirname(createRequire(import.meta.url).resolve('wrangler/package.json')),
  'bin',
  'wrangler.js',
);
const flags = process.argv.slice(2);
const port = readFlag('--port') ?? process.env['PORT'] ?? '8787';
const env = { CLOUDFLARE_CF_FETCH_ENABLED: 'false', WRANGLER_SEND_METRICS: 'false', ...process.env };

if (!/^\d{1,5}$/.test(port) || Number(port) < 1 || Number(port) > 65_535) {
  console.error(`PORT must be a number from 1 to 65535, not ${JSON.stringify(port)}`);
  process.exit(1);
}
if (readFlag('--env-file') === undefined) makeSecrets(join(root, '.dev.vars'));
applyMigrations();
serve();

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

function makeSecrets(file: string): void {
  if (existsSync(file)) return;
  const lines = [
    '# Secrets of the service on this machine. Never commit this file.',
    `OPERATOR_TOKEN=${randomBytes(24).toString('hex')}`,
    `KEY_ENCRYPTION_KEY=${randomBytes(32).toString('base64')}`,
    `TOKEN_SIGNING_KEY=${randomBytes(32).toString('base64')}`,
  ];
  writeFileSync(file, `${lines.join('\n')}\n`, { mode: 0o600 });
  console.log('made .dev.vars with random secrets; it has your OPERATOR_TOKEN');
}

function applyMigrations(): void {
  const persistTo = readFlag('--persist-to');
  const args = ['d1', 'migrations', 'apply', 'DB', '--local'];
  if (persistTo !== undefined) args.push('--persist-to', persistTo);
  const result = spawnSync(process.execPath, [wrangler, ...args], {
    cwd: root,
    env: { ...env, CI: 'true' },
    encoding: 'utf8',
  });
  if (result.status === 0) return;
  console.error(`migrations could not be applied:\n${result.stdout}${result.stderr}`);
  process.exit(1);
}

function serve(): void {
  const args = ['dev', '--ip', '127.0.0.1', '--inspector-port', '0', '--show-interactive-dev-session=false'];
  if (readFlag('--port') === undefined) args.push('--port', port);
  if (!isGiven('BASE_URL')) args.push('--var', `BASE_URL:http://127.0.0.1:${port}`);
  if (!isGiven('ALLOW_PRIVATE_ENDPOINTS')) args.push('--var', 'ALLOW_PRIVATE_ENDPOINTS:true');
  const child = spawn(process.execPath, [wrangler, ...args, ...flags], { cwd: root, env, stdio: 'inherit' });
  let stopping = false;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      stopping = true;
      child.kill(signal);
    });
  }
  child.on('exit', (code) => process.exit(stopping ? 0 : (code ?? 1)));
}
