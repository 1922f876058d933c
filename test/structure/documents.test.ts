/** Checks that every file that a document or a comment names exists, and that every link in a document leads to a file and a heading. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { anchorsIn, linksIn } from '../support/markdown.ts';
import { codeFiles, commentsIn, documentFiles, filesOf, ROOT, read } from './source.ts';

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

/** The links of a document that lead nowhere: to no file, or to no heading of a document. */
function brokenLinksIn(document: string): string[] {
  return linksIn(read(document))
    .filter(({ path, anchor }) => {
      const target = path === '' ? document : join(dirname(document), path);
      if (!existsSync(join(ROOT, target))) return true;
      return anchor !== undefined && target.endsWith('.md') && !anchorsIn(read(target)).has(anchor);
    })
    .map(({ path, anchor }) => (anchor === undefined ? path : `${path}#${anchor}`));
}

describe('the files that documents name', () => {
  it('the project has documents', () => {
    expect(DOCUMENTS.length).toBeGreaterThan(20);
  });

  it.each(DOCUMENTS)('every file that %s names exists', (document) => {
    expect(pathsIn(read(document)).filter((path) => !exists(path))).toEqual([]);
  });

  it.each(DOCUMENTS)('every link in %s leads to a file, and to a heading if it names one', (document) => {
    expect(brokenLinksIn(document)).toEqual([]);
  });

  it('the index of the documents links every document beside it', () => {
    const linked = linksIn(read('docs/README.md')).map(({ path }) => `docs/${path}`);
    const beside = filesOf('docs/*.md', 'docs/*.json').filter((file) => file !== 'docs/README.md');
    expect(beside.filter((file) => !linked.includes(file))).toEqual([]);
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
    expect(linksIn('[a](docs/a.md#b) [c](https://example.com) [d](#e) `[f](g)`')).toEqual([
      { path: 'docs/a.md', anchor: 'b' },
      { path: '', anchor: 'e' },
    ]);
    expect([
      ...anchorsIn('# Find out why\n## 10.1 Publishing `x`\n```sh\n# no heading\n```\n## Find out why\n'),
    ]).toEqual(['find-out-why', '101-publishing-x', 'find-out-why-1']);
    expect(filesInComment('/** See event-store/rpc.ts. */')).toEqual(['event-store/rpc.ts']);
  });
});
