import { describe, expect, it } from 'vitest';
import { RecentIds, takeOnce } from '../src/seen.ts';

const CLAIMS = { jti: 'e67f33f4-28ae-4abe-a5a4-98e9593774bb', events: {} };

describe('a second request for an event that is being taken', () => {
  it.each(['fulfilled', 'rejected'])(
    'a second request for an event waits for the first and is %s like it',
    async (result) => {
      const gate = Promise.withResolvers<void>();
      let tries = 0;
      const take = takeOnce(new RecentIds(), () => {
        tries++;
        return gate.promise;
      });
      const both = Promise.allSettled([take(CLAIMS, 'token'), take(CLAIMS, 'token')]);
      if (result === 'fulfilled') gate.resolve();
      else gate.reject(new Error('the database is away'));
      expect((await both).map(({ status }) => status)).toEqual([result, result]);
      expect(tries).toBe(1);
    },
  );
});

describe('RecentIds', () => {
  it('RecentIds keeps at least the last ids of its limit, and at most twice as many', () => {
    const ids = new RecentIds(2);
    for (const id of ['a', 'b', 'b', 'c', 'd', 'e']) ids.add(id);
    expect(['a', 'b', 'c', 'd', 'e'].map((id) => ids.has(id))).toEqual([false, false, true, true, true]);
  });
});
