/** The rules of the example that sends copies of data. Time is an argument; only the restart needs a file. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { type Act, CopyRequests, type Taken } from '../../examples/profile-copy/requests.ts';

const NOW = 1_800_000_000;
const DELAY = 300;
const DAY = 86_400;

const folder = mkdtempSync(join(tmpdir(), 'profile-copy-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Times are seconds as of `NOW`. The ids of events are ordered like letters. */
function desk(file = ':memory:') {
  const requests = new CopyRequests(file, DELAY);
  let now = 0;
  const due = () => requests.due(NOW + now);
  return {
    requests,
    at: (seconds: number) => {
      now = seconds;
    },
    take: (kind: Act['kind'], eventId: string, at = now, user = 'ann'): Taken =>
      requests.take({ kind, user, at: NOW + at, eventId }, NOW + now),
    due: () => due().map(({ user, requestId }) => `${user} ${requestId}`),
    sendAll: () => {
      for (const copy of due()) requests.markSent(copy);
    },
  };
}

describe('copies of data', () => {
  it('a copy is due once the delay has passed, and not before', () => {
    const { at, take, due } = desk();
    expect(take('asked', 'a')).toBe('waits');
    at(DELAY - 1);
    expect(due()).toEqual([]);
    at(DELAY);
    expect(due()).toEqual(['ann a']);
  });

  it('a copy that was sent is not due again', () => {
    const { at, take, due, sendAll } = desk();
    take('asked', 'a');
    at(DELAY);
    sendAll();
    expect(due()).toEqual([]);
  });

  it('a copy that was not marked as sent is due again, under the same request id', () => {
    const { at, take, due } = desk();
    take('asked', 'a');
    at(DELAY);
    expect([due(), due()]).toEqual([['ann a'], ['ann a']]);
  });

  it('a token that comes again changes nothing, while the copy waits and after it was sent', () => {
    const { at, take, due, sendAll } = desk();
    take('asked', 'a', 0);
    expect(take('asked', 'a', 0)).toBe('known');
    at(DELAY);
    sendAll();
    at(20 * DAY);
    expect(take('asked', 'a', 0)).toBe('known');
    expect(due()).toEqual([]);
  });

  it('a user who asks twice gets one copy, at the time of the first', () => {
    const { at, take, due, sendAll } = desk();
    take('asked', 'a');
    at(100);
    expect(take('asked', 'b')).toBe('waits already');
    at(DELAY);
    expect(due()).toEqual(['ann a']);
    sendAll();
    at(DELAY + 100);
    expect(due()).toEqual([]);
  });

  it('a user who asks after a copy was sent gets another one', () => {
    const { at, take, due, sendAll } = desk();
    take('asked', 'a');
    at(DELAY);
    sendAll();
    expect(take('asked', 'b')).toBe('waits');
    at(2 * DELAY);
    expect(due()).toEqual(['ann b']);
  });

  it('a user who cancels gets no copy', () => {
    const { at, take, due } = desk();
    take('asked', 'a');
    at(10);
    expect(take('canceled', 'b')).toBe('canceled');
    at(DELAY);
    expect(due()).toEqual([]);
  });

  it('a user who cancels and asks once more gets a copy, counted from the second time', () => {
    const { at, take, due } = desk();
    take('asked', 'a');
    take('canceled', 'b', 10);
    take('asked', 'c', 20);
    at(DELAY + 19);
    expect(due()).toEqual([]);
    at(DELAY + 20);
    expect(due()).toEqual(['ann c']);
  });

  it('a cancel that comes before its request counts, because it happened later', () => {
    const { at, take, due } = desk();
    at(20);
    expect(take('canceled', 'b', 10)).toBe('canceled');
    expect(take('asked', 'a', 0)).toBe('known');
    at(DELAY + 20);
    expect(due()).toEqual([]);
  });

  it('a late cancel of an earlier request does not end the later one', () => {
    const { at, take, due } = desk();
    take('asked', 'c', 20);
    expect(take('canceled', 'b', 10)).toBe('known');
    at(DELAY + 20);
    expect(due()).toEqual(['ann c']);
  });

  it('the id decides between two acts of one second', () => {
    const { at, take, due } = desk();
    take('canceled', 'b', 0);
    expect(take('asked', 'a', 0)).toBe('known');
    expect(take('asked', 'c', 0)).toBe('waits');
    at(DELAY);
    expect(due()).toEqual(['ann c']);
  });

  it('a cancel after the copy was sent changes nothing', () => {
    const { at, take, due, sendAll } = desk();
    take('asked', 'a');
    at(DELAY);
    sendAll();
    expect(take('canceled', 'b')).toBe('canceled');
    expect(due()).toEqual([]);
  });

  it('a user who is deleted gets no copy', () => {
    const { at, take, due } = desk();
    take('asked', 'a');
    take('deleted', 'b', 10);
    at(DELAY);
    expect(due()).toEqual([]);
  });

  it('a cancel that comes while the mail goes out is not undone by the mark', () => {
    const { requests, at, take, due } = desk();
    take('asked', 'a');
    at(DELAY);
    const [copy] = requests.due(NOW + DELAY);
    take('canceled', 'b');
    take('asked', 'c');
    if (copy !== undefined) requests.markSent(copy);
    at(2 * DELAY);
    expect(due()).toEqual(['ann c']);
  });

  it('a request that comes later than its delay is due at once', () => {
    const { at, take, due } = desk();
    at(5000);
    take('asked', 'a', 0);
    expect(due()).toEqual(['ann a']);
  });

  it('users wait independently of each other, and the longest due comes first', () => {
    const { at, take, due } = desk();
    take('asked', 'b', 10, 'bob');
    take('asked', 'a', 0, 'ann');
    take('asked', 'c', 5, 'cleo');
    take('canceled', 'd', 20, 'cleo');
    at(DELAY + 10);
    expect(due()).toEqual(['ann a', 'bob b']);
  });

  it('the wait goes on through a restart', () => {
    const file = join(folder, 'copies.db');
    const before = desk(file);
    before.take('asked', 'a');
    before.requests.close();
    const after = desk(file);
    after.at(DELAY - 1);
    expect(after.due()).toEqual([]);
    after.at(DELAY);
    expect(after.due()).toEqual(['ann a']);
    after.sendAll();
    after.requests.close();
    const last = desk(file);
    last.at(DELAY);
    expect(last.due()).toEqual([]);
    last.requests.close();
  });

  it('a user is forgotten 28 days after the last event, but not while a copy waits', () => {
    const { at, take, due, sendAll } = desk();
    take('asked', 'a');
    at(29 * DAY);
    expect(due()).toEqual(['ann a']);
    sendAll();
    due();
    // The same event would be known if the user were still there.
    expect(take('asked', 'a', 29 * DAY)).toBe('waits');
  });
});
