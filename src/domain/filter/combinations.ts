/** Keywords that combine schemas: `allOf`, `anyOf`, `oneOf`, `not`, `if`. Each stops as soon as its answer is known. */
import { type Check, larger, NOTHING, sum } from './steps.ts';

const ALL_OF_NONE: Check = { test: () => true, worst: () => NOTHING };

export function allOf(checks: readonly Check[]): Check {
  const [only] = checks;
  if (only === undefined) return ALL_OF_NONE;
  if (checks.length === 1) return only;
  return {
    test: (value, meter) => {
      for (const check of checks) if (!check.test(value, meter)) return false;
      return true;
    },
    worst: (shape) => sum(checks.map((check) => check.worst(shape))),
  };
}

export function anyOf(checks: readonly Check[]): Check {
  return {
    ...allOf(checks),
    test: (value, meter) => {
      for (const check of checks) if (check.test(value, meter)) return true;
      return false;
    },
  };
}

export function oneOf(checks: readonly Check[]): Check {
  return {
    ...allOf(checks),
    test: (value, meter) => {
      let matches = 0;
      for (const check of checks) {
        if (check.test(value, meter)) matches += 1;
        if (matches > 1) return false;
      }
      return matches === 1;
    },
  };
}

export function not(check: Check): Check {
  return { ...check, test: (value, meter) => !check.test(value, meter) };
}

export function ifThenElse(condition: Check, then: Check, otherwise: Check): Check {
  return {
    test: (value, meter) => (condition.test(value, meter) ? then : otherwise).test(value, meter),
    worst: (shape) => sum([condition.worst(shape), larger(then.worst(shape), otherwise.worst(shape))]),
  };
}
