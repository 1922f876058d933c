/**
 * Figures by hour (contract 10.14). A store counts in several places: with a write, in bites of its alarm, before the sweep, and when somebody
 * looks. Together they must say what a walk through all histories says.
 */
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { afterEach, describe, expect, it } from 'vitest';
import type { Outcome } from '../../src/domain/attempt.ts';
import type { HistoryEntry } from '../../src/domain/delivery.ts';
import { addFigures, type Figures, NO_FIGURES } from '../../src/domain/figures.ts';
import { newEventIds } from '../../src/domain/ids.ts';
import { Counting } from '../../src/event-store/deliveries/counting.ts';
import type { EventStore } from '../../src/event-store/event-store.ts';
import { migrate } from '../../src/event-store/schema.ts';
import { aSet } from '../support/delivery-fixtures.ts';
import { eventStoreStub } from '../support/event-store.ts';
import { Random } from '../support/random.ts';
import { reportOf } from '../support/reports.ts';
import { rowsRead } from '../support/rows-read.ts';
import { Bench, lost, ok } from '../support/store-bench.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const WINDOW_HOURS = 168;
const refused: Outcome = { kind: 'blocked', message: 'no' };
const BOUNDS = [25, 50, 100, 250, 500, 1000, 2000, 5000, 10_000];

/** Migrations of the event store before the one that brings the figures. */
const MIGRATIONS_BEFORE = 20;

const usual = { ...Counting.weights };
afterEach(() => {
  Counting.weights = { ...usual };
});

/** Counts in bites of a few deliveries. */
function countOften(): void {
  Counting.weights = { ...usual, from: 20, due: 40, bite: 60 };
}

const firstHour = (now: number) => (Math.floor(now / HOUR_MS) - (WINDOW_HOURS - 1)) * HOUR_MS;

async function figures(bench: Bench, from = firstHour(bench.clock.now())) {
  return await bench.store.figures(from);
}

const sum = (hours: readonly Figures[]) => hours.reduce(addFigures, NO_FIGURES);

/** What happened, by walks through all histories that are stored. A history only grows, so the longest one counts. */
class Walks {
  readonly #histories = new Map<string, readonly HistoryEntry[]>();
  readonly #bench: Bench;

  constructor(bench: Bench) {
    this.#bench = bench;
  }

