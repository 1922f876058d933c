import { describe, expect, it } from 'vitest';
import { route } from '../../src/delivery/route.ts';
import type { IdentityEvent } from '../../src/domain/event.ts';
import { aSubscription } from '../support/delivery-fixtures.ts';

const event = { id: 'event', type: 'entityCreated', customerId: 'customer' } as IdentityEvent;

describe('the routes of an event', () => {
  it('an event goes to subscriptions with healthy endpoints first, in their given order', () => {
    const healths = ['failing', 'healthy', 'slow', 'healthy', 'failing'] as const;
    const subscriptions = healths.map((health) => ({ ...aSubscription(0), health }));
    const audience = { customerId: 'customer', kid: 'kid', subscriptions };
    const routes = route([event], new Map([['customer', audience]]), 'capture.example');
    const order = routes.map(({ subscription }) =>
      subscriptions.findIndex(({ id }) => id === subscription.id),
    );
    expect(order).toEqual([1, 3, 0, 2, 4]);
  });
});
