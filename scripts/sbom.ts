/**
 * `npm run sbom`: writes a software bill of materials (CycloneDX 1.5, JSON) to `dist/sbom.cdx.json`, or to the file of
 * `-- --out FILE`.
 *
 * npm lists every package of the lock file, with its hash and its licence. wrangler says which of them are in the Worker, and Vite
 * which are in the console: their scope is `required`. The others build and test the service; their scope is `excluded`.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildConsole } from './console.ts';

interface Component {
  /** The name and the version: `hono@4.13.19`. */
  readonly 'bom-ref': string;
  name: string;
  scope?: 'required' | 'optional' | 'excluded';
}

interface Bom {
  metadata: { component: Component };
  components: Component[];
}

/** What esbuild says of a bundle. */
interface Metafile {
  readonly outputs: Readonly<
    Record<string, { readonly inputs: Readonly<Record<string, { readonly bytesInOutput: number }>> }>
  >;
}

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const { values } = parseArgs({
  options: { out: { type: 'string', default: join(root, 'dist/sbom.cdx.json') } },
});

const bom = listPackages();
const bundled = new Set([...packagesInWorker(), ...packagesOf(await buildConsole())]);
const { name } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { name: string };
bom.metadata.component.name = name;
for (const component of bom.components) {
  component.scope = bundled.has(component['bom-ref']) ? 'required' : 'excluded';
}
const required = bom.components.filter(({ scope }) => scope === 'required').length;
if (required !== bundled.size) {
  console.error(
    `Worker and console have ${bundled.size} packages, and the lock file knows ${required} of them: run npm ci`,
  );
  process.exit(1);
}
const out = resolve(values.out);
mkdirSync(dirname(out), { recursive: true });
writeFileSync(out, `${JSON.stringify(bom, null, 2)}\n`);
console.log(`${out}: ${bom.components.length} packages, ${required} of them in the Worker or the console`);

/**
 * Every package of the lock file, of every system. `--omit dev` would be shorter and wrong: npm then leaves out packages
 * that the Worker and a tool both need.
 */
function listPackages(): Bom {
  const args = ['sbom', '--sbom-format', 'cyclonedx', '--sbom-type', 'application', '--package-lock-only'];
  const text = execFileSync('npm', args, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
    shell: process.platform === 'win32',
  });
  return JSON.parse(text) as Bom;
}

/** The packages whose code is in the bundle, with their versions: `hono@4.13.19`. */
function packagesInWorker(): Set<string> {
  const folder = mkdtempSync(join(tmpdir(), 'sbom-'));
  try {
    const wrangler = join(
      dirname(createRequire(import.meta.url).resolve('wrangler/package.json')),
      'bin/wrangler.js',
    );
    const metafile = join(folder, 'meta.json');
    const args = ['deploy', '--dry-run', '--outdir', folder, '--metafile', metafile];
    const env = { ...process.env, WRANGLER_SEND_METRICS: 'false' };
    execFileSync(process.execPath, [wrangler, ...args], {
      cwd: root,
      env,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const { outputs } = JSON.parse(readFileSync(metafile, 'utf8')) as Metafile;
    const files = Object.values(outputs).flatMap(({ inputs }) =>
      Object.entries(inputs)
        .filter(([, { bytesInOutput }]) => bytesInOutput > 0)
        .map(([file]) => file),
    );
    return packagesOf(files);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The packages that files belong to, with their versions. Files of the project belong to none. */
function packagesOf(files: readonly string[]): Set<string> {
  const folders = files.flatMap((file) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0] ?? []);
  return new Set([...new Set(folders)].map(packageIn));
}

/** @param folder of an installed package, from the root of the project or absolute */
function packageIn(folder: string): string {
  const manifest = JSON.parse(readFileSync(resolve(root, folder, 'package.json'), 'utf8')) as {
    name: string;
    version: string;
  };
  return `${manifest.name}@${manifest.version}`;
}
