/** The program: the real machine, and what Ctrl-C and a closed pipe mean. */
import { setTimeout } from 'node:timers/promises';
import { run } from './run.ts';

const interrupt = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  // The second one ends the program at once, as if nobody had listened.
  process.once(signal, () => interrupt.abort(signal));
}
// `iw events list … | head -1` closes the pipe: there is nobody to write to, and nothing is wrong.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  process.stderr.write(`iw: The result cannot be written: ${error.message}.\n`);
  process.exit(1);
});
// Where nobody reads notes and errors, the result and the exit code are all there is.
process.stderr.on('error', () => undefined);

process.exitCode = await run(process.argv.slice(2), {
  env: process.env,
  stdin: process.stdin,
  out: process.stdout,
  err: process.stderr,
  signal: interrupt.signal,
  fetch: (request) => fetch(request),
  wait: async (ms, signal) => void (await setTimeout(ms, undefined, { signal })),
  now: Date.now,
});
// A prompt or a piped standard input must not keep the program alive.
process.stdin.destroy();
