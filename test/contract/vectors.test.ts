/** The known vectors (contract 9), end to end: published over HTTPS, received by a listener on a socket. */
import { createLocalJWKSet, jwtVerify } from 'jose';
import { describe, expect, it } from 'vitest';
import { newEventIds } from '../../src/domain/ids.ts';
import { type HeldClock, holdClock } from '../support/clock.ts';
import type { Call } from '../support/listener-script.ts';
import { until } from '../support/until.ts';
import {
  anEvent,
  BASE_URL,
  call,
  newCustomer,
  newSubscription,
  type TestSubscription,
} from '../support/world.ts';

/** The vectors of contract 9, byte for byte. */
const CREATED =
  '{"aud":["https://webhook.site/a39c8b84-a4c5-4eb2-858a-28c4e1139914"],"events":{"entityCreated":{"captureApplicationId":"tep2dcqy4fwurwtpkaxg76twgf","captureClientId":"zfccfzzcf626t449wu5umbt6zhek2det","entityType":"user","globalSub":"capture-v1://eu.janraincapture.com/tep2dcqy4fwurwtpkaxg76twgf/user/726087ec-35df-4041-aec8-c11ecc208efa","id":"02e950dc-7306-4e5a-9e4b-b9cd5629d76b","sub":"726087ec-35df-4041-aec8-c11ecc208efa"}},"iat":1632416326,"iss":"https://v1.api.eu.janrain.com/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks","jti":"e67f33f4-28ae-4abe-a5a4-98e9593774bb","toe":1632416326}';
const TEST =
  '{"aud":["https://webhook.site/eeb46d8c-9fc0-42e4-b2d1-c0dc917031b1"],"events":{"test":{"id":"e6e15d40-54e8-440f-bb66-2c490e60a7eb"}},"iat":1628785553,"iss":"https://v1.api.us.janrain.com/e0a70b4f-1eef-4856-bcdb-f050fee66aae/webhooks","jti":"be0cad30-3f72-40c5-8f92-450ad0e06c36","toe":1628785553}';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

interface Token {
  readonly header: string;
  readonly payload: string;
  readonly claims: { readonly jti: string };
}

/** The one SET that a listener received, decoded without a library because the order of its members counts. */
async function received(subscription: TestSubscription): Promise<Token & { readonly request: Call }> {
  const request = await until(async () => (await subscription.listener.calls())[0], 'the notification');
  const parts = request.body.split('.');
  expect(parts).toHaveLength(3);
  const [header = '', payload = ''] = parts.map((part) =>
    atob(part.replaceAll('-', '+').replaceAll('_', '/')),
  );
  return { request, header, payload, claims: JSON.parse(payload) as { jti: string } };
}

/** The vector, with its customer, endpoint, event and times replaced by ours. */
function ours(
  vector: string,
  subscription: TestSubscription,
  now: { readonly eventId: string; readonly jti: string; readonly iat: number; readonly toe: number },
): string {
  const theirs = JSON.parse(vector) as {
    aud: [string];
    iss: string;
    jti: string;
    events: Record<string, { id: string }>;
  };
  const id = Object.values(theirs.events)[0]?.id ?? '';
  return vector
    .replace(theirs.aud[0], subscription.listener.endpoint)
    .replace(theirs.iss, `${BASE_URL}/${subscription.customer.id}/webhooks`)
    .replace('capture-v1://eu.', 'capture-v1://us.')
    .replace(`"id":"${id}"`, `"id":"${now.eventId}"`)
    .replace(theirs.jti, now.jti)
    .replace(/"iat":\d+/, `"iat":${now.iat}`)
    .replace(/"toe":\d+/, `"toe":${now.toe}`);
}

const seconds = (ms: number) => Math.floor(ms / 1000);
const newId = (clock: HeldClock) =>
  newEventIds(clock.now(), 1, crypto.getRandomValues(new Uint8Array(16)))[0] ?? '';

