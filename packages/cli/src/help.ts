/**
 * Which help a command line asks for: `iw help events list`, `iw events help list`, `iw events list --help`. The parser shows the help of
 * the program for a word that is no command, and overlooks a second word; here such a word is a fault.
 */
import type { Command } from 'commander';
import { usage } from './failure.ts';
import { nearest } from './near.ts';

/**
 * @returns the command whose help the word `help` asks for; undefined when the parser can go on
 * @throws Failure when help is asked for a word that is no command
 */
export function helpAsked(args: readonly string[], program: Command): Command | undefined {
  const asksByFlag = args.some((word) => word === '-h' || word === '--help');
  let asksByWord = false;
  let command = program;
  const path = ['iw'];
  for (const word of wordsOf(args, program)) {
    if (word === 'help' && (asksByWord || command.commands.length > 0)) {
      asksByWord = true;
      continue;
    }
    // What follows a command without commands of its own are its arguments.
    if (command.commands.length === 0 && !asksByWord) return undefined;
    const next = command.commands.find((one) => one.name() === word);
    if (next === undefined) {
      if (asksByWord || asksByFlag) throw noCommand(word, command, path.join(' '));
      return undefined;
    }
    command = next;
    path.push(word);
  }
  return asksByWord ? command : undefined;
}

/** The words that are neither options nor values of options of every command. */
function* wordsOf(args: readonly string[], program: Command): Generator<string> {
  const takesValue = (word: string) =>
    program.options.some((option) => option.required && (option.long === word || option.short === word));
  for (let index = 0; index < args.length; index++) {
    const word = args[index] ?? '';
    if (word === '--') return;
    if (takesValue(word)) index++;
    else if (!word.startsWith('-')) yield word;
  }
}

function noCommand(word: string, command: Command, path: string) {
  const near = nearest(
    word,
    command.commands.map((one) => one.name()),
  );
  return usage(
    `unknown command '${word}'`,
    near.length === 0 ? `See all: ${path} --help` : `Did you mean ${near.join(' or ')}?`,
  );
}
