import { describe, expect, it, vi } from 'vitest';
import { createAddressCheck } from '../../src/outbound/address-check.ts';
import { type Lookup, type Resolver, SERVICE_NAME } from '../../src/outbound/dns-over-https.ts';
import { holdClock, holdTimers } from '../support/clock.ts';

type Answer = string[] | 'never' | 'servers failed' | 'resolver away';

/** A name service for one host. A test may change its answers later. */
class ScriptedService {
  a: Answer;
  aaaa: Answer;
  /** What it answers for its own name. */
  itself: Answer = 'resolver away';
  readonly asked: string[] = [];

  constructor(a: Answer, aaaa: Answer = []) {
    this.a = a;
    this.aaaa = aaaa;
  }

  readonly resolver: Resolver = async (hostname, type): Promise<Lookup> => {
    const isItself = hostname === SERVICE_NAME;
    if (!isItself) this.asked.push(`${type} ${hostname}`);
    const answer = isItself ? this.itself : type === 'A' ? this.a : this.aaaa;
    if (answer === 'never') return await new Promise(() => {});
    return Array.isArray(answer) ? { kind: 'addresses', addresses: answer } : { kind: answer };
  };
}

const NAME = 'listener.example.com';
const BOTH = [`A ${NAME}`, `AAAA ${NAME}`];
const MINUTE_MS = 60_000;

const verdict = async (a: Answer, aaaa: Answer = []) =>
  (await createAddressCheck(new ScriptedService(a, aaaa).resolver)(NAME)).kind;

describe('a public host', () => {
  it('a host is public when every A and AAAA answer is public', async () => {
    expect(await verdict(['8.8.8.8', '1.1.1.1'], ['2606:4700:4700::1111'])).toBe('public');
  });

  it('a host with public A answers is public without an AAAA answer', async () => {
    expect(await verdict(['8.8.8.8'], [])).toBe('public');
  });

  it('a host with AAAA answers alone is public', async () => {
    expect(await verdict([], ['2606:4700:4700::1111'])).toBe('public');
  });
});

describe('a blocked host', () => {
  it.each<[string[], Answer]>([
    [['127.0.0.1'], []],
    [['8.8.8.8', '10.0.0.1'], []],
    [['10.0.0.1', '8.8.8.8'], ['2606:4700:4700::1111']],
    [['8.8.8.8'], ['::1']],
    [['8.8.8.8'], ['2606:4700:4700::1111', 'fd00::1']],
    [['8.8.8.8'], ['::ffff:169.254.169.254']],
  ])('a host is blocked when one of its answers is not public: %j %j', async (a, aaaa) => {
    expect(await verdict(a, aaaa)).toBe('blocked');
  });

  it.each(['999.1.1.1', '1::2::3', 'edge.example.net.', '', '"127.0.0.1"', '127.1', '8.8', '010.8.8.8'])(
    'a host is blocked by the answer %j, which is not an address',
    async (text) => {
      expect(await verdict(['8.8.8.8', text])).toBe('blocked');
      expect(await verdict(['8.8.8.8'], [text])).toBe('blocked');
    },
  );

  it.each(['servers failed', 'resolver away'] as const)(
    'a host with a private A answer is blocked although the other look-up says %j',
    async (aaaa) => {
      expect(await verdict(['127.0.0.1'], aaaa)).toBe('blocked');
    },
  );
});

describe('a host without an answer', () => {
  it.each<[string, Answer, Answer]>([
    ['it has neither record', [], []],
    ['its name servers fail', 'servers failed', 'servers failed'],
    ['its name servers fail for A alone', 'servers failed', ['2606:4700:4700::1111']],
    ['its name servers fail for AAAA alone', ['8.8.8.8'], 'servers failed'],
  ])('a host has no answer when %s', async (_, a, aaaa) => {
    expect(await verdict(a, aaaa)).toBe('no answer');
  });
});

