import { describe, expect, it } from 'vitest';
import { attemptLeaseMs, claimMs, leaseFault, longestAttemptMs } from '../../src/domain/leases.ts';

describe('leases', () => {
  it.each([1000, 10_000, 60_000])('leases are longer than any attempt with a limit of %i ms', (timeoutMs) => {
    expect(leaseFault(timeoutMs)).toBeUndefined();
    expect(attemptLeaseMs(timeoutMs)).toBeGreaterThan(longestAttemptMs(timeoutMs));
    expect(claimMs(timeoutMs)).toBeGreaterThan(10_000 + longestAttemptMs(timeoutMs));
  });

  const fine = { attempt: 40_000, claim: 50_000, dispatch: 120_000 };
  it.each([
    ['of an attempt', { ...fine, attempt: 20_000 }, /^an attempt may take 28000 ms, its lease is 20000 ms$/],
    ['of a consumer', { ...fine, claim: 30_000 }, /^a consumer may take 38000 ms, its claims last 30000 ms$/],
    ['of a dispatch', { ...fine, dispatch: 10_000 }, /^a dispatch may wait 10000 ms/],
  ])('a lease %s that is too short is a fault', (_, leases, message) => {
    expect(leaseFault(10_000, fine)).toBeUndefined();
    expect(leaseFault(10_000, leases)).toMatch(message);
  });
});
