/**
 * Builds the page to `public/console`, from where the Worker serves it. Everything is a file of its own: the page's
 * Content-Security-Policy permits no inline script, no inline style and no `data:` URL.
 */
import { join } from 'node:path';
import { defineConfig } from 'vite';

export default defineConfig({
  root: import.meta.dirname,
  base: '/console/',
  publicDir: false,
  build: {
    outDir: join(import.meta.dirname, '../../public/console'),
    emptyOutDir: true,
    // The browsers that know `light-dark()`, which the style sheet needs.
    target: ['chrome123', 'edge123', 'firefox120', 'safari17.5'],
    cssTarget: ['chrome123', 'edge123', 'firefox120', 'safari17.5'],
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
});
