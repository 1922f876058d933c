/** Messages with thousands of members that are nothing: what they cost is bounded, and good messages of the batch come first. */
import { env } from 'cloudflare:workers';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { deadLetterId } from '../../src/domain/ids.ts';
import { consumeDeadLetters } from '../../src/queue/dead-letters.ts';
import { readEventMessage } from '../../src/queue/event-message.ts';
import type { DeadLetter } from '../../src/storage/dead-letters.ts';
import { until } from '../support/until.ts';
import { anEvent, asOperator, consumeBatch, newCustomer, newSubscription } from '../support/world.ts';

const read = (body: unknown) =>
  readEventMessage({ id: crypto.randomUUID(), timestamp: new Date(), body }, Date.now());

/** A member without a customer, which counts how often somebody asks for its type. */
function watched(counts: { looks: number }): unknown {
  return {
    get type() {
      counts.looks++;
      return 'entityCreated';
    },
  };
}

/** A D1 that counts its statements and batches, and lets letters wait until `open` is called. */
function watchedDatabase() {
  const seen = { statements: 0, batches: 0 };
  const gate = Promise.withResolvers<void>();
  const DB = new Proxy(env.DB, {
    get(target, name) {
      const value = Reflect.get(target, name) as unknown;
      if (typeof value !== 'function') return value;
      if (name !== 'batch') return value.bind(target);
      return async (statements: D1PreparedStatement[]) => {
        seen.batches++;
        seen.statements += statements.length;
        await gate.promise;
        return await target.batch(statements);
      };
    },
  });
  return { environment: { ...env, DB }, seen, open: gate.resolve };
}

function logged(): () => string[] {
  const warn = vi.spyOn(console, 'warn').mockImplementation(() => undefined);
  onTestFinished(() => warn.mockRestore());
  return () => warn.mock.calls.flat().map(String);
}

const sharedLetter = (messageId: string) =>
  env.DB.prepare('SELECT customer_id FROM dead_letters WHERE id = ?')
    .bind(deadLetterId(messageId, -1))
    .first();

describe('an array of members that are no events', () => {
  it('four thousand members without a customer cost as many judgments as a thousand', () => {
    const judgedOf = (members: number) => {
      const counts = { looks: 0 };
      const { letterCount } = read(Array.from({ length: members }, () => watched(counts)));
      expect(letterCount).toBe(1000);
      // The size of the message takes one look at each member.
      return counts.looks - members;
    };
    expect(judgedOf(1000)).toBeGreaterThan(0);
    expect(judgedOf(4000)).toBe(judgedOf(1000));
  });

  it('an event after a thousand members that are nothing is delivered', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer);
    const good = { ...anEvent(), customerId: customer.id };
    const upper = { ...good, customerId: customer.id.toUpperCase() };
    const body = [
      ...Array.from({ length: 1200 }, () => 0),
      good,
      ...Array.from({ length: 50 }, () => 0),
      upper,
    ];
    const { acked } = await consumeBatch('events', [{ body }]);
    expect(acked).toHaveLength(1);
    expect(await subscription.listener.calls()).toHaveLength(2);
  });

  it('the letter that members beyond the first thousand share belongs to their customer, when all name the same', async () => {
    logged();
    const [one, other] = [await newCustomer(), await newCustomer()];
    const ownerOf = async (names: readonly unknown[], id: string = crypto.randomUUID()) => {
      const body = Array.from({ length: 1200 }, (_, at) => ({ customerId: names[at % names.length] }));
      await consumeBatch('events', [{ id, body }]);
      return (await sharedLetter(id))?.['customer_id'];
    };
    const id = crypto.randomUUID();
    expect(await ownerOf([one.id, one.id.toUpperCase()], id)).toBe(one.id);
    expect(await ownerOf([one.id, other.id])).toBeNull();
    expect(await ownerOf([one.id, 7])).toBeNull();
    // So it is erased with its customer.
    expect((await asOperator('DELETE', `/customers/${one.id}`)).status).toBe(204);
    expect(await sharedLetter(id)).toBeNull();
  });

  it('an array with a hundred thousand holes is one letter: as JSON it is larger than a message can be', () => {
    expect(read(new Array(100_000)).letters()).toMatchObject([
      { reason: 'message not understood: is larger than a queue message can be' },
    ]);
  });

  it('an array with twenty thousand holes is read like one of as many nulls', () => {
    const reasons = (body: unknown) =>
      read(body)
        .letters()
        .map(({ reason }) => reason);
    expect(reasons(new Array(20_000))).toEqual(reasons(Array.from({ length: 20_000 }, () => null)));
  });
});

