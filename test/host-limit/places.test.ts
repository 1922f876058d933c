import { describe, expect, it } from 'vitest';
import { hostOf } from '../../src/host-limit/client.ts';
import { Places } from '../../src/host-limit/places.ts';
import type { Visit } from '../../src/host-limit/rpc.ts';

const LEASE_MS = 34_000;

/** A host on a clock of its own. Jitter is left out: the random part is in the middle. */
class Host {
  readonly #places = new Places(() => 0.5);
  now = 1_000_000;

  /** @param visit `failed` requests, which began a while ago */
  visit(id: string, { failed = 0, ...visit }: Partial<Visit> & { failed?: number }, agoMs = 0) {
    const failedStarts = Array.from({ length: failed }, () => this.now - agoMs);
    const all = { id, want: 0, left: 0, succeeded: 0, failedStarts, leaseMs: LEASE_MS, ...visit };
    return this.#places.visit(all, this.now);
  }

  granted(id: string, want: number): number {
    return this.visit(id, { want }).granted;
  }
}

describe('the places of a host', () => {
  it('a host that has not answered gives five places to all together', () => {
    const host = new Host();
    expect([host.granted('a', 3), host.granted('b', 3), host.granted('c', 1)]).toEqual([3, 2, 0]);
    host.visit('a', { left: 2 });
    expect(host.granted('c', 5)).toBe(2);
  });

  it('places come back when their lease lapses, because their holder is dead', () => {
    const host = new Host();
    host.granted('a', 5);
    host.now += LEASE_MS - 1;
    expect(host.granted('b', 5)).toBe(0);
    host.now += 1;
    expect(host.granted('b', 5)).toBe(5);
  });

  it('places that a dead holder returns late are not returned twice', () => {
    const host = new Host();
    host.granted('a', 5);
    host.now += LEASE_MS;
    host.granted('b', 5);
    host.visit('a', { left: 5 });
    expect(host.granted('c', 1)).toBe(0);
  });

  it('each success adds a place, so a full round doubles them, up to 1,250', () => {
    const host = new Host();
    const rounds: number[] = [];
    for (let round = 0; round < 10; round++) {
      const granted = host.granted('a', 2000);
      rounds.push(granted);
      host.visit('a', { left: granted, succeeded: granted });
    }
    expect(rounds).toEqual([5, 10, 20, 40, 80, 160, 320, 640, 1250, 1250]);
  });

  it('a failure among successes takes two places, and five in a row leave five', () => {
    const host = new Host();
    host.visit('a', { succeeded: 95 });
    host.visit('a', { succeeded: 1, failed: 1 });
    expect(host.granted('b', 2000)).toBe(99);
    host.visit('b', { left: 99, failed: 4 });
    expect(host.granted('b', 2000)).toBe(91);
    host.visit('b', { left: 91, failed: 1 });
    expect(host.granted('b', 2000)).toBe(5);
  });

  it('failures of requests that began before the last success take two places each, and are no row', () => {
    const host = new Host();
    host.visit('a', { succeeded: 95 });
    host.now += 8000;
    expect(host.visit('a', { failed: 20 }, 10_000).isAnswering).toBe(true);
    expect(host.granted('b', 2000)).toBe(60);
    host.visit('b', { left: 60 });
    expect(host.visit('a', { failed: 5 }, 7999).isAnswering).toBe(false);
    expect(host.granted('b', 2000)).toBe(5);
  });

  it('the waits of a host that did not answer end with its first success', () => {
    const host = new Host();
    host.granted('a', 5);
    for (let nth = 0; nth < 40; nth++) host.visit(`b${nth}`, { want: 1 });
    host.visit('a', { left: 1, succeeded: 1 });
    host.granted('a', 2);
    expect(host.visit('c', { want: 5 }).waitMs).toBe(1000);
  });

  it('a host begins again with five places when it has not answered for a minute', () => {
    const host = new Host();
    host.visit('a', { succeeded: 95 });
    host.now += 60_001;
    expect(host.granted('b', 100)).toBe(5);
  });

  it('a host that only fails gets at most five requests a second, however quick it fails', () => {
    const host = new Host();
    let requests = 0;
    for (const end = host.now + 10_000; host.now < end; host.now += 10) {
      const granted = host.granted('a', 5);
      requests += granted;
      host.visit('a', { left: granted, failed: granted });
    }
    expect(requests).toBe(50);
  });

  it('those that get no place are sent away for longer and longer, a minute at most', () => {
    const host = new Host();
    host.granted('a', 5);
    const waits = Array.from({ length: 40 }, (_, index) => host.visit(`b${index}`, { want: 1 }).waitMs);
    expect(waits.slice(0, 3)).toEqual([2000, 4000, 6000]);
    expect(waits.at(-1)).toBe(60_000);
  });

  it('a host that answers has room soon: those that get no place wait a second', () => {
    const host = new Host();
    host.visit('a', { succeeded: 5 });
    host.granted('a', 10);
    expect(host.visit('b', { want: 5 })).toMatchObject({ granted: 0, waitMs: 1000, isAnswering: true });
  });

  it.each([
    ['https://Example.COM/a', 'example.com'],
    ['https://example.com.:443/b?c', 'example.com'],
    ['http://example.com.:8080/', 'example.com:8080'],
  ])('the host of %s is %s', (endpoint, host) => {
    expect(hostOf(endpoint)).toBe(host);
  });

  it('nobody waits long at a host that answers, however many places were asked for: its places grow', () => {
    const host = new Host();
    host.visit('a', { want: 5, succeeded: 5 });
    const waits = Array.from({ length: 40 }, (_, nth) => host.visit(`b${nth}`, { want: 500 }).waitMs);
    expect(Math.max(...waits)).toBe(5000);
  });
});
