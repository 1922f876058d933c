import { afterEach, describe, expect, it, vi } from 'vitest';
import { RecentIds, takeOnce } from '../src/seen.ts';

const CLAIMS = { jti: 'e67f33f4-28ae-4abe-a5a4-98e9593774bb', events: {} };

afterEach(() => void vi.useRealTimers());

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

  it('a second request begins again when the first has not ended after a minute', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    let tries = 0;
    const gate = Promise.withResolvers<void>();
    // The first never ends: its process froze, or the platform ended its request.
    const begun = Promise.withResolvers<void>();
    const take = takeOnce(new RecentIds(), () => {
      begun.resolve();
      return ++tries === 1 ? gate.promise : undefined;
    });
    const first = take(CLAIMS, 'token');
    await begun.promise;
    vi.setSystemTime(Date.now() + 59_000);
    const second = take(CLAIMS, 'token');
    expect(tries).toBe(1);
    vi.setSystemTime(Date.now() + 1_000);
    const third = take(CLAIMS, 'token');
    for (let turn = 0; turn < 10; turn++) await Promise.resolve(); // lets the third read the store
    expect(tries).toBe(2);
    gate.resolve();
    await Promise.all([first, second, third]);
  });
});

describe('RecentIds', () => {
  it('RecentIds keeps at least the last ids of its limit, and at most twice as many', () => {
    const ids = new RecentIds(2);
    for (const id of ['a', 'b', 'b', 'c', 'd', 'e']) ids.add(id);
    expect(['a', 'b', 'c', 'd', 'e'].map((id) => ids.has(id))).toEqual([false, false, true, true, true]);
  });
});
