/** Lists of deliveries: one chunk fits into one answer of the store, and shows what is under way. */
import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import type { HistoryEntry } from '../../src/domain/delivery.ts';
import { RESPONSE_HEADERS_MAX_BYTES } from '../../src/domain/limits.ts';
import { reportOf } from '../support/reports.ts';
import { Bench, lost, ok } from '../support/store-bench.ts';

/** The largest SET: an event of 60,000 bytes in base64, with a header and a signature. */
const SET_MAX_CHARACTERS = 82_000;
/** As many as a caller asks for at once. */
const CHUNK = 200;
/** The longest history that a row may have. */
const ENTRIES = 99;

const randomText = (bytes: number) =>
  crypto.getRandomValues(new Uint8Array(bytes)).toBase64({ alphabet: 'base64url', omitPadding: true });

/** Two entries for each attempt, each second one with as many headers as are kept. */
function longHistory(): HistoryEntry[] {
  return Array.from({ length: ENTRIES }, (_, index): HistoryEntry => {
    const entry = { at: index, state: 'executing', attempts: index } as const;
    const headers = { 'x-trace': randomText((RESPONSE_HEADERS_MAX_BYTES * 3) / 4).slice(0, -10) };
    return index % 2 === 1
      ? { ...entry, state: 'awaiting-retry', response: { statusCode: 500 + index, headers } }
      : entry;
  });
}

describe('a list of deliveries', () => {
  it('a chunk of two hundred of the largest deliveries comes in one answer, with the last answer of each', async () => {
    const bench = new Bench();
    const text = randomText(SET_MAX_CHARACTERS / 2).repeat(2);
    const ids = bench.ids(CHUNK);
    const blocked = { kind: 'blocked', message: 'no' } as const;
    const result = { attempt: 1, startedAt: bench.clock.now(), durationMs: 5, outcome: blocked };
    for (const [index, id] of ids.entries()) {
      const set = `${index}.${text}`.slice(0, SET_MAX_CHARACTERS);
      await bench.store.settle(bench.ref, [reportOf({ ...bench.facts(id), set, result })]);
    }
    await runInDurableObject(bench.store, (_, { storage }) => {
      storage.sql.exec('UPDATE deliveries SET entries = ?', JSON.stringify(longHistory()));
    });
    for (const query of [{ limit: CHUNK }, { limit: CHUNK, state: 'failure' as const }]) {
      const chunk = await bench.store.list(query);
      expect(chunk.map(({ eventId }) => eventId)).toEqual(ids);
      expect(chunk.map(({ set }) => set.length)).toEqual(ids.map(() => SET_MAX_CHARACTERS));
      for (const { history } of chunk) {
        expect(history.map((entry) => entry.response?.statusCode)).toEqual([597, undefined]);
      }
    }
    expect((await bench.store.read(ids[0] ?? ''))?.history).toHaveLength(ENTRIES);
  });

  it('a page of a size that no bite divides has each delivery once, in order', async () => {
    const bench = new Bench();
    const ids = await bench.held(123);
    for (const limit of [49, 50, 51, 123, 124]) {
      const paged: string[] = [];
      for (let after = ''; ; after = paged.at(-1) ?? '') {
        const page = await bench.store.list({ after, limit });
        paged.push(...page.map(({ eventId }) => eventId));
        if (page.length < limit) break;
      }
      expect(paged).toEqual(ids);
    }
  });
});

describe('a history', () => {
  it('a history keeps its newest thousand entries, however often its delivery is redelivered', async () => {
    const bench = new Bench();
    const [id = ''] = bench.ids(1);
    const blocked = { kind: 'blocked', message: 'no' } as const;
    await bench.settle(id, blocked);
    const newest = async () => (await bench.store.read(id))?.history ?? [];
    for (let attempt = 2; attempt <= 500; attempt++) {
      bench.clock.advance(60_000);
      await bench.store.redeliver(bench.ref, id);
      await bench.settle(id, blocked, attempt);
      if (attempt === 200) expect(await newest()).toHaveLength(600);
    }
    const history = await newest();
    expect(history.length).toBeGreaterThanOrEqual(1000);
    expect(history.length).toBeLessThan(1100);
    const expected = Array.from({ length: 1500 }, (_, index) => Math.floor((index + 2) / 3));
    expect(history.map(({ attempts }) => attempts)).toEqual(expected.slice(-history.length));
    expect(history.at(-1)).toMatchObject({ state: 'failure', attempts: 500 });
  });
});

