/** Runs one command line, and turns every end into an exit code. */
import { CommanderError } from 'commander';
import { explain } from './explain.ts';
import { EXIT, Failure } from './failure.ts';
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
    await program.parseAsync(args, { from: 'user' });
    session.endProgress();
    return EXIT.done;
  } catch (error) {
    session.endProgress();
    // The parser has written its own message.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
    return report(await explain(error, session.caller, world), error, session);
  }
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
