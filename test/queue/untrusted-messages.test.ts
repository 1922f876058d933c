/**
 * What a producer with a queue binding can send: our own forms, with anything in them. Contract 10.1 holds for every form, and
 * no message harms another.
 */
import { env } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import { deadLetterId, newEventIds } from '../../src/domain/ids.ts';
import { readEventMessage } from '../../src/queue/event-message.ts';
import { anEvent, asOperator, consumeBatch, newCustomer, newSubscription } from '../support/world.ts';

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const UNREADABLE_DATE_MS = 9e15;

// biome-ignore lint/suspicious/noExplicitAny: bodies of answers
async function lettersAbout(marker: string): Promise<any[]> {
  const { results } = await env.DB.prepare(
    'SELECT id, reason, body, accepted_at FROM dead_letters WHERE instr(body, ?) > 0 ORDER BY reason, id',
  )
    .bind(marker)
    .all();
  return results.map((row) => ({ ...row, body: JSON.parse(String(row['body'])) }));
}

const countLetters = async () =>
  Number(await env.DB.prepare('SELECT count(*) AS n FROM dead_letters').first('n'));

const newId = (time = Date.now()) =>
  newEventIds(time, 1, crypto.getRandomValues(new Uint8Array(16)))[0] ?? '';

/** A packed event that is well formed, with some of its nine values replaced. */
function tuple(values: Readonly<Record<number, unknown>> = {}): unknown[] {
  const good = [newId(), 'entityCreated', null, 'app', 'client', 'user', crypto.randomUUID(), null, null];
  return good.map((value, index) => (index in values ? values[index] : value));
}

function packed(customerId: string, events: unknown, more: Readonly<Record<string, unknown>> = {}) {
  return { packed: 1, customerId, acceptedAt: Date.now(), events, ...more };
}

