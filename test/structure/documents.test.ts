/** Checks that every file that a document or a comment names exists, and that every link in a document leads somewhere. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { codeFiles, commentsIn, documentFiles, ROOT, read } from './source.ts';

const DOCUMENTS = documentFiles();

const FOLDERS =
  'src|test|docs|examples|scripts|tools|packages|migrations|domain|storage|signing|outbound|event-store|delivery|operations|queue|cron|http';

/** Paths in backquotes that begin with a folder of the project or of src, and end in a file or a folder. */
function pathsIn(text: string): string[] {
  const found = text.matchAll(new RegExp(`\`((?:${FOLDERS})/[\\w./-]*)\``, 'g'));
  return [...new Set([...found].map(([, path = '']) => path))];
}

/** Files that a comment names, with or without backquotes: `event-store/rpc.ts`, docs/leases.md. */
function filesInComment(text: string): string[] {
  const found = text.matchAll(
    new RegExp(`(?<![\\w./-])((?:${FOLDERS})/[\\w./-]*\\.(?:ts|md|toml|sql))\\b`, 'g'),
  );
  return [...new Set([...found].map(([, path = '']) => path))];
}

/** A path as documents write it: from the root, or from src. */
function exists(path: string): boolean {
  return [path, `src/${path}`, `${path}.ts`].some((one) => existsSync(join(ROOT, one)));
}

/** Targets of links, without those to other sites and without anchors. */
function linksIn(text: string): string[] {
  const found = text.matchAll(/\]\((?!https?:|mailto:|#)([^)\s#]+)(?:#[^)\s]*)?\)/g);
  return [...new Set([...found].map(([, path = '']) => path))];
}

describe('the files that documents name', () => {
  it('the project has documents', () => {
    expect(DOCUMENTS.length).toBeGreaterThan(20);
  });

  it.each(DOCUMENTS)('every file that %s names exists', (document) => {
    expect(pathsIn(read(document)).filter((path) => !exists(path))).toEqual([]);
  });

  it.each(DOCUMENTS)('every link in %s leads to a file', (document) => {
    const broken = linksIn(read(document)).filter((path) => !existsSync(join(ROOT, dirname(document), path)));
    expect(broken).toEqual([]);
  });

  it('every file that a comment names exists', () => {
    const found = codeFiles().flatMap((file) =>
      commentsIn(read(file))
        .flatMap(filesInComment)
        .filter((path) => !exists(path) && !existsSync(join(ROOT, dirname(file), path)))
        .map((path) => `${file} names ${path}`),
    );
    expect(found).toEqual([]);
  });

  it('the readers find paths in documents, links and comments', () => {
    expect(pathsIn(read('SECURITY.md')).length).toBeGreaterThan(15);
    expect(pathsIn('see `src/none.ts`').filter((path) => !exists(path))).toEqual(['src/none.ts']);
    expect(linksIn('[a](docs/a.md#b) [c](https://example.com) [d](#e)')).toEqual(['docs/a.md']);
    expect(filesInComment('/** See event-store/rpc.ts. */')).toEqual(['event-store/rpc.ts']);
  });
});
