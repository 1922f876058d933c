/** A table that fits the terminal: columns that may shrink do, the widest first; ids stay whole, so that they can be copied. */
import { cut, safe, widthOf } from './text.ts';

export interface Column<Row> {
  readonly title: string;
  readonly of: (row: Row) => string | number | undefined;
  /** Whether it may be cut to fit the terminal. */
  readonly shrinks?: boolean;
}

/** A column that shrinks keeps this width, or that of its title. */
const NARROWEST = 12;
const GAP = '  ';

/**
 * @param width columns of the terminal; `undefined` cuts nothing
 * @param heading how the line of titles is shown
 * @returns the lines, without white space at their ends
 */
export function tableOf<Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  width: number | undefined,
  heading: (text: string) => string = (text) => text,
): string[] {
  const cells = rows.map((row) => columns.map(({ of }) => safe(String(of(row) ?? ''))));
  const widths = columns.map(({ title }, index) =>
    Math.max(widthOf(title), ...cells.map((line) => widthOf(line[index] ?? ''))),
  );
  if (width !== undefined) shrink(widths, columns, width);
  const lineOf = (line: readonly string[]) =>
    line
      .map((cell, index) => {
        const text = cut(cell, widths[index] ?? 0);
        return text + ' '.repeat(Math.max(0, (widths[index] ?? 0) - widthOf(text)));
      })
      .join(GAP)
      .trimEnd();
  return [heading(lineOf(columns.map(({ title }) => title))), ...cells.map(lineOf)];
}

function shrink<Row>(widths: number[], columns: readonly Column<Row>[], width: number): void {
  const least = columns.map(({ title, shrinks }, index) =>
    shrinks ? Math.max(widthOf(title), NARROWEST) : (widths[index] ?? 0),
  );
  const total = () => widths.reduce((sum, one) => sum + one, 0) + GAP.length * (widths.length - 1);
  for (let over = total() - width; over > 0; over--) {
    const widest = widths.reduce(
      (found, one, index) =>
        one > (least[index] ?? 0) && (found < 0 || one > (widths[found] ?? 0)) ? index : found,
      -1,
    );
    if (widest < 0) return;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
}
