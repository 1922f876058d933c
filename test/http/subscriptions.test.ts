import { env } from 'cloudflare:workers';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Subscription } from '../../src/domain/subscription.ts';
import { createAddressCheck } from '../../src/outbound/address-check.ts';
import { openDatabase } from '../../src/storage/database.ts';
import { countSubscriptions, insertSubscription } from '../../src/storage/subscriptions.ts';
import { holdClock } from '../support/clock.ts';
import { callIn, environmentWith, resolverOf } from '../support/requests.ts';
import { call, newCustomer, type Reply, type TestCustomer } from '../support/world.ts';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const ENDPOINT = 'https://listener.example.com/hooks';

let customer: TestCustomer;
let other: TestCustomer;
beforeAll(async () => {
  [customer, other] = await Promise.all([newCustomer(), newCustomer()]);
});

const db = () => openDatabase(env.DB);
const stored = (owner = customer) => countSubscriptions(db(), owner.id);

const aTitle = () => `title ${crypto.randomUUID()}`;
const aBody = (changes: Record<string, unknown> = {}) => ({
  title: aTitle(),
  endpoint: ENDPOINT,
  events: ['entityCreated'],
  ...changes,
});
const create = (body: unknown, owner = customer) => owner.call('POST', '/subscriptions', body);

/** The names of the faults of a 400. */
function faultNames(reply: Reply): string[] {
  expect(reply.status).toBe(400);
  expect(reply.body).toEqual({
    type: '/validation-error',
    status: 400,
    title: 'Bad Request',
    'invalid-body-params': expect.any(Array),
  });
  const faults = reply.body['invalid-body-params'] as { name: string; reason: string }[];
  for (const fault of faults) {
    expect(fault).toEqual({ name: expect.any(String), reason: expect.stringMatching(/./) });
  }
  return faults.map(({ name }) => name);
}

/** Inserts subscriptions directly into D1, their `createdAt` a millisecond apart. */
async function insertMany(owner: TestCustomer, count: number): Promise<Subscription[]> {
  const now = Date.now();
  const made = Array.from({ length: count }, (_, index): Subscription => {
    const at = now + index;
    return {
      id: crypto.randomUUID(),
      customerId: owner.id,
      title: `number ${index}`,
      endpoint: ENDPOINT,
      events: ['entityCreated'],
      enabled: true,
      filter: null,
      filterSteps: 0,
      storeTenths: 0,
      version: 1,
      health: 'healthy',
      healthSince: 0,
      shards: null,
      proof: null,
      createdAt: at,
      updatedAt: at,
    };
  });
  for (const subscription of made) {
    expect(await insertSubscription(db(), subscription, 1000)).toBe('created');
  }
  return made;
}

