/**
 * Lets Node load src: `cloudflare:workers` exists only in the platform's runtime. Import it before anything of src.
 *
 * An isolate has its own copy of every module of src, and so its own caches. `loadIsolates` makes such copies: a module that
 * is imported from a copy is a copy too.
 */
import { registerHooks } from 'node:module';
import type { createHandler } from './entry.ts';
import { ROOT } from './platform.ts';

const SRC = new URL(`file://${ROOT}/src/`).href;

registerHooks({
  resolve: (specifier, context, nextResolve) => {
    if (specifier === 'cloudflare:workers') {
      return { url: new URL('cloudflare-workers.ts', import.meta.url).href, shortCircuit: true };
    }
    const resolved = nextResolve(specifier, context);
    const isolate = /\?isolate=\d+$/.exec(context.parentURL ?? '')?.[0] ?? '';
    return resolved.url.startsWith(SRC) ? { ...resolved, url: resolved.url + isolate } : resolved;
  },
});

/** @returns the handlers of so many isolates */
export async function loadIsolates(count: number): Promise<(typeof createHandler)[]> {
  const entries = Array.from({ length: count }, (_, index) => `./entry.ts?isolate=${index}`);
  const loaded = await Promise.all(
    entries.map((entry) => import(entry) as Promise<typeof import('./entry.ts')>),
  );
  return loaded.map((entry) => entry.createHandler);
}
