/** Entries about tokens between their call and D1: joined, bounded, and kept while D1 is away. */
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { AuditEntry, AuditRow } from '../../src/domain/audit.ts';
import { Outage } from '../../src/domain/errors.ts';
import { AuditTrail } from '../../src/operations/audit-trail.ts';

const CUSTOMER = 'b18fc81d-457e-4a40-ac87-2b78bd946fa2';
const OTHER = 'c18fc81d-457e-4a40-ac87-2b78bd946fa2';

const refusal = (facts: Partial<AuditEntry> = {}): AuditEntry => ({
  event: 'token-refused',
  actor: 'stranger',
  outcome: 'not judged',
  customerId: CUSTOMER,
  address: '198.51.100.1',
  ...facts,
});

/** A trail whose timers end when the test says so, and what it wrote and logged. */
function newTrail(write: (rows: readonly AuditRow[]) => Promise<void> = async () => undefined) {
  const wakes: (() => void)[] = [];
  const works: Promise<unknown>[] = [];
  const written: AuditRow[][] = [];
  const lines: string[] = [];
  for (const level of ['info', 'warn', 'error'] as const) {
    const spy = vi.spyOn(console, level).mockImplementation((text: string) => void lines.push(text));
    onTestFinished(() => spy.mockRestore());
  }
  const trail = new AuditTrail(() => new Promise((resolve) => wakes.push(resolve)));
  const needs = {
    write: async (rows: readonly AuditRow[]) => {
      written.push([...rows]);
      await write(rows);
    },
    waitUntil: (work: Promise<unknown>) => void works.push(work),
  };
  return {
    note: (entry: AuditEntry, now = 1000) => trail.note(entry, needs, now),
    wake: async () => {
      for (const wake of wakes.splice(0)) wake();
      await Promise.all(works.splice(0));
    },
    waiting: () => wakes.length,
    written,
    lines,
  };
}

