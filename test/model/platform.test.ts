/** The modelled platform keeps the documented limits: consumers, connections, processor time, retries and `waitUntil`. */
import { afterEach, describe, expect, it } from 'vitest';
import { Clock, install } from '../../tools/model/clock.ts';
import { currentInvocation } from '../../tools/model/invocation.ts';
import { createFetch, Hook, HostMeter } from '../../tools/model/listeners.ts';
import { Meters } from '../../tools/model/meters.ts';
import { type Deployment, TIMES } from '../../tools/model/platform.ts';
import { type Handler, ModelQueue } from '../../tools/model/queue.ts';
import { seeded } from '../support/random.ts';

const ENDPOINT = 'https://listener.example.com/';

let restore: () => void = () => {};
afterEach(() => restore());

/** A queue whose consumer is the handler given, and what is counted. */
function aQueue(handler: Handler, settings: Partial<Deployment['consumers'][number]> = {}, others = {}) {
  const [clock, meters, random] = [new Clock(), new Meters(), seeded(1)];
  const hook = new Hook(ENDPOINT, 'customer', { kind: 'well', latency: 1000 }, new HostMeter(), 1);
  const fetch = createFetch(new Map([[ENDPOINT, hook]]), () => 'event', { clock, random, times: TIMES });
  restore = install(clock, random, { fetch });
  const consumer = {
    queue: 'work',
    max_batch_size: 1,
    max_batch_timeout: 0,
    max_retries: 2,
    dead_letter_queue: 'letters',
    ...settings,
  };
  const deployment: Deployment = {
    producers: [],
    objects: [],
    databases: [],
    rateLimits: [],
    vars: {},
    cpuMs: 30_000,
    subrequests: 10_000,
    waitsForWaitUntil: true,
    ...others,
    consumers: [consumer],
  };
  const parts = { clock, meters, random, times: TIMES, scaling: { first: 1, added: 1 }, deployment, handler };
  const letters = new ModelQueue('letters', { ...parts, deadLetterQueue: () => undefined, cpuOf: () => 0 });
  const queue = new ModelQueue('work', { ...parts, deadLetterQueue: () => letters, cpuOf: () => 0 });
  const run = async (messages: number, seconds: number) => {
    await Promise.all([
      queue.binding.sendBatch(Array.from({ length: messages }, (_, body) => ({ body }))),
      clock.run(() => false, clock.startedAt + seconds * 1000),
    ]);
  };
  return { clock, meters, hook, queue, letters, run };
}

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const post = (signal?: AbortSignal) => fetch(ENDPOINT, { body: 'a.b.c', ...(signal && { signal }) });

describe('virtual time', () => {
  it('a digest takes no time of the clock, and is the same as that of the platform', async () => {
    const clock = new Clock();
    const text = new TextEncoder().encode('{"type":"object"}');
    const expected = await crypto.subtle.digest('SHA-256', text);
    restore = install(clock, seeded(1), {});
    // Something is always due, so the clock runs as fast as the machine lets it.
    const tick = () => void clock.at(clock.now + 1, tick);
    tick();
    let digest: ArrayBuffer | undefined;
    clock.at(clock.now + 10, async () => {
      digest = await crypto.subtle.digest('SHA-256', text);
    });
    await clock.run(() => digest !== undefined, clock.startedAt + 1000);
    expect(clock.now - clock.startedAt).toBe(10);
    expect(digest).toEqual(expected);
  });

  it('work that only a thread of the machine can do is refused, for the clock would not wait for it', async () => {
    restore = install(new Clock(), seeded(1), {});
    const data = new Uint8Array(1);
    await expect(crypto.subtle.importKey('raw', data, 'AES-GCM', false, ['encrypt'])).rejects.toThrow(
      'crypto.subtle.importKey does not run in virtual time',
    );
  });
});

