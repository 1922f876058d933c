/** A machine for the command line: its terminal, its environment and its files; nothing of the real one. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { onTestFinished } from 'vitest';
import { run } from '../src/run.ts';
import type { World } from '../src/world.ts';

export interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface Machine {
  readonly env: Record<string, string | undefined>;
  /** Waits that the command line asked for, ms. None of them takes time; `now` goes on by each. */
  readonly waits: number[];
  /** The folder of XDG_CONFIG_HOME. */
  readonly folder: string;
  iw(...args: readonly string[]): Promise<Ended>;
  /** With what is piped to standard input. */
  pipe(stdin: string, ...args: readonly string[]): Promise<Ended>;
  /** In a terminal where a person types these lines, one for each question. */
  type(lines: readonly string[], ...args: readonly string[]): Promise<Ended>;
  /** With a standard input that says nothing and stays open. */
  open(...args: readonly string[]): Promise<Ended>;
  /** Ctrl-C. */
  interrupt(): void;
}

interface Options {
  readonly fetch?: World['fetch'];
  /** A terminal of this width as standard output. */
  readonly columns?: number;
  /** Called at each wait, before it ends. */
  readonly onWait?: (nth: number) => void;
}

export function aMachine({
  fetch = (request) => globalThis.fetch(request),
  columns,
  onWait,
}: Options = {}): Machine {
  const folder = mkdtempSync(join(tmpdir(), 'iw-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const env: Record<string, string | undefined> = { HOME: folder, XDG_CONFIG_HOME: folder };
  const waits: number[] = [];
  const abort = new AbortController();
  let now = Date.parse('2026-01-31T12:00:00Z');

  const start = async (
    stdin: World['stdin'],
    isTerminal: boolean,
    args: readonly string[],
  ): Promise<Ended> => {
    const written = { out: '', err: '' };
    const output = (name: 'out' | 'err', isTTY: boolean) =>
      Object.assign(new PassThrough(), { isTTY, columns }).on('data', (chunk) => {
        written[name] += chunk;
      });
    const code = await run(args, {
      env,
      stdin,
      out: output('out', columns !== undefined),
      err: output('err', isTerminal),
      signal: abort.signal,
      fetch,
      wait: async (ms, signal) => {
        waits.push(ms);
        now += ms;
        onWait?.(waits.length);
        signal.throwIfAborted();
      },
      now: () => now,
    });
    await new Promise((resolve) => setImmediate(resolve));
    return { code, ...written };
  };

  return {
    env,
    waits,
    folder,
    iw: (...args) => start(Readable.from([]), false, args),
    pipe: (stdin, ...args) => start(Readable.from([stdin]), false, args),
    type: (lines, ...args) => {
      const keyboard = Object.assign(new PassThrough(), { isTTY: true, setRawMode: () => undefined });
      const left = [...lines];
      // A person types the next line when the last question was answered.
      keyboard.on('newListener', (event) => {
        if (event !== 'keypress') return;
        const line = left.shift();
        if (line !== undefined) setImmediate(() => keyboard.write(`${line}\r`));
      });
      return start(keyboard, true, args);
    },
    open: (...args) => start(new PassThrough(), false, args),
    interrupt: () => abort.abort(),
  };
}
