/** Suggestions for names that are nearly right. */
import { describe, expect, it } from 'vitest';
import { nearest } from '../src/near.ts';

describe('the names nearest to one that does not exist', () => {
  const TITLES = ['Profile sync', 'Profile export', 'Billing', 'Clean-up', 'A'];

  it.each<[string, string[]]>([
    ['profile sync', ['Profile sync']],
    ['Profil sync', ['Profile sync']],
    ['Porfile sync', ['Profile sync']],
    ['Profile', ['Profile sync', 'Profile export']],
    ['biling', ['Billing']],
    ['cleanup', ['Clean-up']],
    ['export', ['Profile export']],
    ['Something else', []],
    ['', ['A']],
  ])('%j is near to %j', (given, near) => {
    expect(nearest(given, TITLES)).toEqual(near);
  });

  it('three are named at most, the nearest first', () => {
    expect(nearest('sync 1', ['sync 23', 'sync 12', 'sync 2', 'Sync 1', 'sync 3'])).toEqual([
      'Sync 1',
      'sync 2',
      'sync 3',
    ]);
  });
});
