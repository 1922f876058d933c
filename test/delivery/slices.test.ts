import { describe, expect, it } from 'vitest';
import { slicesFor, split } from '../../src/delivery/slices.ts';
import type { IdentityEvent } from '../../src/domain/event.ts';
import { aSubscription } from '../support/delivery-fixtures.ts';
import { unpackEvents } from '../support/packed.ts';

function events(count: number, overrides: Partial<IdentityEvent> = {}): IdentityEvent[] {
  return Array.from({ length: count }, (_, index) => ({
    customerId: 'c',
    id: `id ${index}`,
    type: 'entityCreated',
    acceptedAt: 7,
    occurredAt: 6,
    captureApplicationId: 'a',
    captureClientId: 'b',
    entityType: 'user',
    sub: 's',
    ...overrides,
  }));
}

const subscriptions = (count: number) => Array.from({ length: count }, () => aSubscription(0));

describe('splitting a wide message', () => {
  it.each([
    [100, 5, 5],
    [100, 100, 50],
    [1, 1000, 34],
    [10, 1000, 63],
    [1, 100_000, 200],
  ])('%i events for %i subscriptions make %i slices', (count, wide, slices) => {
    const audience = subscriptions(Math.min(wide, 100_000));
    const all = [...split({ customerId: 'c', events: events(count) }, audience)];
    expect(all).toHaveLength(slices);
    const named = all.flatMap((slice) => slice.subscriptions ?? []);
    expect(named).toHaveLength(wide);
    expect(new Set(named).size).toBe(wide);
    for (const slice of all) expect(JSON.stringify(slice).length).toBeLessThan(100_000);
  });

  it('a slice names only subscriptions to a type of its events, and keeps the events as they were', () => {
    const [fits, other] = subscriptions(2).map((one, index) => ({
      ...one,
      events: [index === 0 ? ('entityCreated' as const) : ('entityDeleted' as const)],
    }));
    const own = events(3);
    const [slice] = [...split({ customerId: 'c', events: own }, [fits as never, other as never])];
    expect(slice?.subscriptions).toEqual([fits?.id]);
    expect(slice && unpackEvents(slice)).toEqual(own);
  });

  it('events that do not fit one message share several slices', () => {
    const big = events(3, { type: 'entityUpdated', attributes: ['x'.repeat(30_000)] });
    const all = [...slicesFor(big, ['s1'], 100, {})];
    expect(all.map(({ events: own }) => own.length)).toEqual([2, 1]);
    expect(all.every(({ subscriptions: ids }) => ids?.join() === 's1')).toBe(true);
  });
});
