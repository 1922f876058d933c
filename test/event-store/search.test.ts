/**
 * Searches in an event store (contract 10.12): what they find, and what one look of them costs. The stores of these tests have rows and
 * segments, ids that are late by minutes or by hours, and events of every type.
 */
import { runInDurableObject } from 'cloudflare:test';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { newEventIds } from '../../src/domain/ids.ts';
import { expiresAt } from '../../src/domain/retention.ts';
import { SHOWN_TYPES, type ShownType } from '../../src/domain/shown-type.ts';
import type { FoundPage, SearchQuery } from '../../src/event-store/rpc.ts';
import { aSetWith } from '../support/delivery-fixtures.ts';
import { eventStoreStub } from '../support/event-store.ts';
import { Random } from '../support/random.ts';
import { reportOf } from '../support/reports.ts';
import { rowsRead } from '../support/rows-read.ts';
import { Bench, lost, ok } from '../support/store-bench.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

const redirected = { kind: 'http_error', response: { statusCode: 302, headers: {} } } as const;
const OUTCOMES = { success: ok, failure: redirected, 'awaiting-retry': lost };

/** What a test remembers of an event that it stored. */
interface Known {
  readonly id: string;
  readonly acceptedAt: number;
  readonly type: ShownType;
  readonly state: keyof typeof OUTCOMES;
}

const whole = (query: Partial<SearchQuery>): SearchQuery => ({
  order: 'asc',
  isSummary: true,
  limit: 200,
  ...query,
});

class Store {
  readonly bench = new Bench();
  readonly known: Known[] = [];
  readonly #random = new Random(1);

