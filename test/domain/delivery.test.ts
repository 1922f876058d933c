import { describe, expect, it } from 'vitest';
import {
  arrive,
  begin,
  type Delivery,
  disable,
  dispatch,
  isFinal,
  lastAnswer,
  recordResult,
  recordWaiting,
  redeliver,
  sendAgainAt,
} from '../../src/domain/delivery.ts';
import { newLeaseToken } from '../../src/domain/ids.ts';
import { DISPATCH_LEASE_MS } from '../../src/domain/leases.ts';
import {
  ACCEPTED,
  at,
  awaitingRetry,
  changed,
  executing,
  FACTS,
  LEASE_MS,
  moved,
  NOW,
  ok,
  ourFault,
  RETENTION_MS,
  result,
  timedOut,
  unavailable,
} from '../support/delivery-fixtures.ts';

const states = (delivery: Delivery) => delivery.history.map((entry) => entry.state);

describe('an event stored without an attempt', () => {
  it('an event stored without an attempt is due at once', () => {
    expect(arrive(FACTS, NOW, true)).toEqual({
      ...FACTS,
      state: 'awaiting-executing',
      attempts: 0,
      runBase: 0,
      updatedAt: ACCEPTED,
      dueAt: NOW,
      leaseToken: null,
      hold: 'possible',
      redeliveryId: null,
      proof: null,
      history: [{ at: ACCEPTED, state: 'awaiting-executing', attempts: 0 }],
    });
  });

  it('an event stored for a disabled subscription is a failure at once, without an attempt', () => {
    const delivery = arrive(FACTS, NOW, false);
    expect(delivery).toMatchObject({ state: 'failure', attempts: 0, dueAt: null, updatedAt: NOW });
    expect(delivery.history).toEqual([
      { at: ACCEPTED, state: 'awaiting-executing', attempts: 0 },
      { at: NOW, state: 'failure', attempts: 0, reason: 'subscription disabled' },
    ]);
  });
});

describe('the result of a first attempt', () => {
  it('a delivery that succeeds at once is stored once, with its earlier states and their times', () => {
    const delivery = changed(recordResult(undefined, FACTS, result(1, ok, NOW), at(NOW + 41)));
    expect(delivery).toMatchObject({ state: 'success', attempts: 1, dueAt: null, updatedAt: NOW + 41 });
    expect(delivery.history).toEqual([
      { at: ACCEPTED, state: 'awaiting-executing', attempts: 0 },
      { at: NOW, state: 'executing', attempts: 1 },
      {
        at: NOW + 41,
        state: 'success',
        attempts: 1,
        response: { statusCode: 204, headers: {} },
        durationMs: 41,
      },
    ]);
  });

  it('a delivery that got a 503 waits for a retry, and its history says why and until when', () => {
    const delivery = awaitingRetry();
    expect(delivery).toMatchObject({ state: 'awaiting-retry', attempts: 1, dueAt: NOW + 3000 });
    expect(delivery.history.at(-1)).toEqual({
      at: NOW,
      state: 'awaiting-retry',
      attempts: 1,
      reason: 'HTTP 503',
      response: { statusCode: 503, headers: {} },
      durationMs: 41,
      nextAttemptAt: NOW + 3000,
    });
  });

  it('an attempt that got no answer records an error in place of a response', () => {
    const delivery = changed(recordResult(undefined, FACTS, result(1, timedOut), at(NOW)));
    const last = delivery.history.at(-1);
    expect(last).toMatchObject({ reason: 'timed out: no answer within 10 s', error: { code: 'timed_out' } });
    expect(last).not.toHaveProperty('response');
  });

  it('a delivery that got a 301 is a failure at once', () => {
    const delivery = changed(recordResult(undefined, FACTS, result(1, moved), at(NOW)));
    expect(delivery).toMatchObject({ state: 'failure', dueAt: null });
    expect(delivery.history.at(-1)).toMatchObject({ reason: 'HTTP 301' });
  });

  it('a delivery that fails again after the last wait of the schedule is a failure', () => {
    let delivery: Delivery | undefined;
    for (const attempt of [1, 2, 3, 4]) {
      delivery = changed(recordResult(delivery, FACTS, result(attempt, unavailable), at(NOW)));
    }
    expect(delivery).toMatchObject({ state: 'failure', attempts: 4, dueAt: null });
    expect(delivery?.history.at(-1)).toMatchObject({ reason: 'HTTP 503' });
  });
});

