/** One delivery under every order of steps that consumers, alarms and changes of its subscription can take. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Outcome } from '../../src/domain/attempt.ts';
import {
  arrive,
  begin,
  type Delivery,
  disable,
  dispatch,
  isFinal,
  recordResult,
} from '../../src/domain/delivery.ts';
import {
  at,
  FACTS,
  LEASE_MS,
  moved,
  NOW,
  ok,
  ourFault,
  POLICY,
  result,
  timedOut,
  unavailable,
} from '../support/delivery-fixtures.ts';

const busy: Outcome = {
  kind: 'http_error',
  response: { statusCode: 429, headers: {} },
  retryAfterMs: 10_000,
};

type Step =
  | { readonly does: 'alarm' | 'enable' | 'disable' }
  | { readonly does: 'wait'; readonly ms: number }
  /** `token` and `attempt` count back from the last one: 0 is the last, 1 the one before it. */
  | { readonly does: 'begin'; readonly token: number }
  | { readonly does: 'settle'; readonly attempt: number; readonly outcome: Outcome };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.constant<Step>({ does: 'alarm' }) },
  { weight: 1, arbitrary: fc.constantFrom<Step[]>({ does: 'enable' }, { does: 'disable' }) },
  {
    weight: 3,
    arbitrary: fc.record({ does: fc.constant('wait' as const), ms: fc.constantFrom(1, 3000, 300_000) }),
  },
  { weight: 4, arbitrary: fc.record({ does: fc.constant('begin' as const), token: fc.nat(3) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      does: fc.constant('settle' as const),
      attempt: fc.nat(3),
      outcome: fc.constantFrom(unavailable, unavailable, unavailable, busy, timedOut, moved, ourFault, ok),
    }),
  },
);

/** Plays the event store for one delivery. Only `wait` steps move its clock. */
class World {
  delivery: Delivery;
  now = NOW;
  enabled = true;
  readonly #tokens: string[] = [];
  readonly #spent = new Set<string>();

  constructor(delivery: Delivery) {
    this.delivery = delivery;
  }

  take(step: Step): void {
    this.delivery = this.#next(step) ?? this.delivery;
  }

  #next(step: Step): Delivery | undefined {
    const { delivery, now, enabled } = this;
    switch (step.does) {
      case 'wait':
        this.now += step.ms;
        return undefined;
      case 'enable':
        this.enabled = true;
        return undefined;
      case 'disable':
        this.enabled = false;
        return disable(delivery, now);
      case 'alarm':
        return delivery.dueAt === null || delivery.dueAt > now ? undefined : this.#ring();
      case 'begin':
        return enabled ? this.#begin(this.#tokens.at(-1 - step.token) ?? 'none') : undefined;
      case 'settle': {
        const attempt = Math.max(1, delivery.attempts - step.attempt);
        const after = recordResult(delivery, FACTS, result(attempt, step.outcome, now), at(now, enabled));
        if (step.outcome.kind === 'our_fault' && after !== undefined) checkNotCharged(delivery, after);
        return after;
      }
    }
  }

  #ring(): Delivery | undefined {
    if (!this.enabled) return disable(this.delivery, this.now);
    this.#tokens.push(`token ${this.#tokens.length}`);
    return dispatch(this.delivery, this.#tokens.at(-1) ?? '', this.now);
  }

  #begin(token: string): Delivery | undefined {
    const begun = begin(this.delivery, token, this.now, LEASE_MS);
    if (begun !== undefined) {
      expect(this.#spent.has(token), 'a token begins one attempt').toBe(false);
      this.#spent.add(token);
    }
    return begun;
  }
}

/** A fault of ours costs no attempt, and only the end of the delivery is worth an entry. */
function checkNotCharged(before: Delivery, after: Delivery): void {
  expect(after.attempts).toBe(before.attempts);
  if (isFinal(after.state)) expect(after.history.at(-1)?.reason).toContain('our fault');
  else expect(after.history).toEqual(before.history);
}

function checkRules(before: Delivery, after: Delivery): void {
  const last = after.history.at(-1);
  expect(last).toMatchObject({ state: after.state, attempts: after.attempts, at: after.updatedAt });
  expect(after.history.slice(0, before.history.length)).toEqual(before.history);
  expect(after.dueAt === null).toBe(isFinal(after.state));
  expect(after.attempts - after.runBase).toBeLessThanOrEqual(POLICY.delaysMs.length + 1);
  if (isFinal(after.state)) expect(after.leaseToken).toBeNull();
  if (before.state === 'success') expect(after).toBe(before);
  if (before.state === 'failure' && after !== before) expect(after.state).toBe('success');

  const attempts = after.history.map((entry) => entry.attempts);
  expect(attempts).toEqual([...attempts].sort((one, other) => one - other));
  for (const entry of after.history.slice(before.history.length)) {
    if (entry.state === 'failure') expect(entry.reason).toBeTruthy();
    if (entry.state !== 'awaiting-retry') continue;
    const policy = POLICY.delaysMs[entry.attempts - after.runBase - 1] ?? Number.POSITIVE_INFINITY;
    expect((entry.nextAttemptAt ?? 0) - entry.at).toBeGreaterThanOrEqual(policy);
    expect(after.dueAt).toBe(entry.nextAttemptAt);
  }
  const began = after.history.length > before.history.length && last?.state === 'executing';
  const due = before.history.at(-1)?.nextAttemptAt;
  if (began && due !== undefined) expect(last.at).toBeGreaterThanOrEqual(due);
}

const fresh = arrive(FACTS, NOW, true);

/** A delivery in its second run. Its first run took two attempts. */
const redelivered: Delivery = {
  ...fresh,
  attempts: 2,
  runBase: 2,
  updatedAt: NOW,
  history: [
    ...fresh.history,
    { at: NOW, state: 'executing', attempts: 2 },
    { at: NOW, state: 'failure', attempts: 2, reason: 'HTTP 301' },
    { at: NOW, state: 'awaiting-executing', attempts: 2 },
  ],
};

describe('a delivery under random steps', () => {
  it.each([
    ['its first run', fresh],
    ['its second run', redelivered],
  ])('a delivery in %s keeps the rules of the state machine in any order of steps', (_, start) => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const world = new World(start);
        for (const one of steps) {
          const before = world.delivery;
          world.take(one);
          checkRules(before, world.delivery);
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('a delivery whose attempts keep failing ends in a final state while the alarm keeps ringing', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const world = new World(fresh);
        for (const one of steps) world.take(one);
        for (let round = 0; round < 2 * POLICY.delaysMs.length + 4; round++) {
          world.take({ does: 'wait', ms: 300_000 });
          world.take({ does: 'alarm' });
          for (const token of [0, 1, 2, 3]) world.take({ does: 'begin', token });
          world.take({ does: 'settle', attempt: 0, outcome: unavailable });
        }
        expect(isFinal(world.delivery.state)).toBe(true);
      }),
    );
  });
});
