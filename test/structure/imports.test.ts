/** Who imports whom: read from the import lines of src, and held against the layers of the design. */
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';

const SRC = join(import.meta.dirname, '../../src');

interface Import {
  /** A path below src, or the name of a package. */
  readonly target: string;
  readonly ours: boolean;
  /** Vanishes when the types do. */
  readonly typeOnly: boolean;
}

interface Module {
  readonly path: string;
  readonly text: string;
  readonly imports: readonly Import[];
}

const modules: readonly Module[] = globSync('**/*.ts', { cwd: SRC })
  .filter((path) => !path.endsWith('.d.ts'))
  .sort()
  .map((path) => {
    const text = withoutComments(readFileSync(join(SRC, path), 'utf8'));
    return { path, text, imports: importsOf(path, text) };
  });

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '');
}

function importsOf(path: string, text: string): Import[] {
  const statement = /^(?:import|export)\s+(type\s+)?(?:([\w*{][^'";=]*?)\s+from\s+)?'([^']+)';/gm;
  return [...text.matchAll(statement)].map(([, type, clause = '', target = '']) => {
    const ours = target.startsWith('.');
    return {
      target: ours ? normalize(join(dirname(path), target)) : target,
      ours,
      typeOnly: type !== undefined || /^\{(\s*type\s[^,}]+,?)+\s*\}$/.test(clause),
    };
  });
}

/** A folder of src, or a file at its root without its ending. */
function layerOf(path: string): string {
  return path.includes('/') ? path.slice(0, path.indexOf('/')) : path.replace(/\.ts$/, '');
}

interface Rule {
  /** Layers, or single files of one, beside the layer itself. */
  readonly ours: readonly string[];
  /** Of these the types alone. */
  readonly types?: readonly string[];
  readonly packages: readonly string[];
}

const BELOW_DELIVERY = ['domain', 'storage', 'signing', 'outbound', 'event-store', 'config', 'env', 'log'];
const DOORS = ['services', 'operations', 'delivery', ...BELOW_DELIVERY];

const RULES: Readonly<Record<string, Rule>> = {
  domain: { ours: [], packages: ['zod', 'uuid', 'ipaddr.js', 're2js', '@cfworker/json-schema'] },
  log: { ours: [], types: ['log-events'], packages: [] },
  'log-events': { ours: [], packages: [] },
  env: { ours: [], packages: [] },
  config: { ours: ['domain/leases.ts'], types: ['env'], packages: ['zod'] },
  storage: { ours: ['domain'], packages: ['drizzle-orm'] },
  // A key that does not open is logged where it is skipped. Keys and what seals them are described by the rows
  // and the configuration they come from; both are handed in.
  signing: { ours: ['domain', 'log'], types: ['storage'], packages: ['jose', 'zod'] },
  outbound: { ours: ['domain'], packages: ['zod', 'node:dns/promises'] },
  // The alarm sends what is due to a queue.
  'event-store': {
    ours: ['domain', 'outbound/queues.ts', 'config', 'log'],
    types: ['env'],
    packages: ['cloudflare:workers', 'zod', 'node:zlib'],
  },
  delivery: { ours: BELOW_DELIVERY, packages: ['p-limit', 'zod'] },
  operations: { ours: BELOW_DELIVERY, packages: ['p-limit'] },
  services: { ours: BELOW_DELIVERY, packages: [] },
  queue: { ours: DOORS, packages: ['zod'] },
  cron: { ours: DOORS, packages: [] },
  http: { ours: DOORS, packages: ['hono', '@hono/zod-openapi', 'zod'] },
  publisher: { ours: DOORS, packages: ['cloudflare:workers'] },
  index: { ours: ['http', 'queue', 'cron', 'publisher', ...DOORS], packages: [] },
};

function permitted(rule: Rule, layer: string, { target, ours, typeOnly }: Import): boolean {
  if (!ours) return rule.packages.some((name) => target === name || target.startsWith(`${name}/`));
  const names = [layer, ...rule.ours, ...(typeOnly ? (rule.types ?? []) : [])];
  return names.includes(layerOf(target)) || names.includes(target);
}

describe('the import lines', () => {
  it('are found, each of a file that exists', () => {
    expect(modules.length).toBeGreaterThan(40);
    const imports = modules.flatMap((module) => module.imports);
    expect(imports.length).toBeGreaterThan(200);
    const mentions = modules.flatMap(({ text }) => text.match(/\sfrom '[^']+';|^import '/gm) ?? []);
    expect(imports).toHaveLength(mentions.length);
    const paths = modules.map((module) => module.path);
    for (const { target, ours } of imports) if (ours) expect(paths).toContain(target);
  });

  it('tell imports of types from imports of values', () => {
    const kinds = importsOf(
      'domain/x.ts',
      [
        "import type { A } from './a.ts';",
        "import { type B, type C } from './b.ts';",
        "import { type D, e } from './d.ts';",
        "import f from 'f';",
        "import './g.ts';",
        "export { H } from '../h.ts';",
        "import {\n  type I,\n  type J,\n} from './i.ts';",
      ].join('\n'),
    );
    expect(kinds.map(({ target, typeOnly }) => [target, typeOnly])).toEqual([
      ['domain/a.ts', true],
      ['domain/b.ts', true],
      ['domain/d.ts', false],
      ['f', false],
      ['domain/g.ts', false],
      ['h.ts', false],
      ['domain/i.ts', true],
    ]);
  });

  it('are the only way in: nothing is imported while it runs', () => {
    expect(modules.filter(({ text }) => /\bimport\(|\brequire\(/.test(text)).map(({ path }) => path)).toEqual(
      [],
    );
  });
});

describe('imports point one way', () => {
  it('from layers that have a rule', () => {
    expect([...new Set(modules.map(({ path }) => layerOf(path)))].sort()).toEqual(Object.keys(RULES).sort());
  });

  it.each(Object.entries(RULES))('from %s to what lies below it', (layer, rule) => {
    const own = modules.filter(({ path }) => layerOf(path) === layer);
    const wrong = own.flatMap(({ path, imports }) =>
      imports.filter((one) => !permitted(rule, layer, one)).map((one) => `${path} imports ${one.target}`),
    );
    expect(wrong).toEqual([]);
  });

  it('and never to the entry', () => {
    const importing = modules.filter(({ imports }) => imports.some(({ target }) => target === 'index.ts'));
    expect(importing.map(({ path }) => path)).toEqual([]);
  });

  it('with no way back to where they started', () => {
    const valueImports = new Map(
      modules.map(({ path, imports }) => [
        path,
        imports.filter(({ ours, typeOnly }) => ours && !typeOnly).map(({ target }) => target),
      ]),
    );
    expect(modules.flatMap(({ path }) => cyclesFrom(path, valueImports))).toEqual([]);
  });
});

/** The ways from a module back to itself. */
function cyclesFrom(start: string, imports: ReadonlyMap<string, readonly string[]>): string[] {
  const seen = new Set<string>();
  const cycles: string[] = [];
  const visit = (path: string, way: readonly string[]) => {
    for (const next of imports.get(path) ?? []) {
      if (next === start) cycles.push([...way, next].join(' → '));
      if (seen.has(next)) continue;
      seen.add(next);
      visit(next, [...way, next]);
    }
  };
  visit(start, [start]);
  return cycles;
}

describe('the domain', () => {
  it.each([
    ['the clock', /\bDate\.now\b|\bnew Date\(\s*\)|\bperformance\b|\bTemporal\.Now\b/],
    ['chance', /\bMath\.random\b|\bcrypto\b|\bv4\b|\bulid\b/],
    ['the network', /\bfetch\b|\bWebSocket\b|\bconnect\(/],
    ['timers', /\bset(Timeout|Interval|Immediate)\b|\bscheduler\b/],
    ['the environment', /\bprocess\b|\bglobalThis\b|\benv\b|\bcaches\b|\bconsole\b/],
  ])('leaves %s alone', (_, pattern) => {
    const using = modules.filter(({ path, text }) => layerOf(path) === 'domain' && pattern.test(text));
    expect(using.map(({ path }) => path)).toEqual([]);
  });
});