describe('an outage of the resolver', () => {
  it('the resolver is away when it cannot be asked', async () => {
    expect(await verdict('resolver away', 'resolver away')).toBe('resolver away');
  });

  it('the resolver is away when it fails for AAAA alone', async () => {
    expect(await verdict(['8.8.8.8'], 'resolver away')).toBe('resolver away');
  });

  it('the resolver is away when a look-up rejects', async () => {
    const check = createAddressCheck(() => Promise.reject(new Error('a bug')));
    expect((await check(NAME)).kind).toBe('resolver away');
  });

  it('the resolver is away when it says nothing for three seconds, about its own name neither', async () => {
    holdTimers();
    const service = new ScriptedService(['8.8.8.8'], 'never');
    service.itself = 'never';
    const asked = createAddressCheck(service.resolver)(NAME).then(({ kind }) => kind);
    let settled = false;
    void asked.then(() => {
      settled = true;
    });
    await vi.advanceTimersByTimeAsync(2999);
    expect(settled).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(await asked).toBe('resolver away');
  });

  it.each<[Answer, Answer]>([
    ['never', []],
    [['8.8.8.8'], 'never'],
    ['resolver away', 'resolver away'],
  ])(
    'a host has no answer, for reasons of its own, when the resolver answers for others: %j %j',
    async (a, aaaa) => {
      holdTimers();
      const service = new ScriptedService(a, aaaa);
      service.itself = ['104.16.248.249'];
      const asked = createAddressCheck(service.resolver)(NAME);
      await vi.advanceTimersByTimeAsync(2000);
      expect((await asked).kind).toBe('no answer');
    },
  );

  it('one connection is enough for the look-ups of a host', async () => {
    const open: (() => void)[] = [];
    let most = 0;
    const check = createAddressCheck(async () => {
      await new Promise<void>((resolve) => {
        open.push(resolve);
        most = Math.max(most, open.length);
      });
      return { kind: 'addresses', addresses: ['8.8.8.8'] };
    });
    const asked = check(NAME);
    for (let turn = 0; turn < 20; turn++) {
      open.shift()?.();
      await Promise.resolve();
    }
    expect((await asked).kind).toBe('public');
    expect(most).toBe(1);
  });

  it('a host is asked about once in five seconds while the resolver is away', async () => {
    const clock = holdClock();
    const service = new ScriptedService('resolver away');
    const check = createAddressCheck(service.resolver);
    await check(NAME);
    service.a = ['8.8.8.8'];
    clock.advance(4999);
    expect((await check(NAME)).kind).toBe('resolver away');
    expect(service.asked).toEqual(BOTH);
    clock.advance(1);
    expect((await check(NAME)).kind).toBe('public');
  });
});

describe('a remembered verdict', () => {
  it('a verdict is remembered for a minute and no longer', async () => {
    const clock = holdClock();
    const service = new ScriptedService(['8.8.8.8']);
    const check = createAddressCheck(service.resolver);
    expect((await check(NAME)).kind).toBe('public');
    service.a = ['127.0.0.1'];
    clock.advance(59_999);
    expect((await check(NAME)).kind).toBe('public');
    expect(service.asked).toEqual(BOTH);
    clock.advance(1);
    expect((await check(NAME)).kind).toBe('blocked');
    service.a = ['8.8.8.8'];
    expect((await check(NAME)).kind).toBe('blocked');
  });

  it('a verdict is remembered for its own host alone', async () => {
    const service = new ScriptedService(['8.8.8.8']);
    const check = createAddressCheck(service.resolver);
    await check(NAME);
    service.a = ['127.0.0.1'];
    expect((await check('other.example.com')).kind).toBe('blocked');
  });

  it('no verdict is remembered when there was no answer', async () => {
    const service = new ScriptedService('servers failed');
    const check = createAddressCheck(service.resolver);
    expect((await check(NAME)).kind).toBe('no answer');
    service.a = [];
    expect((await check(NAME)).kind).toBe('no answer');
    service.a = ['8.8.8.8'];
    expect((await check(NAME)).kind).toBe('public');
  });

  it('the host whose look-up is the oldest is forgotten when there is room for no other', async () => {
    const clock = holdClock();
    const service = new ScriptedService(['8.8.8.8']);
    const check = createAddressCheck(service.resolver, 2);
    await check('a.example.com');
    await check('b.example.com');
    clock.advance(MINUTE_MS);
    await check('a.example.com');
    await check('c.example.com');
    service.asked.length = 0;
    for (const host of ['a', 'c', 'b']) await check(`${host}.example.com`);
    expect(service.asked).toEqual(['A b.example.com', 'AAAA b.example.com']);
  });
});

