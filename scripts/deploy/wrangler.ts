/** Runs wrangler. Everything that a deployment does in an account goes through this one function, so that a test can answer. */
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

export interface Answer {
  /** The exit code. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export type Wrangler = (args: readonly string[]) => Promise<Answer>;

const program = join(
  dirname(createRequire(import.meta.url).resolve('wrangler/package.json')),
  'bin',
  'wrangler.js',
);

/** @param cwd where wrangler runs: without `--config` it would read the configuration there */
export function wranglerIn(cwd: string): Wrangler {
  return (args) =>
    new Promise((resolve, reject) => {
      const env = {
        WRANGLER_SEND_METRICS: 'false',
        ...process.env,
        // No questions: everything that wrangler may ask has an answer here.
        CI: 'true',
        NO_COLOR: '1',
        WRANGLER_HIDE_BANNER: 'true',
      };
      const child = spawn(process.execPath, [program, ...args], {
        cwd,
        env,
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      let stdout = '';
      let stderr = '';
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        stdout += text;
      });
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        stderr += text;
      });
      child.on('error', reject);
      child.on('close', (status) => resolve({ status: status ?? 1, stdout, stderr }));
    });
}
