/** Makes dist/iw.js, which has everything that the command line needs: `npm pack` runs this. */
import { join } from 'node:path';
import { build } from 'esbuild';

await build({
  entryPoints: [join(import.meta.dirname, 'src/main.ts')],
  outfile: join(import.meta.dirname, 'dist/iw.js'),
  bundle: true,
  platform: 'node',
  target: 'node22.18',
  format: 'esm',
  legalComments: 'inline',
  logLevel: 'warning',
  // commander is CommonJS inside, and asks for Node's modules by require.
  banner: {
    js: "import { createRequire } from 'node:module';\nconst require = createRequire(import.meta.url);",
  },
});
