import { beforeEach, describe, expect, it, vi } from 'vitest';
import { Deadlines } from '../../src/delivery/deadlines.ts';
import { holdTimers } from '../support/clock.ts';

beforeEach(() => holdTimers());

/** Deadlines whose clock goes with the timers. */
function held() {
  let now = 1000;
  const rung: string[] = [];
  const deadlines = new Deadlines(() => now);
  const pass = async (ms: number) => {
    for (let left = ms; left > 0; left--) {
      now++;
      await vi.advanceTimersByTimeAsync(1);
    }
  };
  const limit = (name: string, ms: number) =>
    deadlines.after(ms, () => void rung.push(`${name} ${now - 1000}`));
  return { deadlines, pass, rung, limit };
}

describe('the time limits of an invocation', () => {
  it('each limit runs out at its own time, whatever the order in which they were set', async () => {
    const { pass, rung, limit } = held();
    limit('long', 50);
    limit('short', 10);
    limit('middle', 30);
    limit('as short', 10);
    await pass(60);
    expect(rung).toEqual(['short 10', 'as short 10', 'middle 30', 'long 50']);
  });

  it('a limit that was canceled never runs out, and the others keep their times', async () => {
    const { pass, rung, limit } = held();
    const cancel = limit('first', 10);
    limit('second', 20);
    await pass(5);
    cancel();
    limit('third', 20);
    await pass(60);
    expect(rung).toEqual(['second 20', 'third 25']);
  });

  it('many limits have one timer between them, and the last one takes it along', async () => {
    const { deadlines, limit } = held();
    const cancels = Array.from({ length: 200 }, (_, index) => limit(`${index}`, 100 + index));
    expect(vi.getTimerCount()).toBe(1);
    for (const cancel of cancels) cancel();
    // It stays for the next limit, until the invocation ends.
    expect(vi.getTimerCount()).toBe(1);
    deadlines.end();
    expect(vi.getTimerCount()).toBe(0);
    limit('left behind', 10)();
    expect(vi.getTimerCount()).toBe(0);
  });

  it('a limit does not end early while the clock stands still', async () => {
    const rung: string[] = [];
    const deadlines = new Deadlines(() => 1000);
    deadlines.after(100, () => void rung.push('first'));
    await vi.advanceTimersByTimeAsync(90);
    deadlines.after(100, () => void rung.push('second'));
    await vi.advanceTimersByTimeAsync(99);
    expect(rung).toEqual(['first']);
    await vi.advanceTimersByTimeAsync(11);
    expect(rung).toEqual(['first', 'second']);
  });

  it('work counts as in time when it ends before its limit, also when it fails', async () => {
    const { deadlines, pass } = held();
    expect(await deadlines.isWithin(Promise.resolve(), 10)).toBe(true);
    expect(await deadlines.isWithin(Promise.reject(new Error('no')), 10)).toBe(true);
    const late = deadlines.isWithin(new Promise(() => undefined), 10);
    await pass(10);
    expect(await late).toBe(false);
  });
});
