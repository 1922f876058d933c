import { afterEach, describe, expect, it, vi } from 'vitest';
import { CompiledFilters } from '../../src/delivery/filters.ts';
import { compileFilter } from '../../src/domain/filter/filter.ts';
import type { Subscription } from '../../src/domain/subscription.ts';
import { aSubscription } from '../support/delivery-fixtures.ts';

const claim = { entityCreated: { entityType: 'user' } };

/** A subscription whose filter is like no other, takes about 2,600 bytes and drops the claim above. */
function filtered(overrides: Partial<Subscription> = {}): Subscription {
  const $comment = `${crypto.randomUUID()}${'x'.repeat(300)}`;
  const filter = { $comment, properties: { entityCreated: false } };
  return { ...aSubscription(0), filter, filterSteps: 5, ...overrides };
}

/** How often filters were loaded, by subscription. */
const loads: string[] = [];

/** Whether the claim above passes the filter of a subscription. */
async function passes(filters: CompiledFilters, subscription: Subscription): Promise<boolean> {
  const { version, filter } = subscription;
  const evaluate = await filters.prepare([subscription], async (ids) => {
    loads.push(...ids);
    return new Map(filter === null ? [] : ids.map((id) => [id, { version, filter }]));
  });
  return evaluate(subscription, claim);
}

/** What each of the filters above takes in memory. */
async function bytesOfOne(): Promise<number> {
  const filters = new CompiledFilters(1_000_000);
  await passes(filters, filtered());
  return filters.bytes;
}

afterEach(() => vi.restoreAllMocks());

describe('compiled filters', () => {
  it('compiled filters are kept until they have too many bytes together', async () => {
    const compile = vi.fn(compileFilter);
    const one = await bytesOfOne();
    const filters = new CompiledFilters(10.5 * one, compile);
    const all = Array.from({ length: 100 }, () => filtered());
    for (const subscription of all) expect(await passes(filters, subscription)).toBe(false);
    expect(filters.bytes).toBe(10 * one);
    expect(compile).toHaveBeenCalledTimes(100);
    for (const subscription of all.slice(-10)) await passes(filters, subscription);
    expect(compile).toHaveBeenCalledTimes(100);
  });

  it('the filter that was not used for longest is dropped, and the others stay', async () => {
    const compile = vi.fn(compileFilter);
    const filters = new CompiledFilters(3.5 * (await bytesOfOne()), compile);
    const [first, second, third, fourth] = [filtered(), filtered(), filtered(), filtered()] as const;
    for (const one of [first, second, third, first, fourth]) await passes(filters, one);
    expect(compile).toHaveBeenCalledTimes(4);
    await passes(filters, first);
    expect(compile).toHaveBeenCalledTimes(4);
    await passes(filters, second);
    expect(compile).toHaveBeenCalledTimes(5);
  });

  it('a filter with patterns counts with what its patterns keep in memory', async () => {
    const filters = new CompiledFilters(1_000_000);
    const pattern = `[a-z]{1,9}${'(city|zip|street)'.repeat(5)}$`;
    await passes(
      filters,
      filtered({ filter: { properties: { entityCreated: { propertyNames: { pattern } } } } }),
    );
    expect(filters.bytes).toBeGreaterThan(1000);
  });

  it('a change of something else compiles nothing, and another filter is compiled', async () => {
    const compile = vi.fn(compileFilter);
    const filters = new CompiledFilters(1_000_000, compile);
    const subscription = filtered();
    expect(await passes(filters, subscription)).toBe(false);
    expect(await passes(filters, { ...subscription, version: 2 })).toBe(false);
    expect(await passes(filters, { ...filtered(), filter: structuredClone(subscription.filter) })).toBe(
      false,
    );
    expect(compile).toHaveBeenCalledTimes(1);
    const changed = { ...subscription, version: 3, filter: { properties: { entityCreated: true } } };
    expect(await passes(filters, changed)).toBe(true);
    expect(await passes(filters, subscription)).toBe(false);
    expect(compile).toHaveBeenCalledTimes(2);
  });

  it('a filter counts with its schemas and constants, not with its text', async () => {
    const bytesOf = async (filter: Subscription['filter']) => {
      const filters = new CompiledFilters(10_000_000);
      await passes(filters, filtered({ filter }));
      return filters.bytes;
    };
    const schemas = { anyOf: Array.from({ length: 499 }, () => ({ items: {} })) };
    expect(await bytesOf(schemas)).toBeGreaterThan(20 * JSON.stringify(schemas).length);
    const constant = { const: Array.from({ length: 10_000 }, () => []) };
    expect(await bytesOf(constant)).toBeGreaterThan(10 * JSON.stringify(constant).length);
  });

  it('a filter that is larger than all that is kept is evaluated all the same', async () => {
    const filters = new CompiledFilters(100);
    expect(await passes(filters, filtered())).toBe(false);
    expect(await passes(filters, filtered())).toBe(false);
    expect(filters.bytes).toBeLessThan(3000);
  });

  it('a filter that does not compile lets the event pass, is logged, and is not compiled again', async () => {
    const log = vi.spyOn(console, 'error').mockImplementation(() => undefined);
    const compile = vi.fn(() => {
      throw new Error('a fault of ours');
    });
    const filters = new CompiledFilters(1_000_000, compile);
    const subscription = filtered();
    for (let event = 0; event < 5; event++) expect(await passes(filters, subscription)).toBe(true);
    expect(compile).toHaveBeenCalledTimes(1);
    expect(log).toHaveBeenCalledTimes(1);
  });

  it('a filter whose evaluation fails lets the event pass', async () => {
    vi.spyOn(console, 'error').mockImplementation(() => undefined);
    const broken = () => ({
      ...compileFilter({}),
      passes: () => {
        throw new Error('a fault of ours');
      },
    });
    expect(await passes(new CompiledFilters(1_000_000, broken), filtered())).toBe(true);
  });

  it('a filter is loaded once for all events until its subscription changes', async () => {
    loads.length = 0;
    const filters = new CompiledFilters(1_000_000);
    const subscription = filtered();
    for (let event = 0; event < 3; event++) await passes(filters, subscription);
    expect(loads).toEqual([subscription.id]);
    await passes(filters, { ...subscription, version: 2 });
    expect(loads).toEqual([subscription.id, subscription.id]);
  });

  it('a subscription without a filter is not asked for one', async () => {
    loads.length = 0;
    const filters = new CompiledFilters(1_000_000);
    expect(await passes(filters, aSubscription(0))).toBe(true);
    expect(loads).toEqual([]);
    // A subscription from before steps were counted may have one.
    expect(await passes(filters, { ...aSubscription(0), filterSteps: null })).toBe(true);
    expect(loads).toHaveLength(1);
  });
});
