import { describe, expect, it } from 'vitest';
import { expiresAt } from '../../src/domain/retention.ts';

const DAY = 86_400_000;
const WEEK = 7 * DAY;
const ACCEPTED = 1_700_000_000_000;

describe('the expiry of a delivery', () => {
  it('a success expires seven days after its acceptance, however late it came', () => {
    for (const updatedAt of [ACCEPTED, ACCEPTED + 6 * DAY]) {
      expect(expiresAt({ state: 'success', acceptedAt: ACCEPTED, updatedAt }, WEEK)).toBe(ACCEPTED + WEEK);
    }
  });

  it('a failure expires seven days after it failed', () => {
    const updatedAt = ACCEPTED + 2 * DAY;
    expect(expiresAt({ state: 'failure', acceptedAt: ACCEPTED, updatedAt }, WEEK)).toBe(updatedAt + WEEK);
  });

  it('a failure expires 28 days after its acceptance at the latest', () => {
    const at = (days: number) =>
      expiresAt({ state: 'failure', acceptedAt: ACCEPTED, updatedAt: ACCEPTED + days * DAY }, WEEK);
    expect(at(21)).toBe(ACCEPTED + 28 * DAY);
    expect(at(22)).toBe(ACCEPTED + 28 * DAY);
    expect(at(20)).toBe(ACCEPTED + 27 * DAY);
  });

  it.each(['awaiting-executing', 'executing', 'awaiting-retry'] as const)(
    'a delivery never expires while it is %s',
    (state) => {
      expect(expiresAt({ state, acceptedAt: 0, updatedAt: 0 }, WEEK)).toBeUndefined();
    },
  );
});
