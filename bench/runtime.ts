/** The built Worker in the local runtime, without the development server before it, whose proxy would be what is measured. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { convertV4MiniflareOptions, Miniflare } from 'miniflare';
import { unstable_getMiniflareWorkerOptions } from 'wrangler';
import { freePort } from '../scripts/service.ts';

export interface Runtime {
  readonly url: string;
  readonly operatorToken: string;
  stop(): Promise<void>;
}

/** Bundles the Worker as a deployment would. @returns the folder it is in */
export function buildWorker(): string {
  const directory = mkdtempSync(join(tmpdir(), 'identity-webhooks-bench-'));
  execFileSync('wrangler', ['deploy', '--dry-run', '--outdir', directory], {
    stdio: 'ignore',
    env: { ...process.env, WRANGLER_SEND_METRICS: 'false' },
  });
  return directory;
}

/** Starts the Worker of `directory` with bindings and queues as in wrangler.toml, and an empty database. */
export async function startRuntime(
  directory: string,
  variables: Readonly<Record<string, string>> = {},
): Promise<Runtime> {
  const { workerOptions } = unstable_getMiniflareWorkerOptions('./wrangler.toml');
  const operatorToken = randomBytes(24).toString('hex');
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const options = {
    ...workerOptions,
    modulesRoot: directory,
    modules: [{ type: 'ESModule', path: join(directory, 'index.js') }],
    host: '127.0.0.1',
    port,
    // Its log lines are work of the service, and none of the terminal's.
    handleStructuredLogs: () => undefined,
    bindings: {
      ...(workerOptions['bindings'] as Record<string, unknown>),
      BASE_URL: url,
      ALLOW_PRIVATE_ENDPOINTS: 'true',
      OPERATOR_TOKEN: operatorToken,
      KEY_ENCRYPTION_KEY: randomBytes(32).toString('base64'),
      TOKEN_SIGNING_KEY: randomBytes(32).toString('base64'),
      ...variables,
    },
  };
  // The options come from wrangler in the form of miniflare's last major version.
  const miniflare = new Miniflare(
    convertV4MiniflareOptions(options as Parameters<typeof convertV4MiniflareOptions>[0]),
  );
  await miniflare.ready;
  await migrate(await miniflare.getD1Database('DB'));
  return { url, operatorToken, stop: () => miniflare.dispose() };
}

/** A Worker of one file, for comparison. */
export async function startBareWorker(file: string): Promise<{ url: string; stop(): Promise<void> }> {
  const port = await freePort();
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      modules: true,
      script: readFileSync(file, 'utf8'),
      compatibilityDate: '2026-10-01',
      host: '127.0.0.1',
      port,
    }),
  );
  await miniflare.ready;
  return { url: `http://127.0.0.1:${port}`, stop: () => miniflare.dispose() };
}

export function removeBuild(directory: string): void {
  rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
}

async function migrate(db: { prepare(query: string): { run(): Promise<unknown> } }): Promise<void> {
  for (const file of readdirSync('migrations').sort()) {
    const text = readFileSync(join('migrations', file), 'utf8').replaceAll(/^--.*$/gm, '');
    for (const statement of text.split(/;\s*$/m))
      if (statement.trim() !== '') await db.prepare(statement).run();
  }
}