describe('the notification of an entityCreated', () => {
  it('the payload of an entityCreated is the documented one, in the documented order', async () => {
    const clock = holdClock();
    const subscription = await newSubscription(await newCustomer());
    const eventId = newId(clock);
    const occurredAt = new Date(clock.now() - 90_000).toISOString();
    const published = await subscription.customer.call(
      'POST',
      '/events',
      anEvent({ id: eventId, occurredAt }),
    );
    expect(published.status).toBe(202);
    const { payload, claims } = await received(subscription);
    expect(claims.jti).toMatch(UUID);
    expect(claims.jti).not.toBe(eventId);
    const iat = seconds(clock.now());
    const expected = { eventId, jti: claims.jti, iat, toe: seconds(clock.now() - 90_000) };
    expect(payload).toBe(ours(CREATED, subscription, expected));
  });

  it('a SET has the header of contract 6.2 and verifies against the key it names', async () => {
    const subscription = await newSubscription(await newCustomer());
    const { customer } = subscription;
    await customer.call('POST', '/events', anEvent());
    const { header, request } = await received(subscription);
    const jwks = (await call('GET', `/${customer.id}/login/jwk`)).body;
    const { protectedHeader } = await jwtVerify(request.body, createLocalJWKSet(jwks));
    expect(protectedHeader.kid).toMatch(/^[0-9a-f]{40}$/);
    expect(header).toBe(
      `{"alg":"RS256","jku":"${BASE_URL}/${customer.id}/login/jwk","kid":"${protectedHeader.kid}","typ":"secevent+jwt"}`,
    );
  });

  it('a notification is a POST to exactly the endpoint, with the documented headers and the SET alone', async () => {
    const subscription = await newSubscription(await newCustomer());
    await subscription.customer.call('POST', '/events', anEvent());
    const { request } = await received(subscription);
    expect(subscription.listener.endpoint.endsWith(request.path)).toBe(true);
    expect(request.headers).toMatchObject({
      'content-type': 'application/secevent+jwt',
      accept: '*/*',
      'user-agent': 'identity-webhooks/3.0',
      'content-length': String(request.body.length),
    });
    expect(request.headers).not.toHaveProperty('authorization');
    expect(request.headers).not.toHaveProperty('cookie');
  });
});

describe('the notification of an entityUpdated', () => {
  it('the payload of an entityUpdated differs from the documented one only by its attributes', async () => {
    const clock = holdClock();
    const subscription = await newSubscription(await newCustomer());
    const eventId = newId(clock);
    const attributes = ['primaryAddress.city', 'givenName'];
    await subscription.customer.call(
      'POST',
      '/events',
      anEvent({ id: eventId, type: 'entityUpdated', attributes }),
    );
    const { payload, claims } = await received(subscription);
    const now = seconds(clock.now());
    const vector = CREATED.replace(
      'entityCreated":{',
      'entityUpdated":{"attributes":["primaryAddress.city","givenName"],',
    );
    expect(payload).toBe(ours(vector, subscription, { eventId, jti: claims.jti, iat: now, toe: now }));
  });
});

describe('the test notification', () => {
  it('the payload of a test notification is the documented one, in the documented order', async () => {
    const clock = holdClock();
    const subscription = await newSubscription(await newCustomer(), { events: [] });
    const { body } = await subscription.customer.call('POST', `/subscriptions/${subscription.id}/test`);
    await subscription.ring();
    const { payload, claims } = await received(subscription);
    const now = seconds(clock.now());
    expect(claims.jti).toMatch(UUID);
    expect(claims.jti).not.toBe(body.id);
    expect(payload).toBe(ours(TEST, subscription, { eventId: body.id, jti: claims.jti, iat: now, toe: now }));
  });
});

/** The filter of contract 4. */
const FILTER = {
  $schema: 'http://json-schema.org/draft-07/schema',
  properties: {
    entityUpdated: {
      properties: {
        captureApplicationId: { const: 'aabc1de2f3ghi4jklm5n67opq8' },
        entityType: { const: 'user' },
        attributes: { contains: { enum: ['givenName', 'familyName', 'primaryAddress.city'] } },
      },
    },
  },
};

const updated = (overrides: Record<string, unknown>) =>
  anEvent({ type: 'entityUpdated', captureApplicationId: 'aabc1de2f3ghi4jklm5n67opq8', ...overrides });

/** Contract 9: each event, and whether it passes the filter of contract 4. */
const PASSING: readonly [string, Record<string, unknown>, boolean][] = [
  ['["familyName"]', updated({ attributes: ['familyName'] }), true],
  ['["email","givenName"]', updated({ attributes: ['email', 'givenName'] }), true],
  ['["email"]', updated({ attributes: ['email'] }), false],
  ['another application', updated({ attributes: ['familyName'], captureApplicationId: 'another' }), false],
  ['entityType admin', updated({ attributes: ['familyName'], entityType: 'admin' }), false],
  ['["primaryAddress"]', updated({ attributes: ['primaryAddress'] }), false],
  ['entityCreated', anEvent(), true],
];