describe('an attempt without an answer yet', () => {
  it('an attempt that is reported as waiting takes the lease token away, so that no dispatch begins it again', () => {
    const dispatched = dispatch(arrive(FACTS, NOW, true), 'token', NOW);
    const waiting = changed(recordWaiting(dispatched, FACTS, { attempt: 1, startedAt: NOW }, NOW + LEASE_MS));
    expect(waiting).toMatchObject({
      state: 'executing',
      attempts: 1,
      leaseToken: null,
      dueAt: NOW + LEASE_MS,
    });
    expect(begin(waiting, 'token', NOW + 1, LEASE_MS)).toBeUndefined();
  });

  it('a report of an earlier run changes nothing', () => {
    const failed = changed(disable(awaitingRetry(), NOW + 10));
    const again = changed(redeliver(failed, NOW + 20));
    expect(recordWaiting(again, FACTS, { attempt: 1, startedAt: NOW }, NOW + LEASE_MS)).toBeUndefined();
  });

  it('an attempt that lapsed and was dispatched again leaves the lease of that dispatch alone, when it reports that it waits', () => {
    const lapsed = executing();
    const again = dispatch(lapsed, newLeaseToken(NOW + LEASE_MS, new Uint8Array(16)), NOW + LEASE_MS);
    expect(again).toMatchObject({ state: 'executing', attempts: 1 });
    const report = { attempt: 1, startedAt: NOW };
    expect(recordWaiting(again, FACTS, report, NOW + 2 * LEASE_MS)).toBeUndefined();
    expect(recordWaiting(lapsed, FACTS, report, NOW + 2 * LEASE_MS)?.dueAt).toBe(NOW + 2 * LEASE_MS);
  });
});

describe('a success', () => {
  it('the success of the attempt under way is final', () => {
    expect(recordResult(executing(), FACTS, result(1, ok), at(NOW))).toMatchObject({
      state: 'success',
      attempts: 1,
    });
  });

  it('the late success of an earlier attempt of the run is final, and no attempt follows', () => {
    const second = changed(begin(dispatch(awaitingRetry(), 'two', NOW + 3000), 'two', NOW + 3000, LEASE_MS));
    const delivery = changed(recordResult(second, FACTS, result(1, ok), at(NOW + 3100)));
    expect(delivery).toMatchObject({ state: 'success', attempts: 2, dueAt: null, leaseToken: null });
  });

  it('a late success ends the wait for a retry, after the failure of a repeated attempt was recorded', () => {
    const delivery = changed(recordResult(awaitingRetry(), FACTS, result(1, ok), at(NOW + 10)));
    expect(delivery).toMatchObject({ state: 'success', attempts: 1, dueAt: null, updatedAt: NOW + 10 });
    expect(delivery.history.map(({ state, attempts }) => `${state} ${attempts}`)).toEqual([
      'awaiting-executing 0',
      'executing 1',
      'awaiting-retry 1',
      'success 1',
    ]);
  });

  it('a late success of an attempt that the store has forgotten counts as the next attempt', () => {
    // The delivery was deleted when its time was over, and then its event came once more.
    const delivery = changed(recordResult(arrive(FACTS, NOW, true), FACTS, result(2, ok), at(NOW + 10)));
    expect(delivery.history.map(({ state, attempts }) => `${state} ${attempts}`)).toEqual([
      'awaiting-executing 0',
      'executing 1',
      'success 1',
    ]);
  });

  it('a late success turns a failure of the same run into a success', () => {
    const failed = changed(disable(awaitingRetry(), NOW + 10));
    expect(recordResult(failed, FACTS, result(1, ok), at(NOW + 20, false))).toMatchObject({
      state: 'success',
    });
  });

  it('the success of an attempt under way counts although its subscription was disabled', () => {
    expect(recordResult(executing(), FACTS, result(1, ok), at(NOW, false))).toMatchObject({
      state: 'success',
    });
  });

  it('a success withdraws the token of a dispatch under way', () => {
    const dispatched = dispatch(awaitingRetry(), 'two', NOW + 3000);
    const delivery = changed(recordResult(dispatched, FACTS, result(1, ok), at(NOW + 3001)));
    expect(begin(delivery, 'two', NOW + 3002, LEASE_MS)).toBeUndefined();
  });

  it('a success stays a success, whatever result is reported later', () => {
    const delivery = changed(recordResult(undefined, FACTS, result(1, ok), at(NOW)));
    expect(recordResult(delivery, FACTS, result(1, ok), at(NOW))).toBeUndefined();
    expect(recordResult(delivery, FACTS, result(1, unavailable), at(NOW))).toBeUndefined();
    expect(recordResult(delivery, FACTS, result(2, unavailable), at(NOW))).toBeUndefined();
    expect(begin(delivery, 'token', NOW, LEASE_MS)).toBeUndefined();
    expect(disable(delivery, NOW)).toBeUndefined();
  });
});

