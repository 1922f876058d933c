/** Keywords for texts: lengths and formats. Their values are texts: the compiler calls no other. */
import { FORMATS } from './formats.ts';
import { type Check, type Cost, costsNothing, NOTHING, type Shape } from './steps.ts';

const CHARACTERS_A_STEP = 4;

const worstOfLength = ofText({ fixed: 2, perCharacter: 1 / CHARACTERS_A_STEP });

/** Lengths in characters (code points). A character is one or two units, so most texts need no counting. */
export function lengthCheck(min: number, max: number): Check {
  return {
    test: (value, meter) => {
      const text = value as string;
      meter.steps += 2;
      if (text.length < min || text.length > 2 * max) return false;
      if (text.length >= 2 * min && text.length <= max) return true;
      meter.steps += Math.floor(text.length / CHARACTERS_A_STEP);
      const length = characters(text);
      return length >= min && length <= max;
    },
    worst: worstOfLength,
  };
}

function characters(text: string): number {
  let pairs = 0;
  for (let index = 1; index < text.length; index++) {
    if ((text.charCodeAt(index) & 0xfc00) !== 0xdc00 || (text.charCodeAt(index - 1) & 0xfc00) !== 0xd800)
      continue;
    pairs += 1;
  }
  return text.length - pairs;
}

const FORMAT_CHECKS: ReadonlyMap<string, Check> = new Map(
  Object.entries(FORMATS).map(([name, { test, steps }]) => [
    name,
    {
      test: (value, meter) => {
        const text = value as string;
        meter.steps += steps.fixed + Math.floor(steps.perCharacter * text.length);
        return test(text);
      },
      worst: ofText(steps),
    },
  ]),
);

/** A format that nobody knows accepts every text: a filter with one may have been accepted long ago. */
const UNKNOWN: Check = { test: () => true, worst: costsNothing };

export function formatCheck(name: string): Check {
  return FORMAT_CHECKS.get(name) ?? UNKNOWN;
}

function ofText(cost: Cost): (shape: Shape) => Cost {
  return (shape) => (shape.kind === 'text' ? cost : NOTHING);
}