describe('creating a subscription', () => {
  it('creating a subscription answers 201 with the resource and its Location', async () => {
    const clock = holdClock();
    const fresh = await newCustomer();
    const title = aTitle();
    const reply = await create(
      { title, endpoint: ENDPOINT, events: ['entityUpdated', 'entityCreated'] },
      fresh,
    );
    expect(reply.status).toBe(201);
    const { id } = reply.body;
    expect(id).toMatch(UUID);
    const self = `/${fresh.id}/webhooks/subscriptions/${id}`;
    expect(reply.headers.get('location')).toBe(self);
    expect(reply.body).toEqual({
      _links: {
        self: { href: self },
        events: { href: `${self}/events` },
        test: { href: `${self}/test` },
        summary: { href: `${self}/summary` },
      },
      createdAt: new Date(clock.now()).toISOString(),
      customerId: fresh.id,
      enabled: true,
      endpoint: ENDPOINT,
      events: ['entityUpdated', 'entityCreated'],
      health: { state: 'healthy', since: new Date(clock.now()).toISOString(), waiting: 0 },
      id,
      title,
      updatedAt: new Date(clock.now()).toISOString(),
    });
  });

  it('a created subscription is read and listed as the same resource', async () => {
    const fresh = await newCustomer();
    const created = await create(aBody(), fresh);
    const read = await fresh.call('GET', `/subscriptions/${created.body.id}`);
    expect(read.status).toBe(200);
    expect(read.body).toEqual(created.body);
    const listed = await fresh.call('GET', '/subscriptions');
    // In a list the health has only its state (contract 10.4).
    expect(listed.body._embedded.subscriptions[0]).toEqual({
      ...created.body,
      health: { state: 'healthy' },
    });
  });

  it.each([true, false])('a subscription created with enabled %s keeps it', async (enabled) => {
    const created = await create(aBody({ enabled }));
    expect(created.body.enabled).toBe(enabled);
    expect((await customer.call('GET', `/subscriptions/${created.body.id}`)).body.enabled).toBe(enabled);
  });

  it('duplicate event types of a subscription collapse', async () => {
    const events = ['entityDeleted', 'entityCreated', 'entityDeleted', 'entityCreated'];
    expect((await create(aBody({ events }))).body.events).toEqual(['entityDeleted', 'entityCreated']);
  });

  it('a subscription may have no event types', async () => {
    const created = await create(aBody({ events: [] }));
    expect(created.status).toBe(201);
    expect(created.body.events).toEqual([]);
  });

  it('a subscription created with filter null has no filter', async () => {
    const created = await create(aBody({ filter: null }));
    expect(created.status).toBe(201);
    expect(created.body).not.toHaveProperty('filter');
  });

  it('creating a subscription ignores unknown and read-only keys', async () => {
    const given = {
      id: crypto.randomUUID(),
      customerId: other.id,
      createdAt: '2001-01-01T00:00:00.000Z',
      updatedAt: 7,
      _links: null,
      version: 9,
      nonsense: { deep: [1] },
    };
    const created = await create(aBody(given));
    expect(created.status).toBe(201);
    expect(created.body.id).not.toBe(given.id);
    expect(created.body.customerId).toBe(customer.id);
    expect(created.body.createdAt).not.toBe(given.createdAt);
    expect(created.body).not.toHaveProperty('nonsense');
    expect((await other.call('GET', `/subscriptions/${created.body.id}`)).status).toBe(404);
  });

  it('a subscription can be created from an echoed resource with another title', async () => {
    const first = await create(aBody());
    const second = await create({ ...first.body, title: aTitle() });
    expect(second.status).toBe(201);
    expect(second.body.id).not.toBe(first.body.id);
  });

  it('creating a subscription accepts a charset in the content type', async () => {
    const type = { 'content-type': 'application/json; charset=utf-8' };
    expect((await customer.call('POST', '/subscriptions', aBody(), type)).status).toBe(201);
  });
});

describe('the title of a subscription', () => {
  const unique = crypto.randomUUID().slice(0, 8);

  it.each([
    ['2 characters', 'ab'],
    ['2 emoji', '🦊🐙'],
    ['200 characters', unique.padEnd(200, 'x')],
    ['200 characters with emoji', `${unique}${'🦊'.repeat(192)}`],
    ['letters in any script', 'Überprüfung プロフィール'],
  ])('a title of %s is accepted and shown as given', async (_, title) => {
    const created = await create(aBody({ title }));
    expect(created.status).toBe(201);
    expect((await customer.call('GET', `/subscriptions/${created.body.id}`)).body.title).toBe(title);
  });

  it.each([
    ['empty', ''],
    ['one character long', 'a'],
    ['one emoji long', '🦊'],
    ['201 characters long', 'x'.repeat(201)],
    ['201 emoji long', '🦊'.repeat(201)],
    ['a number', 12],
    ['null', null],
    ['an array', ['title']],
  ])('a title that is %s is refused', async (_, title) => {
    const before = await stored();
    expect(faultNames(await create(aBody({ title })))).toEqual(['title']);
    expect(await stored()).toBe(before);
  });

  it('a subscription without a title is refused', async () => {
    const { title: _, ...body } = aBody();
    expect(faultNames(await create(body))).toEqual(['title']);
  });

  it('a title that another subscription of the customer has is refused', async () => {
    const body = aBody();
    expect((await create(body)).status).toBe(201);
    const before = await stored();
    expect(faultNames(await create(body))).toEqual(['title']);
    expect(await stored()).toBe(before);
  });

  it('two titles may differ only in case or in white space', async () => {
    const title = `Case ${crypto.randomUUID()}`;
    for (const variant of [title, title.toUpperCase(), title.toLowerCase(), `${title} `]) {
      expect((await create(aBody({ title: variant }))).status).toBe(201);
    }
  });

  it('two customers may use the same title', async () => {
    const body = aBody();
    expect((await create(body)).status).toBe(201);
    expect((await create(body, other)).status).toBe(201);
  });

  it('only one of several creations at once gets the same title', async () => {
    const body = aBody();
    const replies = await Promise.all([create(body), create(body), create(body)]);
    expect(replies.map(({ status }) => status).sort()).toEqual([201, 400, 400]);
  });
});