describe('a failed result', () => {
  it('a failed result is dropped when its attempt already has a result', () => {
    expect(recordResult(awaitingRetry(), FACTS, result(1, timedOut), at(NOW))).toBeUndefined();
  });

  it('a failed result is dropped when the next attempt has begun', () => {
    const second = changed(begin(dispatch(awaitingRetry(), 'two', NOW + 3000), 'two', NOW + 3000, LEASE_MS));
    expect(recordResult(second, FACTS, result(1, timedOut), at(NOW + 3001))).toBeUndefined();
    expect(recordResult(second, FACTS, result(2, timedOut), at(NOW + 3001))).toMatchObject({ attempts: 2 });
  });

  it('a failed result is dropped when its attempt cannot have begun yet', () => {
    expect(recordResult(executing(), FACTS, result(2, unavailable), at(NOW))).toBeUndefined();
    expect(recordResult(awaitingRetry(), FACTS, result(3, unavailable), at(NOW))).toBeUndefined();
  });

  it('a failed result is final while the subscription is disabled', () => {
    const delivery = changed(recordResult(executing(), FACTS, result(1, unavailable), at(NOW, false)));
    expect(delivery).toMatchObject({ state: 'failure', dueAt: null });
    expect(delivery.history.at(-1)?.reason).toBe('HTTP 503; subscription disabled');
    expect(delivery.history.at(-1)).not.toHaveProperty('nextAttemptAt');
  });
});

describe('an attempt that failed for a reason of ours', () => {
  const failed = (delivery: Delivery | undefined, now: number, attempt = 1) =>
    recordResult(delivery, FACTS, result(attempt, ourFault), at(now));
  const begunAgain = (delivery: Delivery, now: number) =>
    changed(begin(dispatch(delivery, 'again', now), 'again', now, LEASE_MS));

  it('a first attempt that failed for a reason of ours is not charged: the delivery waits five seconds, unattempted', () => {
    expect(failed(undefined, NOW)).toEqual({ ...arrive(FACTS, NOW, true), dueAt: NOW + 5000 });
  });

  it('an attempt under way that failed for a reason of ours keeps its number and its history, and waits', () => {
    expect(failed(executing(), NOW + 100)).toEqual({ ...executing(), dueAt: NOW + 5100 });
  });

  it('an attempt that failed for a reason of ours is made again under its own number', () => {
    const again = begunAgain(changed(failed(executing(), NOW)), NOW + 5000);
    expect(again).toMatchObject({ state: 'executing', attempts: 1 });
    expect(states(again)).toEqual(['awaiting-executing', 'executing']);
    const delivery = changed(recordResult(again, FACTS, result(1, unavailable), at(NOW + 6000)));
    expect(delivery).toMatchObject({ state: 'awaiting-retry', attempts: 1, dueAt: NOW + 9000 });
  });

  it('an attempt that keeps failing for reasons of ours is made again after waits that double to five minutes', () => {
    let delivery = executing();
    let now = NOW;
    const waits: number[] = [];
    for (let time = 0; time < 9; time++) {
      delivery = changed(failed(delivery, now));
      waits.push(((delivery.dueAt ?? 0) - now) / 1000);
      now = delivery.dueAt ?? 0;
      delivery = begunAgain(delivery, now);
    }
    expect(waits).toEqual([5, 5, 10, 20, 40, 80, 160, 300, 300]);
    expect(delivery).toMatchObject({ state: 'executing', attempts: 1 });
  });

  it('the waits of each attempt begin with five seconds again', () => {
    const later = NOW + 3000;
    const second = changed(begin(dispatch(awaitingRetry(), 'two', later), 'two', later, LEASE_MS));
    expect(failed(second, later, 2)).toMatchObject({ attempts: 2, dueAt: later + 5000 });
  });

  it('a delivery is a failure, and says why, when its attempt was not possible for as long as events are kept', () => {
    const end = NOW + RETENTION_MS;
    expect(failed(executing(), end - 1)).toMatchObject({ state: 'executing', dueAt: end - 1 + 300_000 });
    const delivery = changed(failed(executing(), end));
    expect(delivery).toMatchObject({ state: 'failure', attempts: 1, dueAt: null });
    expect(delivery.history.at(-1)).toEqual({
      at: end,
      state: 'failure',
      attempts: 1,
      reason: 'our fault: the name service gave no answer',
    });
  });

  it('a real result of the same attempt counts, however late it comes', () => {
    const waiting = changed(failed(executing(), NOW));
    expect(recordResult(waiting, FACTS, result(1, ok), at(NOW + 1))).toMatchObject({ state: 'success' });
    expect(recordResult(waiting, FACTS, result(1, timedOut), at(NOW + 1))).toMatchObject({
      state: 'awaiting-retry',
      attempts: 1,
    });
  });

  it('a fault of ours changes nothing when its attempt has a result, or was dispatched again', () => {
    expect(failed(awaitingRetry(), NOW + 1)).toBeUndefined();
    expect(failed(changed(disable(awaitingRetry(), NOW)), NOW + 1)).toBeUndefined();
    expect(failed(changed(recordResult(undefined, FACTS, result(1, ok), at(NOW))), NOW + 1)).toBeUndefined();
    expect(failed(arrive(FACTS, NOW, true), NOW + 1)).toBeUndefined();
    expect(failed(dispatch(executing(), 'again', NOW + LEASE_MS), NOW + LEASE_MS + 1)).toBeUndefined();
    expect(failed(executing(), NOW, 2)).toBeUndefined();
  });

  it('an attempt that failed for a reason of ours is not made again for a disabled subscription', () => {
    const first = recordResult(undefined, FACTS, result(1, ourFault), at(NOW, false));
    expect(first).toMatchObject({ state: 'failure', attempts: 0 });
    const delivery = changed(recordResult(executing(), FACTS, result(1, ourFault), at(NOW, false)));
    expect(delivery).toMatchObject({ state: 'failure', attempts: 1, dueAt: null });
    expect(delivery.history.at(-1)?.reason).toBe(
      'our fault: the name service gave no answer; subscription disabled',
    );
  });
});

