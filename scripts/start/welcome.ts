/** The one screen that `npm start` prints when the service answers. */
import { readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { DEFAULT_STATE, ROOT } from './local.ts';

interface Started {
  readonly url: string;
  readonly state: string;
  /** The file of secrets; absent when the caller brought its own. */
  readonly secrets: string | undefined;
  readonly areSecretsNew: boolean;
}

export function welcome({ url, state, secrets, areSecretsNew }: Started): string {
  const fresh = areSecretsNew ? ' (made now)' : '';
  const remove = state === DEFAULT_STATE ? 'delete it to begin again' : 'as you asked';
  return [
    '',
    `identity-webhooks runs on this machine: ${url}`,
    '',
    `  ${url}/console/#/operator   the console: sign in with your OPERATOR_TOKEN`,
    `  ${url}/docs   every call of the API`,
    ...(secrets === undefined
      ? []
      : [`  ${shown(secrets)}${fresh}: your OPERATOR_TOKEN, and the other secrets`]),
    `  ${shown(state)}: the data; ${remove}`,
    '',
    'Next, in a second terminal, in this folder:',
    '',
    ...firstCommands(url).map((line) => `  ${line}`),
    '',
    'README.md, "Quick start", goes on from there. Ctrl+C stops the service.',
    '',
  ].join('\n');
}

/** A path as short as it can be. */
function shown(path: string): string {
  const short = relative(ROOT, path);
  return short.startsWith('..') ? path : short;
}

/** The block of the README's quick start that follows `npm start`, with the address of this service. */
function firstCommands(url: string): string[] {
  const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
  const [, quickStart = ''] = /^## Quick start\n([\s\S]*?)^## /m.exec(readme) ?? [];
  const blocks = [...quickStart.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map(([, block = '']) => block);
  const next = blocks[blocks.findIndex((block) => block.includes('npm start')) + 1] ?? '';
  return next.replaceAll('http://127.0.0.1:8787', url).trimEnd().split('\n');
}
