import { describe, expect, it } from 'vitest';
import { Patience } from '../../src/delivery/patience.ts';

describe('the patience with a listener', () => {
  it('a listener of which nothing is known has 1.25 s, and one that is slow is not unusual', () => {
    const patience = new Patience();
    expect(patience.overdueAfterMs('s', 0)).toBe(1250);
    expect(patience.hasAnswered('s', 0)).toBe(false);
    expect(patience.isUnusual('s', 0)).toBe(true);
    patience.note('s', 1200, 0);
    expect(patience.overdueAfterMs('s', 0)).toBe(1250);
    expect(patience.isUnusual('s', 0)).toBe(false);
  });

  it.each([
    [1, 250],
    [50, 250],
    [100, 400],
    [240, 960],
    [400, 1250],
  ])('a listener that usually takes %i ms is overdue after %i ms', (usualMs, overdueMs) => {
    const patience = new Patience();
    for (let answer = 0; answer < 10; answer++) patience.note('s', usualMs, answer);
    expect(patience.overdueAfterMs('s', 10)).toBeCloseTo(overdueMs, 6);
    expect(patience.isUnusual('s', 10)).toBe(usualMs * 4 <= 1250);
    expect(patience.hasAnswered('s', 10)).toBe(true);
  });

  it('nobody waits for a listener that usually takes longer than the longest patience', () => {
    const patience = new Patience();
    patience.note('s', 1500, 0);
    expect(patience.overdueAfterMs('s', 0)).toBe(250);
    expect(patience.isUnusual('s', 0)).toBe(false);
  });

  it('an isolate forgets a listener that has not answered for a minute', () => {
    const patience = new Patience();
    patience.note('s', 10, 0);
    expect(patience.hasAnswered('s', 60_000)).toBe(true);
    expect(patience.hasAnswered('s', 60_001)).toBe(false);
    expect(patience.overdueAfterMs('s', 60_001)).toBe(1250);
  });

  it('an isolate forgets first who has not answered for longest, and keeps five thousand', () => {
    const patience = new Patience();
    for (let index = 0; index < 5000; index++) patience.note(`s${index}`, 10, 0);
    patience.note('s0', 10, 1);
    patience.note('new', 10, 1);
    expect(patience.hasAnswered('s0', 1)).toBe(true);
    expect(patience.hasAnswered('s1', 1)).toBe(false);
    expect(patience.hasAnswered('s2', 1)).toBe(true);
  });
});