describe('the last verdict while no look-up succeeds', () => {
  it.each([
    ['resolver away', ['8.8.8.8'], 'public'],
    ['resolver away', ['127.0.0.1'], 'blocked'],
    ['servers failed', ['8.8.8.8'], 'public'],
    ['servers failed', ['127.0.0.1'], 'blocked'],
  ] as const)(
    'the last verdict counts until it is ten minutes old while every look-up says %j: %j',
    async (failed, addresses, last) => {
      const clock = holdClock();
      const service = new ScriptedService([...addresses]);
      const check = createAddressCheck(service.resolver);
      await check(NAME);
      service.a = failed;
      const kind = failed === 'servers failed' ? 'no answer' : 'resolver away';
      clock.advance(10 * MINUTE_MS - 1000);
      expect(await check(NAME)).toEqual({ kind, last });
      clock.advance(999);
      expect(await check(NAME)).toEqual({ kind, last });
      clock.advance(1);
      expect(await check(NAME)).toEqual({ kind, last: 'unknown' });
    },
  );

  it('the last verdict does not count once the name has no address', async () => {
    const clock = holdClock();
    const service = new ScriptedService(['8.8.8.8']);
    const check = createAddressCheck(service.resolver);
    await check(NAME);
    service.a = [];
    clock.advance(MINUTE_MS);
    expect(await check(NAME)).toEqual({ kind: 'no answer', last: 'unknown' });
    service.a = 'resolver away';
    expect(await check(NAME)).toEqual({ kind: 'resolver away', last: 'unknown' });
  });

  it('a host whose last verdict counts is asked about once in five seconds', async () => {
    const clock = holdClock();
    const service = new ScriptedService(['8.8.8.8']);
    const check = createAddressCheck(service.resolver);
    await check(NAME);
    service.a = 'resolver away';
    clock.advance(MINUTE_MS);
    await check(NAME);
    service.asked.length = 0;
    service.a = ['127.0.0.1'];
    clock.advance(4999);
    expect(await check(NAME)).toEqual({ kind: 'resolver away', last: 'public' });
    expect(service.asked).toEqual([]);
    clock.advance(1);
    expect(await check(NAME)).toEqual({ kind: 'blocked' });
  });
});

describe('look-ups at the same time', () => {
  it('attempts at one host share the look-ups that are under way', async () => {
    const service = new ScriptedService(['8.8.8.8']);
    const check = createAddressCheck(service.resolver);
    const verdicts = await Promise.all([check(NAME), check(NAME), check(NAME)]);
    expect(verdicts.map(({ kind }) => kind)).toEqual(['public', 'public', 'public']);
    expect(service.asked).toEqual(BOTH);
  });

  it('a look-up that never ends is not shared for longer than three seconds', async () => {
    holdTimers();
    const clock = holdClock();
    const service = new ScriptedService('never');
    const check = createAddressCheck(service.resolver);
    const first = check(NAME);
    clock.advance(3000);
    service.a = ['8.8.8.8'];
    expect((await check(NAME)).kind).toBe('public');
    await vi.advanceTimersByTimeAsync(3000);
    expect((await first).kind).toBe('public');
  });
});
