/** The list of log events, compared with the lines that the code writes and with the operator's page. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { LOG_EVENTS, type LogEvent } from '../../src/log-events.ts';

const ROOT = join(import.meta.dirname, '../..');
const LEVELS = ['error', 'warn', 'info'] as const;

type Entry = LogEvent & { readonly level: string; readonly name: string };

const listed: readonly Entry[] = LEVELS.flatMap((level) =>
  Object.entries(LOG_EVENTS[level]).map(([name, event]: [string, LogEvent]) => ({ level, name, ...event })),
);

/** Calls of the three log functions in a source text: the level, and the name if it is written out. */
function callsIn(text: string): { level: string; name: string | undefined }[] {
  const calls = text.matchAll(/\blog(Error|Warn|Info)\(\s*(?:'([^']*)',)?/g);
  return [...calls].map(([, level = '', name]) => ({ level: level.toLowerCase(), name }));
}

const written = globSync('src/**/*.ts', { cwd: ROOT })
  .filter((path) => !/^src.log(-events)?\.ts$/.test(path))
  .flatMap((path) => callsIn(readFileSync(join(ROOT, path), 'utf8')).map((call) => ({ path, ...call })));

/**
 * The events of a page: a heading of level 3 for each log level, one of level 4 for each event, then the meaning, a
 * paragraph that begins with "**Do:**", and one that begins with "Fields:".
 */
function entriesIn(markdown: string): Entry[] {
  const entries: Entry[] = [];
  let level = '';
  for (const part of markdown.split(/^(?=#{1,4} )/m)) {
    const [heading = '', ...lines] = part.split('\n');
    if (/^#{1,2} /.test(heading)) level = '';
    if (heading.startsWith('### ')) level = LEVELS.find((one) => heading === `### ${one}`) ?? '';
    const name = /^#### `(.+)`$/.exec(heading)?.[1];
    if (level === '' || name === undefined) continue;
    const paragraphs = lines
      .join('\n')
      .trim()
      .split(/\n\s*\n/);
    const [meaning = '', action = '', fields = '', ...rest] = paragraphs.map((text) =>
      text.replace(/\s*\n\s*/g, ' '),
    );
    expect(rest, name).toEqual([]);
    expect(action, name).toMatch(/^\*\*Do:\*\* /);
    expect(fields, name).toMatch(/^Fields: /);
    entries.push({
      level,
      name,
      meaning,
      action: action.replace('**Do:** ', ''),
      fields: [...fields.matchAll(/`([^`]+)`/g)].map(([, field = '']) => field),
    });
  }
  return entries;
}

describe('the list of log events', () => {
  it('the list has every log event that the code writes, with its level, and no other', () => {
    const names = (entries: readonly { level: string; name: string | undefined }[]) =>
      [...new Set(entries.map(({ level, name }) => `${level}: ${name}`))].sort();
    expect(names(written)).toEqual(names(listed));
  });

  it('every call of a log function writes out the name of its event', () => {
    expect(written.length).toBeGreaterThan(30);
    expect(written.filter(({ name }) => name === undefined)).toEqual([]);
  });

  it('the list says in whole sentences what each event means and what to do', () => {
    for (const { level, name, meaning, action } of listed) {
      for (const text of [meaning, action]) expect(text, `${level}: ${name}`).toMatch(/^[A-Z`].*\.$/);
    }
  });
});

describe('docs/operations.md', () => {
  const page = readFileSync(join(ROOT, 'docs/operations.md'), 'utf8');

  it('docs/operations.md has exactly the events of the list, each with all that the list says', () => {
    expect(entriesIn(page)).toEqual(listed);
  });

  it('docs/operations.md links only to headings that exist', () => {
    const links = [...page.matchAll(/\]\(([\w./-]*)#([^)]+)\)/g)].map(([, file = '', anchor = '']) => {
      const path = file === '' ? 'docs/operations.md' : join('docs', file);
      return { path, anchor, exists: anchorsIn(readFileSync(join(ROOT, path), 'utf8')).includes(anchor) };
    });
    expect(links.length).toBeGreaterThan(20);
    expect(links.filter(({ exists }) => !exists)).toEqual([]);
  });
});

/** The anchors that GitHub gives to the headings of a page. */
function anchorsIn(markdown: string): string[] {
  return [...markdown.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

describe('the reader of calls and pages', () => {
  it('the reader of calls finds calls on one line and on several', () => {
    const source = "logWarn('a b', {});\nlogError(\n  'c',\n  error,\n);\nlogInfo(name, {});";
    expect(callsIn(source)).toEqual([
      { level: 'warn', name: 'a b' },
      { level: 'error', name: 'c' },
      { level: 'info', name: undefined },
    ]);
  });

  it('the reader of pages joins wrapped lines and leaves out other headings', () => {
    const markdown =
      '## Log\n\n### warn\n\n#### `a b`\n\nIt\nhappened.\n\n**Do:** Look\nat it.\n\nFields: `x`, `y`.\n\n' +
      '### Other\n\n#### `c`\n\nText.\n';
    expect(entriesIn(markdown)).toEqual([
      { level: 'warn', name: 'a b', meaning: 'It happened.', action: 'Look at it.', fields: ['x', 'y'] },
    ]);
  });
});
