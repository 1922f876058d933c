/** Lets Node load src: `cloudflare:workers` exists only in the platform's runtime. Import it before anything of src. */
import { registerHooks } from 'node:module';

registerHooks({
  resolve: (specifier, context, nextResolve) =>
    specifier === 'cloudflare:workers'
      ? { url: new URL('cloudflare-workers.ts', import.meta.url).href, shortCircuit: true }
      : nextResolve(specifier, context),
});
