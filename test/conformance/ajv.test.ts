/** Our evaluator against Ajv. Ajv needs `eval`, so this runs in Node. `npm run filters` compares many more schemas. */
import { describe, expect, it } from 'vitest';
import { compare } from '../../tools/filters/compare.ts';

describe('random schemas', () => {
  it('a filter and Ajv agree on every random schema and value', () => {
    const { differences, schemas, valid, evaluations } = compare(1500, 20_261_124);
    expect(differences).toEqual([]);
    expect(schemas).toBe(1500);
    expect(valid).toBeGreaterThan(evaluations / 10);
    expect(valid).toBeLessThan((evaluations * 9) / 10);
  });
});
