/**
 * Parses every command line of `iw` in the documents with its own parser: commands, options, choices and arguments are as `iw` has
 * them. Nothing is run. Of `npm run` in documents the script exists.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { programOf } from '../../packages/cli/src/program.ts';
import { blocksIn } from '../support/markdown.ts';
import { documentFiles, ROOT, read } from './source.ts';

interface Line {
  readonly place: string;
  readonly words: readonly string[];
}

/** Where one command ends and the next begins. */
const SEPARATOR = /^(\||\|\||&&|&|;|\)|<<.*|\d?>.*|<)$/;

/** The words of a line of shell, up to a comment. Quotes are taken off; a substitution is one word. */
function wordsOf(line: string): string[] {
  const found = line.matchAll(
    /(?:^|\s)(#.*$)|((?:"(?:\$\([^)]*\)|[^"])*"|'[^']*'|\$\([^)]*\)|[^\s"'|;&()]|\\.)+)|(\|\||&&|[|;&()])/g,
  );
  const words: string[] = [];
  for (const [, comment, word, separator] of found) {
    if (comment !== undefined) break;
    words.push(separator ?? (word ?? '').replace(/"((?:\$\([^)]*\)|[^"])*)"|'([^']*)'/g, '$1$2'));
  }
  return words;
}

/** The command lines of `iw` in a text of shell, without its name. */
function commandsIn(text: string): string[][] {
  const joined = text.replace(/\\\n\s*/g, ' ');
  return joined.split('\n').flatMap((line) => {
    const inner = [...line.matchAll(/\$\(((?:npx )?iw [^)]*)\)/g)].flatMap(([, one = '']) => commandsIn(one));
    const words = wordsOf(line);
    const commands = words.flatMap((word, index) => {
      const before = words[index - 1];
      const isCommand =
        word === 'iw' &&
        (before === undefined || before === 'npx' || before === '$' || SEPARATOR.test(before));
      const rest = words.slice(index + 1);
      // A function of this name, and the command in it.
      if (!isCommand || rest[0] === '(' || rest.includes('$@')) return [];
      const end = rest.findIndex((one) => SEPARATOR.test(one));
      return [end < 0 ? rest : rest.slice(0, end)];
    });
    return [...commands, ...inner];
  });
}

/** A document without its blocks of code. Commands in backquotes there may leave out arguments. */
const prose = (text: string) => text.replace(/^```.*\n[\s\S]*?^```$/gm, '');

const examplesIn = (text: string) => [...text.matchAll(/^ *\$ (.*)$/gm)].map(([, line]) => line).join('\n');

const DOCUMENTS = documentFiles().filter((file) => file !== 'docs/contract.md');
const inBlocks: Line[] = DOCUMENTS.flatMap((document) =>
  blocksIn(read(document))
    // A block of text may show the examples of a help.
    .map((block) => (block.language === 'text' ? { ...block, code: examplesIn(block.code) } : block))
    .filter(({ language }) => ['sh', 'text'].includes(language))
    .flatMap(({ code, line }) => commandsIn(code).map((words) => ({ place: `${document}:${line}`, words }))),
);
const inProse: Line[] = DOCUMENTS.flatMap((document) =>
  [...prose(read(document)).matchAll(/`((?:npx )?iw [^`]+)`/g)].flatMap(([, text = '']) =>
    commandsIn(text).map((words) => ({ place: document, words })),
  ),
);

/** @returns what the parser finds wrong; nothing when the command would begin its work */
async function faultOf(words: readonly string[]): Promise<string | undefined> {
  const program = programOf({ out: { write: () => true }, err: { write: () => true } } as never, () => {
    throw new Error('begins');
  });
  try {
    await program.parseAsync(words, { from: 'user' });
    return undefined;
  } catch (error) {
    const { message, code } = error as Error & { code?: string };
    const isFine = message === 'begins' || code === 'commander.helpDisplayed' || code === 'commander.version';
    return isFine ? undefined : message;
  }
}

async function faultsOf(lines: readonly Line[], isFine: (fault: string) => boolean): Promise<string[]> {
  const faults = await Promise.all(
    lines.map(async ({ place, words }) => ({ place, words, fault: await faultOf(words) })),
  );
  return faults.flatMap(({ place, words, fault }) =>
    fault === undefined || isFine(fault) ? [] : [`${place}: iw ${words.join(' ')}: ${fault}`],
  );
}

describe('the command lines of iw in the documents', () => {
  it('the documents have some', () => {
    expect(inBlocks.length).toBeGreaterThan(40);
    expect(inProse.length).toBeGreaterThan(20);
  });

  it('iw understands every one in a block of shell', async () => {
    expect(await faultsOf(inBlocks, () => false)).toEqual([]);
  });

  it('iw knows every command and every option in the prose, where arguments may be left out', async () => {
    const isLeftOut = (fault: string) =>
      /missing required argument|required option|^\(outputHelp\)$|argument '[A-Z]+' is invalid/.test(fault);
    expect(await faultsOf(inProse, isLeftOut)).toEqual([]);
  });

  it('every npm script that a document runs exists', () => {
    const scripts = new Set(
      ['package.json', 'examples/package.json'].flatMap((file) =>
        existsSync(join(ROOT, file)) ? Object.keys(JSON.parse(read(file)).scripts ?? {}) : [],
      ),
    );
    const missing = DOCUMENTS.flatMap((document) =>
      [...read(document).matchAll(/\bnpm run (?:--silent )?([a-z][\w:-]*)/g)].flatMap(([, name = '']) =>
        scripts.has(name) ? [] : [`${document}: npm run ${name}`],
      ),
    );
    expect(missing).toEqual([]);
  });

  it('the reader finds commands behind pipes, in substitutions and in lines that go on, and a wrong one is reported', async () => {
    const text = `secret | npx iw login URL --operator --secret-stdin # iw nothing
a && iw events show "Profile sync" "$(npx iw events list "Profile sync" --quiet)"
iw dead-letters \\
  list > file; iw status &
iw() { npx iw --profile x "$@"; }`;
    expect(commandsIn(text)).toEqual([
      ['login', 'URL', '--operator', '--secret-stdin'],
      ['events', 'show', 'Profile sync', '$(npx iw events list "Profile sync" --quiet)'],
      ['events', 'list', 'Profile sync', '--quiet'],
      ['dead-letters', 'list'],
      ['status'],
    ]);
    expect(await faultsOf([{ place: 'x', words: ['events', 'lst'] }], () => false)).toHaveLength(1);
  });
});
