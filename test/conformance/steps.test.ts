/** What is accepted can be evaluated. Steps: the bound holds for every event, ordinary filters are far below the limit, and hostile ones are refused. */
import { describe, expect, it } from 'vitest';
import { checkFilter } from '../../src/domain/filter/check.ts';
import { compileFilter } from '../../src/domain/filter/filter.ts';
import { FILTER_MAX_STEPS } from '../../src/domain/limits.ts';
import { largeEvents } from '../../tools/filters/events.ts';
import { HOSTILE, onAttributes, search } from '../../tools/filters/hostile.ts';
import { Generator } from '../../tools/filters/random.ts';
import { seeded } from '../support/random.ts';

const events = largeEvents();

describe('the bound on steps', () => {
  it('a filter never takes more steps than its bound, on random and on large events', () => {
    const make = new Generator(seeded(7));
    let met = 0;
    for (let round = 0; round < 3000; round++) {
      const schema = make.filter();
      if (checkFilter(schema)?.includes('steps') === false) continue;
      const filter = compileFilter(schema);
      const bound = filter.worstSteps() - filter.buildSteps;
      const claims = [make.claim(), make.claim(), make.pick(events).claim, make.pick(events).claim];
      for (const claim of claims) {
        const { steps } = filter.measure(claim);
        if (steps > bound) expect.fail(`${steps} steps, bound ${bound}: ${JSON.stringify(schema)}`);
        if (steps > bound / 2) met += 1;
      }
    }
    // The bound is not only true: often it is almost met.
    expect(met).toBeGreaterThan(500);
  });

  it.each(Object.entries(HOSTILE))(
    'a hostile filter is refused or stays below the limit: %s',
    (_, schema) => {
      const filter = compileFilter(schema);
      const bound = filter.worstSteps();
      const steps = Math.max(...events.map(({ claim }) => filter.measure(claim).steps));
      expect(steps).toBeLessThanOrEqual(bound);
      if (checkFilter(schema) === undefined) expect(bound).toBeLessThanOrEqual(FILTER_MAX_STEPS);
    },
  );

  it('a filter that a search made as slow as is accepted stays below the limit', () => {
    const found = search(40, 11, events);
    expect(found.length).toBeGreaterThan(20);
    const [slowest] = found;
    expect(slowest?.worst).toBeGreaterThan(FILTER_MAX_STEPS / 2);
    expect(slowest?.worst).toBeLessThanOrEqual(FILTER_MAX_STEPS);
  });
});

describe('accepted filters', () => {
  it('an accepted filter compiles and answers every event: random schemas with every keyword', () => {
    const make = new Generator(seeded(3));
    let accepted = 0;
    for (let round = 0; round < 2000; round++) {
      const schema = make.filter();
      if (checkFilter(schema) !== undefined) continue;
      accepted += 1;
      const filter = compileFilter(schema);
      for (const value of [make.claim(), make.value(4)]) expect(filter.passes(value)).toBeTypeOf('boolean');
    }
    expect(accepted).toBeGreaterThan(1500);
  });
});

describe('ordinary filters', () => {
  const contract = {
    properties: {
      entityUpdated: {
        properties: {
          captureApplicationId: { const: 'aabc1de2f3ghi4jklm5n67opq8' },
          entityType: { const: 'user' },
          attributes: { contains: { enum: ['givenName', 'familyName', 'primaryAddress.city'] } },
        },
      },
    },
  };

  it.each<[string, Record<string, unknown>, number]>([
    ['the example of the contract', contract, 4000],
    ['an enum of 1,500 names', onAttributes({ contains: { enum: names(1500) } }), 7000],
    [
      'a pattern for the start of a name',
      onAttributes({ contains: { pattern: '^primaryAddress\\.' } }),
      20_000,
    ],
    ['a pattern for the end of a name', onAttributes({ contains: { pattern: 'Address$' } }), 35_000],
    ['a list of names that are not wanted', onAttributes({ not: { items: { enum: names(50) } } }), 4000],
    ['every attribute once', onAttributes({ uniqueItems: true }), 12_000],
  ])('an ordinary filter takes a small part of the limit: %s', (_, schema, most) => {
    expect(checkFilter(schema)).toBeUndefined();
    expect(compileFilter(schema).worstSteps()).toBeLessThan(most);
    expect(most).toBeLessThan(FILTER_MAX_STEPS / 3);
  });

  function names(count: number): string[] {
    return Array.from({ length: count }, (_, index) => `attribute${index}`);
  }
});
