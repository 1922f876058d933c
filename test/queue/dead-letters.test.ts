import { env } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import { checkPublishedEvent } from '../../src/domain/event.ts';
import { newEventIds } from '../../src/domain/ids.ts';
import { packEvents } from '../../src/outbound/queues.ts';
import { until } from '../support/until.ts';
import { anEvent, asOperator, consumeBatch, newCustomer, newSubscription } from '../support/world.ts';

const DAY_MS = 86_400_000;

/** The letters whose body contains a text, as the operator reads them. Other tests leave letters, too: one page may not show all. */
// biome-ignore lint/suspicious/noExplicitAny: bodies of answers
async function lettersAbout(marker: string): Promise<any[]> {
  const { results } = await env.DB.prepare(
    'SELECT id FROM dead_letters WHERE instr(body, ?) > 0 ORDER BY created_at, id',
  )
    .bind(marker)
    .all();
  return await Promise.all(
    results.map(async ({ id }) => (await asOperator('GET', `/dead-letters/${id}`)).body),
  );
}

async function countLetters(): Promise<number> {
  return (await asOperator('GET', '/dead-letters')).body.total;
}

describe('a message that can never be processed', () => {
  it('an invalid event becomes a dead letter, and the valid events of its array are delivered', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer);
    const marker = crypto.randomUUID();
    const good = { ...anEvent(), customerId: customer.id };
    const body = [good, { ...good, type: 'entityRenamed', marker }, good, { ...good, sub: marker.slice(1) }];
    const { acked } = await consumeBatch('events', [{ body }]);
    expect(acked).toHaveLength(1);
    expect(await subscription.listener.calls()).toHaveLength(2);
    const found = await lettersAbout(marker.slice(1));
    expect(found.map(({ reason }) => reason).sort()).toEqual([
      'sub must be a UUID',
      'type must be one of entityCreated, entityUpdated, entityDeleted',
    ]);
  });

  it.each([
    ['a string', 'not an event'],
    ['null', null],
    ['a number', 7],
    ['an empty array', []],
    ['an array of nonsense', [[[]]]],
    ['binary data', new ArrayBuffer(3)],
    ['a packed message of another version', { packed: 2, events: [] }],
  ])('a message that is %s becomes a dead letter and is acknowledged', async (_, body) => {
    const before = await countLetters();
    const { acked } = await consumeBatch('events', [{ body }]);
    expect(acked).toHaveLength(1);
    expect(await countLetters()).toBe(before + 1);
  });

  it('a message that the queue brings again adds no second dead letter', async () => {
    const marker = crypto.randomUUID();
    const message = { id: `message ${marker}`, timestamp: Date.now(), body: [{ marker }, { marker }] };
    await consumeBatch('events', [message]);
    await consumeBatch('events', [{ ...message, attempts: 2 }]);
    expect(await lettersAbout(marker)).toHaveLength(2);
  });

  it('an event of an unknown customer becomes a dead letter and does not disturb the others', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer);
    const stranger = crypto.randomUUID();
    const { acked } = await consumeBatch('events', [
      { body: { ...anEvent(), customerId: stranger } },
      { body: { ...anEvent(), customerId: customer.id } },
    ]);
    expect(acked).toHaveLength(2);
    expect(await subscription.listener.calls()).toHaveLength(1);
    expect((await lettersAbout(stranger)).map(({ reason }) => reason)).toEqual([
      'customerId names no customer',
    ]);
  });

  it('an event whose id is older than a day becomes a dead letter', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer);
    const [id = ''] = newEventIds(
      Date.now() - DAY_MS - 60_000,
      1,
      crypto.getRandomValues(new Uint8Array(16)),
    );
    const { acked } = await consumeBatch('events', [
      { body: { ...anEvent({ id }), customerId: customer.id } },
    ]);
    expect(acked).toHaveLength(1);
    expect(await subscription.events()).toEqual([]);
    expect((await lettersAbout(id)).map(({ reason }) => reason)).toEqual([
      'id has a time more than 24 hours before acceptance',
    ]);
  });

  it('a message is returned to the queue while its dead letter cannot be stored', async () => {
    const DB = {
      ...env.DB,
      prepare: env.DB.prepare.bind(env.DB),
      batch: () => Promise.reject(new Error('D1_ERROR: away')),
    } as unknown as D1Database;
    const { acked, retried } = await consumeBatch('events', [{ body: 'nonsense' }], { ...env, DB });
    expect(acked).toEqual([]);
    expect(retried).toHaveLength(1);
  });
});

describe('a message of nonsense', () => {
  it('the invalid members of a message beyond the first thousand share one dead letter', async () => {
    const before = await countLetters();
    const message = { id: crypto.randomUUID(), body: Array.from({ length: 20_000 }, () => 0) };
    const { acked } = await consumeBatch('events', [message]);
    expect(acked).toHaveLength(1);
    const after = await countLetters();
    expect(after - before).toBe(1000);
    const shared = await env.DB.prepare(
      "SELECT body FROM dead_letters WHERE reason LIKE '19001 more%'",
    ).first('body');
    expect(JSON.parse(String(shared)).event).toHaveLength(19_001);
    await env.DB.prepare('DELETE FROM dead_letters WHERE body LIKE \'%"event":0%\'').run();
  });
});