describe('a delivery whose attempt is under way', () => {
  /** Deliveries that wait for a first and for a second retry, and one that waits for its first attempt; all of them begin. */
  async function begun(bench: Bench): Promise<string[]> {
    const [once = '', twice = ''] = bench.ids(2);
    for (const id of [once, twice]) await bench.settle(id, lost);
    await bench.settle(twice, lost, 2);
    bench.clock.advance(40_000);
    const ids = [...[once, twice].sort(), ...(await bench.held(1))];
    await bench.ring();
    const tokens = await bench.tokens();
    for (const id of ids) await bench.store.begin(bench.ref, tokens.get(id) ?? '', [id]);
    return ids;
  }

  it('a delivery under attempt is in the list of executing ones and in no other, and looks the same as when it is read alone', async () => {
    const bench = new Bench();
    const ids = await begun(bench);
    bench.clock.advance(1000);
    const idle = await bench.held(2);
    const listed = async (state: 'executing' | 'awaiting-retry' | 'awaiting-executing') =>
      (await bench.store.list({ state, limit: 9 })).map(({ eventId }) => eventId);
    expect(await listed('executing')).toEqual(ids);
    expect(await listed('awaiting-retry')).toEqual([]);
    expect(await listed('awaiting-executing')).toEqual(idle);
    const all = await bench.store.list({ limit: 9 });
    expect(all.map(({ state }) => state)).toEqual([
      ...ids.map(() => 'executing'),
      ...idle.map(() => 'awaiting-executing'),
    ]);
    for (const id of ids) {
      const { state, attempts } = (await bench.store.read(id)) ?? {};
      expect([[state, attempts]]).toEqual(
        all.filter(({ eventId }) => eventId === id).map((each) => [each.state, each.attempts]),
      );
    }
    for (const { eventId, attempts } of all.slice(0, 3)) await bench.settle(eventId, ok, attempts);
    expect(await listed('executing')).toEqual([]);
  });

  it('a delivery whose attempt is made again under its number is listed once', async () => {
    const bench = new Bench();
    const [id = ''] = bench.ids(1);
    await bench.settle(id, lost);
    await bench.attempt(await bench.ringNext(), { kind: 'our_fault', message: 'no resolver' });
    for (let rings = 0; rings < 5 && !(await bench.ringNext()).includes(id); rings++);
    const token = (await bench.tokens()).get(id) ?? '';
    expect(await bench.store.begin(bench.ref, token, [id])).toMatchObject([{ attempt: 2 }]);
    for (const query of [{ limit: 9 }, { limit: 9, state: 'executing' as const }])
      expect((await bench.store.list(query)).map(({ eventId }) => eventId)).toEqual([id]);
  });

  it('pages of the executing ones and of those that wait leave none out', async () => {
    const bench = new Bench();
    await bench.held(120);
    await bench.ring();
    const tokens = [...(await bench.tokens())];
    const odd = tokens.filter((_, index) => index % 2 === 1);
    for (const [id, token] of odd) await bench.store.begin(bench.ref, token, [id]);
    const paged = async (state: 'executing' | 'awaiting-executing') => {
      const ids: string[] = [];
      for (;;) {
        const page = await bench.store.list({ state, after: ids.at(-1) ?? '', limit: 7 });
        ids.push(...page.map(({ eventId }) => eventId));
        if (page.length < 7) return ids;
      }
    };
    expect(await paged('executing')).toEqual(odd.map(([id]) => id).sort());
    expect(await paged('awaiting-executing')).toHaveLength(60);
    await evictDurableObject(bench.store);
    expect(await paged('awaiting-executing')).toHaveLength(120);
  });
});
