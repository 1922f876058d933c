/**
 * Makes dist/iw.js, which has everything that the command line needs, and dist/licences.txt, the licences of what is in it. `npm pack`
 * runs this.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { build } from 'esbuild';

const HERE = import.meta.dirname;

const { metafile } = await build({
  absWorkingDir: HERE,
  entryPoints: ['src/main.ts'],
  outfile: 'dist/iw.js',
  bundle: true,
  platform: 'node',
  target: 'node22.18',
  format: 'esm',
  metafile: true,
  logLevel: 'warning',
});

const folders = new Set(
  Object.keys(metafile.inputs)
    .filter((input) => input.includes('node_modules/'))
    .map((input) => folderOf(join(HERE, input))),
);
const texts = [...folders].sort().map((folder) => {
  const { name, version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const licence = readdirSync(folder).find((file) => /^licen[cs]e/i.test(file));
  if (licence === undefined) throw new Error(`${name} has no licence`);
  return `${name} ${version}\n\n${readFileSync(join(folder, licence), 'utf8').trim()}\n`;
});
writeFileSync(join(HERE, 'dist/licences.txt'), texts.join(`\n${'-'.repeat(80)}\n\n`));

/** The folder of the package that a file belongs to: the one whose package.json names it. */
function folderOf(file: string): string {
  for (let folder = dirname(file); ; folder = dirname(folder)) {
    const manifest = join(folder, 'package.json');
    if (existsSync(manifest) && 'version' in JSON.parse(readFileSync(manifest, 'utf8'))) return folder;
  }
}
