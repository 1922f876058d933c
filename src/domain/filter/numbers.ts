/** Keywords for numbers. No claim has a number today; the answers are right all the same. */
import { type Check, NOTHING } from './steps.ts';

export function numberCheck(test: (value: number) => boolean): Check {
  return {
    test: (value, meter) => {
      meter.steps += 1;
      return test(value as number);
    },
    worst: () => NOTHING,
  };
}
