import { describe, expect, it } from 'vitest';
import { route, widthOf } from '../../src/delivery/route.ts';
import type { IdentityEvent } from '../../src/domain/event.ts';
import { FILTER_MAX_STEPS } from '../../src/domain/limits.ts';
import type { Subscription } from '../../src/domain/subscription.ts';
import { A_KEY, aSubscription } from '../support/delivery-fixtures.ts';

const event = { id: 'event', type: 'entityCreated', customerId: 'customer' } as IdentityEvent;

const noFilters = async () => new Map();

describe('the routes of an event', () => {
  it('an event goes to subscriptions with healthy endpoints first, in their given order', async () => {
    const healths = ['failing', 'healthy', 'slow', 'healthy', 'failing'] as const;
    const subscriptions = healths.map((health) => ({ ...aSubscription(0), health }));
    const audience = { customerId: 'customer', key: A_KEY, subscriptions };
    const routes = await route(
      [{ customerId: 'customer', events: [event] }],
      new Map([['customer', audience]]),
      'capture.example',
      noFilters,
    );
    const order = routes.map(({ subscription }) =>
      subscriptions.findIndex(({ id }) => id === subscription.id),
    );
    expect(order).toEqual([1, 3, 0, 2, 4]);
  });

  it('customers of one batch take turns', async () => {
    const of = (customerId: string, count: number) =>
      Array.from({ length: count }, () => ({ ...aSubscription(0), customerId }));
    const audiences = new Map(
      [of('a', 3), of('b', 1), of('c', 2)].map((subscriptions) => {
        const customerId = subscriptions[0]?.customerId ?? '';
        return [customerId, { customerId, key: A_KEY, subscriptions }];
      }),
    );
    const groups = ['a', 'b', 'c'].map((customerId) => ({ customerId, events: [{ ...event, customerId }] }));
    const routes = await route(groups, audiences, 'capture.example', noFilters);
    expect(routes.map(({ subscription }) => subscription.customerId).join('')).toBe('abcaca');
  });

  it('two events under one id are one event, with the first content', async () => {
    const subscriptions = [{ ...aSubscription(0), customerId: 'customer' }];
    const audience = { customerId: 'customer', key: A_KEY, subscriptions };
    const events = [event, { ...event, entityType: 'other' }];
    const [only] = await route(
      [{ customerId: 'customer', events }],
      new Map([['customer', audience]]),
      'x',
      noFilters,
    );
    expect(only?.events).toEqual([event]);
  });

  it('a slice goes only to the subscriptions that it names', async () => {
    const subscriptions = [1, 2, 3].map(() => ({ ...aSubscription(0), customerId: 'customer' }));
    const audience = { customerId: 'customer', key: A_KEY, subscriptions };
    const named = subscriptions[1]?.id ?? '';
    const group = { customerId: 'customer', events: [event], subscriptionIds: new Set([named]) };
    const routes = await route([group], new Map([['customer', audience]]), 'capture.example', noFilters);
    expect(routes.map(({ subscription }) => subscription.id)).toEqual([named]);
    expect(widthOf(group, subscriptions)).toEqual({ deliveries: 1, steps: 0 });
  });

  it('an event goes to the subscriptions whose filters it passes', async () => {
    const [user, admin, any] = [1, 2, 3].map((index) => ({
      ...aSubscription(0),
      customerId: 'customer',
      filterSteps: index === 3 ? 0 : 10,
    })) as [Subscription, Subscription, Subscription];
    const subscriptions = [user, admin, any];
    const filterFor = (entityType: string) => ({
      version: 1,
      filter: { properties: { entityCreated: { properties: { entityType: { const: entityType } } } } },
    });
    const load = async (ids: readonly string[]) => {
      expect(ids).toEqual([user.id, admin.id]);
      return new Map([
        [user.id, filterFor('user')],
        [admin.id, filterFor('admin')],
      ]);
    };
    const group = { customerId: 'customer', events: [{ ...event, entityType: 'user' }] };
    expect(widthOf(group, subscriptions)).toEqual({ deliveries: 3, steps: 20 });
    const audience = { customerId: 'customer', key: A_KEY, subscriptions };
    const routes = await route([group], new Map([['customer', audience]]), 'capture.example', load);
    expect(routes.map(({ subscription }) => subscription.id)).toEqual([user.id, any.id]);
  });

  it('a filter whose steps are not counted yet is taken for the slowest that is accepted', () => {
    const group = { customerId: 'customer', events: [event, event] };
    const subscriptions = [{ ...aSubscription(0), filterSteps: null }];
    expect(widthOf(group, subscriptions)).toEqual({ deliveries: 2, steps: 2 * FILTER_MAX_STEPS });
  });
});
