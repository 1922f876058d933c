/** Four doors, each with its guard: who may ask for what, decided before anything else is (contract 8). */
import { beforeAll, describe, expect, it } from 'vitest';
import { callIn, environmentWithout } from '../support/requests.ts';
import { call, newCustomer, OPERATOR_TOKEN, type TestCustomer } from '../support/world.ts';

let customer: TestCustomer;
beforeAll(async () => {
  customer = await newCustomer();
});

const NOT_FOUND = { type: '/not-found', status: 404, title: 'Not Found', details: 'Route not found' };
const METHODS = ['GET', 'HEAD', 'POST', 'PATCH', 'PUT', 'DELETE', 'OPTIONS'];

describe.each(METHODS)('the guard of a door, asked by %s', (method) => {
  it('the management door refuses a caller without a token on paths that have no route', async () => {
    for (const path of ['', '/', '/nothing', '/subscriptions/x/y/z'])
      expect((await call(method, `/${customer.id}/webhooks${path}`)).status, path).toBe(403);
  });

  it('the operator door refuses a caller without the token on paths that have no route', async () => {
    for (const path of ['', '/', '/nothing', '/customers/x/y/z'])
      expect((await call(method, `/operator${path}`)).status, path).toBe(403);
  });

  it('the guard of the operator door also covers paths that look like those of another door', async () => {
    for (const path of ['/operator/webhooks/subscriptions', '/operator/login/token', '/operator/login/jwk']) {
      expect((await call(method, path)).status, path).toBe(403);
      const reply = await callIn(environmentWithout('OPERATOR_TOKEN'), method, path, {
        token: OPERATOR_TOKEN,
      });
      expect(reply.status, path).toBe(404);
      if (method !== 'HEAD') expect(reply.body, path).toEqual(NOT_FOUND);
    }
  });
});

describe('a path without a route behind a guard that lets the caller in', () => {
  it('an unknown path is a 404 at each door', async () => {
    const operator = await call('GET', '/operator/nothing', { token: OPERATOR_TOKEN });
    const management = await customer.call('GET', '/nothing');
    const open = await call('GET', '/nothing');
    expect([operator.body, management.body, open.body]).toEqual([NOT_FOUND, NOT_FOUND, NOT_FOUND]);
  });

  it('a method that a path does not have is a 405 at each door, with the methods it has', async () => {
    const operator = await call('PATCH', '/operator/customers', { token: OPERATOR_TOKEN });
    const management = await customer.call('DELETE', '/subscriptions');
    const open = await call('POST', '/healthz');
    expect([operator.status, management.status, open.status]).toEqual([405, 405, 405]);
    const allowed = [operator, management, open].map(({ headers }) =>
      headers.get('allow')?.split(', ').sort(),
    );
    expect(allowed).toEqual([
      ['GET', 'HEAD', 'POST'],
      ['GET', 'HEAD', 'POST'],
      ['GET', 'HEAD'],
    ]);
  });
});