  async walk(): Promise<void> {
    await runInDurableObject(this.#bench.store, (store) => {
      for (let after: string | undefined; ; ) {
        const page = store.list({ limit: 100, ...(after === undefined ? {} : { after }) });
        for (const { eventId } of page) {
          const delivery = store.read(eventId);
          if (delivery !== undefined) this.#histories.set(eventId, delivery.history);
        }
        after = page.at(-1)?.eventId;
        if (after === undefined) return;
      }
    });
  }

  /** By hour, from the first hour of the window on. */
  hours(): (Figures & { hour: number })[] {
    const from = firstHour(this.#bench.clock.now());
    const hours = new Map<number, Figures>();
    for (const { at, state, response, error, durationMs = 0 } of [...this.#histories.values()].flat()) {
      const hour = Math.floor(at / HOUR_MS) * HOUR_MS;
      const isAttempt = response !== undefined || error !== undefined;
      const isFinal = state === 'success' || state === 'failure';
      if (hour < from || !(isAttempt || isFinal)) continue;
      const answerTimes = NO_FIGURES.answerTimes.map(() => 0);
      const place = BOUNDS.filter((bound) => durationMs > bound).length;
      if (state === 'success') answerTimes[place] = 1;
      const one = {
        delivered: Number(state === 'success'),
        failed: Number(state === 'failure'),
        attempts: Number(isAttempt),
        answerTimes,
      };
      hours.set(hour, addFigures(hours.get(hour) ?? NO_FIGURES, one));
    }
    return [...hours].sort(([a], [b]) => a - b).map(([hour, counts]) => ({ hour, ...counts }));
  }
}

/** The last id up to which a store has counted in bites; empty when it has not. */
async function countedUpTo(bench: Bench): Promise<string> {
  return await runInDurableObject(bench.store, (_, { storage }) => {
    const [row] = storage.sql.exec<{ up_to: string }>('SELECT up_to FROM figures_counted').toArray();
    return row?.up_to ?? '';
  });
}

/** What happens to a store at random. */
class Life {
  readonly #bench: Bench;
  readonly #random: Random;

  constructor(bench: Bench, random: Random) {
    this.#bench = bench;
    this.#random = random;
  }

  async step(): Promise<void> {
    const what = this.#random.weighted({
      publish: 8,
      late: 2,
      held: 3,
      attempt: 8,
      wait: 6,
      disable: 1,
      enable: 2,
      redeliver: 2,
      redeliverAll: 1,
      evict: 2,
      test: 1,
      move: 1,
    });
    await this[what]();
  }

  async publish(): Promise<void> {
    await this.#settle(this.#bench.ids(this.#random.whole(1, 12)));
  }

  /** Events that were taken minutes or hours ago. */
  async late(): Promise<void> {
    const at = this.#bench.clock.now() - this.#random.whole(1, 90) * MINUTE_MS;
    await this.#settle(newEventIds(at, this.#random.whole(1, 8), this.#bytes()), at);
  }

  async held(): Promise<void> {
    await this.#bench.held(this.#random.whole(1, 10));
  }

  async attempt(): Promise<void> {
    await this.#bench.ring();
    await this.#bench.attempt([...(await this.#bench.tokens()).keys()], this.#outcome());
  }

  async wait(): Promise<void> {
    this.#bench.clock.advance(this.#random.pick([3000, 40_000, 20 * MINUTE_MS, 2 * HOUR_MS, 26 * HOUR_MS]));
    await this.#bench.ring();
  }

  async disable(): Promise<void> {
    await this.#bench.patch({ enabled: false });
  }

  async enable(): Promise<void> {
    await this.#bench.patch({ enabled: true });
  }

  async redeliver(): Promise<void> {
    const [failed] = await this.#bench.store.list({ state: 'failure', limit: 1 });
    if (failed !== undefined) await this.#bench.store.redeliver(this.#bench.ref, failed.eventId);
  }

  async redeliverAll(): Promise<void> {
    await this.#bench.store.startRedelivery(this.#bench.ref, { since: 0, until: this.#bench.clock.now() });
  }

  async evict(): Promise<void> {
    await evictDurableObject(this.#bench.store);
  }

  async test(): Promise<void> {
    await this.#bench.test();
  }

  async move(): Promise<void> {
    await this.#bench.patch({ endpoint: `https://listener.example/${this.#random.whole(1, 9)}` });
  }

  async #settle(ids: readonly string[], acceptedAt = this.#bench.clock.now()): Promise<void> {
    const { store, ref, clock } = this.#bench;
    const reports = ids.map((id) => {
      const durationMs = Math.floor(this.#random.next() ** 4 * 20_000);
      const result = { attempt: 1, startedAt: clock.now(), durationMs, outcome: this.#outcome() };
      return reportOf({ ...this.#bench.facts(id), acceptedAt, set: aSet(id), result });
    });
    await store.settle(ref, reports);
  }

  #outcome(): Outcome {
    return this.#random.weighted({ ok: 6, lost: 1, refused: 1 }) === 'ok'
      ? ok
      : this.#random.pick([lost, refused]);
  }

  #bytes(): Uint8Array<ArrayBuffer> {
    return Uint8Array.from({ length: 16 }, () => this.#random.whole(0, 255));
  }
}

describe('the figures of a store', () => {
  it.each([1, 2, 3, 4, 5, 6])(
    'the figures say what a walk through all histories says (seed %i)',
    async (seed) => {
      if (seed % 3 > 0) countOften();
      const bench = new Bench();
      await bench.store.adopt(bench.ref);
      const life = new Life(bench, new Random(seed));
      const walks = new Walks(bench);
      for (let step = 0; step < 60; step++) {
        await life.step();
        await walks.walk();
        if (step % 10 > 0) continue;
        expect((await figures(bench)).hours, `step ${step}`).toEqual(walks.hours());
      }
      const { hours, isExact, waiting } = await figures(bench);
      expect((await countedUpTo(bench)) !== '').toBe(seed % 3 > 0);
      expect(hours).toEqual(walks.hours());
      expect(isExact).toBe(true);
      expect(waiting).toBe((await bench.store.health()).waiting);
      expect(sum(hours).delivered).toBeGreaterThan(10);
      expect(sum(hours).failed).toBeGreaterThan(0);
    },
  );
});

describe('a store with few deliveries', () => {
  it('a delivery each hour for eight days writes no row for the figures, and all of the window is shown', async () => {
    const bench = new Bench();
    await bench.store.adopt(bench.ref);
    for (let hour = 0; hour < 8 * 24; hour++) {
      await bench.settle(bench.ids(1)[0] ?? '', ok);
      bench.clock.advance(HOUR_MS);
      await bench.store.ensureAlarm(bench.ref);
    }
    const rows = await runInDurableObject(bench.store, (_, { storage }) =>
      storage.sql.exec('SELECT day FROM figure_days').toArray(),
    );
    expect(rows).toEqual([]);
    const { hours, isExact } = await figures(bench);
    expect(isExact).toBe(true);
    expect(hours.length).toBe(WINDOW_HOURS - 1);
  });

  it('what the sweep deletes stays in the figures, because it happened within the window', async () => {
    const bench = new Bench();
    const at = bench.clock.now();
    const ids = bench.ids(3);
    bench.clock.advance(3 * DAY_MS);
    const result = { attempt: 1, startedAt: bench.clock.now(), durationMs: 30, outcome: ok };
    await bench.store.settle(
      bench.ref,
      ids.map((id) => reportOf({ ...bench.facts(id), acceptedAt: at, set: aSet(id), result })),
    );
    bench.clock.advance(4.5 * DAY_MS);
    await bench.ring();
    expect(await bench.store.total()).toBe(0);
    expect(sum((await figures(bench)).hours)).toMatchObject({ delivered: 3, attempts: 3 });
    bench.clock.advance(3 * DAY_MS);
    expect((await figures(bench)).hours).toEqual([]);
  });

  it('a store that never had a delivery is not made by the question', async () => {
    const store = eventStoreStub(crypto.randomUUID());
    expect(await store.figures(0)).toMatchObject({ hours: [], isExact: true, waiting: 0 });
    const tables = await runInDurableObject(store, (_, { storage }) =>
      storage.sql.exec("SELECT name FROM sqlite_master WHERE name = 'migrations'").toArray(),
    );
    expect(tables).toEqual([]);
  });
});

/** Stores `count` successes, in settles of a hundred. */
async function stream(bench: Bench, count: number, everyMs = 1000): Promise<void> {
  for (let stored = 0; stored < count; stored += 100) {
    await bench.settleAll(bench.ids(100), ok);
    bench.clock.advance(everyMs);
  }
}

describe('a busy store', () => {
  it('its alarm counts in bites, and a question and a bite read as much when four times as much is stored', async () => {
    const read: number[][] = [];
    for (const count of [10_000, 40_000]) {
      const bench = new Bench();
      await bench.store.adopt(bench.ref);
      for (let stored = 0; stored < count; stored += 2000) {
        await stream(bench, 2000, 30_000);
        const alarm = await bench.alarm();
        if (alarm !== null && alarm <= bench.clock.now()) await runDurableObjectAlarm(bench.store);
      }
      bench.clock.advance(MINUTE_MS);
      expect(sum((await figures(bench)).hours).delivered).toBe(count);
      expect(await figures(bench)).toMatchObject({ isExact: true });
      const look = await rowsRead(bench.store, (store) => store.figures(0));
      const bite = await rowsRead(bench.store, (store) => store.alarm());
      read.push([look, bite]);
    }
    const [[fewLook = 0, fewBite = 0] = [], [manyLook = 0, manyBite = 0] = []] = read;
    expect(manyLook).toBeLessThanOrEqual(Math.max(fewLook, 50));
    expect(manyBite).toBeLessThanOrEqual(1.2 * fewBite + 50);
  });

  it('what one question cannot count makes it inexact, and a few bites make it exact', async () => {
    Counting.weights = { ...usual, look: 500, bite: 300 };
    const bench = new Bench();
    await bench.store.adopt(bench.ref);
    await stream(bench, 1000);
    const early = await figures(bench);
    expect(early).toMatchObject({ isExact: false, lastDeliveredAt: bench.clock.now() - 1000 });
    expect(sum(early.hours).delivered).toBeLessThan(1000);
    bench.clock.advance(MINUTE_MS);
    Counting.weights = { ...Counting.weights, from: 100, due: 200 };
    await bench.store.ensureAlarm(bench.ref);
    for (let bite = 0; bite < 4; bite++) await bench.ringNext();
    const late = await figures(bench);
    expect(late.isExact).toBe(true);
    expect(sum(late.hours)).toMatchObject({ delivered: 1000, attempts: 1000 });
  });

  it('a bite that fails halfway counts nothing, and is done again', async () => {
    countOften();
    const bench = new Bench();
    await bench.store.adopt(bench.ref);
    await stream(bench, 200);
    bench.clock.advance(MINUTE_MS);
    const break_ = async (store: EventStore, storage: DurableObjectStorage) => {
      storage.sql.exec(
        "CREATE TRIGGER broken BEFORE INSERT ON figures_counted BEGIN SELECT RAISE(ABORT, 'broken'); END",
      );
      await store.alarm();
      storage.sql.exec('DROP TRIGGER broken');
    };
    await runInDurableObject(bench.store, (store, { storage }) => break_(store, storage));
    expect(sum((await figures(bench)).hours).delivered).toBe(200);
    await evictDurableObject(bench.store);
    await bench.store.ensureAlarm(bench.ref);
    for (let bite = 0; bite < 8; bite++) {
      bench.clock.advance(5000);
      await bench.ring();
    }
    expect(sum((await figures(bench)).hours).delivered).toBe(200);
    expect(await countedUpTo(bench)).not.toBe('');
  });
});

describe('figures that change after their hour was counted', () => {
  it('a failure that is redelivered counts as a failure in its hour, and as a success in the hour of its success', async () => {
    const bench = new Bench();
    const [id = ''] = bench.ids(1);
    await bench.settle(id, refused);
    const failedIn = Math.floor(bench.clock.now() / HOUR_MS) * HOUR_MS;
    bench.clock.advance(5 * HOUR_MS);
    await bench.store.redeliver(bench.ref, id);
    await bench.attempt(await bench.ring(), ok);
    const { hours } = await figures(bench);
    expect(hours).toMatchObject([
      { hour: failedIn, delivered: 0, failed: 1, attempts: 1 },
      { hour: failedIn + 5 * HOUR_MS, delivered: 1, failed: 0, attempts: 1 },
    ]);
  });

  it('held deliveries that fail when the subscription is disabled are counted without a walk through them', async () => {
    const bench = new Bench();
    await bench.fail();
    for (let round = 0; round < 20; round++) await bench.held(100);
    bench.clock.advance(1000);
    const before = sum((await figures(bench)).hours);
    const ref = { ...bench.ref, version: bench.ref.version + 1, enabled: false };
    const read = await rowsRead(bench.store, (store) => store.adopt(ref));
    expect(read).toBeLessThan(100);
    expect(sum((await figures(bench)).hours)).toMatchObject({ failed: before.failed + 2005 });
  });
});

describe('deliveries that failed as a pack', () => {
  it('one that is redelivered counts once as a failure, with all others, and once as a success', async () => {
    const bench = new Bench();
    await bench.fail();
    await bench.endRetries();
    const before = sum((await figures(bench)).hours);
    const [id = ''] = await bench.held(100);
    await bench.patch({ enabled: false });
    bench.clock.advance(HOUR_MS);
    await bench.patch({ enabled: true });
    await bench.store.redeliver(bench.ref, id);
    await bench.attempt(await bench.ring(), ok);
    expect(await bench.state(id)).toMatchObject({ state: 'success' });
    expect(sum((await figures(bench)).hours)).toMatchObject({
      delivered: 1,
      failed: before.failed + 100,
      attempts: before.attempts + 1,
    });
  });

  it('those that have waited too long count in the hour in which their time was over', async () => {
    const bench = new Bench();
    await bench.fail();
    await bench.endRetries();
    await bench.held(100);
    const isOverAt = bench.clock.now() + 7 * DAY_MS;
    bench.clock.advance(7 * DAY_MS + 30_000);
    await bench.ring();
    const { hours } = await figures(bench);
    expect(hours.filter(({ failed }) => failed > 0)).toMatchObject([
      { hour: Math.floor(isOverAt / HOUR_MS) * HOUR_MS, failed: 100 },
    ]);
  });
});

describe('the daily visit', () => {
  it('a store says what it took, delivered and failed in the last 24 whole hours, and what waits', async () => {
    const bench = new Bench();
    await bench.settleAll(bench.ids(10), ok);
    bench.clock.advance(HOUR_MS);
    await bench.settleAll(bench.ids(20), ok);
    for (const id of bench.ids(3)) await bench.settle(id, refused);
    const waitsSince = bench.clock.now();
    await bench.settle(bench.ids(1)[0] ?? '', lost);
    bench.clock.advance(23.5 * HOUR_MS);
    const day = await runInDurableObject(
      bench.store,
      async (store) => (await store.ensureAlarm(bench.ref)).day,
    );
    const isInFirst =
      Math.floor(bench.clock.now() / HOUR_MS) - 24 <= Math.floor((waitsSince - HOUR_MS) / HOUR_MS);
    const first = isInFirst ? 10 : 0;
    expect(day).toEqual({
      accepted: 24 + first,
      delivered: 20 + first,
      failed: 3,
      waiting: 1,
      oldestWaitingAt: waitsSince,
    });
  });
});

describe('a store of an earlier version', () => {
  it('a store whose deliveries were never counted says that its figures are not exact, until its week is over', async () => {
    const bench = new Bench();
    await bench.settle(bench.ids(1)[0] ?? '', refused);
    await runInDurableObject(bench.store, (_, { storage }) => {
      storage.sql.exec('DROP TABLE figure_days; DROP TABLE figures_counted');
      const undone = storage.sql
        .exec('DELETE FROM migrations WHERE number >= ? RETURNING number', MIGRATIONS_BEFORE)
        .toArray();
      migrate(storage, MIGRATIONS_BEFORE + 1);
      // The later ones are done already.
      for (const { number } of undone.slice(1))
        storage.sql.exec('INSERT INTO migrations (number) VALUES (?)', number as number);
    });
    await evictDurableObject(bench.store);
    expect((await figures(bench)).isExact).toBe(false);
    await bench.store.ensureAlarm(bench.ref);
    bench.clock.advance(7 * DAY_MS);
    expect((await figures(bench)).isExact).toBe(true);
  });
});