describe('the faults of a subscription body', () => {
  it('a bad subscription gets a 400 that names every fault at once', async () => {
    const before = await stored();
    const reply = await create({
      title: 'x',
      endpoint: 'no url',
      events: ['entityCreated', 'entityLost'],
      enabled: 1,
    });
    expect(faultNames(reply).sort()).toEqual(['enabled', 'endpoint', 'events[1]', 'title']);
    expect(await stored()).toBe(before);
  });

  it('a taken title and a bad endpoint are reported together with the other faults', async () => {
    const { title } = (await create(aBody())).body;
    const reply = await create({ title, endpoint: 'ftp://listener.example.com/', events: 'entityCreated' });
    expect(faultNames(reply).sort()).toEqual(['endpoint', 'events', 'title']);
  });

  it('an empty object gets a 400 that names every missing member', async () => {
    expect(faultNames(await create({})).sort()).toEqual(['endpoint', 'events', 'title']);
  });

  it.each([
    ['events', 'entityCreated'],
    ['events', null],
    ['events', { 0: 'entityCreated' }],
    ['events[0]', ['EntityCreated']],
    ['events[0]', ['test']],
    ['events[0]', [1]],
    ['events[1]', ['entityCreated', null]],
    ['enabled', 'true'],
    ['enabled', 0],
    ['enabled', null],
    ['endpoint', 7],
    ['endpoint', null],
    ['endpoint', ''],
  ])('a bad subscription gets a 400 that names %s for the value %j', async (name, value) => {
    const key = name.replace(/\[.*/, '');
    expect(faultNames(await create(aBody({ [key]: value })))).toEqual([name]);
  });
});

describe('an endpoint when only public ones are allowed', () => {
  const names = {
    'listener.example.com': { a: ['93.184.216.34'] },
    'both.example.com': { a: ['93.184.216.34'], aaaa: ['2606:2800:220:1:248:1893:25c8:1946'] },
    'six.example.com': { aaaa: ['2606:2800:220:1:248:1893:25c8:1946'] },
    'private.example.com': { a: ['10.0.0.1'] },
    'loopback.example.com': { a: ['127.0.0.1'] },
    'metadata.example.com': { a: ['169.254.169.254'] },
    'mixed.example.com': { a: ['93.184.216.34', '192.168.1.1'] },
    'inside.example.com': { a: ['93.184.216.34'], aaaa: ['fd00::1'] },
    'mapped.example.com': { a: ['93.184.216.34'], aaaa: ['::ffff:10.0.0.1'] },
    'nat64.example.com': { a: ['93.184.216.34'], aaaa: ['64:ff9b::7f00:1'] },
    'sixtofour.example.com': { a: ['93.184.216.34'], aaaa: ['2002:7f00:1::1'] },
    'empty.example.com': {},
  };
  const strict = environmentWith({
    ALLOW_PRIVATE_ENDPOINTS: 'false',
    BASE_URL: 'https://webhooks.acme.test',
  });
  const checkAddress = createAddressCheck(resolverOf(names));

  const createStrictly = (endpoint: string, changes: Record<string, unknown> = {}) =>
    callIn(strict, 'POST', `/${customer.id}/webhooks/subscriptions`, {
      token: customer.token,
      body: aBody({ endpoint, ...changes }),
      checkAddress,
    });

  it.each([
    'https://listener.example.com',
    'https://listener.example.com/',
    'https://listener.example.com/a/b?c=d&e=%20',
    'https://LISTENER.example.com/Hooks',
    'https://listener.example.com:443/hooks',
    'https://listener.example.com:1024/hooks',
    'https://listener.example.com:65535/hooks',
    'https://both.example.com/',
    'https://six.example.com/',
  ])('the endpoint %j is accepted and shown exactly as given', async (endpoint) => {
    const reply = await createStrictly(endpoint);
    expect(reply.status).toBe(201);
    expect(reply.body.endpoint).toBe(endpoint);
  });

  it.each([
    'http://listener.example.com/',
    'ftp://listener.example.com/',
    'listener.example.com/hooks',
    '//listener.example.com/hooks',
    'https://',
    'https:listener.example.com',
    'https://user@listener.example.com/',
    'https://user:password@listener.example.com/',
    'https://@listener.example.com/',
    'https://listener.example.com/#part',
    'https://listener.example.com/#',
    ' https://listener.example.com/',
    'https://listener.example.com/\n',
    'https:\\\\listener.example.com/',
    'https:///listener.example.com/',
    'https://*.example.com/',
    'https://listener.example.com/\u202e',
    'https://list\u00adener.example.com/',
    'https://93.184.216.34/',
    'https://0x5db8d822/',
    'https://1572395042/',
    'https://0135.0270.0330.0042/',
    'https://127.1/',
    'https://[2606:2800:220:1:248:1893:25c8:1946]/',
    'https://[::1]/',
    'https://localhost/',
    'https://localhost./',
    'https://LOCALHOST/',
    'https://app.localhost/',
    'https://printer.local/',
    'https://service.internal/',
    'https://intranet/',
    'https://listener.example.com:80/',
    'https://listener.example.com:22/',
    'https://listener.example.com:1023/',
    'https://listener.example.com:0/',
    'https://listener.example.com:65536/',
    'https://private.example.com/',
    'https://loopback.example.com/',
    'https://metadata.example.com/',
    'https://mixed.example.com/',
    'https://inside.example.com/',
    'https://mapped.example.com/',
    'https://nat64.example.com/',
    'https://sixtofour.example.com/',
    'https://empty.example.com/',
    'https://unknown.example.com/',
  ])('the endpoint %j is refused, and nothing is created', async (endpoint) => {
    const before = await stored();
    expect(faultNames(await createStrictly(endpoint))).toEqual(['endpoint']);
    expect(await stored()).toBe(before);
  });

  it('an endpoint is refused while no name server answers', async () => {
    const reply = await callIn(strict, 'POST', `/${customer.id}/webhooks/subscriptions`, {
      token: customer.token,
      body: aBody({ endpoint: 'https://listener.example.com/' }),
      checkAddress: createAddressCheck(async () => ({ kind: 'resolver away' })),
    });
    expect(faultNames(reply)).toEqual(['endpoint']);
  });

  it('an endpoint is refused while no name server answers, although its host was public a few minutes ago', async () => {
    const clock = holdClock();
    let isAway = false;
    const check = createAddressCheck(async () =>
      isAway ? { kind: 'resolver away' } : { kind: 'addresses', addresses: ['93.184.216.34'] },
    );
    await check('listener.example.com');
    isAway = true;
    clock.advance(2 * 60_000);
    const reply = await callIn(strict, 'POST', `/${customer.id}/webhooks/subscriptions`, {
      token: customer.token,
      body: aBody({ endpoint: 'https://listener.example.com/' }),
      checkAddress: check,
    });
    expect(faultNames(reply)).toEqual(['endpoint']);
  });

  it('a private endpoint is reported together with the other faults', async () => {
    const reply = await createStrictly('https://private.example.com/', { title: 'x', enabled: 'no' });
    expect(faultNames(reply).sort()).toEqual(['enabled', 'endpoint', 'title']);
  });

  it('an endpoint whose URL is refused is not resolved', async () => {
    const asked: string[] = [];
    const recordingCheck = createAddressCheck(async (hostname, type) => {
      if (type === 'A') asked.push(hostname);
      return { kind: 'addresses', addresses: ['93.184.216.34'] };
    });
    for (const endpoint of ['http://listener.example.com/', 'https://localhost/', ENDPOINT]) {
      await callIn(strict, 'POST', `/${customer.id}/webhooks/subscriptions`, {
        token: customer.token,
        body: aBody({ endpoint }),
        checkAddress: recordingCheck,
      });
    }
    expect(asked).toEqual(['listener.example.com']);
  });
});

describe('an endpoint when private ones are allowed', () => {
  it.each([
    'http://127.0.0.1:9/hooks',
    'http://localhost:22/',
    'https://printer.local/',
    'http://[::1]:8080/',
  ])('the private endpoint %s is accepted without asking a name server', async (endpoint) => {
    expect((await create(aBody({ endpoint }))).status).toBe(201);
  });

  it.each(['ftp://127.0.0.1/', 'http://user@127.0.0.1/', 'http://127.0.0.1/#x', 'nonsense'])(
    'the endpoint %s is refused even when private ones are allowed',
    async (endpoint) => {
      expect(faultNames(await create(aBody({ endpoint })))).toEqual(['endpoint']);
    },
  );
});

describe('reading a subscription', () => {
  const notFound = { type: '/not-found', status: 404, title: 'Not Found', details: 'Subscription not found' };

  it('an unknown subscription gets a 404', async () => {
    const reply = await customer.call('GET', `/subscriptions/${crypto.randomUUID()}`);
    expect(reply.status).toBe(404);
    expect(reply.body).toEqual(notFound);
  });

  it("another customer's subscription gets the same 404 as an unknown one", async () => {
    const { id } = (await create(aBody(), other)).body;
    const reply = await customer.call('GET', `/subscriptions/${id}`);
    expect(reply.status).toBe(404);
    expect(reply.body).toEqual(notFound);
  });

  it.each(['1', 'x', "'; DROP TABLE subscriptions; --", '%00', '%F0%9F%A6%8A', '{}', 'null'])(
    'the subscription id %s, which is not a UUID, gets a 404',
    async (id) => {
      const reply = await customer.call('GET', `/subscriptions/${encodeURI(id)}`);
      expect(reply.status).toBe(404);
      expect(reply.body).toEqual(notFound);
    },
  );

  it('HEAD of a subscription answers without a body', async () => {
    const { id } = (await create(aBody())).body;
    const reply = await customer.call('HEAD', `/subscriptions/${id}`);
    expect(reply.status).toBe(200);
    expect(reply.body).toBe('');
  });
});

describe('the list of subscriptions', () => {
  let crowd: TestCustomer;
  let made: Subscription[];
  let path: string;
  beforeAll(async () => {
    crowd = await newCustomer();
    made = await insertMany(crowd, 205);
    path = `/${crowd.id}/webhooks/subscriptions`;
  });

  const titles = (reply: Reply) =>
    reply.body._embedded.subscriptions.map(
      (subscription: { title: string }) => subscription.title,
    ) as string[];
  const numbers = (from: number, to: number) => made.slice(from, to).map(({ title }) => title);
  const page = (query: string) => crowd.call('GET', `/subscriptions?${query}`);

  it('the list of subscriptions is empty for a new customer', async () => {
    const fresh = await newCustomer();
    const self = `/${fresh.id}/webhooks/subscriptions`;
    const reply = await fresh.call('GET', '/subscriptions');
    expect(reply.status).toBe(200);
    expect(reply.body).toEqual({
      total: 0,
      _links: { self: { href: self } },
      _embedded: { subscriptions: [] },
    });
    const first = await fresh.call('GET', '/subscriptions?page=7');
    expect(first.status).toBe(200);
    expect(first.body._embedded.subscriptions).toEqual([]);
    expect(first.body._links).not.toHaveProperty('next');
    expect(first.body._links).not.toHaveProperty('prev');
  });

  it('a list without parameters holds all subscriptions, oldest first', async () => {
    const reply = await crowd.call('GET', '/subscriptions');
    expect(reply.status).toBe(200);
    expect(reply.body.total).toBe(205);
    expect(reply.body._links).toEqual({ self: { href: path } });
    expect(titles(reply)).toEqual(numbers(0, 205));
  });

  it('the list of subscriptions holds none of another customer', async () => {
    const own = await other.call('GET', '/subscriptions');
    const owners = own.body._embedded.subscriptions.map((one: { customerId: string }) => one.customerId);
    expect(new Set(owners)).toEqual(new Set([other.id]));
  });

  it('the first page of subscriptions links to first, next and last', async () => {
    const reply = await page('page=1');
    expect(reply.body.total).toBe(205);
    expect(titles(reply)).toEqual(numbers(0, 100));
    expect(reply.body._links).toEqual({
      self: { href: `${path}?page=1` },
      first: { href: `${path}?page=1` },
      next: { href: `${path}?page=2` },
      last: { href: `${path}?page=3` },
    });
  });

  it('a middle page of subscriptions links to first, prev, next and last', async () => {
    const reply = await page('page=2');
    expect(titles(reply)).toEqual(numbers(100, 200));
    expect(reply.body._links).toEqual({
      self: { href: `${path}?page=2` },
      first: { href: `${path}?page=1` },
      prev: { href: `${path}?page=1` },
      next: { href: `${path}?page=3` },
      last: { href: `${path}?page=3` },
    });
  });

  it.each([
    'page=3',
    'page=0',
    'page=4',
    'page=-1',
    'page=1.5',
    'page=1e0',
    'page=abc',
    'page=',
    'page=%00',
    'page=99999999999999999999',
    'page=1&page=2',
  ])('the query %s shows the last page of subscriptions', async (query) => {
    const reply = await page(query);
    expect(reply.status).toBe(200);
    expect(titles(reply)).toEqual(numbers(200, 205));
    expect(reply.body._links.self).toEqual({ href: `${path}?page=3` });
    expect(reply.body._links).toHaveProperty('prev');
    expect(reply.body._links).not.toHaveProperty('next');
  });

  it('the list of subscriptions ignores other parameters', async () => {
    expect((await page('limit=1&sort=title')).body.total).toBe(205);
  });

  it('next links lead from the first to the last page of subscriptions', async () => {
    const seen: string[] = [];
    let href: string | undefined = `${path}?page=1`;
    while (href !== undefined) {
      const reply: Reply = await call('GET', href, { token: crowd.token });
      seen.push(...titles(reply));
      href = reply.body._links.next?.href;
    }
    expect(seen).toEqual(numbers(0, 205));
  });
});

describe('the limit on subscriptions', () => {
  it('a customer with MAX_SUBSCRIPTIONS subscriptions gets a 409 for one more', async () => {
    const fresh = await newCustomer();
    const few = environmentWith({ MAX_SUBSCRIPTIONS: '2' });
    const attempt = (body: unknown) =>
      callIn(few, 'POST', `/${fresh.id}/webhooks/subscriptions`, { token: fresh.token, body });
    expect((await attempt(aBody())).status).toBe(201);
    expect((await attempt(aBody())).status).toBe(201);
    const refused = await attempt(aBody());
    expect(refused.status).toBe(409);
    expect(refused.body).toEqual({ status: 409, title: 'Conflict', details: expect.stringMatching(/2/) });
    expect(await stored(fresh)).toBe(2);
    expect((await attempt({})).status).toBe(400);
  });

  it('creating many subscriptions at once does not pass MAX_SUBSCRIPTIONS', async () => {
    const fresh = await newCustomer();
    const few = environmentWith({ MAX_SUBSCRIPTIONS: '3' });
    const path = `/${fresh.id}/webhooks/subscriptions`;
    await Promise.all(
      Array.from({ length: 8 }, () => callIn(few, 'POST', path, { token: fresh.token, body: aBody() })),
    );
    expect(await stored(fresh)).toBe(3);
  });
});
