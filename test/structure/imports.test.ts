/** Reads the import lines of src and checks them against the layers of the architecture. */
import { describe, expect, it } from 'vitest';
import { type Import, importsOf, modulesOfSrc } from './source.ts';

const modules = modulesOfSrc();

/** A folder of src, or a file at its root without its extension. */
function layerOf(path: string): string {
  return path.includes('/') ? path.slice(0, path.indexOf('/')) : path.replace(/\.ts$/, '');
}

interface Rule {
  /** Layers, or single files of a layer, that may be imported. The layer itself always may. */
  readonly ours: readonly string[];
  /** Layers of which only types may be imported. */
  readonly types?: readonly string[];
  readonly packages: readonly string[];
}

const BELOW_DELIVERY = [
  'domain',
  'storage',
  'signing',
  'outbound',
  'host-limit',
  'event-store',
  'bounded-cache',
  'cell',
  'config',
  'env',
  'log',
];
const DOORS = ['services', 'operations', 'delivery', ...BELOW_DELIVERY];

const RULES: Readonly<Record<string, Rule>> = {
  domain: { ours: [], packages: ['zod', 'uuid', 'ipaddr.js', 're2js'] },
  log: { ours: [], types: ['log-events'], packages: [] },
  'log-events': { ours: [], packages: [] },
  env: { ours: [], packages: [] },
  'bounded-cache': { ours: [], packages: [] },
  cell: { ours: [], packages: [] },
  config: { ours: ['domain/leases.ts', 'cell'], types: ['env'], packages: ['zod'] },
  storage: { ours: ['domain'], packages: ['drizzle-orm'] },
  // A key that does not open is logged where it is skipped. Keys and what seals them are described by the rows
  // and the configuration they come from; both are handed in.
  signing: { ours: ['domain', 'bounded-cache', 'log'], types: ['storage'], packages: ['jose', 'zod'] },
  outbound: { ours: ['domain', 'bounded-cache'], packages: ['zod'] },
  'host-limit': { ours: ['domain', 'cell', 'log'], types: ['env'], packages: ['cloudflare:workers'] },
  // The alarm asks hosts for places, and sends what is due to a queue.
  'event-store': {
    ours: ['bounded-cache', 'domain', 'outbound/queues.ts', 'host-limit', 'cell', 'config', 'log'],
    types: ['env'],
    packages: ['cloudflare:workers', 'zod', 'node:zlib'],
  },
  delivery: { ours: BELOW_DELIVERY, packages: ['p-limit', 'zod'] },
  operations: { ours: BELOW_DELIVERY, packages: ['p-limit'] },
  services: { ours: ['operations', ...BELOW_DELIVERY], types: ['delivery'], packages: [] },
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
  it('every import line of src is found, and names a file that exists', () => {
    expect(modules.length).toBeGreaterThan(40);
    const imports = modules.flatMap((module) => module.imports);
    expect(imports.length).toBeGreaterThan(200);
    const mentions = modules.flatMap(({ text }) => text.match(/\sfrom '[^']+';|^import '/gm) ?? []);
    expect(imports).toHaveLength(mentions.length);
    const paths = modules.map((module) => module.path);
    for (const { target, ours } of imports) if (ours) expect(paths).toContain(target);
  });

  it('the reader of imports separates imports of types from imports of values', () => {
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

  it('only the entry file uses import(), for the app alone, and no module uses require()', () => {
    const found = modules.flatMap(({ path, text }) =>
      [...text.matchAll(/\b(import|require)\s*\([^)]*\)/g)].map(([call]) => `${path}: ${call}`),
    );
    expect(found).toEqual(["index.ts: import('./http/app.ts')"]);
  });
});

describe('the start of an isolate', () => {
  /** The modules that run before the first call, and the packages that they import. */
  const atStart = new Set<string>();
  const visit = (path: string) => {
    if (atStart.has(path)) return;
    atStart.add(path);
    const { imports = [] } = modules.find((module) => module.path === path) ?? {};
    for (const { target, typeOnly } of imports) if (!typeOnly) visit(target);
  };
  visit('index.ts');

  it('the start of an isolate runs no module of http: consumers and event stores need no routes', () => {
    expect(atStart).toContain('queue/events.ts');
    expect(atStart).toContain('event-store/living-store.ts');
    const ofHttp = [...atStart].filter((target) => /^http\/|^@?hono/.test(target));
    expect(ofHttp).toEqual([]);
  });

  it('the start of an isolate makes no schema of a body that the API alone reads', () => {
    const bodies = ['domain/subscription-body.ts', 'domain/filter-test.ts', 'domain/redelivery.ts'];
    expect(bodies.filter((path) => !modules.some((module) => module.path === path))).toEqual([]);
    expect(bodies.filter((path) => atStart.has(path))).toEqual([]);
  });
});

