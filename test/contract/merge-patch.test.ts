/** PATCH is a merge patch (contract 3.5; RFC 7396). The test compares it with a model that merges by hand. */
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { newCustomer, newSubscription, type TestCustomer } from '../support/world.ts';

let customer: TestCustomer;
beforeAll(async () => {
  customer = await newCustomer();
});

const TYPES = ['entityCreated', 'entityUpdated', 'entityDeleted'] as const;

const title = fc
  .string({ unit: 'binary', minLength: 2, maxLength: 40 })
  .filter((text) => !text.includes('\0'));
const endpoint = fc
  .tuple(fc.constantFrom('http', 'https'), fc.integer({ min: 1, max: 65_535 }), fc.base64String())
  .map(([scheme, port, path]) => `${scheme}://listener.test:${port}/${path}`);
const filter = fc.constantFrom(
  null,
  {},
  { properties: { entityUpdated: { properties: { entityType: { const: 'user' } } } } },
  { additionalProperties: false, properties: { entityCreated: true } },
  { title: 'null within a filter is kept', default: null, examples: [null, { a: null }] },
);
/** Members that a client may send and that have no effect. */
const ignored = {
  id: fc.constant('x'),
  customerId: fc.uuid(),
  createdAt: fc.constant('1970-01-01T00:00:00.000Z'),
  updatedAt: fc.constant(null),
  _links: fc.constant({}),
  unknown: fc.jsonValue(),
};
const good = fc.record(
  {
    title,
    endpoint,
    events: fc.array(fc.constantFrom(...TYPES), { maxLength: 5 }),
    enabled: fc.boolean(),
    filter,
    ...ignored,
  },
  { requiredKeys: [] },
);
/** Good members together with a bad one: none of them may take effect. */
const bad = fc
  .tuple(
    good,
    fc.constantFrom(
      { title: null },
      { title: 'x' },
      { endpoint: null },
      { endpoint: 'ftp://listener.test/' },
      { events: null },
      { events: ['entityRead'] },
      { enabled: null },
      { filter: { propertys: {} } },
    ),
  )
  .map(([members, fault]) => ({ ...members, ...fault }));

const step = fc.record({
  body: fc.oneof(
    { weight: 4, arbitrary: good.map((body) => ({ body, accepted: true })) },
    { weight: 1, arbitrary: bad.map((body) => ({ body, accepted: false })) },
  ),
  mediaType: fc.constantFrom('application/merge-patch+json', 'application/json'),
});

/** The resource after a patch, as the contract describes it. */
function merged(resource: Record<string, unknown>, patch: Record<string, unknown>): Record<string, unknown> {
  const after: Record<string, unknown> = { ...resource };
  for (const name of ['title', 'endpoint', 'enabled', 'filter'] as const) {
    if (patch[name] !== undefined) after[name] = patch[name];
  }
  if (patch['events'] !== undefined) after['events'] = [...new Set(patch['events'] as string[])];
  if (after['filter'] === null) delete after['filter'];
  return after;
}

function withoutTime({ updatedAt: _, ...rest }: Record<string, unknown>): Record<string, unknown> {
  return rest;
}

describe('PATCH of a subscription', () => {
  it('any sequence of PATCHes is merged as RFC 7396 says, and a refused one changes nothing', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 6 }), async (steps) => {
        const path = `/subscriptions/${(await newSubscription(customer)).id}`;
        let model = (await customer.call('GET', path)).body;
        for (const {
          body: { body, accepted },
          mediaType,
        } of steps) {
          const reply = await customer.call('PATCH', path, body, { 'content-type': mediaType });
          expect(reply.status).toBe(accepted ? 200 : 400);
          const now = (await customer.call('GET', path)).body;
          if (accepted) {
            expect(reply.body).toEqual(now);
            expect(withoutTime(now)).toEqual(withoutTime(merged(model, body)));
            expect(Date.parse(now.updatedAt)).toBeGreaterThanOrEqual(Date.parse(model.updatedAt));
          } else {
            expect(now).toEqual(model);
          }
          model = now;
        }
        // Titles are unique in a customer, and the next run may draw the same title.
        await customer.call('DELETE', path);
      }),
      { numRuns: 20 },
    );
  });
});
