/**
 * What the start of an isolate costs, in figures that do not depend on the machine: the parts of schemas that it makes, and the code that
 * it runs. The platform starts isolates for consumers and event stores all the time, and each of them pays this.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build, type Plugin } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { unstable_readConfig } from 'wrangler';

const ROOT = join(import.meta.dirname, '../..');
const ENTRY = 'src/index.ts';
const CONDITIONS = ['workerd', 'worker', 'browser'];
const COUNTED = /zod\/v4\/core\/core\.js$/;
/** Where zod begins to make a part of a schema. */
const MAKING = 'function init(inst, def) {';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'start-up-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Counts the parts of schemas, and stands for the platform's own modules. */
const counting: Plugin = {
  name: 'counting',
  setup(bundler) {
    bundler.onResolve({ filter: /^cloudflare:/ }, ({ path }) => ({ path, namespace: 'platform' }));
    bundler.onLoad({ filter: /./, namespace: 'platform' }, () => ({
      contents: 'export class DurableObject {}\nexport class WorkerEntrypoint {}\nexport const env = {};',
    }));
    bundler.onLoad({ filter: COUNTED }, ({ path }) => {
      const text = readFileSync(path, 'utf8');
      const contents = text.replace(MAKING, `${MAKING} globalThis.madeParts++;`);
      if (contents === text) throw new Error(`${path} makes schemas in another way now`);
      return { contents };
    });
  },
};

interface Started {
  default: {
    fetch(request: Request, env: object, ctx: object): Promise<Response>;
  };
}

describe('the start of an isolate', () => {
  it('an isolate makes at most 1,600 parts of schemas before its first call, a third of all', async () => {
    const outfile = join(folder, 'worker.mjs');
    await build({
      absWorkingDir: ROOT,
      entryPoints: [ENTRY],
      bundle: true,
      format: 'esm',
      outfile,
      plugins: [counting],
      external: ['node:*'],
      conditions: CONDITIONS,
      logLevel: 'silent',
    });
    const counter = globalThis as { madeParts?: number };
    counter.madeParts = 0;
    const worker = (await import(/* @vite-ignore */ pathToFileURL(outfile).href)) as Started;
    const atStart = counter.madeParts;
    // Without a configuration every call is a 500, which the log names.
    vi.spyOn(console, 'error').mockImplementationOnce(() => undefined);
    const request = new Request('http://webhooks.test/healthz');
    const { status } = await worker.default.fetch(request, {}, { waitUntil: () => undefined });
    expect(status).toBe(500);
    const all = counter.madeParts;
    expect(atStart).toBeGreaterThan(100);
    expect(atStart).toBeLessThanOrEqual(1600);
    expect(atStart).toBeLessThan(all / 3);
  });

  it('an isolate runs less code before its first call than the Worker has', async () => {
    const { metafile } = await build({
      absWorkingDir: ROOT,
      entryPoints: [ENTRY],
      bundle: true,
      splitting: true,
      minify: true,
      format: 'esm',
      outdir: folder,
      write: false,
      metafile: true,
      external: ['cloudflare:*', 'node:*'],
      conditions: CONDITIONS,
      logLevel: 'silent',
    });
    const outputs = metafile.outputs;
    const atStart = new Set<string>();
    const visit = (file: string) => {
      if (atStart.has(file)) return;
      atStart.add(file);
      for (const { path, kind, external } of outputs[file]?.imports ?? []) {
        if (kind === 'import-statement' && external !== true) visit(path);
      }
    };
    const [entry] = Object.entries(outputs).find(([, { entryPoint }]) => entryPoint === ENTRY) ?? [''];
    visit(entry);
    const bytes = (files: Iterable<string>) =>
      [...files].reduce((sum, file) => sum + (outputs[file]?.bytes ?? 0), 0);
    const modules = [...atStart].flatMap((file) => Object.keys(outputs[file]?.inputs ?? {}));
    expect(modules).toContain('src/queue/events.ts');
    expect(modules.filter((path) => /^src\/http\/|node_modules\/(@hono|hono)\//.test(path))).toEqual([]);
    expect(bytes(atStart)).toBeLessThan(bytes(Object.keys(outputs)) - 150_000);
  });

  it('an isolate reads none of the messages that zod has in sixty languages', async () => {
    const { alias = {} } = unstable_readConfig({ config: join(ROOT, 'wrangler.toml') });
    const importers = new Set<string>();
    // As wrangler replaces imports: by their exact text, in any file.
    const aliases: Plugin = {
      name: 'aliases',
      setup(bundler) {
        bundler.onResolve({ filter: /./ }, ({ path, importer }) => {
          const other = alias[path];
          if (other === undefined) return undefined;
          importers.add(relative(ROOT, dirname(importer)));
          return { path: join(ROOT, other) };
        });
      },
    };
    const { metafile } = await build({
      absWorkingDir: ROOT,
      entryPoints: [ENTRY],
      bundle: true,
      format: 'esm',
      write: false,
      outfile: 'worker.mjs',
      metafile: true,
      plugins: [aliases],
      external: ['cloudflare:*', 'node:*'],
      conditions: CONDITIONS,
      logLevel: 'silent',
    });
    expect([...importers].sort()).toEqual(['node_modules/zod/v4/classic', 'node_modules/zod/v4/core']);
    const languages = Object.keys(metafile.inputs).filter((path) => path.includes('zod/v4/locales/'));
    expect(languages).toEqual(['node_modules/zod/v4/locales/en.js']);
  });
});
