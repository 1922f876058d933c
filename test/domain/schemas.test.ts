import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { characters, text, uuid } from '../../src/domain/schemas.ts';

describe('the length of a text', () => {
  it('the length of a text is counted in characters, as a person counts them', () => {
    expect(characters('')).toBe(0);
    expect(characters('aé語')).toBe(3);
    expect(characters('😀😀')).toBe(2);
  });

  it('a text of the smallest or the greatest length is accepted', () => {
    const schema = text(2, 4);
    const fits = (value: unknown) => schema.safeParse(value).success;
    expect([fits('a'), fits('ab'), fits('😀😀😀😀'), fits('abcde')]).toEqual([false, true, true, false]);
  });
});

describe('a UUID', () => {
  it('a UUID is accepted in any case and version, and put in lower case', () => {
    fc.assert(
      fc.property(fc.uuid(), (id) => {
        expect(uuid.parse(id.toUpperCase())).toBe(id);
      }),
    );
  });
});
