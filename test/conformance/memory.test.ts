/** What compiled filters keep in memory: the count of bytes is true, and one customer's filters are few megabytes. Needs Node's collector. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { checkFilter } from '../../src/domain/filter/check.ts';
import { compileFilter } from '../../src/domain/filter/filter.ts';
import {
  FILTER_MAX_BYTES,
  FILTERS_MAX_BYTES_PER_CUSTOMER,
  FILTERS_MAX_STEPS_PER_CUSTOMER,
} from '../../src/domain/limits.ts';

setFlagsFromString('--expose-gc');
const collect: () => void = runInNewContext('gc');

/** The largest accepted filter that is a list of one text. */
function largest(one: string, wrap: (list: string) => string): string {
  const most = Math.floor((FILTER_MAX_BYTES - 100) / (one.length + 1));
  for (let count = most; count > 0; count = Math.floor(count * 0.95)) {
    const text = wrap(Array(count).fill(one).join(','));
    if (checkFilter(JSON.parse(text)) === undefined) return text;
  }
  throw new Error(`no filter of ${one} is accepted`);
}

const anyOf = (list: string) => `{"properties":{"entityUpdated":{"anyOf":[${list}]}}}`;
const several =
  '{"minimum":1,"maximum":2,"minLength":1,"minItems":1,"minProperties":1,"multipleOf":3,"const":1}';
const LARGE = [
  ['items', largest('{"items":{}}', anyOf)],
  ['lists of items', largest('{"items":[{}]}', anyOf)],
  ['enums', largest('{"enum":[[]]}', anyOf)],
  ['properties', largest('{"properties":{"a":{}}}', anyOf)],
  ['dependencies', largest('{"dependencies":{"a":[]}}', anyOf)],
  ['many keywords', largest(several, anyOf)],
  ['a constant of arrays', largest('[]', (list) => `{"const":[${list}]}`)],
] as const;

/** Bytes that a compiled filter keeps. */
function bytesOf(text: string): number {
  const copies = 8;
  compileFilter(JSON.parse(text));
  collect();
  const before = process.memoryUsage().heapUsed;
  const kept = Array.from({ length: copies }, () => compileFilter(JSON.parse(text)));
  collect();
  const bytes = (process.memoryUsage().heapUsed - before) / copies;
  expect(kept).toHaveLength(copies);
  return bytes;
}

describe('the memory of compiled filters', () => {
  it.each(LARGE)(
    'a large filter keeps no more than is counted, and a customer with the most of them 24 MB: %s',
    (_, text) => {
      const filter = compileFilter(JSON.parse(text));
      const bytes = bytesOf(text);
      expect(bytes).toBeLessThan(1.2 * filter.bytes);
      const most = Math.min(
        FILTERS_MAX_BYTES_PER_CUSTOMER / text.length,
        FILTERS_MAX_STEPS_PER_CUSTOMER / filter.worstSteps(),
      );
      expect(most * bytes).toBeLessThan(24_000_000);
    },
  );
});
