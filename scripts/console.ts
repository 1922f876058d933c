/**
 * Builds the console, `apps/console`, to `public/console`, from where the Worker serves it. `npm start` and `npx wrangler dev` build it
 * when it is missing or older than its sources; a deployment always builds it.
 *
 * The files are made in a folder of their own and then moved to their place, so a build that dies leaves the earlier console, and two
 * builds at once leave one whole console.
 */
import { globSync, mkdirSync, mkdtempSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
export const CONSOLE = join(ROOT, 'public', 'console');

/** What the built console depends on. Types of the client leave no trace in it. */
const SOURCES = ['apps/console/*', 'apps/console/src/**/*', 'package-lock.json'];

/** Whether the console is missing, or one of its sources is newer. */
export function isConsoleOld(): boolean {
  const built = statSync(join(CONSOLE, 'index.html'), { throwIfNoEntry: false })?.mtimeMs;
  if (built === undefined) return true;
  const sources = globSync(SOURCES, { cwd: ROOT, exclude: (name) => name === 'node_modules' });
  return sources.some((path) => {
    const source = statSync(join(ROOT, path), { throwIfNoEntry: false });
    return source?.isFile() === true && source.mtimeMs > built;
  });
}

/**
 * @returns the files that are in the console: of packages, too
 * @throws Error with what is wrong in the sources
 */
export async function buildConsole(): Promise<readonly string[]> {
  const { build } = await import('vite');
  mkdirSync(join(ROOT, 'dist'), { recursive: true });
  const draft = mkdtempSync(join(ROOT, 'dist', 'console-'));
  // With another value, as that of a test or of a shell, Vite makes a build for debugging: a fifth larger.
  const environment = process.env['NODE_ENV'];
  process.env['NODE_ENV'] = 'production';
  try {
    const made = await build({
      configFile: join(ROOT, 'apps', 'console', 'vite.config.ts'),
      logLevel: 'warn',
      build: { outDir: draft, emptyOutDir: true },
    });
    place(draft);
    const outputs = [made].flat().flatMap((one) => ('output' in one ? one.output : []));
    return outputs.flatMap((file) => (file.type === 'chunk' ? file.moduleIds : []));
  } finally {
    if (environment === undefined) delete process.env['NODE_ENV'];
    else process.env['NODE_ENV'] = environment;
    rmSync(draft, { recursive: true, force: true });
  }
}

function place(draft: string): void {
  rmSync(CONSOLE, { recursive: true, force: true });
  try {
    renameSync(draft, CONSOLE);
  } catch (error) {
    // Another build was placed between the two steps: it has the same sources.
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
  }
}
