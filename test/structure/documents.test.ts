/** Checks that every file that a document names exists. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const DOCUMENTS = ['README.md', 'ARCHITECTURE.md', 'SECURITY.md', 'docs/walk.md'];

/** Paths in backquotes or links that begin with a folder of the project. */
function pathsIn(text: string): string[] {
  const found = text.matchAll(
    /[`(]((?:src|test|docs|examples|scripts|migrations|event-store|domain)\/[\w./-]+)[`)]/g,
  );
  return [...new Set([...found].map(([, path]) => path ?? ''))];
}

function exists(path: string): boolean {
  return existsSync(path) || existsSync(`src/${path}`) || existsSync(`${path}.ts`);
}

describe('the files that documents name', () => {
  it.each(DOCUMENTS)('every file that %s names exists', (document) => {
    const paths = pathsIn(readFileSync(document, 'utf8'));
    expect(paths.filter((path) => !exists(path))).toEqual([]);
  });

  it('the reader of paths finds the files that a document names', () => {
    expect(pathsIn(readFileSync('SECURITY.md', 'utf8')).length).toBeGreaterThan(15);
    expect(pathsIn('see `src/none.ts`').filter((path) => !exists(path))).toEqual(['src/none.ts']);
  });
});
