/** Runs a program as a user does, and reads what it prints. */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { endGroup, pause } from '../../tools/harness/processes.ts';

const ROOT = join(import.meta.dirname, '../..');
/** A safety net, ms. */
const WITHIN_MS = 300_000;

export interface Program {
  readonly child: ChildProcess;
  /** What it has printed on both streams. */
  output(): string;
  /** Waits until the output holds a text. @throws Error with the output if the program ends before or takes too long */
  printed(text: string): Promise<void>;
  /** Waits for its end. @returns its exit code */
  ended(): Promise<number | null>;
  /** Ends whatever is left of it. */
  stop(): Promise<void>;
}

/** Starts a program in the folder of the project, as a process group of its own. */
export function startProgram(command: string, values: readonly string[]): Program {
  const child = spawn(command, values, {
    cwd: ROOT,
    env: { ...process.env, NO_COLOR: '1', CI: 'true' },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  const until = async (done: () => boolean, what: string) => {
    for (const deadline = Date.now() + WITHIN_MS; !done(); await pause(50)) {
      if (Date.now() > deadline) throw new Error(`${what} does not come:\n${output}`);
    }
  };
  return {
    child,
    output: () => output,
    printed: async (text) => {
      const isThere = () => output.includes(text);
      await until(() => isThere() || child.exitCode !== null, text);
      if (!isThere()) throw new Error(`it ended without ${text}:\n${output}`);
    },
    ended: async () => {
      await until(() => child.exitCode !== null || child.signalCode !== null, 'the end');
      return child.exitCode;
    },
    stop: () => endGroup(child, 'SIGKILL'),
  };
}
