import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { createAddressCheck, type Resolver } from '../../src/outbound/address-check.ts';
import { holdClock } from '../support/clock.ts';

type Answer = string[] | 'never' | { readonly code: string };

/** A name service for one host. A test may change its answers later. */
class ScriptedResolver implements Resolver {
  a: Answer;
  aaaa: Answer;
  readonly asked: string[] = [];

  constructor(a: Answer, aaaa: Answer = []) {
    this.a = a;
    this.aaaa = aaaa;
  }

  resolve4(hostname: string): Promise<string[]> {
    this.asked.push(`A ${hostname}`);
    return give(this.a);
  }

  resolve6(hostname: string): Promise<string[]> {
    this.asked.push(`AAAA ${hostname}`);
    return give(this.aaaa);
  }
}

async function give(answer: Answer): Promise<string[]> {
  if (answer === 'never') return await new Promise(() => {});
  if (Array.isArray(answer)) return answer;
  throw Object.assign(new Error(`query failed: ${answer.code}`), answer);
}

const NAME = 'listener.example.com';
const NONE = { code: 'ENODATA' };

const verdict = async (a: Answer, aaaa: Answer = NONE) =>
  (await createAddressCheck(new ScriptedResolver(a, aaaa))(NAME)).kind;

describe('a public host', () => {
  it('a host is public when every A and AAAA answer is public', async () => {
    expect(await verdict(['8.8.8.8', '1.1.1.1'], ['2606:4700:4700::1111'])).toBe('public');
  });

  it.each([[[]], [NONE], [{ code: 'ENOTFOUND' }]])(
    'a host with public A answers is public without an AAAA answer: %j',
    async (aaaa) => {
      expect(await verdict(['8.8.8.8'], aaaa)).toBe('public');
    },
  );

  it('a host with AAAA answers alone is public', async () => {
    expect(await verdict(NONE, ['2606:4700:4700::1111'])).toBe('public');
  });

  it('a host is public although names of CNAME records are among its addresses', async () => {
    const names = ['edge.example.net.', 'edge.example.net', '1e100.net.'];
    expect(await verdict([...names, '8.8.8.8'], names)).toBe('public');
  });
});

describe('a blocked host', () => {
  it.each<[string[], Answer]>([
    [['127.0.0.1'], NONE],
    [['8.8.8.8', '10.0.0.1'], NONE],
    [['10.0.0.1', '8.8.8.8'], ['2606:4700:4700::1111']],
    [['8.8.8.8'], ['::1']],
    [['8.8.8.8'], ['2606:4700:4700::1111', 'fd00::1']],
    [['8.8.8.8'], ['::ffff:169.254.169.254']],
    [['edge.example.net.', '192.168.0.1'], NONE],
  ])('a host is blocked when one of its answers is not public: %j %j', async (a, aaaa) => {
    expect(await verdict(a, aaaa)).toBe('blocked');
  });

  it('a host is blocked by an answer of digits and colons that is not an address', async () => {
    expect(await verdict(['8.8.8.8', '999.1.1.1'])).toBe('blocked');
    expect(await verdict(['8.8.8.8'], ['1::2::3'])).toBe('blocked');
  });
});

describe('a host without an answer', () => {
  it.each<[string, Answer, Answer]>([
    ['the name does not exist', { code: 'ENOTFOUND' }, { code: 'ENOTFOUND' }],
    ['it has neither record', NONE, NONE],
    ['it has only names of CNAME records', ['edge.example.net.'], []],
    ['its name servers fail', { code: 'ESERVFAIL' }, { code: 'ESERVFAIL' }],
    ['its name servers refuse', { code: 'EREFUSED' }, NONE],
    ['its name servers fail for AAAA alone', ['8.8.8.8'], { code: 'ESERVFAIL' }],
  ])('a host has no answer when %s', async (_, a, aaaa) => {
    expect(await verdict(a, aaaa)).toBe('no answer');
  });
});

describe('an outage of the resolver', () => {
  it.each(['EBADQUERY', 'ETIMEOUT', 'ECONNREFUSED', 'ECANCELLED', 'EUNKNOWN'])(
    'the resolver is away when it fails with %s',
    async (code) => {
      expect(await verdict({ code })).toBe('resolver away');
    },
  );

  it('the resolver is away when it fails for AAAA alone', async () => {
    expect(await verdict(['8.8.8.8'], { code: 'ETIMEOUT' })).toBe('resolver away');
  });

  it('the resolver is away when it says nothing for three seconds', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const asked = verdict(['8.8.8.8'], 'never');
    let settled = false;
    void asked.then(() => {
      settled = true;
    });
    await vi.advanceTimersByTimeAsync(2999);
    expect(settled).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(await asked).toBe('resolver away');
  });
});

describe('a remembered verdict', () => {
  it('a verdict is remembered for a minute and no longer', async () => {
    const clock = holdClock();
    const resolver = new ScriptedResolver(['8.8.8.8']);
    const check = createAddressCheck(resolver);
    expect((await check(NAME)).kind).toBe('public');
    resolver.a = ['127.0.0.1'];
    clock.advance(59_999);
    expect((await check(NAME)).kind).toBe('public');
    expect(resolver.asked).toEqual([`A ${NAME}`, `AAAA ${NAME}`]);
    clock.advance(1);
    expect((await check(NAME)).kind).toBe('blocked');
    resolver.a = ['8.8.8.8'];
    expect((await check(NAME)).kind).toBe('blocked');
  });

  it('a verdict is remembered for its own host alone', async () => {
    const resolver = new ScriptedResolver(['8.8.8.8']);
    const check = createAddressCheck(resolver);
    await check(NAME);
    resolver.a = ['127.0.0.1'];
    expect((await check('other.example.com')).kind).toBe('blocked');
  });

  it('no verdict is remembered when there was no answer or the resolver was away', async () => {
    const resolver = new ScriptedResolver({ code: 'ESERVFAIL' });
    const check = createAddressCheck(resolver);
    expect((await check(NAME)).kind).toBe('no answer');
    resolver.a = { code: 'EBADQUERY' };
    expect((await check(NAME)).kind).toBe('resolver away');
    resolver.a = ['8.8.8.8'];
    expect((await check(NAME)).kind).toBe('public');
  });
});
