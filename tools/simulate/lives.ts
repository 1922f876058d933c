/**
 * Runs lives of the simulation in this process, and reports to its parent. It gives the event store the parts of the platform
 * that Node lacks, and with `--limits small` a tuning so small that a short life meets every limit.
 */
import { registerHooks } from 'node:module';
import { parseArgs } from 'node:util';

const PLATFORM = new URL('../../test/simulation/platform/cloudflare-workers.ts', import.meta.url).href;
const SIMULATION = new URL('../../test/simulation/', import.meta.url);
const TUNING = new URL('../../src/event-store/tuning.ts', import.meta.url).href;

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    seeds: { type: 'string', default: '1' },
    limits: { type: 'string', default: 'real' },
  },
});

interface Life {
  readonly seed: number;
  readonly steps: number;
  readonly figures: { readonly faults: Readonly<Record<string, number>> } & Readonly<Record<string, unknown>>;
  readonly failure?: string;
}

if (values.limits === 'small') {
  const { SMALL_LIMITS } = (await import(new URL('small-limits.ts', SIMULATION).href)) as {
    SMALL_LIMITS: Readonly<Record<string, number>>;
  };
  registerHooks({
    load: (url, context, next) => {
      const loaded = next(url, context);
      if (url !== TUNING) return loaded;
      const source = String(loaded.source).replace(/export const (\w+) = [^;]+;/g, (line, name: string) =>
        name in SMALL_LIMITS ? `export const ${name} = ${SMALL_LIMITS[name]};` : line,
      );
      return { ...loaded, source };
    },
  });
}
registerHooks({
  resolve: (specifier, context, next) =>
    specifier === 'cloudflare:workers' ? { url: PLATFORM, shortCircuit: true } : next(specifier, context),
});
const { live } = (await import(new URL('life.ts', SIMULATION).href)) as {
  live(seed: number): Promise<Life>;
};

for (let seed = Number(values.seed), end = seed + Number(values.seeds); seed < end; seed++) {
  const life = await live(seed);
  if (process.send === undefined) console.log(life.failure ?? life);
  else process.send(life);
  if (life.failure !== undefined) process.exitCode = 1;
}
