/** Runs one command line, and turns every end into an exit code. */
import { type Command, CommanderError } from 'commander';
import { explain } from './explain.ts';
import { EXIT, Failure } from './failure.ts';
import { helpAsked } from './help.ts';
import { parserFault } from './parser-fault.ts';
import { programOf } from './program.ts';
import { Session } from './session.ts';
import { safe } from './text.ts';
import type { World } from './world.ts';

/**
 * @param args what follows the program's name
 * @returns the exit code
 */
export async function run(args: readonly string[], world: World): Promise<number> {
  let session = new Session(world, { json: args.includes('--json'), debug: args.includes('--debug') });
  const program = programOf(world, (options) => {
    session = new Session(world, options);
    return session;
  });
  try {
    const asked = helpAsked(args, program);
    if (asked !== undefined) {
      asked.outputHelp();
      return EXIT.done;
    }
    await program.parseAsync(args, { from: 'user' });
    session.endProgress();
    return EXIT.done;
  } catch (error) {
    session.endProgress();
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return EXIT.done;
      // The help of a noun without its verb is written already; it is no answer for a machine.
      if (error.code === 'commander.help' && !session.options.json) return EXIT.usage;
      return report(parserFault(error, commandIn(args, program)), error, session);
    }
    return report(await explain(error, session.caller, world), error, session);
  }
}

/** The command that the words name, as far as they name one: `iw events`. */
function commandIn(args: readonly string[], program: Command): string {
  let command = program;
  const names = ['iw'];
  for (const word of args) {
    const next = command.commands.find((one) => one.name() === word);
    if (next === undefined) continue;
    command = next;
    names.push(word);
  }
  return names.join(' ');
}

function report(explained: unknown, original: unknown, { world, options }: Session): number {
  const failure =
    explained instanceof Failure
      ? explained
      : new Failure(
          'failed',
          `iw has a fault: ${explained instanceof Error ? explained.message : String(explained)}`,
          'See where: add --debug',
        );
  const { message, hint, exit, answer } = failure;
  if (options.json) {
    world.err.write(`${JSON.stringify({ error: { exit: EXIT[exit], message, hint, ...answer } })}\n`);
  } else {
    // Titles and answers of others are in these lines.
    world.err.write(exit === 'interrupted' ? '\n' : `iw: ${safe(message)}\n`);
    if (hint !== undefined) world.err.write(`    ${safe(hint)}\n`);
  }
  if (options.debug) world.err.write(`${stackOf(original)}\n`);
  return EXIT[exit];
}

function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined
    ? String(error.stack)
    : `${error.stack}\ncaused by ${stackOf(error.cause)}`;
}
