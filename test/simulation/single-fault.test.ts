/**
 * One story, with one fault at each point where it can happen: at the first call, the second call, and so on until the story
 * is over. The matrix of test/delivery/fault-matrix.test.ts follows one event of one subscription; here events fan out over
 * several subscriptions, endpoints change in between, results come late, writes are refused and turns are rolled back.
 */
import { describe, expect, it } from 'vitest';
import { tell } from './life.ts';

const FAULTS = [
  'publish fails before',
  'publish fails after',
  'D1 fails',
  'call fails before',
  'call fails after',
  'call is slow',
  'settle takes effect late',
  'settle is repeated',
  'invocation dies',
  'dies before a retry is sent',
  'acknowledgement lost',
  'message comes twice',
  'message near its last delivery',
  'send fails before',
  'send fails after',
  'send is slow',
  'object evicted',
  'turn rolled back',
  'a write will be refused',
  'database full',
];
/** Seeds choose who is there: how many subscriptions, with which types and filters, and how listeners answer. */
const SEEDS = [1, 2, 3, 4];
const POINTS_MAX = 60;

describe('one story with one fault', () => {
  it.each(FAULTS)('no event is lost or stuck when this happens at any one point: %s', async (fault) => {
    const failures: string[] = [];
    let happened = 0;
    for (const seed of SEEDS) {
      for (let point = 0; point < POINTS_MAX; point++) {
        const plan = { fault, left: point, hasHappened: false };
        const { failure } = await tell(seed, plan);
        if (failure !== undefined) failures.push(`point ${point}: ${failure}`);
        if (!plan.hasHappened) break;
        happened++;
      }
    }
    expect(failures.slice(0, 2).join('\n\n')).toBe('');
    // A fault that never happened would prove nothing.
    expect(happened).toBeGreaterThan(0);
  });
});