describe('a packed message that the service did not pack', () => {
  it.each<[string, Readonly<Record<number, unknown>>, string]>([
    ['an id that is no UUID', { 0: 'x' }, 'id must be a UUID'],
    ['an id of version 4', { 0: '726087ec-35df-4041-aec8-c11ecc208efa' }, 'id must be a UUID version 7'],
    [
      'an id of last week',
      { 0: newId(Date.now() - 7 * DAY_MS) },
      'id has a time more than 24 hours before acceptance',
    ],
    ['no id', { 0: null }, 'id must be a UUID'],
    [
      'an unknown type',
      { 1: 'entityRenamed' },
      'type must be one of entityCreated, entityUpdated, entityDeleted',
    ],
    ['a time beyond all dates', { 2: UNREADABLE_DATE_MS }, 'occurredAt must be an RFC 3339 time'],
    ['half a millisecond', { 2: 0.5 }, 'occurredAt must be an RFC 3339 time'],
    ['an empty name', { 3: '' }, 'captureApplicationId must be a string of 1 to 64 characters'],
    [
      'a name of 65 characters',
      { 4: 'x'.repeat(65) },
      'captureClientId must be a string of 1 to 64 characters',
    ],
    ['half a character', { 5: '\ud800' }, 'entityType must be well-formed Unicode without NUL'],
    ['a sub that is no UUID', { 6: 'not a uuid' }, 'sub must be a UUID'],
    ['an empty globalSub', { 7: '' }, 'globalSub must be a string of 1 to 500 characters'],
    ['attributes of entityCreated', { 8: ['a'] }, 'attributes is allowed for entityUpdated only'],
    ['an entityUpdated without attributes', { 1: 'entityUpdated' }, 'attributes is required'],
    [
      '501 attributes',
      { 1: 'entityUpdated', 8: Array.from({ length: 501 }, () => 'a') },
      'attributes must name at most 500 attributes',
    ],
    [
      'an empty attribute',
      { 1: 'entityUpdated', 8: [''] },
      'attributes[0] must be a string of 1 to 200 characters',
    ],
    [
      'more than 60,000 bytes',
      { 1: 'entityUpdated', 8: Array.from({ length: 320 }, () => 'x'.repeat(199)) },
      'event must be at most 60000 bytes as JSON',
    ],
  ])(
    'a packed event with %s becomes a dead letter, and its neighbours are delivered',
    async (_, values, reason) => {
      const customer = await newCustomer();
      const subscription = await newSubscription(customer);
      const events = [tuple(), tuple(values), tuple()];
      const { acked } = await consumeBatch('events', [{ body: packed(customer.id, events) }]);
      expect(acked).toHaveLength(1);
      expect(await subscription.listener.calls()).toHaveLength(2);
      const found = await lettersAbout(customer.id);
      expect(found).toHaveLength(1);
      expect(found[0].reason).toContain(reason);
    },
  );

  it.each<[string, (good: Record<string, unknown>) => unknown]>([
    ['a time of acceptance beyond all dates', (good) => ({ ...good, acceptedAt: UNREADABLE_DATE_MS })],
    ['a time of acceptance in an hour', (good) => ({ ...good, acceptedAt: Date.now() + 60 * MINUTE_MS })],
    ['a time of acceptance a year ago', (good) => ({ ...good, acceptedAt: Date.now() - 365 * DAY_MS })],
    ['half a millisecond', (good) => ({ ...good, acceptedAt: Date.now() - 0.5 })],
    ['a customer that is no UUID', (good) => ({ ...good, customerId: `${good['customerId']}!` })],
    ['a member that we do not know', (good) => ({ ...good, priority: 1 })],
    ['a subscription that is no UUID', (good) => ({ ...good, subscriptions: ['x'] })],
    [
      '501 subscriptions',
      (good) => ({ ...good, subscriptions: Array.from({ length: 501 }, () => crypto.randomUUID()) }),
    ],
    ['fewer than no failures', (good) => ({ ...good, failures: -1000 })],
    ['no events', (good) => ({ ...good, events: [] })],
    ['10,000 members', (good) => ({ ...good, events: Array.from({ length: 10_000 }, () => 0) })],
  ])('a packed message with %s becomes one dead letter, and delivers nothing', async (_, spoil) => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer);
    const marker = crypto.randomUUID();
    const body = spoil(packed(customer.id, [tuple({ 3: 'app', 6: marker })]));
    const { acked } = await consumeBatch('events', [{ body }]);
    expect(acked).toHaveLength(1);
    expect(await subscription.listener.calls()).toEqual([]);
    expect((await subscription.customer.call('GET', `/subscriptions/${subscription.id}/events`)).status).toBe(
      200,
    );
    expect(await lettersAbout(customer.id)).toHaveLength(1);
    expect((await asOperator('GET', '/dead-letters')).status).toBe(200);
  });

  it('a message with an unreadable date and an unknown customer does not hold up the others', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer);
    const good = { ...anEvent(), customerId: customer.id };
    const bad = { ...packed(crypto.randomUUID(), [tuple()]), acceptedAt: UNREADABLE_DATE_MS };
    const { acked } = await consumeBatch('events', [{ body: good }, { body: bad }, { body: good }]);
    expect(acked).toHaveLength(3);
    expect(await subscription.listener.calls()).toHaveLength(2);
    expect(await lettersAbout(bad.customerId)).toHaveLength(1);
  });

  it('a packed event that was accepted 59 days ago is delivered, and one of 61 days ago is refused', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer);
    const messageOf = (days: number) => {
      const acceptedAt = Date.now() - days * DAY_MS;
      return { body: { ...packed(customer.id, [tuple({ 0: newId(acceptedAt) })]), acceptedAt } };
    };
    await consumeBatch('events', [messageOf(59), messageOf(61)]);
    expect(await subscription.listener.calls()).toHaveLength(1);
    expect((await lettersAbout(customer.id)).map(({ reason }) => reason)).toEqual([
      'message not understood: acceptedAt is more than 60 days ago',
    ]);
  });

  it('an event with a type is a published event, whatever its other members are named', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer);
    const event = { ...anEvent(), customerId: customer.id };
    const bodies = [{ packed: 1 }, { replay: 1 }, { deadLetter: 1 }].map((mark) => ({ ...event, ...mark }));
    await consumeBatch('events', [{ body: bodies }, ...bodies.map((body) => ({ body }))]);
    expect(await subscription.listener.calls()).toHaveLength(6);
  });
});

