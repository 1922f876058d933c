/** Checks the blocks of code in documents that need no running service: JSON, filters and TypeScript. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { checkFilter } from '../../src/domain/filter/check.ts';
import { blocksIn } from '../support/markdown.ts';
import { documentFiles, ROOT, read } from './source.ts';

const blocks = documentFiles().flatMap((document) =>
  blocksIn(read(document)).map((block) => ({ ...block, place: `${document}:${block.line}` })),
);
const of = (language: string, mark?: string) =>
  blocks.filter((block) => block.language === language && (mark === undefined || block.marks.includes(mark)));

/** A block may be a part of an object: its members without the braces. */
function parses(text: string): boolean {
  return [text, `{${text}}`].some((one) => {
    try {
      JSON.parse(one);
      return true;
    } catch {
      return false;
    }
  });
}

describe('the blocks of code in documents', () => {
  it('every mark of a block has a meaning', () => {
    const meanings: Readonly<Record<string, readonly string[]>> = {
      sh: ['run'],
      json: ['filter'],
      ts: ['check'],
    };
    const unknown = blocks.filter(({ language, marks }) =>
      marks.some((mark) => !meanings[language]?.includes(mark)),
    );
    expect(unknown.map(({ place }) => place)).toEqual([]);
  });

  it('every block of JSON parses', () => {
    expect(of('json').length).toBeGreaterThan(30);
    expect(
      of('json')
        .filter(({ code }) => !parses(code))
        .map(({ place }) => place),
    ).toEqual([]);
  });

  it('the service accepts every filter', () => {
    const filters = of('json', 'filter');
    expect(filters.length).toBeGreaterThan(4);
    const refused = filters.flatMap(({ place, code }) => {
      const fault = checkFilter(JSON.parse(code));
      return fault === undefined ? [] : [`${place}: ${fault}`];
    });
    expect(refused).toEqual([]);
  });
});

describe('the TypeScript in documents', () => {
  const folder = join(ROOT, `node_modules/.cache/documents-${process.pid}`);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** @returns the errors of the compiler, with places in the documents */
  function compile(sources: readonly { readonly place: string; readonly code: string }[]): string[] {
    mkdirSync(folder, { recursive: true });
    const options = {
      types: ['node', '@cloudflare/workers-types'],
      composite: false,
      emitDeclarationOnly: false,
      noEmit: true,
      rootDir: ROOT,
      // A document shows how to call something; it need not go on from there.
      noUnusedLocals: false,
      noUnusedParameters: false,
      noPropertyAccessFromIndexSignature: false,
    };
    const base = relative(folder, join(ROOT, 'tsconfig.base.json'));
    const config = {
      extends: base,
      compilerOptions: options,
      files: sources.map((_, index) => `${index}.ts`),
    };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
    for (const [index, { code }] of sources.entries()) {
      writeFileSync(join(folder, `${index}.ts`), `${code}\nexport {};\n`);
    }
    const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
    const flags = ['--project', folder, '--pretty', 'false'];
    const { stdout } = spawnSync(process.execPath, [tsc, ...flags], { cwd: folder, encoding: 'utf8' });
    return (
      stdout
        .split('\n')
        // The packages that a block imports are checked elsewhere, with the types of their own platform.
        .filter((line) => /^\d+\.ts|^error/.test(line))
        .map((line) => line.replace(/^(\d+)\.ts/, (_, index) => sources[Number(index)]?.place ?? ''))
    );
  }

  it('every block that is marked to be checked type-checks', () => {
    const checked = of('ts', 'check');
    expect(checked.length).toBeGreaterThan(3);
    expect(compile(checked)).toEqual([]);
  });

  it('a wrong block is reported with its place', () => {
    expect(compile([{ place: 'docs/x.md:7', code: 'const x: string = 1;' }])).toEqual([
      expect.stringMatching(/^docs\/x\.md:7\(1,7\): error TS2322/),
    ]);
  });
});