describe('a result of an earlier run', () => {
  const redelivered: Delivery = { ...awaitingRetry(), state: 'awaiting-executing', runBase: 1, dueAt: NOW };

  it('a result of an earlier run is dropped, even a success', () => {
    expect(recordResult(redelivered, FACTS, result(1, ok), at(NOW))).toBeUndefined();
    expect(recordResult(redelivered, FACTS, result(1, unavailable), at(NOW))).toBeUndefined();
  });

  it('a redelivered event gets the whole schedule again', () => {
    const delivery = recordResult(redelivered, FACTS, result(2, unavailable), at(NOW));
    expect(delivery).toMatchObject({ state: 'awaiting-retry', attempts: 2, dueAt: NOW + 3000 });
  });
});

describe('the start of an attempt', () => {
  it('an attempt begins with the token of its dispatch', () => {
    const delivery = executing();
    expect(delivery).toMatchObject({
      state: 'executing',
      attempts: 1,
      dueAt: NOW + LEASE_MS,
      leaseToken: null,
    });
    expect(delivery.history.at(-1)).toEqual({ at: NOW, state: 'executing', attempts: 1 });
  });

  it('a token begins one attempt only', () => {
    expect(begin(executing(), 'token', NOW, LEASE_MS)).toBeUndefined();
  });

  it('an attempt never begins with another token or without a dispatch', () => {
    const arrived = arrive(FACTS, NOW, true);
    expect(begin(dispatch(arrived, 'token', NOW), 'other', NOW, LEASE_MS)).toBeUndefined();
    expect(begin(arrived, 'token', NOW, LEASE_MS)).toBeUndefined();
  });

  it('an attempt whose lease has lapsed begins again under its own number', () => {
    const lapsedAt = NOW + LEASE_MS;
    const again = changed(begin(dispatch(executing(), 'two', lapsedAt), 'two', lapsedAt + 5, LEASE_MS));
    expect(again).toMatchObject({ state: 'executing', attempts: 1, dueAt: lapsedAt + 5 + LEASE_MS });
    expect(states(again)).toEqual(['awaiting-executing', 'executing']);
  });
});