describe('a message that did not come as JSON', () => {
  const cycle: Record<string, unknown> = {};
  cycle['self'] = cycle;
  const large = { text: 'x'.repeat(60_000) };

  it.each<[string, unknown]>([
    ['four thousand million members', new Array(4_294_967_295)],
    ['a thousand references to one object', Array.from({ length: 1000 }, () => large)],
    ['an object in itself', cycle],
    ['a number without JSON', { ...anEvent(), sub: 1n }],
    ['a map', new Map([['type', 'entityCreated']])],
    ['bytes', new Uint8Array(100_000)],
    ['a date', new Date(Number.NaN)],
    ['a thousand arrays in one another', JSON.parse('['.repeat(1000) + ']'.repeat(1000))],
  ])('a message with %s becomes one dead letter, and does not hold up the others', async (_, body) => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer);
    const good = { ...anEvent(), customerId: customer.id };
    const before = await countLetters();
    const { acked } = await consumeBatch('events', [{ body: good }, { body }, { body: good }]);
    expect(acked).toHaveLength(3);
    expect(await subscription.listener.calls()).toHaveLength(2);
    expect(await countLetters()).toBe(before + 1);
    for (const queue of ['slices', 'deliveries', 'unhealthy', 'deadLetters'] as const)
      expect((await consumeBatch(queue, [{ body }])).acked).toHaveLength(1);
  });

  it('fifty thousand arrays in one another become a dead letter', () => {
    const body: unknown = JSON.parse('['.repeat(50_000) + ']'.repeat(50_000));
    const message = { id: crypto.randomUUID(), timestamp: new Date(), body };
    const { events, letters } = readEventMessage(message, Date.now());
    expect(events).toEqual([]);
    expect(letters()).toHaveLength(1);
  });

  it('a body that throws when it is read becomes a dead letter', () => {
    const body = new Proxy(
      {},
      {
        has: () => {
          throw new Error('no');
        },
        ownKeys: () => {
          throw new Error('no');
        },
      },
    );
    const message = { id: crypto.randomUUID(), timestamp: new Date(), body };
    const { events, letters } = readEventMessage(message, Date.now());
    expect(events).toEqual([]);
    expect(letters().map(({ reason }) => reason)).toEqual(['message not understood: cannot be read']);
  });
});

describe('a queue message that needs no trust', () => {
  it('a message of webhook-slices that is no slice becomes a dead letter', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer);
    const bodies = [
      packed(customer.id, [tuple()]),
      { ...anEvent(), customerId: customer.id },
      packed(customer.id, [tuple()], { subscriptions: [subscription.id] }),
    ];
    for (const body of bodies) expect((await consumeBatch('slices', [{ body }])).acked).toHaveLength(1);
    expect(await subscription.listener.calls()).toHaveLength(1);
    expect((await lettersAbout(customer.id)).map(({ reason }) => reason)).toEqual([
      'message not understood: is no slice',
      'message not understood: is no slice',
    ]);
  });

  it.each<[string, Readonly<Record<string, unknown>>]>([
    ['21 events', { eventIds: newEventIds(Date.now(), 21, crypto.getRandomValues(new Uint8Array(16))) }],
    ['an event id that is no UUID', { eventIds: ['x'] }],
    ['a token that is no UUID', { token: 'x' }],
    ['a member that we do not know', { priority: 1 }],
  ])('a dispatch with %s reaches no event store, and is acknowledged', async (_, values) => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer);
    const calls: unknown[] = [];
    const EVENT_STORE = {
      idFromName: (name: string) => calls.push(name),
      getByName: (name: string) => calls.push(name),
    } as unknown as typeof env.EVENT_STORE;
    const dispatch = {
      customerId: customer.id,
      subscriptionId: subscription.id,
      token: crypto.randomUUID(),
      eventIds: [newId()],
      ...values,
    };
    const { acked } = await consumeBatch('deliveries', [{ body: dispatch }], { ...env, EVENT_STORE });
    expect(acked).toHaveLength(1);
    expect(calls).toEqual([]);
  });
});

