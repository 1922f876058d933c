/** Prints the table of a benchmark, and judges its targets. */

export interface Figure {
  readonly scenario: string;
  readonly figure: string;
  readonly value: number;
  readonly unit: string;
  readonly target?: string;
  readonly met?: boolean;
}

export interface Target {
  readonly atMost?: number;
  readonly atLeast?: number;
}

export class Report {
  readonly figures: Figure[] = [];
  readonly #silent: boolean;

  /** @param silent print nothing: the caller prints JSON */
  constructor(silent: boolean) {
    this.#silent = silent;
  }

  /** Prints which step is running. */
  say(text: string): void {
    if (!this.#silent) console.log(text);
  }

  note(scenario: string, figure: string, value: number, unit: string, target?: Target): void {
    const judged: Pick<Figure, 'target' | 'met'> = target === undefined ? {} : judge(value, target);
    this.figures.push({ scenario, figure, value, unit, ...judged });
    const verdict =
      judged.target === undefined ? '' : `  ${judged.met ? 'ok    ' : 'MISSED'} ${judged.target}`;
    this.say(
      `${scenario.padEnd(27)} ${figure.padEnd(38)} ${shown(value).padStart(9)} ${unit.padEnd(5)}${verdict}`,
    );
  }

  /** Figures that missed their targets. */
  missed(): Figure[] {
    return this.figures.filter(({ met }) => met === false);
  }
}

function judge(value: number, { atMost, atLeast }: Target): { target: string; met: boolean } {
  if (atMost !== undefined) return { target: `at most ${shown(atMost)}`, met: value <= atMost };
  return { target: `at least ${shown(atLeast ?? 0)}`, met: value >= (atLeast ?? 0) };
}

function shown(value: number): string {
  if (value >= 100 || Number.isInteger(value)) return value.toFixed(0);
  return value >= 10 ? value.toFixed(1) : value.toPrecision(2);
}