describe('a dispatch', () => {
  it('a dispatch whose attempt never begins costs no attempt', () => {
    const dispatched = dispatch(awaitingRetry(), 'two', NOW + 3000);
    expect(dispatched).toMatchObject({ state: 'awaiting-retry', attempts: 1, leaseToken: 'two' });
  });

  it('a dispatch that nobody begins is sent again when it has waited twice as long, 30 minutes later at most', () => {
    const token = newLeaseToken(NOW + 3000, new Uint8Array(16));
    let delivery = dispatch(awaitingRetry(), token, NOW + 3000);
    // The time at which it was due has an index, so the first dispatch does not write it.
    expect(delivery.dueAt).toBe(awaitingRetry().dueAt);
    const minutes: number[] = [];
    for (let times = 0; times < 7; times++) {
      const at = sendAgainAt(delivery) ?? 0;
      minutes.push((at - NOW - 3000) / 60_000);
      delivery = dispatch(delivery, 'another', at);
      expect(delivery.leaseToken).toBe(token);
    }
    expect(minutes).toEqual([2, 4, 8, 16, 32, 62, 92]);
    expect(sendAgainAt(awaitingRetry())).toBeUndefined();
  });

  it('a dispatch whose token has no time is sent again when its delivery is due', () => {
    const leased = {
      ...awaitingRetry(),
      leaseToken: 'ad4d4f5e-6b3c-4c5e-9f1a-0c1d2e3f4a5b',
      dueAt: NOW + 90_000,
    };
    expect(sendAgainAt(leased)).toBe(NOW + 90_000);
    expect(sendAgainAt(dispatch(leased, 'another', NOW + 90_000))).toBe(NOW + 90_000 + DISPATCH_LEASE_MS);
  });

  it('a repeated dispatch keeps the first token, because the first message may only be slow', () => {
    const twice = dispatch(dispatch(awaitingRetry(), 'two', NOW + 3000), 'three', NOW + 200_000);
    expect(twice.leaseToken).toBe('two');
    expect(begin(twice, 'two', NOW + 200_001, LEASE_MS)).toMatchObject({ state: 'executing' });
  });
});

describe('a delivery of a disabled subscription', () => {
  it('a waiting delivery becomes a failure when its subscription is disabled', () => {
    for (const waiting of [
      arrive(FACTS, NOW, true),
      awaitingRetry(),
      dispatch(awaitingRetry(), 'two', NOW),
    ]) {
      const delivery = changed(disable(waiting, NOW + 10));
      expect(delivery).toMatchObject({
        state: 'failure',
        dueAt: null,
        leaseToken: null,
        updatedAt: NOW + 10,
      });
      expect(delivery.history.at(-1)?.reason).toBe('subscription disabled');
      expect(delivery.attempts).toBe(waiting.attempts);
    }
  });

  it('an attempt under way may finish when its subscription is disabled', () => {
    expect(disable(executing(), NOW + LEASE_MS - 1)).toBeUndefined();
  });

  it('a delivery with a lapsed attempt becomes a failure when its subscription is disabled', () => {
    const delivery = changed(disable(executing(), NOW + LEASE_MS));
    expect(delivery.state).toBe('failure');
    expect(delivery.history.at(-1)?.reason).toBe('result of the attempt unknown; subscription disabled');
  });

  it('a final delivery stays as it is when its subscription is disabled', () => {
    const failed = changed(recordResult(undefined, FACTS, result(1, moved), at(NOW)));
    expect(disable(failed, NOW + 10)).toBeUndefined();
  });
});

describe('the last answer', () => {
  it('the last answer is absent until the first attempt has ended', () => {
    expect(lastAnswer(arrive(FACTS, NOW, true))).toEqual({});
    expect(lastAnswer(executing())).toEqual({});
  });

  it('the last answer is that of the last attempt, a response or an error', () => {
    const one = awaitingRetry();
    expect(lastAnswer(one)).toEqual({ response: { statusCode: 503, headers: {} } });
    const two = changed(recordResult(one, FACTS, result(2, timedOut), at(NOW)));
    expect(lastAnswer(two)).toEqual({ error: { code: 'timed_out', message: 'no answer within 10 s' } });
  });
});

describe('a state', () => {
  it('only success and failure are final states', () => {
    expect(isFinal('success') && isFinal('failure')).toBe(true);
    expect(isFinal('awaiting-executing') || isFinal('executing') || isFinal('awaiting-retry')).toBe(false);
  });
});