describe('a replayed event that no operator replayed', () => {
  it.each<[string, Readonly<Record<string, unknown>>]>([
    ['a time of acceptance beyond all dates', { acceptedAt: UNREADABLE_DATE_MS }],
    ['an id that is no UUID', { eventId: 'x' }],
    ['an id of another day', { eventId: newId(Date.now() - 3 * DAY_MS) }],
    ['a request id of two lines', { requestId: 'a\nb' }],
  ])('a replay with %s becomes a dead letter, and the list of dead letters answers', async (_, values) => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer);
    const event = { ...anEvent(), customerId: customer.id };
    const body = { replay: 1, acceptedAt: Date.now(), eventId: newId(), event, ...values };
    const { acked } = await consumeBatch('events', [{ body }]);
    expect(acked).toHaveLength(1);
    expect(await subscription.listener.calls()).toEqual([]);
    expect(await lettersAbout(customer.id)).toHaveLength(1);
    expect((await asOperator('GET', '/dead-letters')).status).toBe(200);
  });
});

/** A replayed event whose JSON nests so many arrays. */
const deepBody = (depth: number) => {
  const event = JSON.stringify({ ...anEvent(), more: 0 }).replace(
    '"more":0',
    `"more":${'['.repeat(depth)}${']'.repeat(depth)}`,
  );
  return `{"replay":1,"acceptedAt":${Date.now()},"eventId":"${newId()}","event":${event}}`;
};

describe('a dead letter that the service did not write', () => {
  const letter = (values: Readonly<Record<string, unknown>> = {}) => ({
    deadLetter: 1,
    id: crypto.randomUUID(),
    queue: 'webhook-events',
    reason: 'not delivered after 100 retries',
    body: JSON.stringify({ replay: 1, acceptedAt: Date.now(), eventId: newId(), event: anEvent() }),
    acceptedAt: Date.now(),
    createdAt: Date.now(),
    ...values,
  });

  it.each<[string, Readonly<Record<string, unknown>>, string]>([
    ['an id that is no UUID', { id: 'x' }, 'id must be a UUID'],
    ['a body that is not JSON', { body: 'not json' }, 'body must be a replayed event as JSON'],
    ['a body that is not an event', { body: '7' }, 'body must be a replayed event as JSON'],
    [
      'a body that names a request',
      {
        body: JSON.stringify({
          replay: 1,
          acceptedAt: 1,
          eventId: newId(),
          event: anEvent(),
          requestId: 'a',
        }),
      },
      'body must be a replayed event as JSON',
    ],
    ['a body that is no text', { body: {} }, 'body must be text'],
    ['a time of acceptance beyond all dates', { acceptedAt: UNREADABLE_DATE_MS }, 'acceptedAt must be'],
    ['a time of creation beyond all dates', { createdAt: 1e300 }, 'createdAt must be'],
    ['a reason of 100,000 characters', { reason: 'x'.repeat(100_000) }, 'reason must be'],
    ['a reason with NUL', { reason: 'a\0b' }, 'reason must be'],
    ['a queue of another service', { queue: 'webhook-others' }, 'queue must be a queue of the service'],
    ['a customer that is no UUID', { customerId: 'x' }, 'customerId must be a UUID'],
    ['a mark that is not true', { refused: false }, 'refused must be true'],
    ['a member that we do not know', { priority: 1 }, 'letter has members that are not known'],
  ])(
    'a letter with %s is kept as a message that is not understood, beside the others',
    async (_, values, fault) => {
      const innocent = letter();
      const messageId = crypto.randomUUID();
      const { acked } = await consumeBatch('deadLetters', [
        { body: innocent },
        { id: messageId, body: letter(values) },
      ]);
      expect(acked).toHaveLength(2);
      const reasonOf = (id: string) =>
        env.DB.prepare('SELECT reason FROM dead_letters WHERE id = ?').bind(id).first<string>('reason');
      expect(await reasonOf(innocent.id)).toBe('not delivered after 100 retries');
      // The letter about a message has an id that is made from the message's.
      expect(await reasonOf(deadLetterId(messageId, 0))).toContain(`not understood: ${fault}`);
      expect((await asOperator('GET', '/dead-letters')).status).toBe(200);
    },
  );

  it.each([200, 20_000])('a letter whose body nests %d arrays is not kept as it is', async (depth) => {
    const deep = letter({ body: deepBody(depth) });
    const shallow = letter({ body: deepBody(90) });
    await consumeBatch('deadLetters', [{ body: deep }, { body: shallow }]);
    const isStored = async (id: string) => (await asOperator('GET', `/dead-letters/${id}`)).status;
    expect([await isStored(deep.id), await isStored(shallow.id)]).toEqual([404, 200]);
  });
});
