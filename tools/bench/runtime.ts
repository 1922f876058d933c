/** Runs the built Worker in the local runtime, without the development server, whose proxy is slower than the Worker. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { convertV4MiniflareOptions, Miniflare } from 'miniflare';
import { unstable_getMiniflareWorkerOptions, unstable_splitSqlQuery } from 'wrangler';
import { freePort } from '../harness/service.ts';

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '../..');
/** The Workers that only the benchmark runs. */
const WORKERS = join(import.meta.dirname, 'worker');
const PREFIX = 'identity-webhooks-bench-';
const MEMORY_FILES = '/dev/shm';
const STATE_MAX_BYTES = 1_000_000_000;

export interface Runtime {
  readonly url: string;
  readonly operatorToken: string;
  /** Processor time that the runtime has used so far, ms; `undefined` where there is no /proc. */
  cpuMs(): number | undefined;
  /** Memory that the runtime has at the moment, MB; `undefined` where there is no /proc. */
  memoryMb(): number | undefined;
  stop(): Promise<void>;
}

/**
 * Bundles the Worker as a deployment would.
 * @param entry a file of worker/ to build instead of the entry file in wrangler.toml
 * @param isReadable keeps the names of functions and their lines, which a deployment does not
 * @returns path of the bundle
 */
export async function buildWorker(entry?: string, isReadable = false): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), PREFIX));
  const from = entry === undefined ? [] : [join(WORKERS, entry)];
  await run('wrangler', ['deploy', ...from, '--dry-run', '--outdir', directory, `--minify=${!isReadable}`], {
    cwd: ROOT,
    env: { ...process.env, WRANGLER_SEND_METRICS: 'false' },
  });
  return join(directory, `${basename(entry ?? 'index.ts', '.ts')}.js`);
}

/** Starts a built Worker with bindings and queues as in wrangler.toml, and an empty database. */
export async function startRuntime(
  file: string,
  variables: Readonly<Record<string, string>> = {},
  inspectorPort?: number,
): Promise<Runtime> {
  const { workerOptions: all } = unstable_getMiniflareWorkerOptions(join(ROOT, 'wrangler.toml'));
  // Without the pages: to look for them takes two Workers of the local runtime for each call, and on the platform none.
  const { assets: _, ...workerOptions } = all;
  const operatorToken = randomBytes(24).toString('hex');
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const state = mkdtempSync(join(placeForState(), PREFIX));
  const options = {
    ...workerOptions,
    modulesRoot: dirname(file),
    modules: [{ type: 'ESModule', path: file }],
    host: '127.0.0.1',
    port,
    d1Persist: join(state, 'd1'),
    durableObjectsPersist: join(state, 'objects'),
    ...(inspectorPort === undefined ? {} : { inspectorPort }),
    // The Worker writes its log lines as in production; the terminal does not show them.
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
  const before = runtimesOfOurs();
  const miniflare = new Miniflare(
    convertV4MiniflareOptions(options as Parameters<typeof convertV4MiniflareOptions>[0]),
  );
  await miniflare.ready;
  await migrate(await miniflare.getD1Database('DB'));
  const processor = new Processor(before);
  return {
    url,
    operatorToken,
    cpuMs: () => processor.ms(),
    memoryMb: () => processor.memoryMb(),
    stop: async () => {
      await miniflare.dispose();
      remove(state);
    },
  };
}

/** A Worker without our code. */
export interface BareWorker {
  readonly url: string;
  /** Processor time that the runtime has used so far, ms; `undefined` where there is no /proc. */
  cpuMs(): number | undefined;
  stop(): Promise<void>;
}

/**
 * Starts a file of worker/ as it is, with a queue `HOP` set as `webhook-events` is, and a database `DB`.
 * @param object name of the class that the binding `STORE` has, if there is one
 */
export async function startBareWorker(file: string, object?: string): Promise<BareWorker> {
  const port = await freePort();
  const state = mkdtempSync(join(placeForState(), PREFIX));
  const before = runtimesOfOurs();
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      modules: true,
      script: readFileSync(join(WORKERS, file), 'utf8'),
      compatibilityDate: '2026-10-01',
      queueProducers: { HOP: 'hop' },
      queueConsumers: { hop: { maxBatchSize: 20, maxBatchTimeout: 0 } },
      d1Databases: { DB: 'bare' },
      d1Persist: join(state, 'd1'),
      durableObjects: object === undefined ? {} : { STORE: { className: object, useSQLite: true } },
      durableObjectsPersist: join(state, 'objects'),
      host: '127.0.0.1',
      port,
    }),
  );
  await miniflare.ready;
  const processor = new Processor(before);
  return {
    url: `http://127.0.0.1:${port}`,
    cpuMs: () => processor.ms(),
    stop: async () => {
      await miniflare.dispose();
      remove(state);
    },
  };
}

export function removeBuild(file: string): void {
  remove(dirname(file));
}

function remove(directory: string): void {
  rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
}

/** A folder in memory if there is one with enough space, so that the speed of this machine's disk does not count. */
function placeForState(): string {
  try {
    const { bavail, bsize } = statfsSync(MEMORY_FILES);
    if (bavail * bsize >= STATE_MAX_BYTES) return MEMORY_FILES;
  } catch {}
  return tmpdir();
}

/** Ticks a second in /proc on Linux. */
const TICKS = 100;

/** A page of memory in /proc on Linux, as nearly everywhere, MB. */
const PAGE_MB = 4096 / 1e6;

/** Processor time and memory of the runtime process that was started after some others. */
class Processor {
  readonly #pids: readonly string[];

  constructor(others: ReadonlySet<string>) {
    this.#pids = [...runtimesOfOurs()].filter((pid) => !others.has(pid));
  }

  ms(): number | undefined {
    const fields = this.#fields();
    return fields && ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS;
  }

  memoryMb(): number | undefined {
    const fields = this.#fields();
    return fields && Number(fields[21]) * PAGE_MB;
  }

  #fields(): string[] | undefined {
    const [pid, ...more] = this.#pids;
    return pid === undefined || more.length > 0 ? undefined : statOf(pid);
  }
}

/** @returns ids of the processes that this process started */
function runtimesOfOurs(): Set<string> {
  if (process.platform !== 'linux') return new Set();
  return new Set(
    readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && statOf(pid)[1] === String(process.pid)),
  );
}

/** @returns the fields after the name in /proc/…/stat: state, parent, …, user and system ticks, …, pages of memory */
function statOf(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
  } catch {
    return []; // the process has ended
  }
}

async function migrate(db: { prepare(query: string): { run(): Promise<unknown> } }): Promise<void> {
  const folder = join(ROOT, 'migrations');
  for (const file of readdirSync(folder).sort()) {
    const text = readFileSync(join(folder, file), 'utf8').replaceAll(/^--.*$/gm, '');
    // As `wrangler d1 migrations apply` splits it: a trigger has semicolons of its own.
    for (const statement of unstable_splitSqlQuery(text)) await db.prepare(statement).run();
  }
}
