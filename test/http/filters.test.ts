import { env } from 'cloudflare:workers';
import { RE2JS } from 're2js';
import { describe, expect, it, vi } from 'vitest';
import { worstSteps } from '../../src/domain/filter/filter.ts';
import { FILTERS_MAX_STEPS_PER_CUSTOMER } from '../../src/domain/limits.ts';
import { openDatabase } from '../../src/storage/database.ts';
import { updateSubscription } from '../../src/storage/subscriptions.ts';
import { runCron } from '../support/cron.ts';
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

describe('the compiling of a filter', () => {
  it('a create and a change compile a filter once, and a change of the title compiles nothing', async () => {
    const compiling = vi.spyOn(RE2JS, 'compile');
    const filterOf = (pattern: string) => ({ properties: { entityDeleted: { propertyNames: { pattern } } } });
    const customer = await newCustomer();
    const { id } = (await create(customer, filterOf('^once'))).body;
    expect(compiling).toHaveBeenCalledTimes(1);
    await customer.call('PATCH', `/subscriptions/${id}`, { filter: filterOf('^twice') });
    expect(compiling).toHaveBeenCalledTimes(2);
    await customer.call('PATCH', `/subscriptions/${id}`, { title: 'another title' });
    expect(compiling).toHaveBeenCalledTimes(2);
    compiling.mockRestore();
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

  it('filters that are created at once and exceed 1 MiB together are refused by the statement that stores them', async () => {
    const customer = await newCustomer();
    const large = { $comment: 'x'.repeat(65_000) };
    const listener = new TestListener();
    for (let number = 1; number <= 15; number++) await create(customer, large, listener);
    const replies = await Promise.all(Array.from({ length: 4 }, () => create(customer, large, listener)));
    expect(replies.map(({ status }) => status).sort()).toEqual([201, 400, 400, 400]);
    for (const { status, body } of replies) {
      if (status === 400) expect(body['invalid-body-params'][0].reason).toMatch('may have 1048576 bytes');
    }
    const plain = await create(customer, null, listener);
    const path = `/subscriptions/${plain.body.id}`;
    expect((await customer.call('PATCH', path, { filter: large })).status).toBe(400);
  });

  it('the statement that stores a filter counts its bytes, in characters of UTF-8', async () => {
    const customer = await newCustomer();
    const { id } = (await create(customer, null)).body;
    const db = openDatabase(env.DB);
    const half = { $comment: 'é'.repeat(300_000) };
    const change = (filter: Readonly<Record<string, unknown>>) =>
      updateSubscription(db, customer.id, id, { filter }, 1, false);
    expect((await change(half)).result).toBe('updated');
    const second = (await create(customer, null)).body.id;
    const other = await updateSubscription(db, customer.id, second, { filter: half }, 1, false);
    expect(other.result).toBe('filters too large');
    expect((await change({ $comment: 'é'.repeat(299_999) })).result).toBe('updated');
  });
});

/** About 91,000 steps: twenty-one fit, and the next does not. */
const costly = {
  properties: {
    entityUpdated: { properties: { attributes: { contains: { anyOf: Array(90).fill(false) } } } },
  },
};

describe('the steps of all filters of a customer', () => {
  const stored = (id: string) =>
    env.DB.prepare('SELECT filter_steps FROM subscriptions WHERE id = ?').bind(id).first('filter_steps');
  const forget = (customer: TestCustomer) =>
    env.DB.prepare('UPDATE subscriptions SET filter_steps = NULL WHERE customer_id = ?')
      .bind(customer.id)
      .run();

  /** A customer with as many costly filters as are accepted, and the refusal of the next. */
  async function fill() {
    const customer = await newCustomer();
    const replies = [await create(customer, costly)];
    while (replies.at(-1)?.status === 201) replies.push(await create(customer, costly));
    return {
      customer,
      ids: replies.slice(0, -1).map(({ body }) => body.id as string),
      refusal: replies.at(-1),
    };
  }

  it('the steps of a filter are stored when it is created, changed and removed', async () => {
    const customer = await newCustomer();
    const { id } = (await create(customer, onlyUsers)).body;
    expect(await stored(id)).toBe(worstSteps(onlyUsers));
    await customer.call('PATCH', `/subscriptions/${id}`, { filter: costly });
    expect(await stored(id)).toBe(worstSteps(costly));
    await customer.call('PATCH', `/subscriptions/${id}`, { title: 'another title' });
    expect(await stored(id)).toBe(worstSteps(costly));
    await customer.call('PATCH', `/subscriptions/${id}`, { filter: null });
    expect(await stored(id)).toBe(0);
  });

  it('a filter is refused when all filters of the customer would take too many steps', async () => {
    const { customer, ids, refusal } = await fill();
    expect(ids).toHaveLength(Math.floor(FILTERS_MAX_STEPS_PER_CUSTOMER / worstSteps(costly)));
    expect(refusal?.status).toBe(400);
    expect(refusal?.body['invalid-body-params']).toEqual([
      { name: 'filter', reason: expect.stringMatching(`^${PHRASE}: all filters of a customer together`) },
    ]);
    // A disabled subscription counts, a deleted one does not. Its own filter does not count twice.
    const [first = '', second = ''] = ids;
    await customer.call('PATCH', `/subscriptions/${first}`, { enabled: false });
    expect((await create(customer, costly)).status).toBe(400);
    expect((await customer.call('PATCH', `/subscriptions/${first}`, { filter: costly })).status).toBe(200);
    await customer.call('DELETE', `/subscriptions/${second}`);
    expect((await create(customer, costly)).status).toBe(201);
    const plain = (await create(customer, null)).body.id;
    expect((await customer.call('PATCH', `/subscriptions/${plain}`, { filter: costly })).status).toBe(400);
  });

  it('two filters that are stored at once do not go over the limit together', async () => {
    const { customer, ids } = await fill();
    await customer.call('DELETE', `/subscriptions/${ids[0]}`);
    const both = await Promise.all([
      create(customer, costly),
      create(customer, costly),
      create(customer, costly),
    ]);
    expect(both.map(({ status }) => status).sort()).toEqual([201, 400, 400]);
    const plain = await Promise.all([create(customer, null), create(customer, null)]);
    await customer.call('DELETE', `/subscriptions/${ids[1]}`);
    const changes = await Promise.all(
      plain.map(({ body }) => customer.call('PATCH', `/subscriptions/${body.id}`, { filter: costly })),
    );
    expect(changes.map(({ status }) => status).sort()).toEqual([200, 400]);
  });

  it('a filter replaced by one with equal steps keeps its count', async () => {
    const customer = await newCustomer();
    const { id } = (await create(customer, onlyUsers)).body;
    const onlyOther = JSON.parse(JSON.stringify(onlyUsers).replace('"user"', '"role"'));
    expect(worstSteps(onlyOther)).toBe(worstSteps(onlyUsers));
    const changed = await customer.call('PATCH', `/subscriptions/${id}`, { filter: onlyOther });
    expect(changed.body.filter).toEqual(onlyOther);
    expect(await stored(id)).toBe(worstSteps(onlyUsers));
    expect(await stored((await create(customer, onlyUsers)).body.id)).toBe(worstSteps(onlyUsers));
  });

  it('a customer over the sum can make a filter smaller, and no filter larger', async () => {
    const { customer, ids } = await fill();
    // As if the limit had been higher when they were accepted.
    const change = env.DB.prepare(
      'UPDATE subscriptions SET filter_steps = 2 * filter_steps WHERE customer_id = ?',
    );
    await change.bind(customer.id).run();
    const [first = '', second = ''] = ids;
    const patch = (id: string, filter: unknown) => customer.call('PATCH', `/subscriptions/${id}`, { filter });
    expect((await patch(first, costly)).status).toBe(200);
    expect(await stored(first)).toBe(worstSteps(costly));
    expect((await patch(first, onlyUsers)).status).toBe(200);
    const refused = await patch(first, costly);
    expect(refused.status).toBe(400);
    const [{ reason }] = refused.body['invalid-body-params'];
    expect(reason).toContain(
      `together may take ${FILTERS_MAX_STEPS_PER_CUSTOMER} steps: simplify or remove one`,
    );
    expect(reason).toMatch(new RegExp(`this filter ${worstSteps(costly)}, the others \\d+`));
    expect((await patch(second, null)).status).toBe(200);
  });

  it('filters from before steps were counted are counted before the next filter is judged', async () => {
    const { customer, ids } = await fill();
    await forget(customer);
    expect((await create(customer, costly)).status).toBe(400);
    expect(await stored(ids[0] ?? '')).toBe(worstSteps(costly));
  });

  it('the daily visit counts the steps of an old filter', async () => {
    const customer = await newCustomer();
    const { id } = (await create(customer, onlyUsers)).body;
    await forget(customer);
    const slice = Number.parseInt(id.slice(0, 2), 16);
    await runCron(env, Math.ceil(Date.now() / 76_800_000) * 76_800_000 + slice * 300_000);
    expect(await stored(id)).toBe(worstSteps(onlyUsers));
  });

  it('a filter that code from before steps were counted replaces has no steps of the old filter', async () => {
    const customer = await newCustomer();
    const { id } = (await create(customer, onlyUsers)).body;
    await env.DB.prepare('UPDATE subscriptions SET filter = ? WHERE id = ?')
      .bind(JSON.stringify(costly), id)
      .run();
    expect(await stored(id)).toBeNull();
  });

  it('a stored filter that would be refused today is evaluated', async () => {
    const customer = await newCustomer();
    const all = await newSubscription(customer, { events: ['entityUpdated'] });
    const { id } = (await create(customer, onlyUsers)).body;
    const properties = { entityType: { const: 'user' }, captureClientId: { pattern: '[ab]*a[ab]{12}[cd]' } };
    const old = { properties: { entityUpdated: { properties } } };
    await env.DB.prepare('UPDATE subscriptions SET filter = ?, version = 2 WHERE id = ?')
      .bind(JSON.stringify(old), id)
      .run();
    expect((await customer.call('PATCH', `/subscriptions/${id}`, { filter: old })).status).toBe(400);
    const event = (captureClientId: string) =>
      anEvent({ type: 'entityUpdated', attributes: ['email'], captureClientId });
    await customer.call('POST', '/events', [event(`${'a'.repeat(14)}d`), event('other')]);
    await until(async () => (await all.events()).length === 2, 'both events at the other subscription');
    const path = `/subscriptions/${id}/events`;
    await until(async () => (await customer.call('GET', path)).body.total === 1, 'the event that passes');
    expect(await stored(id)).toBeNull();
    expect((await customer.call('PATCH', `/subscriptions/${id}`, { title: 'renamed' })).status).toBe(200);
  });
});
