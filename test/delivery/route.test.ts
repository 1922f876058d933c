import { describe, expect, it } from 'vitest';
import { route, widthOf } from '../../src/delivery/route.ts';
import type { IdentityEvent } from '../../src/domain/event.ts';
import { aSubscription } from '../support/delivery-fixtures.ts';

const event = { id: 'event', type: 'entityCreated', customerId: 'customer' } as IdentityEvent;

describe('the routes of an event', () => {
  it('an event goes to subscriptions with healthy endpoints first, in their given order', () => {
    const healths = ['failing', 'healthy', 'slow', 'healthy', 'failing'] as const;
    const subscriptions = healths.map((health) => ({ ...aSubscription(0), health }));
    const audience = { customerId: 'customer', kid: 'kid', subscriptions };
    const routes = route(
      [{ customerId: 'customer', events: [event] }],
      new Map([['customer', audience]]),
      'capture.example',
    );
    const order = routes.map(({ subscription }) =>
      subscriptions.findIndex(({ id }) => id === subscription.id),
    );
    expect(order).toEqual([1, 3, 0, 2, 4]);
  });

  it('customers of one batch take turns', () => {
    const of = (customerId: string, count: number) =>
      Array.from({ length: count }, () => ({ ...aSubscription(0), customerId }));
    const audiences = new Map(
      [of('a', 3), of('b', 1), of('c', 2)].map((subscriptions) => {
        const customerId = subscriptions[0]?.customerId ?? '';
        return [customerId, { customerId, kid: 'kid', subscriptions }];
      }),
    );
    const groups = ['a', 'b', 'c'].map((customerId) => ({ customerId, events: [{ ...event, customerId }] }));
    const routes = route(groups, audiences, 'capture.example');
    expect(routes.map(({ subscription }) => subscription.customerId).join('')).toBe('abcaca');
  });

  it('two events under one id are one event, with the first content', () => {
    const subscriptions = [{ ...aSubscription(0), customerId: 'customer' }];
    const audience = { customerId: 'customer', kid: 'kid', subscriptions };
    const events = [event, { ...event, entityType: 'other' }];
    const [only] = route([{ customerId: 'customer', events }], new Map([['customer', audience]]), 'x');
    expect(only?.events).toEqual([event]);
  });

  it('a slice goes only to the subscriptions that it names', () => {
    const subscriptions = [1, 2, 3].map(() => ({ ...aSubscription(0), customerId: 'customer' }));
    const audience = { customerId: 'customer', kid: 'kid', subscriptions };
    const named = subscriptions[1]?.id ?? '';
    const group = { customerId: 'customer', events: [event], subscriptionIds: new Set([named]) };
    const routes = route([group], new Map([['customer', audience]]), 'capture.example');
    expect(routes.map(({ subscription }) => subscription.id)).toEqual([named]);
    expect(widthOf(group, subscriptions)).toBe(1);
  });
});
