/** Files that a program makes once. */
import { linkSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/**
 * Writes a file that is not there yet: whole or not at all, so a program that dies leaves no half of it.
 * @returns whether it did; a file that is there stays as it is
 */
export function writeNew(file: string, text: string, mode: number): boolean {
  mkdirSync(dirname(file), { recursive: true });
  const draft = join(dirname(file), `.${basename(file)}.${process.pid}`);
  rmSync(draft, { force: true });
  writeFileSync(draft, text, { mode });
  try {
    // A link, because it fails where a file is already; a rename would replace it.
    linkSync(draft, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}
