import fc from 'fast-check';
import { validate, version } from 'uuid';
import { describe, expect, it } from 'vitest';
import {
  deadLetterId,
  deriveEventId,
  eventIdFloor,
  eventIdTime,
  isEventId,
  isUuid,
  newEventIds,
  notificationId,
} from '../../src/domain/ids.ts';

const NOW = 1_769_860_800_123;
const V4 = '726087ec-35df-4041-aec8-c11ecc208efa';
const V7 = '019c1234-5678-7abc-8def-0123456789ab';

const randomBytes = fc.uint8Array({ minLength: 16, maxLength: 16 });
const time = fc.integer({ min: 0, max: 2 ** 48 - 1 });

describe('a UUID', () => {
  it('a UUID is lower-case and hyphenated', () => {
    expect([V4, V7].every(isUuid)).toBe(true);
    for (const text of [
      '',
      V4.toUpperCase(),
      V4.replaceAll('-', ''),
      `{${V4}}`,
      `${V4}0`,
      `${V4}\n`,
      'x'.repeat(36),
    ]) {
      expect(isUuid(text), text).toBe(false);
    }
  });

  it('a UUID is an event id only when its version is 7', () => {
    expect(isEventId(V7)).toBe(true);
    const others = [V4, V7.toUpperCase(), V7.replace('-7', '-6'), V7.replace('-8d', '-cd'), 'nonsense'];
    for (const text of others) expect(isEventId(text), text).toBe(false);
  });
});

describe('new event ids', () => {
  it('new event ids are version 7, have their time and ascend, for any random bytes', () => {
    fc.assert(
      fc.property(time, randomBytes, fc.integer({ min: 1, max: 500 }), (now, random, count) => {
        const ids = newEventIds(now, count, random);
        expect(ids).toHaveLength(count);
        expect(ids.every((id) => isEventId(id) && eventIdTime(id) === now)).toBe(true);
        expect(new Set(ids).size).toBe(count);
        expect([...ids].sort()).toEqual(ids);
      }),
    );
  });

  it('new event ids differ when their random bytes differ', () => {
    const [one] = newEventIds(NOW, 1, new Uint8Array(16).fill(1));
    const [other] = newEventIds(NOW, 1, new Uint8Array(16).fill(2));
    expect(one).not.toBe(other);
  });
});

describe('an event id derived from a queue message', () => {
  const messageId = 'b7d2f0c1e5a94f6c8d3b2a1908f7e6d5';

  it('a derived event id is the same every time, version 7, with the time of its message', () => {
    const id = deriveEventId(messageId, NOW, 3);
    expect(deriveEventId(messageId, NOW, 3)).toBe(id);
    expect(isEventId(id)).toBe(true);
    expect(eventIdTime(id)).toBe(NOW);
  });

  it('a derived event id differs for every position and every message', () => {
    const ids = Array.from({ length: 500 }, (_, position) => deriveEventId(messageId, NOW, position));
    expect(new Set(ids).size).toBe(500);
    expect(deriveEventId('another message', NOW, 0)).not.toBe(ids[0]);
    expect(deriveEventId(messageId, NOW + 1, 0)).not.toBe(ids[0]);
  });

  it('position 11 of message 1 and position 1 of message 11 get different event ids', () => {
    expect(deriveEventId('message 1', NOW, 11)).not.toBe(deriveEventId('message 11', NOW, 1));
  });
});

describe('the jti of a notification', () => {
  it('a jti is the same for every retry, version 5, and different from the event id', () => {
    const jti = notificationId(V4, V7);
    expect(notificationId(V4, V7)).toBe(jti);
    expect(validate(jti) && version(jti) === 5).toBe(true);
    expect(jti).not.toBe(V7);
    expect(isUuid(jti)).toBe(true);
  });

  it('a jti differs for another subscription or another event', () => {
    const jti = notificationId(V4, V7);
    expect(notificationId(V4.replace('7', '8'), V7)).not.toBe(jti);
    expect(notificationId(V4, V7.replace('7a', '7b'))).not.toBe(jti);
  });
});

describe('the id of a dead letter', () => {
  it('the id of a dead letter is the same for one position of a message, and for no other', () => {
    expect(deadLetterId('m', 0)).toBe(deadLetterId('m', 0));
    expect(deadLetterId('m', 0)).not.toBe(deadLetterId('m', 1));
    expect(deadLetterId('m', 0)).not.toBe(deadLetterId('n', 0));
    expect(isUuid(deadLetterId('m', 0))).toBe(true);
  });
});

describe('the smallest event id of a time', () => {
  it('the smallest event id of a time is above all earlier ids, and not above any id of that time', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 48 - 1 }), randomBytes, (at, random) => {
        const floor = eventIdFloor(at);
        const [same = ''] = newEventIds(at, 1, random);
        const [earlier = ''] = newEventIds(at - 1, 1, random);
        expect(isEventId(floor)).toBe(true);
        expect(eventIdTime(floor)).toBe(at);
        expect(floor <= same).toBe(true);
        expect(earlier < floor).toBe(true);
      }),
    );
  });

  it('the smallest event id of a time before 1970 is that of 1970', () => {
    expect(eventIdFloor(-5)).toBe('00000000-0000-7000-8000-000000000000');
    expect(eventIdFloor(0)).toBe(eventIdFloor(-5));
  });
});
