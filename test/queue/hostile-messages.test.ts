/**
 * Feeds the consumers our own forms with anything in them, beside good messages. The good ones are acknowledged and delivered, the
 * others become dead letters, nothing throws, and every list answers afterwards.
 */
import { env } from 'cloudflare:workers';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { newEventIds } from '../../src/domain/ids.ts';
import { readEventMessage } from '../../src/queue/event-message.ts';
import { anEvent, asOperator, consumeBatch, newCustomer, newSubscription } from '../support/world.ts';

const RUNS = 25;

/** Values that break a reader: of the wrong type, out of range, too long, half a character, beyond JSON. */
const hostile: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(
    undefined,
    null,
    true,
    -1,
    0.5,
    9e15,
    -9e15,
    1e300,
    Number.NaN,
    1n,
    '',
    '\0',
    '\ud800',
    '__proto__',
    'not json',
    'x'.repeat(70_000),
    [],
    [[]],
    {},
    new Array(1e9),
    new Map([[1, 2]]),
    new ArrayBuffer(9),
    Array.from({ length: 2000 }, () => 0),
  ),
  fc.jsonValue({ maxDepth: 3 }),
  fc.string({ unit: 'binary', maxLength: 100 }),
);

const newId = () => newEventIds(Date.now(), 1, crypto.getRandomValues(new Uint8Array(16)))[0] ?? '';

/** One good message of each form, each without any listener that could get it. */
function formsOf(customerId: string): Record<string, unknown>[] {
  const event = { ...anEvent(), customerId };
  const tuple = [newId(), 'entityCreated', null, 'a', 'c', 'user', crypto.randomUUID(), null, null];
  const packed = { packed: 1, customerId, acceptedAt: Date.now(), events: [tuple] };
  const replayed = { replay: 1, acceptedAt: Date.now(), eventId: newId(), event };
  const subscriptionId = crypto.randomUUID();
  const letter = {
    deadLetter: 1,
    id: crypto.randomUUID(),
    queue: 'webhook-events',
    reason: 'r',
    body: JSON.stringify(replayed),
    acceptedAt: Date.now(),
    createdAt: Date.now(),
    customerId,
    refused: true,
  };
  return [
    event,
    packed,
    { ...packed, subscriptions: [subscriptionId], failures: 3, waited: true },
    replayed,
    letter,
    { customerId, subscriptionId, token: crypto.randomUUID(), eventIds: [newId()], unhealthy: true },
  ];
}

interface Spoiling {
  readonly form: number;
  readonly path: readonly number[];
  readonly value: unknown;
  readonly isAdded: boolean;
}

const spoiling: fc.Arbitrary<Spoiling> = fc.record({
  form: fc.nat(5),
  path: fc.array(fc.nat(9), { minLength: 1, maxLength: 3 }),
  value: hostile,
  isAdded: fc.boolean(),
});

/** Replaces one member, or one member of a member, or adds one. */
function spoil(form: Record<string, unknown>, { path, value, isAdded }: Spoiling): unknown {
  const [step = 0, ...rest] = path;
  const names = Object.keys(form);
  const name = isAdded && rest.length === 0 ? 'more' : (names[step % names.length] ?? 'more');
  const member = form[name];
  const inner = rest.length > 0 && typeof member === 'object' && member !== null;
  const spoiled = inner
    ? spoil(member as Record<string, unknown>, { form: 0, path: rest, value, isAdded })
    : value;
  if (Array.isArray(form)) return form.with(Number(name), spoiled);
  return { ...form, [name]: spoiled };
}

const queues = ['events', 'slices', 'deliveries', 'unhealthy', 'deadLetters'] as const;

describe('a hostile queue message', () => {
  it('good messages beside hostile ones are delivered, and every list answers afterwards', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer);
    const path = `/subscriptions/${subscription.id}`;
    let published = 0;
    const batch = fc.array(fc.oneof(hostile, spoiling), { minLength: 1, maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(batch, async (spoilings) => {
        const bodies = spoilings.map((one) =>
          isSpoiling(one) ? spoil(formsOf(customer.id)[one.form] ?? {}, one) : one,
        );
        const good = { ...anEvent(), customerId: customer.id };
        const messages = [{ body: [good] }, ...bodies.map((body) => ({ body })), { body: [good, good] }];
        published += 3;
        for (const body of bodies) {
          const reading = readEventMessage({ id: 'm', timestamp: new Date(), body }, Date.now());
          expect(reading.letters()).toHaveLength(reading.letterCount);
          expect(reading.events.length + reading.letterCount).toBeGreaterThan(0);
        }
        expect((await consumeBatch('events', messages)).retried).toEqual([]);
        for (const queue of queues.slice(1)) {
          const some = bodies.map((body) => ({ body }));
          expect((await consumeBatch(queue, some)).retried).toEqual([]);
        }
        await check(path, published);
      }),
      { numRuns: RUNS },
    );
    for (const { id } of (await subscription.events()).slice(0, 20))
      expect((await customer.call('GET', `${path}/events/${id}/history`)).status).toBe(200);
    expect((await customer.call('GET', `${path}/summary`)).status).toBe(200);
    expect((await customer.call('POST', `${path}/exports`)).status).toBe(202);
    expect((await customer.call('GET', `${path}/exports`)).status).toBe(200);

    async function check(path: string, atLeast: number): Promise<void> {
      const list = await customer.call('GET', `${path}/events`);
      expect(list.status).toBe(200);
      expect(list.body.total).toBeGreaterThanOrEqual(atLeast);
      expect((await asOperator('GET', '/dead-letters')).status).toBe(200);
      const last = await env.DB.prepare('SELECT id FROM dead_letters ORDER BY rowid DESC LIMIT 5').all();
      for (const { id } of last.results)
        expect((await asOperator('GET', `/dead-letters/${id}`)).status).toBe(200);
    }
  });
});

function isSpoiling(value: unknown): value is Spoiling {
  return typeof value === 'object' && value !== null && 'form' in value && 'isAdded' in value;
}
