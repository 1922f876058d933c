import { describe, expect, it } from 'vitest';
import { route } from '../../src/delivery/route.ts';
import type { IdentityEvent } from '../../src/domain/event.ts';
import { aSubscription } from '../support/delivery-fixtures.ts';

const event = { id: 'event', type: 'entityCreated', customerId: 'customer' } as IdentityEvent;

describe('the subscriptions that hear of an event', () => {
  it('are those with healthy endpoints first, each in its order', () => {
    const healths = ['failing', 'healthy', 'slow', 'healthy', 'failing'] as const;
    const subscriptions = healths.map((health) => ({ ...aSubscription(0), health }));
    const audience = { customerId: 'customer', kid: 'kid', subscriptions };
    const { routes } = route([event], new Map([['customer', audience]]), 'capture.example');
    const order = routes.map(({ subscription }) =>
      subscriptions.findIndex(({ id }) => id === subscription.id),
    );
    expect(order).toEqual([1, 3, 0, 2, 4]);
  });
});
