/** Checks the shape of the code: classes that are read in one look, tables with one home, no export that nobody uses. */
import { describe, expect, it } from 'vitest';
import { codeFiles, filesOf, modulesOfSrc, read, stringsIn, withoutComments } from './source.ts';

const CLASS_MAX_LINES = 300;

const modules = modulesOfSrc();

/** The classes of a source file, with their lengths in lines. */
function classesIn(text: string): { readonly name: string; readonly lines: number }[] {
  const all = text.split('\n');
  return all.flatMap((line, start) => {
    const name = /^(?:export )?(?:default )?(?:abstract )?class (\w+)/.exec(line)?.[1];
    if (name === undefined) return [];
    return [{ name, lines: all.indexOf('}', start) - start + 1 }];
  });
}

describe('classes', () => {
  it(`no class of src has more than ${CLASS_MAX_LINES} lines`, () => {
    const classes = filesOf('src/**/*.ts').flatMap((file) => classesIn(read(file)));
    expect(classes.length).toBeGreaterThan(15);
    expect(classes.filter(({ lines }) => lines > CLASS_MAX_LINES)).toEqual([]);
  });

  it('the reader of classes measures from the first line to the last', () => {
    expect(classesIn('const a = 1;\nexport class B {\n  c(): void {\n  }\n}\n')).toEqual([
      { name: 'B', lines: 4 },
    ]);
  });
});

describe('tables of the event store', () => {
  const schema = read('src/event-store/schema.ts');
  const renamed = new Map(
    [...schema.matchAll(/ALTER TABLE (\w+) RENAME TO (\w+)/g)].map(([, from = '', to = '']) => [from, to]),
  );
  const dropped = new Set([...schema.matchAll(/DROP TABLE (\w+)/g)].map(([, name = '']) => name));
  const tables = [...schema.matchAll(/CREATE (?:TABLE|VIEW) (?:IF NOT EXISTS )?(\w+)/g)]
    .map(([, name = '']) => renamed.get(name) ?? name)
    .filter((name) => name !== 'migrations' && !dropped.has(name));

  /** Whether SQL in a file names a table, or a string is the name itself. */
  function names(table: string, text: string): boolean {
    const isSql = /\b(?:select|insert|replace|update|delete)\b[\s\S]*\b(?:from|into|set)\b/i;
    const named = new RegExp(`\\b${table}\\b`, 'i');
    return stringsIn(text).some(
      (string) => (isSql.test(string) && named.test(string)) || string.slice(1, -1) === table,
    );
  }

  it('the schema has tables to look for', () => {
    expect(tables).toContain('deliveries');
    expect(tables).toContain('segments_counted');
    expect(tables).not.toContain('deliveries_counted');
    expect(tables.length).toBeGreaterThan(12);
  });

  it.each(tables)('the table %s is named in one file beside the schema', (table) => {
    const files = modules
      .filter(({ path }) => path.startsWith('event-store/') && path !== 'event-store/schema.ts')
      .filter(({ text }) => names(table, text))
      .map(({ path }) => path);
    expect(files).toHaveLength(1);
  });
});

describe('exports', () => {
  /** Names that a module exports. Types and values alike. */
  function exportsOf(text: string): string[] {
    const declared = text.matchAll(
      /^export (?:declare )?(?:async )?(?:abstract )?(?:const|let|function\*?|class|interface|type|enum) (\w+)/gm,
    );
    return [...declared].map(([, name = '']) => name);
  }

  const users = codeFiles().map((file) => ({ file, text: withoutComments(read(file)) }));

  it('no export of src is unused outside its file', () => {
    const unused = modules.flatMap(({ path, text }) =>
      exportsOf(text)
        .filter((name) => {
          const used = new RegExp(`\\b${name}\\b`);
          return !users.some(({ file, text }) => file !== `src/${path}` && used.test(text));
        })
        .map((name) => `${path}: ${name}`),
    );
    expect(unused).toEqual([]);
  });

  it('only index.ts exports by a list of names, which the reader of exports does not see', () => {
    const lists = modules.filter(({ text }) => /^export (?:type )?[{*]/m.test(text)).map(({ path }) => path);
    expect(lists).toEqual(['index.ts']);
  });

  it('the reader of exports finds every kind of them', () => {
    const source =
      'export const a = 1;\nexport function b() {}\nexport class C {}\nexport interface D {}\nexport type E = 1;\n';
    expect(exportsOf(source)).toEqual(['a', 'b', 'C', 'D', 'E']);
  });
});

describe('casts', () => {
  it('only the client of event stores casts what a store answers', () => {
    const answers =
      /\bas (?:unknown as )?(?:EventStoreRpc|Delivery|Admission|Redelivery\w*|Export\w*|Started\w+|Summary)\b/;
    const casting = modules.filter(({ text }) => answers.test(text)).map(({ path }) => path);
    // summary.ts reads figures that it alone has written to its own table.
    expect(casting).toEqual(['event-store/client.ts', 'event-store/deliveries/summary.ts']);
  });

  it('only the stream of a collection casts to never, because a stream has no type', () => {
    const casting = modules.filter(({ text }) => /\bas (never|any)\b/.test(text)).map(({ path }) => path);
    expect(casting).toEqual(['http/kit/json-stream.ts']);
  });
});

describe('what only one file may do', () => {
  it.each([
    [
      'opens Durable Objects, so that all are in the cell',
      /\.(?:idFromName|getByName|idFromString|newUniqueId)\(/,
      ['cell.ts'],
    ],
    ['writes to the console', /\bconsole(?:\??\.(?!ts\b)\w|\[)/, ['log.ts']],
    [
      'acknowledges or returns a queue message',
      /\.(?:ack|retry|ackAll|retryAll)\(/,
      ['queue/acknowledge.ts'],
    ],
    [
      'makes requests to listeners, and only one asks the name service',
      /(?<![.\w])fetch\(/,
      ['outbound/dns-over-https.ts', 'outbound/listener-client.ts'],
    ],
  ])('only one file %s', (_, pattern, allowed) => {
    const files = modules.filter(({ text }) => pattern.test(text)).map(({ path }) => path);
    expect(files).toEqual(allowed);
  });
});

describe('duties', () => {
  it('every class that is a duty is in the table of the living store', () => {
    const duties = modules.filter(({ text }) => /\bimplements Duty\b/.test(text));
    const table = /const duties = \[([^\]]*)\]/.exec(read('src/event-store/parts.ts'))?.[1] ?? '';
    expect(duties.length).toBeGreaterThan(4);
    expect(table.split(',').filter((name) => name.trim() !== '')).toHaveLength(duties.length);
  });
});

describe('tests', () => {
  it('no test is skipped, alone or left to be written', () => {
    const marked = filesOf('test/**/*.test.ts', 'packages/**/*.test.ts').filter((file) =>
      /\b(?:it|test|describe)\.(?:skip|only|todo|fails|runIf|skipIf)\b/.test(withoutComments(read(file))),
    );
    expect(marked).toEqual([]);
  });
});