describe('the trail of an isolate', () => {
  it('a thousand refusals of a kind are one row, one write and two log lines', async () => {
    const trail = newTrail();
    for (let nth = 0; nth < 1000; nth++) trail.note(refusal({ requestId: `request ${nth}` }));
    expect(trail.written).toEqual([]);
    expect(trail.waiting()).toBe(1);
    await trail.wake();
    expect(trail.written).toHaveLength(1);
    expect(trail.written[0]).toMatchObject([{ count: 1000, requestId: 'request 0', outcome: 'not judged' }]);
    expect(trail.lines).toHaveLength(2);
  });

  it('entries that name no customer have 15 kinds and a shared one of each outcome, and displace no others', async () => {
    const trail = newTrail();
    const nameless = { customerId: undefined, outcome: 'no credentials' } as const;
    for (let nth = 0; nth < 500; nth++) trail.note(refusal({ ...nameless, address: `198.51.100.${nth}` }));
    trail.note(refusal());
    await trail.wake();
    const [rows = []] = trail.written;
    expect(rows.map(({ count }) => count)).toEqual([...Array(15).fill(1), 485, 1]);
    expect(rows[15]).not.toHaveProperty('address');
    expect(rows.at(-1)).toMatchObject({ customerId: CUSTOMER, address: '198.51.100.1' });
  });

  it('a flood at one customer is 8 rows and a shared one, and other customers have theirs', async () => {
    const trail = newTrail();
    for (let nth = 0; nth < 500; nth++) trail.note(refusal({ address: `198.51.100.${nth}` }));
    trail.note(refusal({ customerId: OTHER }));
    trail.note({ event: 'token-issued', actor: 'client', outcome: 'done', customerId: CUSTOMER });
    await trail.wake();
    const [rows = []] = trail.written;
    const refusals = rows.filter(({ event }) => event === 'token-refused');
    expect(refusals.filter((row) => row.customerId === CUSTOMER)).toHaveLength(8);
    expect(refusals.filter((row) => row.customerId === undefined)).toMatchObject([{ count: 492 }]);
    expect(refusals.filter((row) => row.customerId === OTHER)).toMatchObject([{ count: 1 }]);
    expect(rows.filter(({ event }) => event === 'token-issued')).toMatchObject([{ customerId: CUSTOMER }]);
  });

  it('99 customers with all kinds that they may have leave the hundredth its first one, with its log line', async () => {
    const trail = newTrail();
    for (let nth = 0; nth < 99; nth++) {
      const customerId = crypto.randomUUID();
      for (let kind = 0; kind < 9; kind++) trail.note(refusal({ customerId, address: `198.51.100.${kind}` }));
    }
    trail.note(refusal());
    expect(trail.lines.at(-1)).toContain(CUSTOMER);
    trail.note(refusal({ customerId: OTHER }));
    expect(trail.lines.filter((line) => line.includes(OTHER))).toEqual([]);
    await trail.wake();
    const [rows = []] = trail.written;
    expect(rows.filter((row) => row.customerId === CUSTOMER)).toHaveLength(1);
    expect(rows).toHaveLength(100 + 20 + 1);
    expect(rows.reduce((sum, row) => sum + row.count, 0)).toBe(99 * 9 + 2);
  });

  it('guesses at ids that are no client hide no guess at a client of the same customer, nor of another', async () => {
    const trail = newTrail();
    const outcome = 'wrong credentials';
    for (let nth = 0; nth < 100; nth++) {
      trail.note(refusal({ outcome, address: `198.51.100.${nth}` }));
      trail.note(refusal({ outcome, customerId: crypto.randomUUID() }));
    }
    const guesses = [CUSTOMER, OTHER].map((customerId) =>
      refusal({ outcome, customerId, clientId: 'a-client' }),
    );
    for (const guess of guesses) trail.note(guess);
    await trail.wake();
    expect(trail.written[0]?.filter(({ clientId }) => clientId === 'a-client')).toMatchObject(guesses);
  });

  it('rows that name a customer are kept before others while D1 is away', async () => {
    const trail = newTrail(async () => {
      throw new Outage('database', new Error('D1_ERROR: away'));
    });
    trail.note(refusal());
    await trail.wake();
    for (let write = 0; write < 20; write++) {
      for (let nth = 0; nth < 15; nth++)
        trail.note(refusal({ customerId: undefined, address: `192.0.2.${nth}` }), write * 20_000);
      await trail.wake();
    }
    const last = trail.written.at(-1) ?? [];
    expect(last).toHaveLength(200 + 15);
    expect(last.filter(({ customerId }) => customerId === CUSTOMER)).toHaveLength(1);
  });

  it('made-up ids in any number hide no guess at a client that exists', async () => {
    const trail = newTrail();
    const stranger = { customerId: undefined, clientId: undefined };
    for (const outcome of ['no credentials', 'wrong credentials', 'not judged'] as const) {
      for (let nth = 0; nth < 100; nth++)
        trail.note(refusal({ ...stranger, outcome, address: `198.51.100.${nth}` }));
      for (let nth = 0; nth < 100; nth++)
        trail.note(refusal({ ...stranger, outcome, customerId: crypto.randomUUID() }));
    }
    const guess = { clientId: 'a-client', outcome: 'wrong credentials', address: '192.0.2.250' } as const;
    trail.note(refusal(guess));
    expect(trail.lines.at(-1)).toContain('192.0.2.250');
    await trail.wake();
    expect(trail.written[0]?.filter(({ address }) => address === '192.0.2.250')).toMatchObject([guess]);
  });

  it('rows that D1 does not take while it is away are written later under the same ids', async () => {
    let isAway = true;
    const trail = newTrail(async () => {
      if (isAway) throw new Outage('database', new Error('D1_ERROR: away'));
    });
    trail.note(refusal());
    await trail.wake();
    isAway = false;
    trail.note(refusal({ outcome: 'wrong credentials' }), 20_000);
    await trail.wake();
    const [first, second] = trail.written;
    expect(second).toHaveLength(2);
    expect(second?.[0]).toEqual(first?.[0]);
    expect(trail.lines.filter((line) => line.includes('audit entries not written'))).toHaveLength(1);
    trail.note(refusal(), 40_000);
    await trail.wake();
    expect(trail.written[2]).toHaveLength(1);
  });

  it('rows that D1 refuses are given up', async () => {
    const trail = newTrail(async () => {
      throw new Error('CHECK constraint failed');
    });
    trail.note(refusal());
    await trail.wake();
    trail.note(refusal(), 20_000);
    await trail.wake();
    expect(trail.written.map((rows) => rows.length)).toEqual([1, 1]);
  });

  it('a write that an ended invocation took with it is arranged again by a later entry', async () => {
    const trail = newTrail();
    trail.note(refusal(), 1000);
    trail.note(refusal(), 30_000);
    expect(trail.waiting()).toBe(1);
    trail.note(refusal(), 31_001);
    expect(trail.waiting()).toBe(2);
    await trail.wake();
    expect(trail.written.flat().map(({ count }) => count)).toEqual([3]);
  });
});
