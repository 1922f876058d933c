import { describe, expect, it } from 'vitest';
import { refOf } from '../../src/domain/subscription.ts';
import { NewSubscription } from '../../src/domain/subscription-body.ts';

const body = {
  title: 'Profile sync',
  endpoint: 'https://listener.example.com/hooks',
  events: ['entityCreated'],
};

const faulty = (changes: Record<string, unknown>) => {
  const parsed = NewSubscription.safeParse({ ...body, ...changes });
  return parsed.success ? [] : parsed.error.issues.map((issue) => issue.path.join('.'));
};

describe('the body of a new subscription', () => {
  it('a new subscription is enabled unless its body says otherwise', () => {
    expect(NewSubscription.parse(body)).toEqual({ ...body, enabled: true });
    expect(NewSubscription.parse({ ...body, enabled: false }).enabled).toBe(false);
  });

  it('a new subscription has each event type once, in the order given', () => {
    const events = ['entityUpdated', 'entityCreated', 'entityUpdated'];
    expect(NewSubscription.parse({ ...body, events }).events).toEqual(['entityUpdated', 'entityCreated']);
  });

  it('a new subscription may have no event type at all', () => {
    expect(faulty({ events: [] })).toEqual([]);
  });

  it('read-only and unknown keys of a new subscription are ignored', () => {
    const echoed = { id: 'x', customerId: 5, createdAt: null, updatedAt: {}, _links: [], color: 'red' };
    expect(NewSubscription.parse({ ...body, ...echoed })).toEqual({ ...body, enabled: true });
  });

  it('a new subscription has a title of 2 to 200 characters', () => {
    expect(faulty({ title: 'ab' })).toEqual([]);
    expect(faulty({ title: '😀'.repeat(200) })).toEqual([]);
    for (const title of ['a', 'x'.repeat(201), undefined, null, 5])
      expect(faulty({ title })).toEqual(['title']);
  });

  it('the faults of a new subscription are reported all at once', () => {
    expect(faulty({ title: '', endpoint: 5, events: ['entityRead'], enabled: 'yes' })).toEqual([
      'title',
      'endpoint',
      'events.0',
      'enabled',
    ]);
  });
});

describe('the reference of a subscription', () => {
  it('the reference of a subscription has its ids, version, endpoint, proof and whether it is enabled', () => {
    const subscription = {
      ...NewSubscription.parse(body),
      filter: null,
      filterSteps: 0,
      storeTenths: 0,
      id: 'sid',
      customerId: 'cid',
      version: 3,
      health: 'healthy' as const,
      healthSince: 0,
      shards: null,
      proof: 2,
      createdAt: 1,
      updatedAt: 2,
    };
    expect(refOf(subscription)).toEqual({
      customerId: 'cid',
      subscriptionId: 'sid',
      version: 3,
      enabled: true,
      endpoint: 'https://listener.example.com/hooks',
      proof: 2,
    });
  });
});
