/** Compares our evaluator with Ajv, on random schemas and values. Ajv needs `eval`, so this runs in Node only. */
import { Ajv } from 'ajv';
import formats from 'ajv-formats';
import { checkFilter } from '../../src/domain/filter/check.ts';
import { compileFilter } from '../../src/domain/filter/filter.ts';
import { seeded } from '../../test/support/random.ts';
import { Generator } from './random.ts';

const VALUES_A_SCHEMA = 8;

export interface Comparison {
  readonly schemas: number;
  readonly evaluations: number;
  readonly valid: number;
  /** Schemas that a filter may not be. */
  readonly refused: number;
  readonly differences: readonly string[];
}

export function compare(schemas: number, seed: number): Comparison {
  const make = new Generator(seeded(seed));
  const differences: string[] = [];
  const counts = { schemas: 0, evaluations: 0, valid: 0, refused: 0 };
  while (counts.schemas < schemas) {
    const schema = make.filter();
    if (checkFilter(schema) !== undefined) {
      counts.refused += 1;
      continue;
    }
    counts.schemas += 1;
    const theirs = newAjv().compile(schema);
    const ours = compileFilter(schema);
    for (let index = 0; index < VALUES_A_SCHEMA; index++) {
      const value = index % 2 === 0 ? make.claim() : make.value(3);
      const expected = theirs(value);
      const { passes } = ours.measure(value);
      counts.evaluations += 1;
      if (expected) counts.valid += 1;
      if (passes !== expected && !isFaultOfAjv(schema, value)) {
        differences.push(
          `ours ${passes}, Ajv ${expected}: ${JSON.stringify(schema)} on ${JSON.stringify(value)}`,
        );
      }
    }
  }
  return { ...counts, differences };
}

/**
 * Ajv 8 skips `contains` for an empty array when `items` is a list. Draft-07, and the official test suite, say that an empty
 * array contains nothing.
 */
function isFaultOfAjv(schema: unknown, value: unknown): boolean {
  return JSON.stringify(value).includes('[]') && hasListBesideContains(schema);
}

function hasListBesideContains(schema: unknown): boolean {
  if (typeof schema !== 'object' || schema === null) return false;
  if ('contains' in schema && 'items' in schema && Array.isArray(schema.items)) return true;
  return Object.values(schema).some(hasListBesideContains);
}

function newAjv(): Ajv {
  const ajv = new Ajv({ strict: false, logger: false, ownProperties: true, validateSchema: false });
  formats['default'](ajv);
  return ajv;
}
