/** The table of a benchmark, and whether its targets were met. */

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

  /** @param silent for JSON: nothing but the object is printed */
  constructor(silent: boolean) {
    this.#silent = silent;
  }

  /** What is being done, for who waits. */
  say(text: string): void {
    if (!this.#silent) console.log(text);
  }

  note(scenario: string, figure: string, value: number, unit: string, target?: Target): void {
    const told: Pick<Figure, 'target' | 'met'> = target === undefined ? {} : judge(value, target);
    this.figures.push({ scenario, figure, value, unit, ...told });
    const verdict = told.target === undefined ? '' : `  ${told.met ? 'ok    ' : 'MISSED'} ${told.target}`;
    this.say(
      `${scenario.padEnd(27)} ${figure.padEnd(38)} ${shown(value).padStart(9)} ${unit.padEnd(5)}${verdict}`,
    );
  }

  /** Targets that were missed. */
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