describe('the documented filter on a subscription', () => {
  it.each([
    ['without additionalProperties', FILTER, true],
    ['with additionalProperties false', { ...FILTER, additionalProperties: false }, false],
  ])(
    'the documented filter %s passes exactly the events of the vectors',
    async (_, filter, createdPasses) => {
      const customer = await newCustomer();
      const all = await newSubscription(customer);
      const filtered = await newSubscription(customer);
      const changed = await customer.call('PATCH', `/subscriptions/${filtered.id}`, { filter });
      expect(changed.body.filter).toEqual(filter);
      const events = PASSING.map(([, event]) => event);
      const published = await customer.call('POST', '/events', events);
      const ids = published.body._embedded.events.map(({ id }: { id: string }) => id) as string[];
      const names = new Map(ids.map((id, index) => [id, PASSING[index]?.[0]]));
      const expected = PASSING.filter(
        ([name, , passes]) => passes && (name !== 'entityCreated' || createdPasses),
      ).map(([name]) => name);
      await until(async () => (await all.events()).length === PASSING.length, 'every event, unfiltered');
      await until(async () => (await filtered.events()).length >= expected.length, 'the events that pass');
      const stored = (await filtered.events()).map(({ id }) => names.get(id));
      expect(stored.sort()).toEqual([...expected].sort());
      await until(
        async () => (await filtered.listener.calls()).length >= expected.length,
        'the notifications that pass',
      );
      expect(await filtered.listener.calls()).toHaveLength(expected.length);
    },
  );
});

/** Every keyword of contract 4, each with a value of its kind. */
const KEYWORDS: Readonly<Record<string, unknown>> = {
  $schema: 'http://json-schema.org/draft-07/schema#',
  type: ['object', 'null'],
  const: {},
  enum: [{}],
  properties: { entityCreated: true },
  additionalProperties: false,
  patternProperties: { '^entity': {} },
  propertyNames: { minLength: 1 },
  required: ['entityCreated'],
  minProperties: 1,
  maxProperties: 1,
  dependencies: { entityCreated: ['entityCreated'], entityUpdated: {} },
  contains: {},
  items: [{}, true],
  additionalItems: {},
  minItems: 0,
  maxItems: 9,
  uniqueItems: true,
  minLength: 0,
  maxLength: 9,
  pattern: '^a+$',
  format: 'date-time',
  minimum: 0,
  maximum: 1.5,
  exclusiveMinimum: -1,
  exclusiveMaximum: 2,
  multipleOf: 0.5,
  allOf: [{}],
  anyOf: [{}, false],
  oneOf: [{}],
  not: false,
  if: {},
  // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
  then: {},
  else: false,
  title: 'a title',
  description: 'a description',
  $comment: 'a comment',
  default: null,
  examples: [1],
};

describe('a filter', () => {
  it('a filter may have every keyword of contract 4 and is shown with all of them', async () => {
    const subscription = await newSubscription(await newCustomer());
    const path = `/subscriptions/${subscription.id}`;
    const reply = await subscription.customer.call('PATCH', path, { filter: KEYWORDS });
    expect(reply.status).toBe(200);
    expect(reply.body.filter).toEqual(KEYWORDS);
  });

  it.each(Object.keys(KEYWORDS))('a filter with %s misspelled is refused', async (keyword) => {
    const subscription = await newSubscription(await newCustomer());
    const filter = { [`${keyword}s`]: KEYWORDS[keyword] };
    const reply = await subscription.customer.call('PATCH', `/subscriptions/${subscription.id}`, { filter });
    expect(reply.status).toBe(400);
  });

  it('a filter may be 64 KiB large and 32 levels deep, and no more', async () => {
    const subscription = await newSubscription(await newCustomer());
    const accepts = async (filter: unknown) =>
      (await subscription.customer.call('PATCH', `/subscriptions/${subscription.id}`, { filter })).status;
    const nested = (depth: number) =>
      Array.from({ length: depth - 1 }).reduce<object>((inner) => ({ not: inner }), {});
    const sized = (bytes: number) => ({ $comment: 'x'.repeat(bytes - '{"$comment":""}'.length) });
    expect(await accepts(nested(32))).toBe(200);
    expect(await accepts(nested(33))).toBe(400);
    expect(await accepts(sized(65_536))).toBe(200);
    expect(await accepts(sized(65_537))).toBe(400);
  });
});
