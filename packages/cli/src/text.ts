/** Text for terminals: what a stranger wrote is shown, never obeyed; columns are measured as a terminal shows them. */
import stringWidth from 'string-width';

/** Controls, and marks that change the direction or hide. A title with an escape sequence could repaint the screen. */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** A text in one line, with unsafe characters written as code points: `\u{1b}`. */
export function safe(text: string): string {
  return text
    .toWellFormed()
    .replaceAll(UNSAFE, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);
}

/** How many columns of a terminal a text takes. */
export function widthOf(text: string): number {
  return stringWidth(text);
}

/** A text of at most so many columns; what is left out is shown by "…". */
export function cut(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  let cut = '';
  for (const { segment } of new Intl.Segmenter().segment(text)) {
    if (widthOf(cut) + widthOf(segment) > width - 1) break;
    cut += segment;
  }
  return `${cut}…`;
}

/** `2026-01-31 12:00:00Z`: an RFC 3339 time in UTC, to the second. Another text is left as it is. */
export function time(text: string | undefined): string {
  return text === undefined ? '' : text.replace(/^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?Z$/, '$1 $2Z');
}

/** `1 event`, `2 events`. */
export function count(number: number, one: string, many = `${one}s`): string {
  return `${number.toLocaleString('en')} ${number === 1 ? one : many}`;
}
