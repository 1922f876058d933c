/** What an operator sees of a running service (contract 10.5). */
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { until } from '../support/until.ts';
import { anEvent, call, newCustomer, newSubscription, type TestSubscription } from '../support/world.ts';

interface Line {
  readonly event: string;
  readonly [field: string]: unknown;
}

/** Records the log until the test ends. It can be read as one text, or as the lines about one subscription. */
function readLog() {
  const texts: string[] = [];
  for (const level of ['debug', 'info', 'warn', 'error', 'log'] as const) {
    const spy = vi.spyOn(console, level).mockImplementation((...parts) => {
      texts.push(parts.map(String).join(' '));
    });
    onTestFinished(() => spy.mockRestore());
  }
  return {
    text: () => texts.join('\n'),
    linesOf: (subscription: TestSubscription): Line[] =>
      texts.filter((text) => text.includes(subscription.id)).map((text) => JSON.parse(text) as Line),
  };
}

describe('GET /healthz', () => {
  it('GET /healthz answers anybody that the service is up', async () => {
    expect(await call('GET', '/healthz')).toMatchObject({ status: 200, body: { status: 'ok' } });
  });
});

describe('the log', () => {
  it('a failed attempt has one wide log line', async () => {
    const log = readLog();
    const subscription = await newSubscription(await newCustomer(), { answers: [{ status: 503 }] });
    const { body } = await subscription.customer.call('POST', '/events', anEvent());
    const eventId = body._embedded.events[0].id as string;
    const [line] = await until(async () => {
      const lines = log.linesOf(subscription).filter(({ event }) => event === 'attempt');
      return lines.length > 0 && lines;
    }, 'the line');
    expect(line).toMatchObject({
      level: 'warn',
      customerId: subscription.customer.id,
      subscriptionId: subscription.id,
      eventId,
      attempt: 1,
      outcome: 'http_error',
      statusCode: 503,
      reason: 'HTTP 503',
      durationMs: expect.any(Number),
      state: 'awaiting-retry',
      attempts: 1,
      nextAttemptAt: expect.stringMatching(/Z$/),
    });
    const attempts = log.linesOf(subscription).filter((one) => one['attempt'] === 1);
    expect(attempts).toHaveLength(1);
  });

  it('successful attempts share log lines that count them', async () => {
    const log = readLog();
    const subscription = await newSubscription(await newCustomer());
    const count = 20;
    await subscription.customer.call(
      'POST',
      '/events',
      Array.from({ length: count }, () => anEvent()),
    );
    const counted = () =>
      log
        .linesOf(subscription)
        .filter(({ event }) => event === 'delivered')
        .reduce((sum, line) => sum + Number(line['count']), 0);
    await until(async () => counted() === count, 'the lines of all successes');
    expect(log.linesOf(subscription).length).toBeLessThan(count);
  });

  it('the log holds no token, no secret and no payload', async () => {
    const log = readLog();
    const description = 'the listener quotes: 726087ec-35df-4041-aec8-c11ecc208efa';
    const subscription = await newSubscription(await newCustomer(), {
      answers: [{ status: 400, body: JSON.stringify({ err: 'invalid_request', description }) }, {}],
    });
    const { customer } = subscription;
    await customer.call('POST', '/events', [anEvent(), anEvent()]);
    const calls = await until(async () => {
      const received = await subscription.listener.calls();
      return received.length === 2 && received;
    }, 'both attempts');
    await until(async () => {
      const events = log.linesOf(subscription).map(({ event }) => event);
      return events.includes('attempt') && events.includes('delivered');
    }, 'both lines');
    expect(log.text()).not.toContain(customer.token);
    expect(log.text()).not.toContain(customer.clientSecret);
    expect(log.text()).not.toContain(anEvent()['sub']);
    for (const { body } of calls) {
      for (const part of body.split('.')) expect(log.text()).not.toContain(part);
    }
  });
});