describe('the direction of imports', () => {
  it('every layer of src has a rule, and every rule has a layer', () => {
    expect([...new Set(modules.map(({ path }) => layerOf(path)))].sort()).toEqual(Object.keys(RULES).sort());
  });

  it.each(Object.entries(RULES))('the layer %s imports only what its rule permits', (layer, rule) => {
    const own = modules.filter(({ path }) => layerOf(path) === layer);
    const wrong = own.flatMap(({ path, imports }) =>
      imports.filter((one) => !permitted(rule, layer, one)).map((one) => `${path} imports ${one.target}`),
    );
    expect(wrong).toEqual([]);
  });

  it('no module of src imports the entry file', () => {
    const importing = modules.filter(({ imports }) => imports.some(({ target }) => target === 'index.ts'));
    expect(importing.map(({ path }) => path)).toEqual([]);
  });

  it('the imports of src have no cycle, imports of types included', () => {
    const ours = new Map(
      modules.map(({ path, imports }) => [
        path,
        imports.filter((one) => one.ours).map(({ target }) => target),
      ]),
    );
    expect(modules.flatMap(({ path }) => cyclesFrom(path, ours))).toEqual([]);
  });
});

/** Modules that import a target, as long as neither is in the same room. */
function importsFrom(from: (path: string) => boolean, to: (target: string) => boolean): string[] {
  return modules
    .filter(({ path }) => from(path))
    .flatMap(({ path, imports }) =>
      imports
        .filter(({ ours, target }) => ours && to(target))
        .map(({ target }) => `${path} imports ${target}`),
    );
}

const within = (room: string) => (path: string) => path.startsWith(`${room}/`);

describe('the rooms', () => {
  it('only event-store/client.ts and event-store/rpc.ts are imported from outside the event store', () => {
    const doors = ['event-store/client.ts', 'event-store/rpc.ts'];
    const found = importsFrom(
      (path) => !within('event-store')(path) && path !== 'index.ts',
      (target) => within('event-store')(target) && !doors.includes(target),
    );
    expect(found).toEqual([]);
  });

  it('the rooms of the event store import only the lowest files of its root', () => {
    const lowest = ['alarm.ts', 'database.ts', 'rpc.ts', 'tuning.ts'].map((file) => `event-store/${file}`);
    const isRoom = (path: string) => /^event-store\/\w+\//.test(path);
    const isRoot = (target: string) => /^event-store\/[\w-]+\.ts$/.test(target) && !lowest.includes(target);
    expect(importsFrom(isRoom, isRoot)).toEqual([]);
  });

  it('the rooms of the event store import only the rooms below them', () => {
    const below: Readonly<Record<string, readonly string[]>> = {
      deliveries: [],
      jobs: ['deliveries'],
      endpoint: ['deliveries', 'jobs'],
      duties: ['deliveries', 'jobs', 'endpoint'],
    };
    const wrong = Object.entries(below).flatMap(([room, lower]) =>
      importsFrom(within(`event-store/${room}`), (target) => {
        const [, other = '', file] = /^event-store\/(\w+)\/(.+)$/.exec(target) ?? [];
        return file !== undefined && other !== room && !lower.includes(other);
      }),
    );
    expect(wrong).toEqual([]);
  });
});

/** The chains of imports that lead from a module back to itself. */
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
    [
      'the clock',
      /\bDate\.now\b|\bnew Date(?!\()|\bnew Date\(\s*\)|[=(,]\s*Date\b(?!\.)|\bperformance\b|\bTemporal\.Now\b/,
    ],
    ['random numbers', /\bMath\.random\b|\bcrypto\b|\bv4\b|\bulid\b/],
    ['the network', /\bfetch\b|\bWebSocket\b|\bconnect\(/],
    ['timers', /\bset(Timeout|Interval|Immediate)\b|\bscheduler\b/],
    ['the environment', /\bprocess\b|\bglobalThis\b|\benv\b|\bcaches\b|\bconsole(?:\??\.(?!ts\b)\w|\[)/],
  ])('the domain does not use %s', (_, pattern) => {
    const using = modules.filter(({ path, text }) => layerOf(path) === 'domain' && pattern.test(text));
    expect(using.map(({ path }) => path)).toEqual([]);
  });
});