describe('a message at its last delivery', () => {
  it('a dead letter keeps the id and the time of its event, and replay delivers the event', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer);
    const message = {
      id: crypto.randomUUID(),
      timestamp: Date.now() - DAY_MS - 3_600_000,
      attempts: 101,
      body: [{ ...anEvent(), customerId: customer.id }],
    };
    await env.DB.prepare(
      "UPDATE signing_keys SET role = 'reserve' WHERE customer_id = ? AND role = 'current'",
    )
      .bind(customer.id)
      .run();
    // A customer without a signing key has no audience, so its event becomes a dead letter.
    await consumeBatch('events', [message]);
    await env.DB.prepare(
      "UPDATE signing_keys SET role = 'current' WHERE kid = (SELECT min(kid) FROM signing_keys WHERE customer_id = ? AND role = 'reserve')",
    )
      .bind(customer.id)
      .run();
    const [letter] = await lettersAbout(customer.id);
    expect(Date.parse(letter.acceptedAt)).toBe(message.timestamp);
    const replayed = await asOperator('POST', `/dead-letters/${letter.id}/replay`);
    expect(replayed.status).toBe(202);
    const event = await until(async () => (await subscription.events())[0], 'the replayed event');
    expect(Date.parse(event.createdAt)).toBe(message.timestamp);
    expect(event.id).toBe(letter.body.eventId);
    expect(await lettersAbout(customer.id)).toEqual([]);
  });

  it('a message at its last delivery becomes one dead letter for each event', async () => {
    const customer = await newCustomer();
    await newSubscription(customer);
    await env.DB.prepare("UPDATE signing_keys SET sealed_private_key = 'x' WHERE customer_id = ?")
      .bind(customer.id)
      .run();
    const body = [1, 2].map(() => ({ ...anEvent(), customerId: customer.id }));
    const { acked } = await consumeBatch('events', [{ body, attempts: 101 }]);
    expect(acked).toHaveLength(1);
    const found = await until(async () => {
      const all = await lettersAbout(customer.id);
      return all.length === 2 && all;
    }, 'the letters');
    expect(new Set(found.map(({ reason }) => reason))).toEqual(new Set(['not delivered after 100 retries']));
  });
});

describe('a large dead letter', () => {
  const QUOTES = '"'.repeat(200);

  /** An event of nearly 60,000 bytes as JSON, without what we add to it. Each of its characters is escaped in JSON. */
  const largeEvent = () => ({
    ...anEvent(),
    type: 'entityUpdated',
    attributes: [...Array.from({ length: 148 }, () => QUOTES), '"'.repeat(70)],
  });

  it('an event of 60,000 bytes that was accepted can become a dead letter, and be replayed', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer);
    const now = Date.now();
    const bytes = JSON.stringify(largeEvent()).length;
    expect(60_000 - bytes).toBeGreaterThanOrEqual(0);
    expect(60_000 - bytes).toBeLessThan(10);
    const check = checkPublishedEvent(largeEvent(), now, customer.id);
    if (!check.ok) throw new Error('refused');
    const [id = ''] = newEventIds(now, 1, crypto.getRandomValues(new Uint8Array(16)));
    const [body] = packEvents([{ ...check.event, id }], now);
    const swapKeys = (from: string, to: string) =>
      env.DB.prepare(`UPDATE signing_keys SET ${to} WHERE customer_id = ? AND ${from}`)
        .bind(customer.id)
        .run();
    await swapKeys("role = 'current'", "sealed_private_key = 'x' || sealed_private_key");
    await consumeBatch('events', [{ body, attempts: 101 }]);
    await swapKeys("role = 'current'", 'sealed_private_key = substr(sealed_private_key, 2)');
    const letter = await until(async () => (await lettersAbout(customer.id))[0], 'the letter');
    expect(letter.reason).toBe('not delivered after 100 retries');
    expect(letter.body.event.attributes).toEqual(largeEvent().attributes);
    expect((await asOperator('POST', `/dead-letters/${letter.id}/replay`)).status).toBe(202);
    await until(async () => (await subscription.events()).length === 1, 'the replayed event');
    expect((await subscription.events())[0].id).toBe(id);
  });

  it('a refused event that is too large for a letter shows how it begins', async () => {
    const marker = crypto.randomUUID();
    const event = {
      marker,
      ...largeEvent(),
      type: 'entityRenamed',
      more: Array.from({ length: 100 }, () => QUOTES),
    };
    for (const queue of ['events', 'deadLetters'] as const)
      expect((await consumeBatch(queue, [{ body: event }])).acked).toHaveLength(1);
    const found = await lettersAbout(marker);
    expect(found).toHaveLength(2);
    for (const { body } of found) expect(body.event.truncated).toMatch(new RegExp(`^{"marker":"${marker}"`));
  });

  it('fifty letters of the highest size are stored in one batch', async () => {
    const marker = crypto.randomUUID();
    const messages = Array.from({ length: 50 }, () => ({
      body: { marker, ...largeEvent(), customerId: marker },
    }));
    expect((await consumeBatch('deadLetters', messages)).acked).toHaveLength(50);
    const stored = await env.DB.prepare('SELECT count(*) AS n FROM dead_letters WHERE instr(body, ?) > 0')
      .bind(marker)
      .first('n');
    expect(stored).toBe(50);
    await env.DB.prepare('DELETE FROM dead_letters WHERE instr(body, ?) > 0').bind(marker).run();
  });

  it('an event that is refused again keeps the id that it was given', async () => {
    const marker = crypto.randomUUID();
    const [eventId] = newEventIds(Date.now(), 1, crypto.getRandomValues(new Uint8Array(16)));
    const body = { replay: 1, acceptedAt: Date.now(), eventId, event: { marker } };
    await consumeBatch('events', [{ body }]);
    expect((await lettersAbout(marker))[0].body.eventId).toBe(eventId);
  });
});

