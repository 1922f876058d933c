/** What the parser found wrong with a command line, as a failure like all others. */
import type { CommanderError } from 'commander';
import { type Failure, usage } from './failure.ts';

/** @param command the command that was being read, such as `iw events` */
export function parserFault({ code, message }: CommanderError, command: string): Failure {
  if (code === 'commander.help') return usage(`Which command of ${command}?`, `See all: ${command} --help`);
  const [first = '', ...more] = withoutValue(message.replace(/^error: /, '')).split('\n');
  const suggestion = more.join(' ').replace(/^\((.*)\)$/, '$1');
  return usage(first, hintOf(code, first, suggestion, command));
}

function hintOf(code: string, fault: string, suggestion: string, command: string): string | undefined {
  if (code === 'commander.unknownOption' && /^[^=]*(secret|token|password)/i.test(fault)) {
    return 'A secret is never an argument: the history of the shell and the list of processes would show it. Use the prompt, --secret-stdin or an environment variable: iw login --help';
  }
  if (suggestion !== '') return suggestion;
  return code === 'commander.unknownCommand' || code === 'commander.unknownOption'
    ? `See all: ${command} --help`
    : undefined;
}

/** The parser repeats an unknown option as it was typed; its value may be a secret. */
function withoutValue(text: string): string {
  return text.replace(/(unknown option '--?[\w-]+)=[\s\S]*?'/, "$1=…'");
}
