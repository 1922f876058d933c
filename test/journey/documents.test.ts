/**
 * Runs the commands of the documents, as a reader pastes them: the set-up, and after it those of each document in a shell of its own,
 * against one service with short waits. In a block of shell that is marked `run` every command must succeed. If a block of text follows
 * it, that is what it prints; `…` is any text.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { endGroup } from '../../tools/harness/processes.ts';
import {
  freePort,
  type Home,
  makeHome,
  type RunningService,
  startService,
} from '../../tools/harness/service.ts';
import { type Block, blocksIn } from '../support/markdown.ts';

const ROOT = join(import.meta.dirname, '../..');
const VARIABLES = { RETRY_DELAYS_SECONDS: '1,1,1,1,1', REDELIVER_INTERVAL_SECONDS: '1' };
/** Where the other documents go on from. */
const SET_UP = 'docs/README.md';
/**
 * Commands wait for what comes soon. A busy machine takes longer, so they wait three times as long here. A command that fails in the
 * middle of a block is noticed, too.
 */
const PRELUDE = `sleep() { command sleep $(($1 * 3)); }; set -o pipefail -o errtrace; trap 'FAILED=1' ERR`;
const MARK = '@@@ block';

interface Step {
  readonly line: number;
  readonly code: string;
  readonly prints: string | undefined;
}

let home: Home;
let service: RunningService;

beforeAll(async () => {
  home = makeHome();
  service = await startService(home, VARIABLES);
});

afterAll(async () => {
  await service?.stop();
  home?.remove();
});

const read = (document: string) => readFileSync(join(ROOT, document), 'utf8');

/** The steps of a document: its marked blocks, each with the text that follows it. */
function stepsOf(document: string): Step[] {
  const blocks = blocksIn(read(document));
  return blocks.flatMap(({ language, marks, code, line }, index) => {
    if (language !== 'sh' || !marks.includes('run')) return [];
    const next: Block | undefined = blocks[index + 1];
    return [{ line, code, prints: next?.language === 'text' ? next.code : undefined }];
  });
}

/** What a document writes for the reader's own machine, and what it is here. Documents run side by side. */
async function replacements(): Promise<ReadonlyMap<string, string>> {
  const folder = mkdtempSync(join(home.directory, 'document-'));
  return new Map([
    ['http://127.0.0.1:8787', service.url],
    ['.dev.vars', join(home.directory, 'secrets.env')],
    ['/tmp/', `${folder}/`],
    ['9000', String(await freePort())],
    ['9002', String(await freePort())],
  ]);
}

/** @returns what each block printed and its exit code; fewer blocks if the shell ended before */
async function run(steps: readonly Step[]): Promise<{ printed: string; code: number }[]> {
  const blocks = steps.map(({ code }) => `FAILED=0\n${code}\necho; echo "${MARK} $FAILED"`);
  const here = await replacements();
  const written = new RegExp([...here.keys()].map((text) => RegExp.escape(text)).join('|'), 'g');
  const script = [PRELUDE, ...blocks].join('\n').replace(written, (text) => here.get(text) ?? text);
  const shell = spawn('bash', ['-c', `exec 2>&1\n${script}`], {
    cwd: ROOT,
    env: { ...process.env, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
  let output = '';
  shell.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  await new Promise((resolve) => shell.on('exit', resolve));
  await endGroup(shell, 'SIGKILL'); // listeners that a document leaves running
  return output
    .split(new RegExp(`(?<=^${MARK} \\d+)\n`, 'm'))
    .filter((part) => part.includes(MARK))
    .map((part) => {
      const [printed = '', code = ''] = part.split(`${MARK} `);
      return { printed, code: Number(code) };
    });
}

/** A text with `…` as a pattern. White space at the ends of lines and empty lines do not matter. */
function patternOf(prints: string): RegExp {
  const lines = tidy(prints).split('…');
  return new RegExp(`^${lines.map((text) => RegExp.escape(text)).join('[\\s\\S]*?')}$`);
}

const tidy = (text: string) =>
  text
    .split('\n')
    .map((line) => line.trimEnd())
    .filter((line) => line !== '')
    .join('\n');

/** The documents whose commands run, each after the set-up. */
const DOCUMENTS = ['docs/publishing.md', 'docs/filters.md', 'docs/when-things-fail.md'];

describe('the commands of the documents', () => {
  it.concurrent.each([SET_UP, ...DOCUMENTS])(
    'every marked command of %s prints what the document says',
    async (document) => {
      const before = document === SET_UP ? [] : stepsOf(SET_UP);
      const steps = stepsOf(document);
      expect(steps.length).toBeGreaterThan(1);
      const results = (await run([...before, ...steps])).slice(before.length);
      for (const [index, { line, prints }] of steps.entries()) {
        const place = `${document}:${line}`;
        const { printed, code } = results[index] ?? { printed: 'the shell ended before', code: -1 };
        expect(code, `${place} printed:\n${printed}`).toBe(0);
        if (prints !== undefined) expect(tidy(printed), place).toMatch(patternOf(prints));
      }
    },
  );
});
