import { describe, expect, it } from 'vitest';
import { type HistoryEntry, stepsOf } from '../src/lib/timeline.ts';

const T = (seconds: number) => new Date(Date.parse('2026-01-31T12:00:00Z') + seconds * 1_000).toISOString();
const entry = (
  seconds: number,
  state: HistoryEntry['state'],
  more: Partial<HistoryEntry> = {},
): HistoryEntry => ({
  createdAt: T(seconds),
  state,
  attempts: 0,
  ...more,
});
const kinds = (history: readonly HistoryEntry[]) => stepsOf(history).map(({ kind }) => kind);
const refused = {
  reason: 'HTTP 503',
  response: { statusCode: 503, headers: { Server: 'x' } },
  durationMs: 41,
};

const WAITING = [
  entry(0, 'awaiting-executing'),
  entry(1, 'executing', { attempts: 1 }),
  entry(1.041, 'awaiting-retry', { attempts: 1, ...refused, nextAttemptAt: T(4) }),
];

describe('the timeline of an event', () => {
  it('a first attempt that was held is preceded by the wait, also after it was asked to be sent again', () => {
    const ended = { attempts: 1, ...refused };
    const history = [entry(0, 'awaiting-executing'), entry(117, 'executing', { attempts: 1 })];
    const redelivered = [entry(118, 'failure', ended), entry(200, 'awaiting-executing', { attempts: 1 })];
    const again = [entry(260, 'executing', { attempts: 2 }), entry(261, 'success', { attempts: 2 })];
    const steps = stepsOf([...history, ...redelivered, ...again]);
    expect(steps.filter(({ kind }) => kind === 'wait')).toEqual([
      { kind: 'wait', from: T(0), until: T(117), over: true },
      { kind: 'wait', from: T(200), until: T(260), over: true },
    ]);
    expect(kinds([entry(0, 'awaiting-executing'), entry(1, 'executing', { attempts: 1 })])).not.toContain(
      'wait',
    );
  });

  it('an attempt that failed is followed by the wait for the next one', () => {
    expect(stepsOf(WAITING)).toEqual([
      { kind: 'accepted', at: T(0) },
      {
        kind: 'attempt',
        number: 1,
        at: T(1),
        endedAt: T(1.041),
        outcome: 'failure',
        status: 503,
        reason: 'HTTP 503',
        durationMs: 41,
        headers: { Server: 'x' },
      },
      { kind: 'wait', from: T(1.041), until: T(4), over: false },
    ]);
  });

  it('a wait is over when something follows it, and lasted until then', () => {
    const steps = stepsOf([...WAITING, entry(9, 'executing', { attempts: 2 })]);
    expect(steps.at(-2)).toMatchObject({ kind: 'wait', over: true, until: T(9) });
    expect(steps.at(-1)).toMatchObject({
      kind: 'attempt',
      number: 2,
      outcome: 'under way',
      endedAt: undefined,
    });
  });

  it('a success ends the story', () => {
    const success = { attempts: 2, response: { statusCode: 202, headers: {} }, durationMs: 12 };
    const steps = stepsOf([
      ...WAITING,
      entry(4, 'executing', { attempts: 2 }),
      entry(4.012, 'success', success),
    ]);
    expect(steps.slice(-2)).toMatchObject([
      { kind: 'attempt', outcome: 'success', status: 202 },
      { kind: 'delivered' },
    ]);
  });

  it('a last attempt that failed ends the story, too', () => {
    const history = [
      ...WAITING,
      entry(4, 'executing', { attempts: 2 }),
      entry(5, 'failure', { attempts: 2, ...refused }),
    ];
    expect(kinds(history)).toEqual(['accepted', 'attempt', 'wait', 'attempt', 'failed']);
  });

  it('an event that failed without an attempt says why', () => {
    const history = [
      entry(0, 'awaiting-executing'),
      entry(9, 'failure', { reason: 'subscription disabled' }),
    ];
    expect(stepsOf(history).at(-1)).toEqual({ kind: 'gave up', at: T(9), reason: 'subscription disabled' });
  });

  it('a redelivery begins a new run', () => {
    const history = [
      entry(0, 'awaiting-executing'),
      entry(1, 'failure', { reason: 'subscription disabled' }),
      entry(60, 'awaiting-executing'),
      entry(61, 'executing', { attempts: 1 }),
    ];
    expect(kinds(history)).toEqual(['accepted', 'gave up', 'redelivered', 'attempt']);
  });

  it('an attempt without its own beginning began when it ended, less its duration', () => {
    const history = [entry(0, 'awaiting-executing'), entry(2, 'success', { attempts: 1, durationMs: 500 })];
    expect(stepsOf(history)[1]).toMatchObject({ kind: 'attempt', at: T(1.5) });
  });
});