describe('the list of dead letters', () => {
  it('a letter that an earlier version stored, and that nests 20,000 arrays, is shown as text and can be replayed', async () => {
    const id = crypto.randomUUID();
    const stored = `{"replay":1,"event":${'['.repeat(20_000)}${']'.repeat(20_000)}}`;
    await env.DB.prepare(
      "INSERT INTO dead_letters (id, queue, reason, body, accepted_at, created_at) VALUES (?, 'q', 'r', ?, 1, 1)",
    )
      .bind(id, stored)
      .run();
    const { status, body } = await asOperator('GET', `/dead-letters/${id}`);
    expect([status, body.body]).toEqual([200, stored]);
    expect((await asOperator('POST', `/dead-letters/${id}/replay`)).status).toBe(202);
  });

  it('a letter whose times and body an earlier version stored unchecked is shown, and can be replayed', async () => {
    const id = crypto.randomUUID();
    await env.DB.prepare(
      "INSERT INTO dead_letters (id, queue, reason, body, accepted_at, created_at) VALUES (?, 'q', 'r', 'not json', 9e15, -9e15)",
    )
      .bind(id)
      .run();
    expect((await asOperator('GET', '/dead-letters')).status).toBe(200);
    const { status, body } = await asOperator('GET', `/dead-letters/${id}`);
    expect({ status, body }).toMatchObject({
      status: 200,
      body: {
        body: 'not json',
        acceptedAt: '9999-12-31T23:59:59.999Z',
        createdAt: '0000-01-01T00:00:00.000Z',
      },
    });
    expect((await asOperator('POST', `/dead-letters/${id}/replay`)).status).toBe(202);
  });
});

describe('the consumer of dead letters', () => {
  it('a raw message that the platform moved to the dead letters is stored', async () => {
    const customer = await newCustomer();
    const { acked } = await consumeBatch('deadLetters', [
      { body: { ...anEvent(), customerId: customer.id } },
    ]);
    expect(acked).toHaveLength(1);
    expect((await lettersAbout(customer.id)).map(({ reason }) => reason)).toEqual([
      'moved here by the platform after its last retry',
    ]);
  });

  it('a dispatch among the dead letters is dropped, because its store makes it again', async () => {
    const before = await countLetters();
    const eventIds = newEventIds(Date.now(), 1, crypto.getRandomValues(new Uint8Array(16)));
    const [customerId, subscriptionId, token] = Array.from({ length: 3 }, () => crypto.randomUUID());
    const dispatch = { customerId, subscriptionId, token, eventIds };
    const { acked } = await consumeBatch('deadLetters', [{ body: dispatch }]);
    expect(acked).toHaveLength(1);
    expect(await countLetters()).toBe(before);
  });
});

describe('the consumer of deliveries', () => {
  it.each([['nonsense'], [null], [{ customerId: 'c', subscriptionId: 's', token: 't', eventIds: [] }]])(
    'a dispatch that cannot be read is acknowledged: %j',
    async (body) => {
      const { acked } = await consumeBatch('deliveries', [{ body }]);
      expect(acked).toHaveLength(1);
    },
  );

  it('a dispatch with a stale token, an unknown subscription or another customer sends nothing', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer);
    const eventIds = newEventIds(Date.now(), 1, crypto.getRandomValues(new Uint8Array(16)));
    const token = crypto.randomUUID();
    const dispatch = { customerId: customer.id, subscriptionId: subscription.id, token, eventIds };
    const { acked } = await consumeBatch('deliveries', [
      { body: dispatch },
      { body: { ...dispatch, subscriptionId: crypto.randomUUID() } },
      { body: { ...dispatch, customerId: crypto.randomUUID() } },
    ]);
    expect(acked).toHaveLength(3);
    expect(await subscription.listener.calls()).toEqual([]);
  });
});
