/** The pages for people: made without script, under a policy that permits nothing but the style sheet. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { referenceOf } from '../../scripts/openapi/reference.ts';

const ROOT = join(import.meta.dirname, '../..');
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');
const pages = readdirSync(join(ROOT, 'public')).filter((name) => name.endsWith('.html'));
/** Larger than that is not a page to read. */
const MAX_BYTES = 250_000;

describe('the pages for people', () => {
  it('there is a page for / and one for /docs', () => {
    expect(pages.toSorted()).toEqual(['docs.html', 'index.html']);
  });

  it.each(pages)('%s has no script, no style of its own and nothing of another host', (name) => {
    const page = read(`public/${name}`);
    expect(page).not.toMatch(/<(script|style|iframe|img|form|base)\b/i);
    expect(page).not.toMatch(/<[^>]*\s(on\w+|style)=/i);
    for (const [, target] of page.matchAll(/<[^>]*\s(?:src|href)="([^"]*)"/g))
      expect(target).toMatch(/^[/#](?!\/)/);
    expect(Buffer.byteLength(page)).toBeLessThan(MAX_BYTES);
  });

  it.each(pages)('every link of %s within the page has its target', (name) => {
    const page = read(`public/${name}`);
    const ids = [...page.matchAll(/ id="([^"]*)"/g)].map(([, id]) => id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const [, target] of page.matchAll(/href="#([^"]*)"/g)) expect(ids).toContain(target);
  });

  it('the reference has every call of the OpenAPI document', () => {
    const page = read('public/docs.html');
    const { paths } = JSON.parse(read('docs/openapi.json')) as {
      paths: Record<string, Record<string, { operationId: string }>>;
    };
    const calls = Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, { operationId }]) => [
        operationId,
        `${method.toUpperCase()} ${path}`,
      ]),
    );
    expect(calls.length).toBeGreaterThan(35);
    for (const [id, call] of calls) {
      expect(page).toContain(`<section id="${id}">`);
      expect(page).toContain(`<code>${call}</code>`);
    }
  });

  it('a text of the document cannot become markup', async () => {
    const operation = {
      operationId: 'x',
      summary: '<b>',
      description: '`<i>` "',
      tags: ['T'],
      responses: {},
    };
    const info = { title: '<script>alert(1)</script>', version: '1' };
    const page = await referenceOf({
      info,
      tags: [{ name: 'T' }],
      paths: { '/<u>': { get: operation } },
      webhooks: {},
    });
    expect(page).not.toMatch(/<(script|b|i|u)>/);
    expect(page).toContain('<code>&lt;i&gt;</code>');
  });
});
