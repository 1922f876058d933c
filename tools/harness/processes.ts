/** Programs that a program starts, and how it ends them. */
import { type ChildProcess, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

const STOPPED_WITHIN_MS = 5_000;
const PARENT_CHECKED_EVERY_MS = 500;

/**
 * Sends a signal to the process group of a child that was started with `detached`, and SIGKILL after five seconds to what is left
 * of the group. Resolves when the group is gone.
 */
export async function endGroup(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  const { pid } = child;
  if (pid === undefined) return;
  signalGroup(pid, signal);
  const deadline = Date.now() + STOPPED_WITHIN_MS;
  while (signalGroup(pid, 0)) {
    if (Date.now() > deadline) signalGroup(pid, 'SIGKILL');
    await pause(50);
  }
}

/** @param signal 0 sends none @returns whether the group exists */
function signalGroup(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(-pid, signal);
    return true;
  } catch {
    return false;
  }
}

/**
 * Calls back once, when this process gets a signal to end or the program that started it is gone. A shell or a process manager that
 * is killed sends no signal to what it started.
 * @param callback gets the exit code that is usual for the cause: 130 after Ctrl-C, 143 otherwise
 */
export function whenAskedToEnd(callback: (code: number) => void): void {
  const parent = process.ppid;
  const npm = parentOfShell(parent);
  let asked = false;
  const ask = (code: number) => {
    if (asked) return;
    asked = true;
    clearInterval(watch);
    callback(code);
  };
  const watch = setInterval(() => {
    if (process.ppid !== parent || (npm !== undefined && !isAlive(npm))) ask(143);
  }, PARENT_CHECKED_EVERY_MS);
  watch.unref();
  process.on('SIGINT', () => ask(130));
  for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.on(signal, () => ask(143));
}

/** npm starts a script by a shell, which outlives it. @returns the process that started a shell; `undefined` if it is no shell */
function parentOfShell(pid: number): number | undefined {
  const [, parent] = /^\s*(\d+)\s+\S*sh\s*$/.exec(parentAndName(pid)) ?? [];
  return parent === undefined ? undefined : Number(parent);
}

/** The parent's id and the name of a process. Small images of Linux have no `ps`. */
function parentAndName(pid: number): string {
  try {
    // proc(5): id, name in brackets, state, id of the parent.
    const [, name = '', parent = ''] =
      /\((.*)\) \S (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? [];
    return `${parent} ${name}`;
  } catch {
    return spawnSync('ps', ['-o', 'ppid=,comm=', '-p', String(pid)], { encoding: 'utf8' }).stdout ?? '';
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
