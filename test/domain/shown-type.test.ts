import { describe, expect, it } from 'vitest';
import { exampleClaim } from '../../src/domain/example-event.ts';
import { shownTypeOf } from '../../src/domain/shown-type.ts';
import { aSetWith } from '../support/delivery-fixtures.ts';

const ID = '01890a5d-ac96-774b-bcce-b302099a8057';

describe('the type of a stored event', () => {
  it.each(['entityCreated', 'entityUpdated', 'entityDeleted'] as const)(
    'an event whose SET names %s has that type, signed or not',
    (type) => {
      const set = aSetWith({ [type]: { id: ID, sub: 'test' } });
      expect(shownTypeOf(set)).toBe(type);
      expect(shownTypeOf(set.slice(0, set.lastIndexOf('.') + 1))).toBe(type);
    },
  );

  it('a test notification has the type test, and so has an example of an event', () => {
    expect(shownTypeOf(aSetWith({ test: { id: ID } }))).toBe('test');
    expect(shownTypeOf(aSetWith(exampleClaim(ID, 'entityUpdated', 'us.example')))).toBe('test');
  });

  it.each([
    ['no text, because it was not kept', ''],
    ['no token', 'a.b.c'],
    ['no events', aSetWith({})],
    ['another type', aSetWith({ entityRenamed: { id: ID } })],
    ['the name of a method', aSetWith({ constructor: {} })],
  ])('a SET that is %s has no type', (_, set) => {
    expect(shownTypeOf(set)).toBeUndefined();
  });
});
