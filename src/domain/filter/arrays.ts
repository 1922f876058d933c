/** Keywords for arrays. Their values are arrays: the compiler calls no other. */
import {
  type ArrayShape,
  type Check,
  type Cost,
  fixed,
  type Meter,
  NOTHING,
  type Shape,
  type TextShape,
} from './steps.ts';

const ITEM: TextShape = { kind: 'text', maxCharacters: 0 };

/** Items of an array that one check sees: from one index to before another. */
interface Range {
  readonly from: number;
  readonly to: number;
}

const ALL: Range = { from: 0, to: Number.POSITIVE_INFINITY };

/** `items` with one schema; with another range `additionalItems`. It stops at the first mismatch. */
export function everyItem(check: Check, range = ALL): Check {
  return {
    test: (value, meter) => {
      const items = value as readonly unknown[];
      const end = Math.min(items.length, range.to);
      for (let index = range.from; index < end; index++) if (!test(check, items[index], meter)) return false;
      return true;
    },
    worst: ofArray((shape) => onItems(check, shape, range)),
  };
}

/** `items` with a list of schemas, and `additionalItems` for the items after it. */
export function tuple(checks: readonly Check[], rest: Check | undefined): Check {
  const ranges = checks.map((check, index) => everyItem(check, { from: index, to: index + 1 }));
  if (rest !== undefined) ranges.push(everyItem(rest, { from: checks.length, to: Number.POSITIVE_INFINITY }));
  return {
    test: (value, meter) => {
      for (const range of ranges) {
        meter.steps += 1;
        if (!range.test(value, meter)) return false;
      }
      return true;
    },
    worst: ofArray((shape) => {
      const all = [...checks, ...(rest === undefined ? [] : [rest])].map((check) => check.worst(ITEM));
      const listed = checks.reduce((total, check) => total + 1 + check.worst(ITEM).fixed, 0);
      const others = rest === undefined ? 0 : (1 + rest.worst(ITEM).fixed) * shape.maxItems;
      const perCharacter = Math.max(0, ...all.map((cost) => cost.perCharacter));
      return ranges.length + listed + others + perCharacter * shape.maxCharacters;
    }),
  };
}

/** It stops at the first match. */
export function contains(check: Check): Check {
  return {
    ...everyItem(check),
    test: (value, meter) => {
      for (const item of value as readonly unknown[]) if (test(check, item, meter)) return true;
      return false;
    },
  };
}

const worstOfCount = () => fixed(2);

export function itemCount(min: number, max: number): Check {
  return {
    test: (value, meter) => {
      meter.steps += 2;
      const { length } = value as readonly unknown[];
      return length >= min && length <= max;
    },
    worst: worstOfCount,
  };
}

function test(check: Check, item: unknown, meter: Meter): boolean {
  meter.steps += 1;
  return check.test(item, meter);
}

function ofArray(worst: (shape: ArrayShape) => number): (shape: Shape) => Cost {
  return (shape) => (shape.kind === 'array' ? fixed(worst(shape)) : NOTHING);
}

function onItems(check: Check, shape: ArrayShape, range: Range): number {
  const items = Math.max(0, Math.min(shape.maxItems, range.to) - range.from);
  const cost = check.worst(ITEM);
  return items === 0 ? 0 : (1 + cost.fixed) * items + cost.perCharacter * shape.maxCharacters;
}
