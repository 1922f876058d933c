/** Compares the table of test/contract/README.md with the sections of the contract and with the tests it names. */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');

/** The sections of the contract. A section whose subsections say everything is listed by its subsections. */
const SECTIONS = [
  ...['1', '2'],
  ...['3', '3.1', '3.2', '3.3', '3.4', '3.5', '3.6', '3.7', '3.8'],
  '4',
  ...['5', '5.1', '5.2', '5.3', '5.4'],
  ...['6.1', '6.2', '6.3', '6.4'],
  ...['7', '8', '9'],
  ...[
    '10.1',
    '10.2',
    '10.3',
    '10.4',
    '10.5',
    '10.6',
    '10.7',
    '10.8',
    '10.9',
    '10.10',
    '10.11',
    '10.12',
    '10.13',
    '10.14',
    '10.15',
    '10.16',
    '10.17',
  ],
];

/** How a row without a test begins, before its reason. */
const WITHOUT_TEST = /^(Not tested|Not built yet|Does not apply): \S.{15,}/;

interface Reference {
  readonly file: string;
  readonly titles: readonly string[];
}

interface Row {
  readonly section: string;
  readonly rule: string;
  readonly proof: string;
  readonly references: readonly Reference[];
}

/** `file` "title" "title", `file` "title": each title belongs to the file before it. */
function referencesIn(proof: string): Reference[] {
  const references: { file: string; titles: string[] }[] = [];
  for (const [, file, title] of proof.matchAll(/`([^`]+\.test\.ts)`|"([^"]+)"/g)) {
    if (file !== undefined) references.push({ file, titles: [] });
    else if (title !== undefined) references.at(-1)?.titles.push(title);
  }
  return references;
}

function rowsOf(markdown: string): Row[] {
  return markdown
    .split('\n')
    .filter((line) => /^\| *\d/.test(line))
    .map((line) => {
      const [, section = '', rule = '', proof = ''] = line.split('|').map((cell) => cell.trim());
      return { section, rule, proof, references: referencesIn(proof) };
    });
}

/** The titles of a test file: strings that are the first argument of a call whose second is a function. */
function titlesIn(text: string): string[] {
  const title = /\(\s*(['"`])((?:\\.|(?!\1)[^\\])*)\1,\s*(?:async\s*)?\(/g;
  return [...text.matchAll(title)].map(([, , content = '']) => content.replace(/\\(.)/g, '$1'));
}

const markdown = readFileSync(join(ROOT, 'test/contract/README.md'), 'utf8');
const rows = rowsOf(markdown);
const references = rows.flatMap((row) => row.references.map((reference) => ({ ...reference, row })));

describe('the contract table', () => {
  it('the contract table has a row for every section of the contract, and for no other', () => {
    expect([...new Set(rows.map(({ section }) => section))].sort()).toEqual([...SECTIONS].sort());
  });

  it('every line of the contract table is read as a row with a rule', () => {
    const lines = markdown.split('\n').filter((line) => line.startsWith('|'));
    expect(rows).toHaveLength(lines.length - 2);
    for (const { section, rule } of rows) expect(rule, section).toMatch(/\S/);
  });

  it('every rule of the contract table has a test or a reason', () => {
    const empty = rows.filter(
      ({ proof, references }) => references.length === 0 && !WITHOUT_TEST.test(proof),
    );
    expect(empty.map(({ section, rule }) => `${section}: ${rule}`)).toEqual([]);
  });

  it('the contract table names only files that exist', () => {
    expect(references.map(({ file }) => file).filter((file) => !existsSync(join(ROOT, file)))).toEqual([]);
  });

  it('the contract table names only titles that their files have', () => {
    const missing = references.flatMap(({ file, titles, row }) => {
      if (!existsSync(join(ROOT, file))) return [];
      const found = titlesIn(readFileSync(join(ROOT, file), 'utf8'));
      return titles
        .filter((title) => !found.some((one) => one.includes(title)))
        .map((title) => `${row.section}: ${file} "${title}"`);
    });
    expect(missing).toEqual([]);
  });

  it('the contract table names a title with every file, of at least eight characters', () => {
    for (const { file, titles, row } of references) {
      expect(titles, `${row.section}: ${file}`).not.toEqual([]);
      for (const title of titles) expect(title.length, title).toBeGreaterThanOrEqual(8);
    }
  });

  it('the contract table names every file of test/contract', () => {
    const named = new Set(references.map(({ file }) => file));
    const files = globSync('test/contract/*.test.ts', { cwd: ROOT }).map((file) =>
      file.replaceAll('\\', '/'),
    );
    expect(files.length).toBeGreaterThan(0);
    expect(files.filter((file) => !named.has(file))).toEqual([]);
  });
});

describe('the reader of titles', () => {
  it('the reader of titles finds a title in every form in which tests are written', () => {
    const source = [
      "describe('a group', () => {});",
      "it('a fact', async () => {});",
      "it.each([1, 2])('a fact of %i', (one) => {});",
      "it.each([\n  ['x'],\n])(\n  'a fact that isn\\'t on the line of its table',\n  async ([one]) => {},\n);",
      "expect(reply.body, 'no title').toBe('neither');",
    ].join('\n');
    expect(titlesIn(source)).toEqual([
      'a group',
      'a fact',
      'a fact of %i',
      "a fact that isn't on the line of its table",
    ]);
  });
});
