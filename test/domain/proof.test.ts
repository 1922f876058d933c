import { describe, expect, it } from 'vitest';
import {
  arrive,
  awaitProof,
  type Delivery,
  dispatchOrHold,
  type EndpointNow,
  heldIfFailing,
  redeliver,
} from '../../src/domain/delivery.ts';
import { takeTest } from '../../src/domain/proof.ts';
import { changed, FACTS, NOW } from '../support/delivery-fixtures.ts';

const END = NOW + 1000;

function waiting(): Delivery {
  return awaitProof(arrive(FACTS, NOW, true), 3, END);
}

function endpointNow(state: EndpointNow['state']): EndpointNow {
  return { state, endpoint: FACTS.endpoint, enabled: true, holdUntil: END };
}

describe('a delivery whose endpoint is not verified', () => {
  it('a delivery that waits for a proof is due at the end of the retention', () => {
    expect(waiting()).toMatchObject({ state: 'awaiting-executing', proof: 3, dueAt: END, hold: 'possible' });
  });

  it('a test names the proof that it gives, and is due at once', () => {
    const test = awaitProof(arrive({ ...FACTS, neverHeld: true }, NOW, true), 3, END);
    expect(test).toMatchObject({ proof: 3, dueAt: NOW, hold: 'never' });
    expect(dispatchOrHold(test, 'token', NOW, endpointNow('failing'), false)).toMatchObject({
      proof: 3,
      leaseToken: 'token',
    });
  });

  it('a failure of a disabled subscription names its proof, and stays final', () => {
    expect(awaitProof(arrive(FACTS, NOW, false), 3, END)).toMatchObject({
      state: 'failure',
      proof: 3,
      dueAt: null,
    });
  });

  it('a failing endpoint does not hold a delivery that waits for a proof', () => {
    const delivery = waiting();
    expect(heldIfFailing(delivery, endpointNow('failing'))).toBe(delivery);
  });

  it.each([
    ['healthy', false, 'endpoint not verified'],
    ['failing', false, 'endpoint not verified'],
    ['failing', true, 'endpoint failing'],
  ] as const)(
    'a wait that ends while the endpoint is %s (proof given: %s) is a failure: %s',
    (state, given, reason) => {
      const failed = changed(dispatchOrHold(waiting(), 'token', END, endpointNow(state), given));
      expect(failed).toMatchObject({ state: 'failure', attempts: 0 });
      expect(failed.history.at(-1)?.reason).toBe(reason);
    },
  );

  it('a delivery whose proof was given is dispatched, and names it no more', () => {
    expect(dispatchOrHold(waiting(), 'token', END, endpointNow('healthy'), true)).toMatchObject({
      leaseToken: 'token',
      proof: null,
    });
  });

  it('a redelivered event waits for no proof', () => {
    const failed = changed(dispatchOrHold(waiting(), 'token', END, endpointNow('healthy'), false));
    expect(redeliver(failed, END)).toMatchObject({ state: 'awaiting-executing', proof: null, dueAt: END });
  });
});

describe('the allowance of tests', () => {
  it('ten tests may be sent at once, and another one each six seconds', () => {
    let wholeAt = 0;
    const take = (now: number) => {
      const taken = takeTest(wholeAt, now);
      if ('wholeAt' in taken) wholeAt = taken.wholeAt;
      return taken;
    };
    for (let count = 0; count < 10; count++) expect(take(NOW)).toHaveProperty('wholeAt');
    expect(take(NOW)).toEqual({ waitMs: 6000 });
    expect(take(NOW + 5999)).toEqual({ waitMs: 1 });
    expect(take(NOW + 6000)).toHaveProperty('wholeAt');
    expect(take(NOW + 6000)).toEqual({ waitMs: 6000 });
  });

  it('a clock that goes back refuses nobody for longer than the allowance takes to be whole', () => {
    expect(takeTest(NOW + 60_000, NOW)).toEqual({ waitMs: 6000 });
  });
});
