import { describe, expect, it } from 'vitest';
import { BoundedCache } from '../src/bounded-cache.ts';

describe('a bounded cache', () => {
  it('a bounded cache drops the entry that was not used for longest', () => {
    const cache = new BoundedCache<number>(2);
    cache.set('a', 1);
    cache.set('b', 2);
    expect(cache.get('a')).toBe(1);
    cache.set('c', 3);
    expect(['a', 'b', 'c'].map((key) => cache.get(key))).toEqual([1, undefined, 3]);
  });

  it('an entry that is set again counts once, and as used', () => {
    const cache = new BoundedCache<number>(2);
    cache.set('a', 1);
    cache.set('b', 2);
    cache.set('a', 3);
    cache.set('c', 4);
    expect(['a', 'b', 'c'].map((key) => cache.get(key))).toEqual([3, undefined, 4]);
    expect(cache.size).toBe(2);
  });

  it('a bounded cache with sizes drops as many entries as the new one needs, and never the new one', () => {
    const cache = new BoundedCache<string>(10, ({ length }) => length);
    for (const text of ['aaaa', 'bbbb', 'cc']) cache.set(text, text);
    cache.set('dddddd', 'dddddd');
    expect(['aaaa', 'bbbb', 'cc', 'dddddd'].map((key) => cache.get(key) !== undefined)).toEqual([
      false,
      false,
      true,
      true,
    ]);
    cache.set('large', 'x'.repeat(20));
    expect([cache.get('large')?.length, cache.size]).toEqual([20, 20]);
    cache.set('e', 'e');
    expect([cache.get('large'), cache.size]).toEqual([undefined, 1]);
  });

  it('an entry that is deleted leaves its room to others', () => {
    const cache = new BoundedCache<number>(1);
    cache.set('a', 1);
    cache.delete('a');
    cache.delete('a');
    expect([cache.get('a'), cache.size]).toEqual([undefined, 0]);
  });
});
