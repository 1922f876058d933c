import { afterEach, describe, expect, it, vi } from 'vitest';
import { CompiledFilters } from '../../src/delivery/filters.ts';
import { compileFilter } from '../../src/domain/filter/filter.ts';
import type { Subscription } from '../../src/domain/subscription.ts';
import { aSubscription } from '../support/delivery-fixtures.ts';

const claim = { entityCreated: { entityType: 'user' } };

/** A subscription whose filter is about a thousand bytes and drops the claim above. */
function filtered(overrides: Partial<Subscription> = {}): Subscription {
  const filter = { $comment: 'x'.repeat(960), properties: { entityCreated: false } };
  return { ...aSubscription(0), filter, ...overrides };
}

afterEach(() => vi.restoreAllMocks());

describe('compiled filters', () => {
  it('compiled filters are kept until they have too many bytes together', () => {
    const compile = vi.fn(compileFilter);
    const filters = new CompiledFilters(10_500, compile);
    const all = Array.from({ length: 100 }, () => filtered());
    for (const one of all) expect(filters.passes(one, claim)).toBe(false);
    expect(filters.bytes).toBeLessThanOrEqual(10_500);
    expect(filters.bytes).toBeGreaterThan(9000);
    expect(compile).toHaveBeenCalledTimes(100);
    for (const one of all.slice(-10)) filters.passes(one, claim);
    expect(compile).toHaveBeenCalledTimes(100);
  });

  it('the filter that was not used for longest is dropped, and the others stay', () => {
    const compile = vi.fn(compileFilter);
    const filters = new CompiledFilters(3200, compile);
    const [first, second, third, fourth] = [filtered(), filtered(), filtered(), filtered()] as const;
    for (const one of [first, second, third, first, fourth]) filters.passes(one, claim);
    expect(compile).toHaveBeenCalledTimes(4);
    filters.passes(first, claim);
    expect(compile).toHaveBeenCalledTimes(4);
    filters.passes(second, claim);
    expect(compile).toHaveBeenCalledTimes(5);
  });

  it('a filter with patterns counts with what its patterns keep in memory', () => {
    const filters = new CompiledFilters(1_000_000);
    const pattern = `[a-z]{1,9}${'(city|zip|street)'.repeat(5)}$`;
    filters.passes(
      filtered({ filter: { properties: { entityCreated: { propertyNames: { pattern } } } } }),
      claim,
    );
    expect(filters.bytes).toBeGreaterThan(1000);
  });

  it('a new version of a subscription has its filter compiled again, and the old one is forgotten', () => {
    const filters = new CompiledFilters(1_000_000);
    const subscription = filtered();
    expect(filters.passes(subscription, claim)).toBe(false);
    const { bytes } = filters;
    const changed = { ...subscription, version: 2, filter: { properties: { entityCreated: true } } };
    expect(filters.passes(changed, claim)).toBe(true);
    expect(filters.bytes).toBeLessThan(bytes);
  });

  it('a filter that is larger than all that is kept is evaluated all the same', () => {
    const filters = new CompiledFilters(100);
    expect(filters.passes(filtered(), claim)).toBe(false);
    expect(filters.passes(filtered(), claim)).toBe(false);
    expect(filters.bytes).toBeLessThan(2000);
  });

  it('a filter that does not compile lets the event pass, is logged, and is not compiled again', () => {
    const log = vi.spyOn(console, 'error').mockImplementation(() => undefined);
    const compile = vi.fn(() => {
      throw new Error('a fault of ours');
    });
    const filters = new CompiledFilters(1_000_000, compile);
    const subscription = filtered();
    for (let event = 0; event < 5; event++) expect(filters.passes(subscription, claim)).toBe(true);
    expect(compile).toHaveBeenCalledTimes(1);
    expect(log).toHaveBeenCalledTimes(1);
  });

  it('a filter whose evaluation fails lets the event pass', () => {
    vi.spyOn(console, 'error').mockImplementation(() => undefined);
    const broken = () => ({
      ...compileFilter({}),
      passes: () => {
        throw new Error('a fault of ours');
      },
    });
    expect(new CompiledFilters(1_000_000, broken).passes(filtered(), claim)).toBe(true);
  });
});
