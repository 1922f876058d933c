import { describe, expect, it } from 'vitest';
import { ApiFailure, faultName, faultsOf } from '../../src/domain/errors.ts';

describe('the name of a fault', () => {
  it.each<[PropertyKey[], string]>([
    [['title'], 'title'],
    [['events', 0], 'events[0]'],
    [[3, 'attributes'], '[3].attributes'],
    [[3, 'attributes', 12], '[3].attributes[12]'],
    [['filter', 'properties', 'a'], 'filter.properties.a'],
    [[0], '[0]'],
  ])('a fault at the path %j is named %s', (path, name) => {
    expect(faultName(path, 'body')).toBe(name);
  });

  it('a fault of the whole event is named event', () => {
    expect(faultName([], 'event')).toBe('event');
  });
});

describe('the faults of a failed parse', () => {
  it('the faults of a failed parse keep their order and their reasons', () => {
    const issues = [
      { path: ['b'], message: 'is required' },
      { path: [], message: 'must be an object' },
    ];
    expect(faultsOf(issues)).toEqual([
      { name: 'b', reason: 'is required' },
      { name: 'body', reason: 'must be an object' },
    ]);
  });
});

describe('an ApiFailure', () => {
  it('an ApiFailure has its error, and its message is the code alone', () => {
    const failure = new ApiFailure({ code: 'conflict', details: 'Subscription is disabled' });
    expect(failure.error).toEqual({ code: 'conflict', details: 'Subscription is disabled' });
    expect(failure.message).toBe('conflict');
  });

  it.each([
    ['invalid_body', 'body'],
    ['invalid_query', 'query'],
  ] as const)(
    'an ApiFailure has 100 faults of %s at most, and says how many others there are at least',
    (code, name) => {
      const faults = Array.from({ length: 103 }, (_, index) => ({
        name: `[${index}]`,
        reason: 'is required',
      }));
      const kept = (count: number) => new ApiFailure({ code, faults: faults.slice(0, count) }).error;
      expect(kept(100)).toEqual({ code, faults: faults.slice(0, 100) });
      const last = { name, reason: 'has at least 3 more faults' };
      expect(kept(103)).toEqual({ code, faults: [...faults.slice(0, 100), last] });
    },
  );
});
