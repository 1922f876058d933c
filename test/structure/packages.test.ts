/** Checks what is installed, and who may depend on whom among the workspaces. */
import { describe, expect, it } from 'vitest';
import { filesOf, importsOf, read, withoutComments } from './source.ts';

interface Lock {
  readonly packages: Readonly<
    Record<string, { resolved?: string; integrity?: string; link?: boolean; hasInstallScript?: boolean }>
  >;
}

interface Manifest {
  readonly name: string;
  readonly license?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const manifests = filesOf(
  'package.json',
  'apps/*/package.json',
  'packages/*/package.json',
  'examples/*/package.json',
  'tools/package.json',
).map((file) => ({ file, manifest: JSON.parse(read(file)) as Manifest }));
const lock = JSON.parse(read('package-lock.json')) as Lock;
const installed = Object.entries(lock.packages).filter(
  ([path, { link }]) => path.includes('node_modules/') && !link,
);

describe('the lock file', () => {
  it('every installed package has a hash in the lock file, for every system', () => {
    expect(installed.length).toBeGreaterThan(100);
    expect(installed.filter(([, { integrity }]) => integrity === undefined).map(([path]) => path)).toEqual(
      [],
    );
  });

  it('no entry of the lock file names the host of a registry', () => {
    expect(installed.filter(([, { resolved }]) => resolved !== undefined).map(([path]) => path)).toEqual([]);
  });
});

describe('scripts at the installation', () => {
  const { allowScripts } = JSON.parse(read('package.json')) as { allowScripts: Record<string, boolean> };

  it('package.json decides about every package that brings such a script, and allows none', () => {
    const bringing = installed
      .filter(([, { hasInstallScript }]) => hasInstallScript)
      .map(([path]) => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length));
    expect(bringing).not.toEqual([]);
    expect(allowScripts).toEqual(Object.fromEntries(bringing.map((name) => [name, false])));
  });

  it('npm refuses to install a package that brings a script without a decision', () => {
    expect(read('.npmrc').split('\n')).toContain('strict-allow-scripts=true');
  });
});

describe('versions', () => {
  it('every dependency has an exact version', () => {
    const ranges = manifests.flatMap(({ file, manifest }) =>
      Object.entries({
        ...manifest.dependencies,
        ...manifest.devDependencies,
        ...manifest.optionalDependencies,
      })
        .filter(([, version]) => !/^(npm:@?[\w/-]+@)?\d+\.\d+\.\d+(-[\w.]+)?$/.test(version))
        .filter(([name]) => !manifests.some((other) => other.manifest.name === name))
        .map(([name, version]) => `${file}: ${name} ${version}`),
    );
    expect(ranges).toEqual([]);
  });

  it('the bundled Node has one version on every system, and .nvmrc names it', () => {
    const root = manifests.find(({ file }) => file === 'package.json')?.manifest.optionalDependencies ?? {};
    const versions = new Set(Object.values(root));
    expect([...versions]).toEqual([read('.nvmrc').trim()]);
  });

  it('every package has the licence of the project', () => {
    expect(new Set(manifests.map(({ manifest }) => manifest.license))).toEqual(new Set(['Apache-2.0']));
  });
});

describe('the workspaces', () => {
  it('no package imports src, tools or examples', () => {
    const wrong = filesOf('packages/*/src/**/*.ts').flatMap((file) =>
      importsOf(file, withoutComments(read(file)))
        .filter(({ ours, target }) => ours && !target.startsWith(file.split('/').slice(0, 2).join('/')))
        .map(({ target }) => `${file} imports ${target}`),
    );
    expect(wrong).toEqual([]);
  });

  it('src imports no workspace', () => {
    const names = manifests
      .map(({ manifest }) => manifest.name)
      .filter((name) => name.startsWith('@identity-webhooks/'));
    expect(names.length).toBeGreaterThan(0);
    const importing = filesOf('src/**/*.ts').filter((file) =>
      names.some((name) => read(file).includes(`'${name}'`)),
    );
    expect(importing).toEqual([]);
  });
});
