import { describe, expect, it } from 'vitest';
import { holdClock } from '../support/clock.ts';
import { until } from '../support/until.ts';
import { anEvent, newCustomer, newSubscription } from '../support/world.ts';

describe('the summary of a subscription', () => {
  it('the summary counts succeeded, retrying and failed events, and total is their sum', async () => {
    const clock = holdClock();
    const customer = await newCustomer();
    const answers = [{ status: 302 }, { status: 503 }, {}];
    const subscription = await newSubscription(customer, { answers });
    for (const attempts of [1, 2, 3, 4]) {
      await customer.call('POST', '/events', anEvent());
      await until(async () => (await subscription.listener.calls()).length === attempts, 'the attempt');
    }
    const path = `/subscriptions/${subscription.id}/summary`;
    const summary = await until(async () => {
      const { body } = await customer.call('GET', path);
      return body.total === 4 && body;
    }, 'four events');
    expect(summary).toEqual({
      updatedAt: new Date(clock.now()).toISOString(),
      total: 4,
      succeeded: 2,
      retrying: 1,
      failed: 1,
      exportable: 1,
    });
  });

  it('the summary leaves out events older than seven days', async () => {
    const clock = holdClock();
    const customer = await newCustomer();
    const subscription = await newSubscription(customer, { answers: [{ status: 503 }] });
    await customer.call('POST', '/events', anEvent());
    await until(async () => (await subscription.events()).length === 1, 'the event');
    // The seven days begin with an hour.
    clock.advance(7 * 86_400_000 + 3_600_000);
    const { body } = await customer.call('GET', `/subscriptions/${subscription.id}/summary`);
    expect(body).toMatchObject({ total: 0, retrying: 0 });
  });

  it('the summary of a new subscription is all zeros', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer);
    const { status, body } = await customer.call('GET', `/subscriptions/${subscription.id}/summary`);
    expect(status).toBe(200);
    expect(body).toMatchObject({ total: 0, succeeded: 0, retrying: 0, failed: 0, exportable: 0 });
  });
});
