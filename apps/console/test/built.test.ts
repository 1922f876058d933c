/** What is built: small, and nothing that the policy of the page forbids. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, it } from 'vitest';
import { buildConsole, CONSOLE, isConsoleOld } from '../../../scripts/console.ts';

const MAX_GZIP_BYTES = 60_000;
const SOURCES = join(import.meta.dirname, '../src');

let files: { readonly path: string; readonly text: string; readonly gzipBytes: number }[];

beforeAll(async () => {
  if (isConsoleOld()) await buildConsole();
  files = globSync('**/*.*', { cwd: CONSOLE }).map((path) => {
    const content = readFileSync(join(CONSOLE, path));
    return { path, text: content.toString(), gzipBytes: gzipSync(content, { level: 9 }).length };
  });
});

describe('the built console', () => {
  it(`all files together have at most ${MAX_GZIP_BYTES / 1_000} KB, compressed`, () => {
    expect(files.length).toBeGreaterThan(3);
    expect(files.reduce((sum, { gzipBytes }) => sum + gzipBytes, 0)).toBeLessThanOrEqual(MAX_GZIP_BYTES);
  });

  it('the page has no script, no style and no handler of its own, and loads only what is beside it', () => {
    const page = files.find(({ path }) => path === 'index.html')?.text ?? '';
    expect(page).not.toMatch(/<style|\sstyle=|\son\w+=/i);
    for (const [, attributes = '', inside = ''] of page.matchAll(/<script([^>]*)>([^<]*)<\/script>/g)) {
      expect(attributes).toContain('src=');
      expect(inside).toBe('');
    }
    const targets = [...page.matchAll(/\s(?:src|href)="([^"]*)"/g)].map(([, target]) => target);
    expect(targets.length).toBeGreaterThan(2);
    for (const target of targets) expect(target).toMatch(/^\/console\/assets\/[\w-]+\.\w+$/);
  });

  it('no file names another host, except in an example or as the name of a language', () => {
    const known = /^(www\.w3\.org|your\.endpoint|alarms\.your\.domain|listener\.example\.com)$/;
    for (const { path, text } of files) {
      const hosts = [...text.matchAll(/https?:\/\/([a-z0-9.-]+)/gi)].map(([, host = '']) => host);
      expect(
        hosts.filter((host) => !known.test(host)),
        path,
      ).toEqual([]);
    }
  });

  it('no file evaluates text as code, or keeps anything in the browser', () => {
    for (const { path, text } of files) {
      expect(text, path).not.toMatch(
        /\beval\(|new Function\(|localStorage|sessionStorage|indexedDB|document\.cookie/,
      );
    }
  });
});

describe('the sources of the console', () => {
  it('no part writes HTML or a style, so a text of a customer is only ever text', () => {
    const wrong = globSync('**/*.{ts,tsx}', { cwd: SOURCES }).filter((path) =>
      /dangerouslySetInnerHTML|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\sstyle=/.test(
        readFileSync(join(SOURCES, path), 'utf8'),
      ),
    );
    expect(wrong).toEqual([]);
  });
});
