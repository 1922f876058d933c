/** Keywords for texts: lengths and formats. Their values are texts: the compiler calls no other. */
import { FORMATS } from './formats.ts';
import { type Check, type Cost, fixed, NOTHING, type Shape } from './steps.ts';

const CHARACTERS_A_STEP = 4;

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
    worst: ofText({ fixed: 2, perCharacter: 1 / CHARACTERS_A_STEP }),
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

export function formatCheck(name: string): Check {
  const format = FORMATS[name];
  if (format === undefined) return { test: () => true, worst: () => fixed(0) };
  return {
    test: (value, meter) => {
      const text = value as string;
      meter.steps += format.steps.fixed + Math.floor(format.steps.perCharacter * text.length);
      return format.test(text);
    },
    worst: ofText(format.steps),
  };
}

function ofText(cost: Cost): (shape: Shape) => Cost {
  return (shape) => (shape.kind === 'text' ? cost : NOTHING);
}
