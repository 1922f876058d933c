/** When a notice for the operator is due, and by which id it is known (contract 10.16). */
import { describe, expect, it } from 'vitest';
import { faultOfIdTime } from '../../src/domain/event.ts';
import { eventIdTime, isEventId } from '../../src/domain/ids.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../src/domain/limits.ts';
import {
  dueOfEndpoint,
  dueOfEvents,
  NOTHING_SENT,
  type NoticesSent,
  noticeClaim,
  noticeEventId,
  type Standing,
} from '../../src/domain/notice.ts';

const NOW = 1_770_000_000_000;
const SID = '7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10';
const OTHER = '3f0c2a8e-5d7b-4c1e-9a44-0b7f6f1f2c11';
const failing = (since = NOW): Standing => ({ state: 'failing', since });
const healthy = (since = NOW): Standing => ({ state: 'healthy', since });
const knows = (failingSince: number | null): NoticesSent => ({ ...NOTHING_SENT, failingSince });

describe('a notice about an endpoint', () => {
  it('a notice is due when the endpoint begins to fail, and another when it fails no longer', () => {
    const first = dueOfEndpoint(NOTHING_SENT, failing(), NOW);
    expect(first).toMatchObject({ kind: 'endpointFailing', at: NOW, sent: { failingSince: NOW } });
    for (const state of ['healthy', 'slow', 'unverified'] as const) {
      const since = NOW + 5000;
      const second = dueOfEndpoint(knows(NOW), { state, since }, since);
      expect(second).toMatchObject({ kind: 'endpointRecovered', at: since, sent: { failingSince: null } });
    }
  });

  it('nothing is due while the endpoint is as the last notice says', () => {
    expect(dueOfEndpoint(knows(NOW), failing(), NOW + HOUR_MS)).toBeUndefined();
    expect(dueOfEndpoint(NOTHING_SENT, healthy(), NOW)).toBeUndefined();
    expect(dueOfEndpoint(NOTHING_SENT, { state: 'slow', since: NOW }, NOW)).toBeUndefined();
  });

  it('an endpoint that fails again since another time makes another notice', () => {
    expect(dueOfEndpoint(knows(NOW), failing(NOW + 1), NOW + 1)).toMatchObject({ kind: 'endpointFailing' });
  });

  it('a store that does not know since when it is healthy recovers at the time of the notice', () => {
    expect(dueOfEndpoint(knows(NOW), healthy(0), NOW + HOUR_MS)).toMatchObject({ at: NOW + HOUR_MS });
  });

  it('an endpoint that fails and recovers each second makes four notices at once, and then four in an hour', () => {
    let sent = NOTHING_SENT;
    const times: number[] = [];
    for (let second = 0; second < 86_400; second++) {
      const now = NOW + second * 1000;
      const due = dueOfEndpoint(sent, second % 2 === 0 ? failing(now) : healthy(now), now);
      if (due === undefined) continue;
      sent = due.sent;
      times.push(now);
    }
    expect(times.filter((time) => time < NOW + MINUTE_MS)).toHaveLength(4);
    expect(times.length).toBeLessThanOrEqual(4 + 24 * 4);
  });

  it('the first notice with an allowance says how the endpoint is then', () => {
    const spent: NoticesSent = { failingSince: NOW, ended: 0, wholeAt: NOW + HOUR_MS };
    expect(dueOfEndpoint(spent, healthy(), NOW)).toBeUndefined();
    expect(dueOfEndpoint(spent, healthy(), NOW + 15 * MINUTE_MS)).toMatchObject({
      kind: 'endpointRecovered',
    });
  });
});

describe('a notice about events that ended in failure', () => {
  it('a notice counts those since the last one, and all', () => {
    const first = dueOfEvents(NOTHING_SENT, { ...healthy(), ended: 12 }, NOW);
    expect(first).toMatchObject({ kind: 'eventsExpired', count: 12, total: 12, sent: { ended: 12 } });
    const second = dueOfEvents(first?.sent ?? NOTHING_SENT, { ...healthy(), ended: 15 }, NOW + DAY_MS);
    expect(second).toMatchObject({ count: 3, total: 15 });
  });

  it('nothing is due when nothing has failed since, or the store does not count', () => {
    expect(dueOfEvents({ ...NOTHING_SENT, ended: 3 }, { ...healthy(), ended: 3 }, NOW)).toBeUndefined();
    expect(dueOfEvents(NOTHING_SENT, healthy(), NOW)).toBeUndefined();
  });

  it('a store that began to count once more is counted from there', () => {
    const due = dueOfEvents({ ...NOTHING_SENT, ended: 100 }, { ...healthy(), ended: 2 }, NOW);
    expect(due).toMatchObject({ count: 2, total: 2, sent: { ended: 2 } });
  });
});

describe('the id of a notice', () => {
  const idOf = (standing: Standing, now: number, sent = NOTHING_SENT, subscriptionId = SID) => {
    const due = dueOfEndpoint(sent, standing, now);
    if (due === undefined) throw new Error('nothing is due');
    return noticeEventId(subscriptionId, due, now);
  };

  it('a repeat has the same id, and its time is when the thing happened', () => {
    const id = idOf(failing(), NOW);
    expect(isEventId(id)).toBe(true);
    expect(eventIdTime(id)).toBe(NOW);
    for (const later of [1, HOUR_MS, 11 * HOUR_MS]) expect(idOf(failing(), NOW + later)).toBe(id);
  });

  it('another subscription, another state and another time have other ids', () => {
    const ids = [
      idOf(failing(), NOW),
      idOf(failing(NOW - 1), NOW),
      idOf(healthy(), NOW, knows(NOW - 5)),
      idOf({ state: 'slow', since: NOW }, NOW, knows(NOW - 5)),
      idOf(failing(), NOW, NOTHING_SENT, OTHER),
    ];
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('the id of a notice is never more than a day older than the notice, however late that is sent', () => {
    for (const days of [0, 0.4, 0.6, 1, 2.5, 30]) {
      for (const skew of [0, -2 * MINUTE_MS]) {
        const now = NOW + days * DAY_MS + skew;
        expect(faultOfIdTime(idOf(failing(), now), now), `${days} days`).toBeUndefined();
      }
    }
  });
});

describe('the claim of a notice', () => {
  it('a notice names customer and subscription, and says nothing of the endpoint or of an event', () => {
    const subject = {
      id: SID,
      customerId: OTHER,
      title: 'Profile sync',
      endpoint: 'https://secret.example/',
    };
    const due = dueOfEndpoint(NOTHING_SENT, failing(), NOW);
    if (due === undefined) throw new Error('nothing is due');
    expect(noticeClaim('id', subject, due, failing(), 7)).toEqual({
      endpointFailing: {
        customerId: OTHER,
        id: 'id',
        since: new Date(NOW).toISOString(),
        state: 'failing',
        subscriptionId: SID,
        title: 'Profile sync',
        waiting: 7,
      },
    });
  });
});
