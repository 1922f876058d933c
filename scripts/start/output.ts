/** What wrangler prints while `npm start` runs it. */
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';

/** wrangler rings the cron when this path is called. */
export const CRON_PATH = '/cdn-cgi/local/scheduled';

interface Target {
  write(text: string): unknown;
}

/** Holds what wrangler prints until the service answers, so that the screen shows what matters and nothing twice. */
export class HeldOutput {
  #held: { readonly line: string; readonly to: Target }[] | undefined = [];

  take(from: Readable, to: Target): void {
    createInterface({ input: from }).on('line', (line) => {
      if (this.#held !== undefined) this.#held.push({ line, to });
      else if (!line.includes(CRON_PATH)) to.write(`${line}\n`);
    });
  }

  /** Prints what was held, or only the lines of our own log in it; from now on everything is printed at once. */
  release(what: 'all' | 'our log'): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const { line, to } of held) if (what === 'all' || line.includes('{"level"')) to.write(`${line}\n`);
  }
}
