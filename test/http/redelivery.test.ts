import { describe, expect, it } from 'vitest';
import { holdClock } from '../support/clock.ts';
import { until } from '../support/until.ts';
import { anEvent, newCustomer, newSubscription, type TestSubscription } from '../support/world.ts';

const DAY_MS = 86_400_000;

async function failed(subscription: TestSubscription, count = 1): Promise<string[]> {
  const events = Array.from({ length: count }, () => anEvent());
  const published = await subscription.customer.call('POST', '/events', events);
  const ids = published.body._embedded.events.map(({ id }: { id: string }) => id) as string[];
  for (const id of ids) await untilState(subscription, id, 'failure');
  return ids;
}

async function untilState(subscription: TestSubscription, id: string, state: string, attempts?: number) {
  return await until(async () => {
    const event = await subscription.event(id);
    return event.state === state && (attempts === undefined || event.attempts === attempts) && event;
  }, `${state} of ${id}`);
}

function redeliver(subscription: TestSubscription, id: string) {
  return subscription.customer.call('POST', `/subscriptions/${subscription.id}/events/${id}/redeliver`);
}

describe('redelivery of one event', () => {
  it('a redelivery sends the stored token byte for byte and continues the history', async () => {
    const subscription = await newSubscription(await newCustomer(), { answers: [{ status: 302 }, {}] });
    const [id = ''] = await failed(subscription);
    const answer = await redeliver(subscription, id);
    expect(answer.status).toBe(202);
    expect(answer.body).toMatchObject({ id, state: 'awaiting-executing', attempts: 1 });
    await subscription.ring();
    await untilState(subscription, id, 'success', 2);
    const [first, second] = await subscription.listener.calls();
    expect(second?.body).toBe(first?.body);
    const history = await subscription.history(id);
    expect(history.map(({ state, attempts }) => `${state} ${attempts}`)).toEqual([
      'awaiting-executing 0',
      'executing 1',
      'failure 1',
      'awaiting-executing 1',
      'executing 2',
      'success 2',
    ]);
  });

  it('a redelivery starts the schedule again: one attempt and five retries', async () => {
    const clock = holdClock();
    const answers = [{ status: 302 }, { status: 500 }];
    const subscription = await newSubscription(await newCustomer(), { answers });
    const [id = ''] = await failed(subscription);
    await redeliver(subscription, id);
    await subscription.ring();
    for (const [index, wait] of [3_000, 30_000, 300_000, 3_600_000, DAY_MS].entries()) {
      const event = await untilState(subscription, id, 'awaiting-retry', index + 2);
      expect(Date.parse(event.nextAttemptAt)).toBe(clock.now() + wait);
      clock.advance(wait);
      await subscription.ring();
    }
    await untilState(subscription, id, 'failure', 7);
  });

  it('a redelivery gets a 409 from any state except failure', async () => {
    const subscription = await newSubscription(await newCustomer(), { answers: [{}, { status: 503 }] });
    const published = await subscription.customer.call('POST', '/events', anEvent());
    const id = published.body._embedded.events[0].id as string;
    await untilState(subscription, id, 'success');
    const expected = {
      status: 409,
      body: { status: 409, title: 'Conflict', details: 'Event is not in a failed state' },
    };
    expect(await redeliver(subscription, id)).toMatchObject(expected);
    const second = await subscription.customer.call('POST', '/events', anEvent());
    const waiting = second.body._embedded.events[0].id as string;
    await untilState(subscription, waiting, 'awaiting-retry');
    expect(await redeliver(subscription, waiting)).toMatchObject(expected);
  });

  it('a subscription accepts one redelivery a minute; refused calls do not count', async () => {
    const clock = holdClock();
    const subscription = await newSubscription(await newCustomer(), { answers: [{ status: 302 }] });
    const [first = '', second = ''] = await failed(subscription, 2);
    expect((await redeliver(subscription, crypto.randomUUID())).status).toBe(404);
    expect((await redeliver(subscription, first)).status).toBe(202);
    clock.advance(20_000);
    const refused = await redeliver(subscription, second);
    expect(refused.status).toBe(429);
    expect(refused.headers.get('retry-after')).toBe('40');
    expect(refused.body).toMatchObject({
      type: '/too-many-requests',
      status: 429,
      title: 'Too Many Requests',
    });
    clock.advance(40_000);
    expect((await redeliver(subscription, second)).status).toBe(202);
  });

  it('a redelivery gets a 404 when the event is unknown or expired, or its id is not a UUID', async () => {
    const clock = holdClock();
    const subscription = await newSubscription(await newCustomer(), { answers: [{ status: 302 }] });
    const [id = ''] = await failed(subscription);
    const body = { type: '/not-found', status: 404, title: 'Not Found', details: 'Event not found' };
    expect(await redeliver(subscription, crypto.randomUUID())).toMatchObject({ status: 404, body });
    expect(await redeliver(subscription, 'nonsense')).toMatchObject({ status: 404, body });
    clock.advance(7 * DAY_MS);
    expect(await redeliver(subscription, id)).toMatchObject({ status: 404, body });
  });

  it('the history keeps every attempt of an event that is redelivered 40 times', async () => {
    const clock = holdClock();
    const subscription = await newSubscription(await newCustomer(), { answers: [{ status: 302 }] });
    const [id = ''] = await failed(subscription);
    for (let run = 1; run <= 40; run++) {
      clock.advance(60_000);
      expect((await redeliver(subscription, id)).status).toBe(202);
      await subscription.ring();
      await untilState(subscription, id, 'failure', run + 1);
    }
    const history = await subscription.history(id);
    expect(history).toHaveLength(3 * 41);
    expect(history.map(({ attempts }) => attempts)).toEqual(
      history.map(({ attempts }) => attempts).sort((a, b) => a - b),
    );
  });
});