describe('an array with members that have names', () => {
  it('its letter is made without a look at them: JSON has no room for them, and each may name the next one twice', () => {
    let looks = 0;
    const array = Object.defineProperty([0], 'more', { enumerable: true, get: () => looks++ });
    expect(read([array]).letters()).toMatchObject([{ customerId: null, refused: true }]);
    expect(looks).toBe(0);
    // As structured clones, these ninety arrays take two kilobytes. There are 2^90 ways through them.
    let nested: unknown[] = [];
    for (let level = 0; level < 90; level++) nested = Object.assign([], { a: nested, b: nested });
    expect(JSON.parse(read([structuredClone(nested)]).letters()[0]?.body ?? '')).toMatchObject({ event: [] });
  });
});

describe('an array of events with a member that has the name of a form', () => {
  it.each(['packed', 'replay', 'deadLetter', 'eventIds'])(
    'its events have letters, whatever %s is',
    async (mark) => {
      logged();
      const customer = await newCustomer();
      const body = Object.assign([{ ...anEvent(), customerId: customer.id }], { [mark]: 1 });
      for (const queue of ['deliveries', 'deadLetters'] as const) await consumeBatch(queue, [{ body }]);
      const owned = env.DB.prepare('SELECT count(*) AS n FROM dead_letters WHERE customer_id = ?');
      expect(await owned.bind(customer.id).first('n')).toBe(2);
    },
  );
});

describe('a batch of messages that are refused', () => {
  it('twenty messages of a thousand refusals are stored in twenty batches of D1, and logged in twenty lines', async () => {
    const lines = logged();
    const { environment, seen, open } = watchedDatabase();
    open();
    const bodies = Array.from({ length: 20 }, () => ({ body: Array.from({ length: 1000 }, () => ({})) }));
    expect((await consumeBatch('events', bodies, environment)).acked).toHaveLength(20);
    expect(seen).toEqual({ batches: 20, statements: 20 });
    expect(lines().filter((line) => line.includes('"event":"dead letters"'))).toHaveLength(20);
  });

  it('twenty messages of one refusal are stored in one batch of D1, and logged in one line', async () => {
    const lines = logged();
    const { environment, seen, open } = watchedDatabase();
    open();
    const bodies = Array.from({ length: 20 }, () => ({ body: 'nothing' }));
    expect((await consumeBatch('events', bodies, environment)).acked).toHaveLength(20);
    expect(seen).toEqual({ batches: 1, statements: 1 });
    const own = lines().filter((line) => line.includes('"event":"dead letters"'));
    expect(own.map((line) => JSON.parse(line).count)).toEqual([20]);
  });

  it('good messages are delivered while the letters of others are still to be stored', async () => {
    logged();
    const customer = await newCustomer();
    const subscription = await newSubscription(customer);
    const { environment, open } = watchedDatabase();
    const good = { body: { ...anEvent(), customerId: customer.id } };
    const bad = { body: Array.from({ length: 1000 }, () => ({})) };
    const consumed = consumeBatch('events', [bad, bad, good], environment);
    await until(async () => (await subscription.listener.calls()).length === 1, 'the delivery');
    open();
    expect((await consumed).acked).toHaveLength(3);
  });

  it('ten dead letters of the platform with a thousand members each take ten batches of D1', async () => {
    const { environment, seen, open } = watchedDatabase();
    open();
    const bodies = Array.from({ length: 10 }, () => ({ body: Array.from({ length: 1000 }, () => 0) }));
    expect((await consumeBatch('deadLetters', bodies, environment)).acked).toHaveLength(10);
    expect(seen).toEqual({ batches: 10, statements: 10 });
  });
});

