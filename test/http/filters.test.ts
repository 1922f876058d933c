import { env } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import { until } from '../support/until.ts';
import { anEvent, newCustomer, newSubscription, type TestCustomer, TestListener } from '../support/world.ts';

const onlyUsers = { properties: { entityUpdated: { properties: { entityType: { const: 'user' } } } } };
const PHRASE = 'filter is invalid JSON Schema';

function create(customer: TestCustomer, filter: unknown, listener = new TestListener()) {
  const title = `filtered ${crypto.randomUUID()}`;
  const body = { title, endpoint: listener.endpoint, events: ['entityUpdated'], filter };
  return customer.call('POST', '/subscriptions', body);
}

describe('a subscription with a filter', () => {
  it('a subscription shows its filter unchanged, and no filter when it has none', async () => {
    const customer = await newCustomer();
    const { body } = await create(customer, onlyUsers);
    expect(body.filter).toEqual(onlyUsers);
    expect((await customer.call('GET', `/subscriptions/${body.id}`)).body.filter).toEqual(onlyUsers);
    for (const none of [null, undefined]) {
      expect((await create(customer, none)).body).not.toHaveProperty('filter');
    }
  });

  it('events that do not pass a filter are discarded for that subscription alone, for good', async () => {
    const customer = await newCustomer();
    const listener = new TestListener();
    const filtered = (await create(customer, onlyUsers, listener)).body;
    const all = await newSubscription(customer);
    const attributes = ['email'];
    const published = await customer.call('POST', '/events', [
      anEvent({ type: 'entityUpdated', attributes, entityType: 'admin' }),
      anEvent({ type: 'entityUpdated', attributes }),
    ]);
    const [dropped, passed] = published.body._embedded.events;
    const path = `/subscriptions/${filtered.id}/events`;
    await until(async () => (await all.events()).length === 2, 'both events at the other subscription');
    const received = await until(async () => {
      const { body } = await customer.call('GET', path);
      return body.total > 0 && body;
    }, 'the event that passes');
    expect(received._embedded.events.map(({ id }: { id: string }) => id)).toEqual([passed.id]);
    expect((await customer.call('GET', `${path}/${dropped.id}`)).status).toBe(404);
    // Removing the filter later does not bring the discarded event back: the next event arrives, and it does not.
    await customer.call('PATCH', `/subscriptions/${filtered.id}`, { filter: null });
    await customer.call('POST', '/events', anEvent({ type: 'entityUpdated', attributes }));
    await until(
      async () => (await customer.call('GET', path)).body.total === 2,
      'the event after the change',
    );
    expect((await customer.call('GET', `${path}/${dropped.id}`)).status).toBe(404);
    expect(await listener.calls()).toHaveLength(2);
  });

  it('an event that is published again is evaluated by the filter of that time', async () => {
    const customer = await newCustomer();
    const filtered = (await create(customer, onlyUsers)).body;
    const path = `/subscriptions/${filtered.id}/events`;
    const event = anEvent({ type: 'entityUpdated', attributes: ['email'], entityType: 'admin' });
    const { id } = (await customer.call('POST', '/events', event)).body._embedded.events[0];
    await customer.call('POST', '/events', anEvent({ type: 'entityUpdated', attributes: ['email'] }));
    await until(async () => (await customer.call('GET', path)).body.total === 1, 'the event that passes');
    await customer.call('PATCH', `/subscriptions/${filtered.id}`, { filter: null });
    await customer.call('POST', '/events', { ...event, id });
    await until(
      async () => (await customer.call('GET', `${path}/${id}`)).status === 200,
      'the repeated event',
    );
  });

  it('a PATCH replaces the whole filter or removes it by null, and the next event obeys the change', async () => {
    const customer = await newCustomer();
    const { body } = await create(customer, { properties: { entityUpdated: false } });
    const path = `/subscriptions/${body.id}`;
    const all = await newSubscription(customer);
    const send = () =>
      customer.call('POST', '/events', anEvent({ type: 'entityUpdated', attributes: ['email'] }));
    await send();
    await until(async () => (await all.events()).length === 1, 'the first event at the other subscription');
    expect((await customer.call('PATCH', path, { filter: onlyUsers })).body.filter).toEqual(onlyUsers);
    await send();
    await until(
      async () => (await customer.call('GET', `${path}/events`)).body.total === 1,
      'the second event',
    );
    expect((await customer.call('PATCH', path, { filter: null })).body).not.toHaveProperty('filter');
    expect((await customer.call('GET', path)).body).not.toHaveProperty('filter');
  });
});

describe('the refusal of a filter', () => {
  it.each([['x'], [1], [true], [[]], [{ $ref: '#' }], [{ propertys: {} }], [{ pattern: '(?=x)' }]])(
    'the invalid filter %j gets a 400 that names filter and begins with the documented phrase',
    async (filter) => {
      const customer = await newCustomer();
      const { status, body } = await create(customer, filter);
      expect(status).toBe(400);
      expect(body).toEqual({
        type: '/validation-error',
        status: 400,
        title: 'Bad Request',
        'invalid-body-params': [{ name: 'filter', reason: expect.stringMatching(new RegExp(`^${PHRASE}`)) }],
      });
      const stored = env.DB.prepare('SELECT count(*) AS n FROM subscriptions WHERE customer_id = ?').bind(
        customer.id,
      );
      expect(await stored.first('n')).toBe(0);
    },
  );

  it('a bad filter is reported together with the faults of other members', async () => {
    const customer = await newCustomer();
    const { body } = await customer.call('POST', '/subscriptions', { filter: 'x', title: 'x' });
    const names = body['invalid-body-params'].map(({ name }: { name: string }) => name).sort();
    expect(names).toEqual(['endpoint', 'events', 'filter', 'title']);
  });

  it('a filter is refused when all filters of the customer would be larger than 1 MiB', async () => {
    const customer = await newCustomer();
    const large = { $comment: 'x'.repeat(65_000) };
    const statuses: number[] = [];
    for (let number = 1; number <= 17; number++) statuses.push((await create(customer, large)).status);
    expect(statuses.filter((status) => status === 201)).toHaveLength(16);
    expect(statuses.at(-1)).toBe(400);
    expect((await create(customer, onlyUsers)).status).toBe(201);
    expect((await create(await newCustomer(), large)).status).toBe(201);
  });
});
