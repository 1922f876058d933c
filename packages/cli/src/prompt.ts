/** Questions to a person, and secrets: from a prompt without echo, from standard input, or from the environment. */
import { createInterface } from 'node:readline';
import { addAbortSignal, Writable } from 'node:stream';
import { interrupted, usage } from './failure.ts';
import type { World } from './world.ts';

/** More than any secret of the service (contract 10.2) or file of clients has. */
const STDIN_MAX_CHARACTERS = 1_000_000;

export const isInteractive = ({ stdin, err }: World) => stdin.isTTY === true && err.isTTY === true;

/** Asks on standard error, so that standard output stays for the result. @returns the line, without white space around it */
export function ask(world: World, question: string, echo = true): Promise<string> {
  const { stdin, err, signal } = world;
  // readline writes to its output what is typed; a secret goes nowhere.
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: stdin, output: echo ? err : nowhere, terminal: true });
  return new Promise<string>((resolve, reject) => {
    const stop = () => reject(interrupted());
    lines.on('SIGINT', stop);
    lines.on('close', stop);
    signal.addEventListener('abort', stop, { once: true });
    if (!echo) err.write(question);
    lines.question(echo ? question : '', (answer) => resolve(answer.trim()));
  }).finally(() => {
    lines.close();
    if (!echo) err.write('\n');
  });
}

/** @returns whether the person agrees; anything but a yes is a no */
export async function agree(world: World, question: string): Promise<boolean> {
  return /^y(es)?$/i.test(await ask(world, `${question} [y/N] `));
}

/** All of standard input, without the line feed at its end. */
export async function readStdin({ stdin, signal }: World): Promise<string> {
  let text = '';
  for await (const chunk of addAbortSignal(signal, stdin.setEncoding('utf8'))) {
    text += chunk;
    if (text.length > STDIN_MAX_CHARACTERS) throw usage('Standard input is too long.');
  }
  return text.replace(/\r?\n$/, '');
}

/**
 * A secret, never from an argument: arguments are in the history of the shell and in the list of processes.
 * @param variable the environment variable that may have it
 * @param fromStdin whether standard input has it
 */
export async function readSecret(
  world: World,
  {
    what,
    variable,
    fromStdin,
  }: { readonly what: string; readonly variable: string; readonly fromStdin: boolean },
): Promise<string> {
  const secret = fromStdin
    ? await readStdin(world)
    : ((world.env[variable] || undefined) ??
      (isInteractive(world) ? await ask(world, `${what}: `, false) : undefined));
  if (secret === undefined) {
    throw usage(
      `The ${what.toLowerCase()} is missing, and there is no terminal to ask for it.`,
      `Set ${variable}, or pipe it to standard input with --secret-stdin.`,
    );
  }
  if (!/^[\x20-\x7e]{1,1000}$/.test(secret)) {
    throw usage(`The ${what.toLowerCase()} must be one line of printable ASCII characters.`);
  }
  return secret;
}
