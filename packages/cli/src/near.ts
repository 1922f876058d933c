/** Which of some names a person may have meant. */

/** More suggestions than this are a list, and there is a command for that. */
const SUGGESTIONS = 3;

/** @returns the names nearest to what was given, the nearest first: those that differ in little, begin with it or contain it */
export function nearest(given: string, names: readonly string[]): string[] {
  const wanted = given.toLowerCase();
  return names
    .map((name) => ({ name, far: distance(wanted, name.toLowerCase()) }))
    .filter(({ far }) => far < 1)
    .sort((a, b) => a.far - b.far)
    .slice(0, SUGGESTIONS)
    .map(({ name }) => name);
}

/** 0 for the same text; 1 and more for a text that is no suggestion. */
function distance(wanted: string, name: string): number {
  if (wanted === name) return 0;
  if (wanted.length > 2 && name.includes(wanted)) return 0.5;
  // A third of the letters may differ, two of a short text.
  const most = Math.max(2, Math.floor(wanted.length / 3));
  if (Math.abs(wanted.length - name.length) > most) return 1;
  return edits(wanted, name) / (most + 1);
}

/** How many letters must be put in, taken out or replaced to get from one text to the other (Levenshtein). */
function edits(from: string, to: string): number {
  let before = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let row = 1; row <= from.length; row++) {
    const now = [row];
    for (let column = 1; column <= to.length; column++) {
      const replaced = (before[column - 1] ?? 0) + (from[row - 1] === to[column - 1] ? 0 : 1);
      now.push(Math.min(replaced, (before[column] ?? 0) + 1, (now[column - 1] ?? 0) + 1));
    }
    before = now;
  }
  return before.at(-1) ?? 0;
}
