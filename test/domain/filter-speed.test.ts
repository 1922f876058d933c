/**
 * Steps and time, in the Workers runtime: its sets, its engine for patterns and its clock differ from those of Node. A filter is
 * compared with others in the same run, so a slow machine changes nothing.
 */
import { describe, expect, it } from 'vitest';
import { checkFilter } from '../../src/domain/filter/check.ts';
import { compileFilter } from '../../src/domain/filter/filter.ts';
import { largeEvents } from '../../tools/filters/events.ts';
import { HOSTILE, onAttributes } from '../../tools/filters/hostile.ts';

type Schema = Readonly<Record<string, unknown>>;

const events = largeEvents();
const decimals = Array.from({ length: 500 }, (_, index) => `${(index + 650) * 8192}`);
const claims = [...events.map(({ claim }) => claim), { entityUpdated: { attributes: decimals } }];

/** Milliseconds for all large events and some copies of each, the fastest of a few runs. */
function measure(schema: Schema): { ms: number; steps: number } {
  const filter = compileFilter(schema);
  let steps = 0;
  const times = Array.from({ length: 5 }, () => {
    const copies = claims.flatMap((claim) => Array.from({ length: 5 }, () => structuredClone(claim)));
    steps = 0;
    const started = performance.now();
    for (const copy of copies) steps += filter.measure(copy).steps;
    return performance.now() - started;
  });
  return { ms: Math.min(...times), steps };
}

const accepted = Object.entries(HOSTILE).filter(([, schema]) => checkFilter(schema) === undefined);

describe('hostile filters in the Workers runtime', () => {
  it('some hostile filters are accepted, and others are refused', () => {
    expect(accepted.length).toBeGreaterThan(10);
    expect(accepted.length).toBeLessThan(Object.keys(HOSTILE).length);
  });

  it.each(accepted)('an accepted hostile filter takes no longer than its steps say: %s', (_, schema) => {
    const usual = measure(onAttributes({ items: { allOf: Array(40).fill({}) } }));
    const { ms, steps } = measure(schema);
    // A step of the slowest kinds takes fifteen times as long as one of the usual kind. The clock counts whole milliseconds.
    const expected = Math.max(steps, usual.steps / 4) / usual.steps;
    expect(ms).toBeLessThan(60 * Math.max(usual.ms, 1) * expected + 5);
  });
});
