/** A store with deliveries for two hosts: what one host gives no place for delays nothing for the other. */
import { evictDurableObject, runDurableObjectAlarm } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import { hostLimitStub } from '../support/host-limit.ts';
import { Bench } from '../support/store-bench.ts';

/** Takes all places of the host of the present endpoint, for a day. */
async function takeAll({ ref }: Bench): Promise<void> {
  const all = { id: 'other', want: 5, left: 0, succeeded: 0, failedStarts: [], leaseMs: 86_400_000 };
  await hostLimitStub(ref.customerId, ref.endpoint).visit(all);
}

/** A bench whose first endpoint has no place left, with deliveries that are due there; then a PATCH names another host. */
async function moved(due: number): Promise<Bench> {
  const bench = new Bench({ endpoint: 'https://full.example/' });
  await takeAll(bench);
  await bench.held(due);
  await bench.patch({ endpoint: 'https://present.example/' });
  bench.clock.advance(1);
  return bench;
}

describe('a store with deliveries for two hosts', () => {
  it('what a former endpoint without places has waiting goes out at the limit of its host, after a PATCH too', async () => {
    const bench = new Bench({ endpoint: 'https://full.example/' });
    const host = hostLimitStub(bench.ref.customerId, bench.ref.endpoint);
    const due = new Set(await bench.held(500));
    await bench.patch({ endpoint: 'https://present.example/' });
    let sent = 0;
    for (let second = 0; second < 10; second++) {
      bench.clock.advance(1000);
      const now = (await bench.ring()).filter((id) => due.has(id)).length;
      expect(now).toBeLessThanOrEqual(5);
      sent += now;
      // Each of them fails at once.
      const failedStarts = Array.from({ length: now }, () => bench.clock.now());
      await host.visit({ id: 'consumer', want: 0, left: 0, succeeded: 0, failedStarts, leaseMs: 1 });
    }
    expect(sent).toBeGreaterThan(0);
    expect(sent).toBeLessThanOrEqual(50);
  });

  it('a sixth host has its turn, however much is due at five others', async () => {
    const bench = new Bench({ endpoint: 'https://host0.example/' });
    for (let host = 0; host < 5; host++) {
      await bench.patch({ endpoint: `https://host${host}.example/` });
      await bench.held(600);
    }
    bench.clock.advance(1);
    await bench.patch({ endpoint: 'https://last.example/' });
    const [id = ''] = await bench.held(1);
    bench.clock.advance(1);
    const rung: string[] = [];
    for (let times = 0; times < 30; times++) rung.push(...(await bench.ringNext()));
    expect(rung).toContain(id);
  });

  it('a delivery for one host does not wait for the turn of another host', async () => {
    const bench = await moved(40);
    await bench.ring();
    const [id = ''] = await bench.held(1);
    const before = bench.clock.now();
    expect(await bench.ringNext()).toContain(id);
    expect(bench.clock.now() - before).toBeLessThanOrEqual(1000);
  });

  it('a thousand deliveries that wait for one host hide none for another', async () => {
    const bench = await moved(1000);
    const [id = ''] = await bench.held(1);
    const rung = [...(await bench.ring()), ...(await bench.ringNext()), ...(await bench.ringNext())];
    expect(rung).toContain(id);
  });

  it.each([
    ['one host with sixty endpoints', (n: number) => `https://full.example/${n}`],
    ['sixty hosts', (n: number) => `https://full${n}.example/`],
  ])('a store asks %s without places once, and then waits', async (_, endpointOf) => {
    const bench = new Bench({ endpoint: endpointOf(0) });
    for (let n = 0; n < 60; n++) {
      await bench.patch({ endpoint: endpointOf(n) });
      await takeAll(bench);
      await bench.held(1);
    }
    await bench.patch({ endpoint: 'https://present.example/' });
    const [id = ''] = await bench.held(1);
    bench.clock.advance(1);
    const before = bench.clock.now();
    const rung: string[] = [];
    for (let times = 0; times < 20 && bench.clock.now() === before; times++) {
      rung.push(...(await bench.ringNext()));
    }
    expect(rung).toEqual([id]);
    expect(bench.clock.now()).toBeGreaterThan(before);
  });

  it('a dispatch that is to be sent again waits for its host, and rings no alarm meanwhile', async () => {
    const bench = new Bench({ endpoint: 'https://full.example/' });
    await bench.held(1);
    await bench.ring();
    // A host that is forgotten has its first five places again.
    await evictDurableObject(hostLimitStub(bench.ref.customerId, bench.ref.endpoint));
    await takeAll(bench);
    bench.clock.advance(120_000);
    await runDurableObjectAlarm(bench.store);
    // The host says how long: three quarters of its shortest turn at least.
    expect(await bench.alarm()).toBeGreaterThan(bench.clock.now() + 1000);
  });

  it('new deliveries for a host without places ring the alarm once a second at most', async () => {
    const bench = new Bench({ endpoint: 'https://full.example/' });
    await takeAll(bench);
    await bench.held(40);
    let rung = 0;
    const until = bench.clock.now() + 1000;
    while (bench.clock.now() < until) {
      if (((await bench.alarm()) ?? until) <= bench.clock.now()) {
        await runDurableObjectAlarm(bench.store);
        rung++;
      }
      bench.clock.advance(50);
      await bench.held(1);
    }
    expect(rung).toBe(1);
  });
});