  /** Stores events together, all with this outcome. @param lateMs how long before its acceptance the time in an id is @param characters of its SET */
  async add(
    count: number,
    state: Known['state'] = 'success',
    type: ShownType = 'entityCreated',
    lateMs: () => number = () => 0,
    characters = 0,
  ): Promise<Known[]> {
    const now = this.bench.clock.now();
    const added = Array.from({ length: count }, (): Known => {
      const random = Uint8Array.from({ length: 16 }, () => this.#random.whole(0, 255));
      return { id: newEventIds(now - lateMs(), 1, random)[0] ?? '', acceptedAt: now, type, state };
    });
    const result = { attempt: 1, startedAt: now, durationMs: 5, outcome: OUTCOMES[state] };
    for (let start = 0; start < count; start += 100) {
      const reports = added.slice(start, start + 100).map(({ id }) => {
        const set = aSetWith({ [type]: { id, sub: crypto.randomUUID(), text: 'x'.repeat(characters) } });
        return reportOf({ ...this.bench.facts(id), set, result });
      });
      await this.bench.store.settle(this.bench.ref, reports);
    }
    this.known.push(...added);
    return added;
  }

  /** Every mixture that a search may meet: some minutes of events, of which some have late ids. */
  async addMixture(minutes: number): Promise<void> {
    const random = new Random(7);
    for (let minute = 0; minute < minutes; minute++) {
      for (const state of ['success', 'failure', 'awaiting-retry'] as const) {
        const type = random.pick(SHOWN_TYPES);
        await this.add(random.whole(0, 12), state, type, () =>
          random.pick([0, 0, random.whole(0, 4 * MINUTE_MS), random.whole(0, DAY_MS), -4 * MINUTE_MS]),
        );
      }
      this.bench.clock.advance(random.whole(1000, 3 * MINUTE_MS));
    }
  }

  async look(query: Partial<SearchQuery>): Promise<FoundPage> {
    return await this.bench.store.search(whole(query));
  }

  /** Looks until there is nothing more. @returns the ids that were found, and how many looks it took */
  async walk(query: Partial<SearchQuery>, between?: () => Promise<unknown>) {
    const walked = { ids: [] as string[], looks: 0 };
    /** @returns what the next look asks; `undefined` after the last one */
    const take = ({ found, upTo }: FoundPage): Partial<SearchQuery> | undefined => {
      walked.looks++;
      expect(found.length).toBeLessThanOrEqual(query.limit ?? 200);
      walked.ids.push(...found.map(({ delivery }) => delivery.eventId));
      return upTo === undefined
        ? undefined
        : { ...query, [query.order === 'desc' ? 'before' : 'after']: upTo };
    };
    let next: Partial<SearchQuery> | undefined = query;
    if (between === undefined) {
      // Within the store, because a walk with small pages is many looks.
      await runInDurableObject(this.bench.store, (store) => {
        while (next !== undefined) next = take(store.search(whole(next)));
      });
    }
    while (next !== undefined) {
      next = take(await this.look(next));
      if (next !== undefined) await between?.();
    }
    return walked;
  }

  /** What a search must find, by a plain filter. */
  expected({ order, after, before, state, types, since, until }: Partial<SearchQuery>): string[] {
    const ids = this.known
      .filter(({ id }) => (after === undefined || id > after) && (before === undefined || id < before))
      .filter((event) => state === undefined || event.state === state)
      .filter(({ type }) => types === undefined || types.includes(type))
      .filter(({ acceptedAt }) => since === undefined || acceptedAt >= since)
      .filter(({ acceptedAt }) => until === undefined || acceptedAt <= until)
      .map(({ id }) => id)
      .sort();
    return order === 'desc' ? ids.reverse() : ids;
  }
}

describe('a search', () => {
  it('a search finds what a plain filter finds, in its order, whatever is asked and however small its pages are', async () => {
    const store = new Store();
    const start = store.bench.clock.now();
    await store.addMixture(40);
    const end = store.bench.clock.now();
    const half = { nil: undefined, freq: 1 };
    const bound = fc.option(fc.constantFrom(...store.known.map(({ id }) => id)), half);
    const time = fc.option(
      fc.oneof(
        fc.integer({ min: start - HOUR_MS, max: end + HOUR_MS }),
        fc.constantFrom(...store.known.map(({ acceptedAt }) => acceptedAt)),
      ),
      half,
    );
    const query = fc.record({
      order: fc.constantFrom('asc' as const, 'desc' as const),
      after: bound,
      before: bound,
      state: fc.constantFrom(undefined, 'success' as const, 'failure' as const, 'awaiting-retry' as const),
      types: fc.option(fc.subarray([...SHOWN_TYPES], { minLength: 1 }), half),
      since: time,
      until: time,
      limit: fc.constantFrom(1, 3, 50, 200),
      isSummary: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(query, async (asked) => {
        const entries = Object.entries(asked).filter(([, value]) => value !== undefined);
        const given = Object.fromEntries(entries) as Partial<SearchQuery>;
        expect((await store.walk(given)).ids).toEqual(store.expected(given));
      }),
      { numRuns: 100 },
    );
  });

  it('a search downwards over many segments finds all their events, the newest first', async () => {
    const store = new Store();
    for (let step = 0; step < 230; step++) {
      await store.add(2);
      store.bench.clock.advance(50);
    }
    expect((await store.walk({ order: 'desc', limit: 7 })).ids).toEqual(store.expected({ order: 'desc' }));
    const middle = store.known[200]?.id ?? '';
    const nearest = await store.look({ order: 'desc', before: middle, limit: 2 });
    expect(nearest.found.map(({ delivery }) => delivery.eventId)).toEqual(
      store.expected({ order: 'desc', before: middle }).slice(0, 2),
    );
  });

  it('a search over segments that overlap each other, because ids are late by minutes, finds each event once', async () => {
    const store = new Store();
    const random = new Random(3);
    for (let step = 0; step < 12; step++) {
      await store.add(60, 'success', 'entityCreated', () => random.whole(0, 4 * MINUTE_MS));
      store.bench.clock.advance(10_000);
    }
    for (const order of ['asc', 'desc'] as const)
      expect((await store.walk({ order, limit: 37 })).ids).toEqual(store.expected({ order }));
  });

  it('a search whose looks end at different places among rows and in segments finds each event once', async () => {
    const store = new Store();
    for (let minute = 0; minute < 12; minute++) {
      await store.add(minute < 6 ? 90 : 10, 'success');
      await store.add(minute < 6 ? 10 : 90, 'failure');
      await store.add(2, 'success', 'test');
      await store.add(2, 'failure', 'test');
      store.bench.clock.advance(MINUTE_MS);
    }
    for (const order of ['asc', 'desc'] as const) {
      const query = { order, types: ['test'] } as const;
      expect((await store.walk(query)).ids).toEqual(store.expected(query));
    }
  });

  it('events that arrive between two pages, late ones too, neither hide nor repeat any that were there', async () => {
    for (const order of ['asc', 'desc'] as const) {
      const store = new Store();
      await store.addMixture(12);
      const there = new Set(store.known.map(({ id }) => id));
      const { ids } = await store.walk({ order, limit: 5 }, async () => {
        store.bench.clock.advance(1000);
        await store.add(1, 'success', 'test', () => 4 * MINUTE_MS);
        await store.add(1, 'failure', 'test', () => 20 * MINUTE_MS);
        // The walk upwards ends although events go on arriving: it stops them after a while.
        if (store.known.length > there.size + 60) store.add = async () => [];
      });
      expect(ids.filter((id) => there.has(id))).toEqual(
        store.expected({ order }).filter((id) => there.has(id)),
      );
      expect(new Set(ids).size).toBe(ids.length);
    }
  });

  it('a summary has the type of the event and no SET; a search of whole events has its SET', async () => {
    const store = new Store();
    await store.add(1, 'success', 'entityUpdated');
    store.bench.clock.advance(1);
    await store.add(1, 'failure', 'test');
    const summary = await store.look({ isSummary: true });
    expect(summary.found.map(({ delivery, type }) => [delivery.state, delivery.set, type])).toEqual([
      ['success', '', 'entityUpdated'],
      ['failure', '', 'test'],
    ]);
    for (const { delivery } of (await store.look({ isSummary: false })).found)
      expect(delivery.set.split('.')).toHaveLength(3);
  });

  it('what waited when the subscription was disabled is found as failed before the alarm has rewritten it', async () => {
    const store = new Store();
    await store.add(3, 'awaiting-retry');
    await store.add(2, 'success');
    await store.bench.patch({ enabled: false });
    expect((await store.walk({ state: 'failure' })).ids).toEqual(store.expected({ state: 'awaiting-retry' }));
    expect((await store.walk({ state: 'awaiting-retry' })).ids).toEqual([]);
    expect((await store.walk({ state: 'success', order: 'desc' })).ids).toEqual(
      store.expected({ state: 'success', order: 'desc' }),
    );
  });

  it('an event that has expired is not found, though the sweep has not deleted it', async () => {
    const store = new Store();
    const [old] = await store.add(2, 'success');
    await store.add(1, 'failure');
    store.bench.clock.advance(HOUR_MS);
    const young = await store.add(2, 'success');
    const aged = { state: 'success', acceptedAt: old?.acceptedAt ?? 0, updatedAt: 0 } as const;
    store.bench.clock.advance((expiresAt(aged, 7 * DAY_MS) ?? 0) - store.bench.clock.now());
    expect((await store.walk({})).ids).toEqual(young.map(({ id }) => id).sort());
    expect((await store.walk({ order: 'desc', since: 0 })).ids).toEqual(
      young
        .map(({ id }) => id)
        .sort()
        .reverse(),
    );
  });
});

describe('the cost of one look', () => {
  it('a look reads as many rows in a store that is ten times as large', async () => {
    const looks: Record<string, Partial<SearchQuery>> = {
      'a type that no event has': { types: ['entityDeleted'] },
      'a type that no event has, downwards': { types: ['entityDeleted'], order: 'desc' },
      'a type among failures': { types: ['entityDeleted'], state: 'failure' },
      'a time long ago': { until: 1 },
      'the newest events': { order: 'desc', limit: 20 },
    };
    const costs = { small: new Map<string, number>(), large: new Map<string, number>() };
    for (const [size, minutes] of [['small', 1] as const, ['large', 10] as const]) {
      const store = new Store();
      for (let minute = 0; minute < minutes; minute++) {
        await store.add(1200, 'success');
        await store.add(1200, 'failure');
        store.bench.clock.advance(MINUTE_MS);
      }
      for (const [name, query] of Object.entries(looks)) {
        const asked = { order: 'asc', isSummary: true, limit: 200, ...query } as const;
        costs[size].set(name, await rowsRead(store.bench.store, (instance) => instance.search(asked)));
      }
    }
    for (const name of Object.keys(looks)) {
      expect(costs.large.get(name), name).toBeLessThanOrEqual(2 * (costs.small.get(name) ?? 0));
      expect(costs.large.get(name), name).toBeLessThan(10_000);
    }
  });

  it('a look by time unpacks no segment of another time, however many there are near it', async () => {
    const store = new Store();
    await store.add(1);
    const until = store.bench.clock.now();
    for (let step = 0; step < 100; step++) {
      store.bench.clock.advance(1000);
      await store.add(1);
    }
    const asked = { order: 'desc', isSummary: true, limit: 200, until } as const;
    const rows = await rowsRead(store.bench.store, async (instance) => {
      expect((await instance.search(asked)).found).toHaveLength(1);
    });
    expect(rows).toBeLessThan(150);
  });

  it('a look at large events ends sooner: it holds the store for no longer than one at small ones', async () => {
    const store = new Store();
    await store.add(1000, 'success', 'entityUpdated', () => 0, 8000);
    const { upTo } = await store.look({ types: ['test'] });
    expect(store.expected({}).indexOf(upTo ?? '')).toBe(399);
    expect(await store.walk({ types: ['test'] })).toEqual({ ids: [], looks: 3 });
  });

  it('a look by time begins a day before it among failures, and goes through 5,000 of them at most', async () => {
    const store = new Store();
    await store.add(6000, 'failure');
    store.bench.clock.advance(HOUR_MS);
    const since = store.bench.clock.now();
    await store.add(3, 'failure');
    const first = await store.look({ since, order: 'asc' });
    expect(first.found).toEqual([]);
    expect(first.upTo).toBe(store.expected({})[4999]);
    expect(await store.walk({ since })).toEqual({ ids: store.expected({ since }), looks: 2 });
    store.bench.clock.advance(2 * DAY_MS);
    const later = store.bench.clock.now();
    await store.add(2, 'failure');
    expect(await store.walk({ since: later })).toEqual({ ids: store.expected({ since: later }), looks: 1 });
  });

  it('a look by type goes through 1,000 events at most, and says how far it came', async () => {
    const store = new Store();
    await store.add(1500, 'success');
    const { found, upTo } = await store.look({ types: ['test'] });
    expect({ found, upTo }).toEqual({ found: [], upTo: store.expected({})[999] });
    expect(await store.look({ types: ['test'], after: upTo ?? '' })).toEqual({ found: [] });
  });
});

describe('attempts under way', () => {
  it('a delivery whose attempt is under way is found as executing in both orders, and not as waiting', async () => {
    const store = new Store();
    const { bench } = store;
    const waiting = (await store.add(3, 'awaiting-retry')).map(({ id }) => id).sort();
    const [begun = '', ...others] = await bench.ringNext();
    const token = (await bench.tokens()).get(begun) ?? '';
    expect(await bench.store.begin(bench.ref, token, [begun])).toHaveLength(1);
    expect(others).toHaveLength(2);
    for (const order of ['asc', 'desc'] as const) {
      const idsOf = async (query: Partial<SearchQuery>) =>
        (await store.look({ order, ...query })).found.map(({ delivery }) => delivery.eventId).sort();
      expect(await idsOf({ state: 'executing' })).toEqual([begun]);
      expect(await idsOf({ state: 'awaiting-retry' })).toEqual([...others].sort());
      expect(await idsOf({})).toEqual(waiting);
    }
  });
});

describe('a glance at an event', () => {
  it('a glance shows state and type without the SET, and nothing of an event that is not there', async () => {
    const store = new Store();
    const [event] = await store.add(1, 'failure', 'entityUpdated');
    const seen = await store.bench.store.glance(event?.id ?? '');
    expect(seen).toMatchObject({ type: 'entityUpdated', delivery: { state: 'failure', set: '' } });
    expect(await store.bench.store.glance(crypto.randomUUID())).toBeUndefined();
  });

  it('a glance at a store that never had an event makes no tables in it, and any other call does', async () => {
    const stub = eventStoreStub(crypto.randomUUID());
    expect(await stub.glance(crypto.randomUUID())).toBeUndefined();
    const tables = () =>
      runInDurableObject(stub, (_, { storage }) =>
        storage.sql.exec("SELECT name FROM sqlite_master WHERE type = 'table'").toArray(),
      );
    expect(await tables()).toEqual([]);
    expect(await stub.total()).toBe(0);
    expect((await tables()).length).toBeGreaterThan(10);
  });
});
