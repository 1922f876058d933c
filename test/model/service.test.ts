/** The service on the modelled platform: small copies of the scenarios of `npm run model`, in virtual time. */
import { describe, expect, it } from 'vitest';
import { hot } from '../../tools/model/hot.ts';
import { filters, memory, oneHost, onset, throughput, wide } from '../../tools/model/scenarios.ts';

const options = { seed: 1 };

describe('a publish to several subscriptions', () => {
  it('each event of a wide publish is delivered once and stored, and a small customer does not wait', async () => {
    const size = { customers: 2, subscriptions: 10, events: 20, latency: 20 };
    const { targets, customers } = await wide(size, options);
    expect(targets.filter(({ isMet }) => !isMet)).toEqual([]);
    expect(customers.map(({ name, delivered, repeats }) => [name, delivered, repeats])).toEqual([
      ['2 × wide', 400, 0],
      ['small', 20, 0],
    ]);
  });

  it('a run with the same seed has the same figures, and one with another seed has others', async () => {
    const size = { customers: 1, subscriptions: 5, events: 10, latency: 50 };
    // The runs share an isolate. After this one it has written the lines of the log of this minute.
    await wide(size, options);
    const [one, same, other] = [
      await wide(size, options),
      await wide(size, options),
      await wide(size, { seed: 2 }),
    ];
    expect(same).toEqual(one);
    expect(other.customers).not.toEqual(one.customers);
  });
});

describe('endpoints in trouble', () => {
  it('endpoints that are well get their events as before once health knows the others', async () => {
    const { targets, figures } = await onset(
      { title: 'one of three', everyMs: 500, customers: [[3, 1]] },
      options,
    );
    expect(targets.filter(({ isMet }) => !isMet)).toEqual([]);
    expect(figures['dead letters']).toBe(0);
  });

  it('endpoints that are well get their events at once while others at their host begin to hang', async () => {
    const { targets } = await onset(
      { title: 'five of ten at one host', everyMs: 200, customers: [[10, 5]], isOneHost: true },
      options,
    );
    expect(targets.filter(({ isMet }) => !isMet)).toEqual([]);
  });
});

describe('a hot subscription', () => {
  it('all events of an outage are stored in the end: those of the first seconds an hour later, by the schedule', async () => {
    const load = { customers: 1, callsPerSecond: 2, eventsPerCall: 1, latency: 20, seconds: 420 };
    const { targets, figures } = await hot({ ...load, shards: 2, outage: [10, 400] }, options);
    expect(targets.filter(({ isMet }) => !isMet)).toEqual([]);
    expect(figures['published']).toBe(840);
    expect(figures['drained after, s']).toBeLessThan(1000);
    expect(figures['virtual seconds']).toBeGreaterThan(3600);
  });

  it('a load that leaves the queues empty each second goes on to its end', async () => {
    const load = { customers: 1, callsPerSecond: 1, eventsPerCall: 1, latency: 20, seconds: 90 };
    const { figures } = await hot({ ...load, shards: 1 }, options);
    expect(figures['published']).toBe(90);
  });
});

describe('many subscriptions at one host', () => {
  const size = { subscriptions: 60, messages: 4, events: 4, everyMs: 1000, forMs: 60_000 };

  it.each(['hanging', 'refusing'] as const)(
    'a host that is %s has five requests at once, whatever the number of subscriptions, and no queue turns round',
    async (kind) => {
      const { targets, figures } = await oneHost({ ...size, mood: { kind }, mostAtOnce: 5 }, options);
      expect(targets.filter(({ isMet }) => !isMet)).toEqual([]);
      expect(figures['requests to the host']).toBeLessThanOrEqual(5 * 60);
      expect(figures['queue operations']).toBeLessThan(1500);
    },
  );

  it('a host that answers gets everything', async () => {
    const mood = { kind: 'well', latency: 20 } as const;
    const { targets } = await oneHost({ ...size, mood, mostAtOnce: 1250 }, options);
    expect(targets.filter(({ isMet }) => !isMet)).toEqual([]);
  });
});

describe('what one invocation uses', () => {
  it('quick listeners are served without a request that waits for a connection', async () => {
    const size = { customers: 2, subscriptions: 3, messages: 10, latency: 10, consumers: 2 };
    const { targets, figures } = await throughput('quick', size, options);
    expect(targets.filter(({ isMet }) => !isMet)).toEqual([]);
    expect(figures['waited for a connection']).toBe(0);
  });

  it('events of 60 KB for a few subscriptions stay within the memory of an isolate', async () => {
    const { targets } = await memory({ subscriptions: 3, messages: 10, latency: 20 }, options);
    expect(targets.filter(({ isMet }) => !isMet)).toEqual([]);
  });

  it('the slowest filters of a customer end no invocation, and delay no other customer', async () => {
    const { figures, targets } = await filters(10, 20, options);
    expect(figures['killed invocations']).toBe(0);
    expect(targets.filter(({ isMet }) => !isMet)).toEqual([]);
  });
});