describe('consumers of a modelled queue', () => {
  it('one consumer starts, and another is added only when a batch ends while messages wait', async () => {
    const starts: number[] = [];
    const { clock, run } = aQueue(async () => {
      starts.push(Math.floor((clock.now - clock.startedAt) / 1000));
      await wait(10_000);
    });
    await run(10, 100);
    expect(starts).toEqual([0, 10, 10, 20, 20, 20, 20, 30, 30, 30]);
  });

  it('a message that is returned too often goes to the dead letter queue', async () => {
    const { meters, run, letters } = aQueue(async (batch) => batch.messages[0]?.retry({ delaySeconds: 1 }));
    await run(1, 60);
    expect(meters.deliveries.get('work')).toBe(3);
    expect(letters.waiting).toBe(1);
  });

  it('messages without a decision return to the queue when their handler throws', async () => {
    let calls = 0;
    const { run, queue } = aQueue(async () => {
      if (++calls === 1) throw new Error('no');
    });
    await run(1, 60);
    expect([calls, queue.waiting]).toEqual([2, 0]);
  });
});

describe('limits of a modelled invocation', () => {
  it('a seventh request waits until one of six has its headers, and its time limit runs meanwhile', async () => {
    const outcomes: string[] = [];
    const { run, hook, meters } = aQueue(async () => {
      const ask = (signal?: AbortSignal) =>
        post(signal).then(
          () => outcomes.push('answered'),
          () => outcomes.push('timed out'),
        );
      await Promise.all([...Array.from({ length: 6 }, () => ask()), ask(AbortSignal.timeout(900)), ask()]);
    });
    await run(1, 60);
    expect(outcomes).toEqual(['timed out', ...Array(7).fill('answered')]);
    expect([hook.requests, meters.queuedForConnection]).toEqual([7, 2]);
  });

  it('a send to a queue needs one of the six connections', async () => {
    let sentAt = 0;
    const { clock, run, letters } = aQueue(async () => {
      const posts = Array.from({ length: 6 }, () => post());
      await letters.binding.send('letter');
      sentAt = clock.now - clock.startedAt;
      await Promise.all(posts);
    });
    await run(1, 60);
    expect(sentAt).toBeGreaterThan(1000);
  });

  it('an invocation beyond its processor time dies, and its message comes again', async () => {
    let calls = 0;
    const { run, meters, queue } = aQueue(
      async () => {
        calls++;
        for (let work = 0; work < 10; work++) {
          currentInvocation()?.work(calls === 1 ? 20 : 1);
          await wait(1);
        }
      },
      {},
      { cpuMs: 100 },
    );
    await run(1, 60);
    expect([calls, meters.killed.get('cpu'), queue.waiting]).toEqual([2, 1, 0]);
  });

  it('requests beyond the limit of subrequests fail with the words of the platform', async () => {
    const errors: string[] = [];
    const { run } = aQueue(
      async () => {
        for (let left = 4; left > 0; left--) await post().catch((error: Error) => errors.push(error.message));
      },
      {},
      { subrequests: 3 },
    );
    await run(1, 60);
    expect(errors).toEqual(['Too many subrequests by single Worker invocation.']);
  });
});

describe('waitUntil in a modelled invocation', () => {
  const parking =
    (ms: number, done: number[], clock: () => Clock): Handler =>
    async (_, context) => {
      context.waitUntil(wait(ms).then(() => done.push(Math.round(clock().now - clock().startedAt))));
    };

  it('a batch ends with its handler when the flag is set, and the work goes on for 30 s', async () => {
    const done: number[] = [];
    const { clock, run, meters, queue } = aQueue(
      parking(29_000, done, () => clock),
      {},
      { waitsForWaitUntil: false },
    );
    await run(2, 100);
    expect(done).toHaveLength(2);
    expect(Math.max(...done)).toBeLessThan(30_000);
    expect([queue.waiting, meters.drained]).toEqual([0, 0]);
  });

  it('work that takes longer than 30 s is canceled, and its message does not come again', async () => {
    const done: number[] = [];
    const { clock, run, meters } = aQueue(
      parking(31_000, done, () => clock),
      {},
      { waitsForWaitUntil: false },
    );
    await run(1, 100);
    expect([done, meters.drained, meters.deliveries.get('work')]).toEqual([[], 1, 1]);
  });

  it('a batch ends with its last promise when the flag is not set', async () => {
    const done: number[] = [];
    const { clock, run } = aQueue(
      parking(31_000, done, () => clock),
      {},
      { waitsForWaitUntil: true },
    );
    await run(2, 100);
    expect(done.map((ms) => Math.floor(ms / 1000))).toEqual([31, 62]);
  });
});
