/** The shape of src/http: a kit, and four doors that share nothing but the kit. */
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';

const HTTP = join(import.meta.dirname, '../../src/http');
const GUARDS = {
  public: undefined,
  management: 'authorizeClient',
  operator: 'authorizeOperator',
  console: 'refuseCrossSite',
};

const files = globSync('**/*.ts', { cwd: HTTP }).map((path) => path.replaceAll('\\', '/'));
const textOf = (path: string) => readFileSync(join(HTTP, path), 'utf8');

/** The files of src/http that a file imports, types included. */
function importsOf(path: string): string[] {
  return [...textOf(path).matchAll(/\sfrom '(\.[^']+)';/g)]
    .map(([, target = '']) => normalize(join(dirname(path), target)).replaceAll('\\', '/'))
    .filter((target) => !target.startsWith('..'));
}

const doors = Object.keys(GUARDS);
const inKit = (path: string) => path.startsWith('kit/');
const routeFiles = doors.flatMap((door) => importsOf(`${door}/door.ts`).filter((path) => !inKit(path)));

describe('src/http', () => {
  it('src/http is an app, a kit and four doors', () => {
    const places = files.map((path) => (path.includes('/') ? path.slice(0, path.indexOf('/')) : path));
    expect([...new Set(places)].sort()).toEqual(['app.ts', 'kit', ...doors].sort());
  });

  it('every door has its route files in its own folder', () => {
    expect(routeFiles.length).toBeGreaterThan(12);
    for (const door of doors) {
      const own = importsOf(`${door}/door.ts`).filter((path) => !inKit(path));
      expect(own.filter((path) => !path.startsWith(`${door}/`))).toEqual([]);
    }
  });

  it('the kit imports no door', () => {
    const wrong = files.filter(inKit).flatMap((path) => importsOf(path).filter((target) => !inKit(target)));
    expect(wrong).toEqual([]);
  });

  it('only its door imports a route file', () => {
    const wrong = files
      .filter((path) => !path.endsWith('/door.ts'))
      .flatMap((path) => importsOf(path).map((target) => ({ path, target })))
      .filter(({ target }) => routeFiles.includes(target));
    expect(wrong).toEqual([]);
  });

  it.each(Object.entries(GUARDS))('the %s door has its guard on its first line', (door, guard) => {
    const [, first = ''] = /const door = newDoor\(\);\n(.*)\n/.exec(textOf(`${door}/door.ts`)) ?? [];
    if (guard === undefined) expect(textOf(`${door}/door.ts`)).not.toMatch(/authorize/);
    else expect(first.trim()).toBe(`door.use(${guard});`);
  });
});
