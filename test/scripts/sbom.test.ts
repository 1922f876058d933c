/** Runs `npm run sbom` as an operator does. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

interface Component {
  readonly name: string;
  readonly version: string;
  readonly scope: string;
  readonly purl: string;
  readonly hashes?: readonly { readonly alg: string; readonly content: string }[];
  readonly licenses?: readonly unknown[];
}

const ROOT = join(import.meta.dirname, '../..');

function makeBom(): { bomFormat: string; specVersion: string; components: Component[] } {
  const folder = mkdtempSync(join(tmpdir(), 'sbom-test-'));
  try {
    const out = join(folder, 'sbom.json');
    execFileSync(process.execPath, [join(ROOT, 'scripts/sbom.ts'), '--out', out], { cwd: ROOT });
    return JSON.parse(readFileSync(out, 'utf8'));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

describe('the software bill of materials', () => {
  const bom = makeBom();
  const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>;
    devDependencies: Record<string, string>;
  };
  const scopeOf = (name: string, version: string) =>
    bom.components.find((component) => component.name === name && component.version === version)?.scope;

  it('it is CycloneDX', () => {
    expect(bom).toMatchObject({ bomFormat: 'CycloneDX', specVersion: '1.5' });
  });

  it('every dependency of the Worker is required', () => {
    const scopes = Object.entries(manifest.dependencies).map(([name, version]) => scopeOf(name, version));
    expect(scopes).toEqual(scopes.map(() => 'required'));
  });

  it('every dependency of the console is required, because browsers get it', () => {
    const { dependencies } = JSON.parse(readFileSync(join(ROOT, 'apps/console/package.json'), 'utf8')) as {
      dependencies: Record<string, string>;
    };
    expect(Object.keys(dependencies)).toContain('preact');
    for (const [name, version] of Object.entries(dependencies))
      expect(scopeOf(name, version), name).toBe('required');
  });

  it('a package that only builds or tests is listed as excluded', () => {
    for (const name of ['wrangler', 'vitest', 'typescript']) {
      expect(scopeOf(name, manifest.devDependencies[name] ?? '')).toBe('excluded');
    }
  });

  it('every required package has its version, hash and licence', () => {
    const required = bom.components.filter(({ scope }) => scope === 'required');
    expect(required.length).toBeGreaterThanOrEqual(Object.keys(manifest.dependencies).length);
    for (const { name, version, purl, hashes, licenses } of required) {
      expect(decodeURIComponent(purl)).toBe(`pkg:npm/${name}@${version}`);
      expect(hashes?.[0]).toMatchObject({
        alg: 'SHA-512',
        content: expect.stringMatching(/^[0-9a-f]{128}$/),
      });
      expect(licenses).not.toHaveLength(0);
    }
  });
});
