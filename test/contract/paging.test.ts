/** Reading a store that grows while it is read (contract 5.2). */
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Outcome } from '../../src/domain/attempt.ts';
import { newEventIds } from '../../src/domain/ids.ts';
import { type HeldClock, holdClock } from '../support/clock.ts';
import { reportOf } from '../support/reports.ts';
import {
  call,
  newCustomer,
  newSubscription,
  type Reply,
  storeOf,
  type TestCustomer,
} from '../support/world.ts';

let clock: HeldClock;
let customer: TestCustomer;
beforeEach(async () => {
  // The clock is held: events that wait for a retry keep waiting.
  clock = holdClock();
  customer = await newCustomer();
});

const OUTCOMES: Readonly<Record<string, Outcome>> = {
  success: { kind: 'success', response: { statusCode: 204, headers: {} } },
  failure: { kind: 'http_error', response: { statusCode: 302, headers: {} } },
};

interface Stored {
  readonly id: string;
  readonly state: string;
}

/** A store whose events get ids in the order in which they are stored, some of them in the same millisecond. */
async function newStore() {
  const { id } = await newSubscription(customer);
  const ref = {
    customerId: customer.id,
    subscriptionId: id,
    version: 1,
    enabled: true,
    endpoint: 'https://listener.example/',
  };
  const start = clock.now();
  const stored: Stored[] = [];
  let batches = 0;
  return {
    path: `/${customer.id}/webhooks/subscriptions/${id}/events`,
    stored,
    start,
    async add(states: readonly string[]): Promise<void> {
      const acceptedAt = start + batches++;
      const ids = newEventIds(acceptedAt, states.length, crypto.getRandomValues(new Uint8Array(16)));
      const added = ids.map((eventId, index) => ({ id: eventId, state: states[index] ?? 'success' }));
      stored.push(...added);
      if (added.length === 0) return;
      await storeOf({ id }).settle(
        ref,
        added.map(({ id: eventId, state }) =>
          reportOf({
            eventId,
            acceptedAt,
            endpoint: 'https://listener.example.com/hooks',
            set: 'header.payload.signature',
            result: {
              attempt: 1,
              startedAt: acceptedAt,
              durationMs: 1,
              outcome: OUTCOMES[state] ?? { kind: 'timed_out', message: 'no answer' },
            },
          }),
        ),
      );
    },
  };
}

const get = (path: string): Promise<Reply> => call('GET', path, { token: customer.token });
const idsIn = (reply: Reply): string[] => reply.body._embedded.events.map(({ id }: Stored) => id);

const states = fc.array(fc.constantFrom('success', 'failure', 'awaiting-retry'), { maxLength: 12 });

describe('the pages of events', () => {
  it('the pages of events show every event once, also those that arrive between two pages', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(states, { maxLength: 3 }),
        fc.array(states, { maxLength: 4 }),
        fc.integer({ min: 1, max: 7 }),
        async (before, between, limit) => {
          // Each run has its own customer: all runs together may make more calls than one customer is allowed.
          customer = await newCustomer();
          const store = await newStore();
          for (const batch of before) await store.add(batch);
          const arriving = [...between];
          const visited: string[] = [];
          let href: string | undefined = `${store.path}?limit=${limit}`;
          while (href !== undefined) {
            const page: Reply = await get(href);
            expect(page.status).toBe(200);
            const ids = idsIn(page);
            expect(ids.length).toBeLessThanOrEqual(limit);
            visited.push(...ids);
            href = page.body._links.next?.href;
            expect(ids.length === limit || href === undefined).toBe(true);
            // Add events only while there is a next page, so that this walk can still see them.
            if (href !== undefined) await store.add(arriving.shift() ?? []);
          }
          expect(visited).toEqual(store.stored.map(({ id }) => id));
        },
      ),
      { numRuns: 15 },
    );
  });

  it('the parameters after, before, state and limit select the same events as a plain filter', async () => {
    const store = await newStore();
    for (let batch = 0; batch < 4; batch++) {
      await store.add([
        'success',
        'failure',
        'awaiting-retry',
        'success',
        'failure',
        'success',
        'awaiting-retry',
      ]);
    }
    // Ids that the store does not hold, of the time of its events and around it.
    const unknownIds = [-1, 0, 1, 2, 3, 5].flatMap((offset) =>
      newEventIds(store.start + offset, 1, crypto.getRandomValues(new Uint8Array(16))),
    );
    const bound = fc.option(fc.constantFrom(...store.stored.map(({ id }) => id), ...unknownIds), {
      nil: undefined,
    });
    const query = fc.record({
      after: bound,
      before: bound,
      state: fc.constantFrom(undefined, 'success', 'failure', 'awaiting-retry', 'executing'),
      limit: fc.option(fc.integer({ min: 1, max: 30 }), { nil: undefined }),
    });
    await fc.assert(
      fc.asyncProperty(query, async ({ after, before, state, limit }) => {
        const given = Object.entries({ after, before, state, limit: limit?.toString() }).filter(
          (entry): entry is [string, string] => entry[1] !== undefined,
        );
        const reply = await get(`${store.path}?${new URLSearchParams(given)}`);
        const matching = store.stored
          .filter(({ id }) => (after === undefined || id > after) && (before === undefined || id < before))
          .filter((event) => state === undefined || event.state === state)
          .map(({ id }) => id);
        expect(idsIn(reply)).toEqual(matching.slice(0, limit ?? matching.length));
        expect(reply.body.total).toBe(store.stored.length);
        expect('next' in reply.body._links).toBe(limit !== undefined && matching.length > limit);
      }),
      { numRuns: 100 },
    );
  });
});
