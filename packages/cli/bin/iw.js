#!/usr/bin/env node
// Starts the command line: from its sources in a checkout, from the build in an installed package.
import { existsSync } from 'node:fs';

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 22 || (major === 22 && minor < 18)) {
  process.stderr.write(`iw needs Node 22.18 or newer; this is Node ${process.versions.node}.\n`);
  process.exit(2);
}
const source = new URL('../src/main.ts', import.meta.url);
await import(existsSync(source) ? source.href : new URL('../dist/iw.js', import.meta.url).href);
