/**
 * The commands and the exit codes of docs/command-line.md are made from the command line itself. To make them again after a change:
 * UPDATE_DOCS=1 npx vitest run test/structure/command-line-page.test.ts
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { EVERYWHERE } from '../../packages/cli/src/command.ts';
import { exitCodes } from '../../packages/cli/src/failure.ts';
import { programOf } from '../../packages/cli/src/program.ts';
import { aMachine } from '../../packages/cli/test/machine.ts';

const PAGE = join(import.meta.dirname, '../../docs/command-line.md');

type Command = ReturnType<typeof programOf>;

/** Each command that does something, as a person types it, in the order of the help. */
function commandsOf(command: Command, path: readonly string[] = []): string[][] {
  const inner = command.commands.filter((one) => one.name() !== 'help');
  return inner.length === 0 ? [[...path]] : inner.flatMap((one) => commandsOf(one, [...path, one.name()]));
}

const program = programOf({ out: {}, err: {} } as never, () => {
  throw new Error('nothing is run');
});
const commands = commandsOf(program);

const helpOf = async (args: readonly string[]) => (await aMachine().iw(...args, '--help')).out;

/** The part of a page between a marker and the next one. */
function put(page: string, marker: string, text: string): string {
  const begin = `<!-- ${marker}: made by test/structure/command-line-page.test.ts -->`;
  const end = `<!-- end of ${marker} -->`;
  const start = page.indexOf(begin);
  const stop = page.indexOf(end);
  if (start < 0 || stop < start) throw new Error(`docs/command-line.md has no part for ${marker}`);
  return `${page.slice(0, start)}${begin}\n\n${text}\n\n${page.slice(stop)}`;
}

describe('docs/command-line.md', () => {
  it('the page shows the help of each command, and each exit code, as they are', async () => {
    const table = [
      '| Code | Meaning |',
      '|---|---|',
      ...exitCodes().map(([code, meaning]) => `| ${code} | ${meaning} |`),
    ];
    const sections = [`\`\`\`text\n${(await helpOf([])).trim()}\n\`\`\``];
    for (const command of commands) {
      const help = (await helpOf(command)).replace(EVERYWHERE, '').trim();
      sections.push(`### iw ${command.join(' ')}\n\n\`\`\`text\n${help}\n\`\`\``);
    }
    const page = readFileSync(PAGE, 'utf8');
    const made = put(put(page, 'exit codes', table.join('\n')), 'commands', sections.join('\n\n'));
    if (process.env['UPDATE_DOCS'] === '1') writeFileSync(PAGE, made);
    expect(readFileSync(PAGE, 'utf8')).toBe(made);
  });

  it('every command has a description, examples that name it, and a short line for the list', async () => {
    expect(commands.length).toBeGreaterThan(40);
    for (const command of commands) {
      const help = await helpOf(command);
      expect(help, command.join(' ')).toMatch(/^Usage: .*\n\n[A-Z]/);
      expect(help).toContain(`iw ${command.join(' ')}`);
      expect(help).toMatch(/\nExamples:\n {2}\$ /);
    }
  });

  it('every example is a command line that the parser takes', async () => {
    const wrong: string[] = [];
    for (const command of commands) {
      for (const [, line = ''] of (await helpOf(command)).matchAll(/\$ (?:.*\| )?iw (.*)/g)) {
        const args = [...line.replace(/ [|>].*/, '').matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(
          ([, a, b, c]) => a ?? b ?? c ?? '',
        );
        // Without a profile each command ends with 4 or with a question of its own; only the parser speaks of options and arguments.
        const { err } = await aMachine().pipe('', ...args);
        if (/unknown (option|command)|missing required|too many arguments|is invalid/.test(err))
          wrong.push(`${line}: ${err}`);
      }
    }
    expect(wrong).toEqual([]);
  });
});