describe('the letters of fifty messages of control characters', () => {
  it('they are stored four megabytes at a time at most: in JSON within JSON each such character has eight bytes', async () => {
    const sizes: number[] = [];
    const store = async (letters: readonly DeadLetter[]) => {
      sizes.push(letters.reduce((sum, { body }) => sum + body.length, 0));
    };
    const body = Array.from({ length: 20 }, () => ({ a: '\u0001'.repeat(6000) }));
    const messages = Array.from({ length: 50 }, () => ({
      id: crypto.randomUUID(),
      timestamp: new Date(),
      attempts: 1,
      body,
      ack: vi.fn(),
      retry: vi.fn(),
    }));
    await consumeDeadLetters(messages, { store, send: async () => undefined, now: Date.now });
    expect(Math.max(...sizes)).toBeLessThanOrEqual(4_000_000);
    expect(sizes.length).toBeLessThan(25);
    expect(messages.every(({ ack }) => ack.mock.calls.length === 1)).toBe(true);
  });
});

describe('a message of webhook-deliveries that is no dispatch', () => {
  it.each(['deliveries', 'unhealthy'] as const)(
    'an event that a producer sent to the queue of %s becomes a dead letter, which can be replayed',
    async (queue) => {
      logged();
      const customer = await newCustomer();
      const subscription = await newSubscription(customer);
      const body = { ...anEvent(), customerId: customer.id };
      const messageId = crypto.randomUUID();
      expect((await consumeBatch(queue, [{ id: messageId, body }])).acked).toHaveLength(1);
      const stored = await env.DB.prepare(
        'SELECT queue, reason, body, customer_id FROM dead_letters WHERE customer_id = ?',
      )
        .bind(customer.id)
        .first();
      expect(stored).toMatchObject({ reason: 'message not understood: is no dispatch' });
      expect(stored?.['queue']).toBe(queue === 'deliveries' ? 'webhook-deliveries' : 'webhook-unhealthy');
      await consumeBatch('events', [{ body: JSON.parse(String(stored?.['body'])) }]);
      expect(await subscription.listener.calls()).toHaveLength(1);
    },
  );

  it.each(['deliveries', 'unhealthy', 'slices'] as const)(
    'each event of a large array that a producer sent to the queue of %s becomes a dead letter, which can be replayed',
    async (queue) => {
      logged();
      const customer = await newCustomer();
      const subscription = await newSubscription(customer);
      const attributes = Array.from({ length: 100 }, () => 'a'.repeat(200));
      const good = { ...anEvent(), type: 'entityUpdated', attributes, customerId: customer.id };
      const body = [good, { ...good, sub: 'nobody' }, good, good];
      expect((await consumeBatch(queue, [{ body }])).acked).toHaveLength(1);
      const { results } = await env.DB.prepare(
        'SELECT reason, refused, body FROM dead_letters WHERE customer_id = ? ORDER BY reason',
      )
        .bind(customer.id)
        .all();
      const misplaced = `message not understood: is no ${queue === 'slices' ? 'slice' : 'dispatch'}`;
      expect(results.map(({ reason, refused }) => [reason, refused])).toEqual([
        ...[misplaced, misplaced, misplaced].map((reason) => [reason, 1]),
        ['sub must be a UUID', 1],
      ]);
      await consumeBatch(
        'events',
        results.slice(0, 3).map((row) => ({ body: JSON.parse(String(row['body'])) })),
      );
      expect(await subscription.listener.calls()).toHaveLength(3);
    },
  );

  it('such a message returns to its queue while D1 does not take its letter', async () => {
    logged();
    const DB = new Proxy(env.DB, {
      get(target, name) {
        if (name === 'batch') return async () => Promise.reject(new Error('D1 is away'));
        const value = Reflect.get(target, name) as unknown;
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    const { acked, retried } = await consumeBatch('deliveries', [{ body: 'nothing' }], { ...env, DB });
    expect([acked.length, retried.length]).toEqual([0, 1]);
  });
});
