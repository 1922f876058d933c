/**
 * What the service needs on this machine before wrangler starts: secrets in `.dev.vars`, and tables. Both are made if they are
 * missing, by `npm start` and by the build step of a plain `npx wrangler dev`.
 */
import { spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeNew } from '../files.ts';

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
export const WRANGLER = join(
  dirname(createRequire(import.meta.url).resolve('wrangler/package.json')),
  'bin',
  'wrangler.js',
);
/** Where wrangler keeps local state without `--persist-to`. */
export const DEFAULT_STATE = join(ROOT, '.wrangler', 'state');
export const SECRETS_FILE = join(ROOT, '.dev.vars');

/** For every wrangler that is started here: it asks no server for the place of this machine, and reports nothing. */
export const QUIET = { CLOUDFLARE_CF_FETCH_ENABLED: 'false', WRANGLER_SEND_METRICS: 'false' } as const;

const FOR_PLAIN_WRANGLER = [
  '# For a plain `npx wrangler dev`; `npm start` sets both itself.',
  'BASE_URL=http://127.0.0.1:8787',
  'ALLOW_PRIVATE_ENDPOINTS=true',
  '',
].join('\n');

/** Makes `.dev.vars` with random secrets. @returns whether it was missing */
export function makeSecrets(): boolean {
  const lines = [
    '# The service on this machine. Never commit this file.',
    `OPERATOR_TOKEN=${randomBytes(24).toString('hex')}`,
    `KEY_ENCRYPTION_KEY=${randomBytes(32).toString('base64')}`,
    `TOKEN_SIGNING_KEY=${randomBytes(32).toString('base64')}`,
  ];
  return writeNew(SECRETS_FILE, `${lines.join('\n')}\n${FOR_PLAIN_WRANGLER}`, 0o600);
}

/** Adds to a `.dev.vars` of an earlier version what a plain `npx wrangler dev` needs. */
export function completeSecrets(): void {
  if (/^BASE_URL=/m.test(readFileSync(SECRETS_FILE, 'utf8'))) return;
  appendFileSync(SECRETS_FILE, `\n${FOR_PLAIN_WRANGLER}`);
}

/**
 * Makes the tables that are missing. A second call with the same migrations does nothing: a file in the state folder says
 * which were applied.
 * @throws Error with what wrangler printed
 */
export function migrate(state: string): void {
  const folder = join(ROOT, 'migrations');
  const hash = createHash('sha256');
  for (const name of readdirSync(folder).sort()) hash.update(name).update(readFileSync(join(folder, name)));
  const applied = hash.digest('hex');
  const mark = join(state, 'migrations-applied');
  if (existsSync(mark) && readFileSync(mark, 'utf8') === applied && existsSync(join(state, 'v3', 'd1')))
    return;
  const args = ['d1', 'migrations', 'apply', 'DB', '--local', '--persist-to', state];
  const result = spawnSync(process.execPath, [WRANGLER, ...args], {
    cwd: ROOT,
    env: { ...QUIET, ...process.env, CI: 'true' },
    encoding: 'utf8',
  });
  if (result.status !== 0)
    throw new Error(`migrations could not be applied:\n${result.stdout}${result.stderr}`);
  mkdirSync(state, { recursive: true });
  writeFileSync(mark, applied);
}
