/** Keywords for numbers. No claim has a number today; the answers are right all the same. */
import { type Check, costsNothing } from './steps.ts';

export function numberCheck(test: (value: number, limit: number) => boolean, limit: number): Check {
  return {
    test: (value, meter) => {
      meter.steps += 1;
      return test(value as number, limit);
    },
    worst: costsNothing,
  };
}
