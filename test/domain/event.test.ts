import { describe, expect, it } from 'vitest';
import { checkPublishedEvent, type EventCheck } from '../../src/domain/event.ts';
import { eventIdFloor } from '../../src/domain/ids.ts';
import { anEvent } from '../support/world.ts';

const ACCEPTED = 1_769_860_800_000;
const HOUR = 3_600_000;
const CUSTOMER = 'b18fc81d-457e-4a40-ac87-2b78bd946fa2';

const check = (overrides: Record<string, unknown>) =>
  checkPublishedEvent(anEvent(overrides), ACCEPTED, CUSTOMER);

/** The names of the faults, in order. */
const faulty = (result: EventCheck) => (result.ok ? [] : result.faults.map((fault) => fault.name));

const updated = (attributes: unknown) => check({ type: 'entityUpdated', attributes });

describe('a published event', () => {
  it('a published event is accepted with its members and the time of its acceptance', () => {
    expect(check({})).toEqual({
      ok: true,
      event: { ...anEvent(), customerId: CUSTOMER, acceptedAt: ACCEPTED, occurredAt: ACCEPTED },
    });
  });

  it('a published event keeps its optional members', () => {
    const id = eventIdFloor(ACCEPTED);
    const event = { type: 'entityUpdated', id, globalSub: 'capture-v1://x', attributes: ['a.b', 'c'] };
    expect(check({ ...event, occurredAt: '2026-01-31T13:00:00.250+01:00' })).toMatchObject({
      ok: true,
      event: { ...event, occurredAt: Date.parse('2026-01-31T12:00:00.250Z') },
    });
  });

  it('the UUIDs of a published event are put in lower case', () => {
    const id = eventIdFloor(ACCEPTED);
    const sub = '726087EC-35DF-4041-AEC8-C11ECC208EFA';
    const raw = anEvent({ id: id.toUpperCase(), sub, customerId: CUSTOMER.toUpperCase() });
    expect(checkPublishedEvent(raw, ACCEPTED)).toMatchObject({
      event: { id, sub: sub.toLowerCase(), customerId: CUSTOMER },
    });
  });

  it('unknown members of a published event are ignored', () => {
    const result = check({ unknown: { deep: [1] }, acceptedAt: 5 });
    expect(result).toMatchObject({ ok: true, event: { acceptedAt: ACCEPTED } });
    expect(result.ok && result.event).not.toHaveProperty('unknown');
  });

  it.each<[string, unknown]>([
    ['null', null],
    ['undefined', undefined],
    ['a number', 5],
    ['a string', 'event'],
    ['true', true],
    ['an empty array', []],
    ['an array of events', [anEvent()]],
  ])('a published event must be an object, not %s', (_, raw) => {
    expect(checkPublishedEvent(raw, ACCEPTED)).toMatchObject({ ok: false, faults: [{ name: 'event' }] });
  });
});

describe('the customer of an event', () => {
  it('the customer of an event is the one in the path, whatever the event says', () => {
    for (const customerId of ['12345678-0000-4000-8000-000000000000', 'nonsense', 5]) {
      expect(check({ customerId })).toMatchObject({ ok: true, event: { customerId: CUSTOMER } });
    }
  });

  it.each([undefined, null, 5, '', 'acme', `${CUSTOMER}0`])(
    'an event without a path must name its customer by a UUID, not by %j',
    (value) => {
      expect(faulty(checkPublishedEvent(anEvent({ customerId: value }), ACCEPTED))).toEqual(['customerId']);
    },
  );
});

describe('the fields of an event', () => {
  it.each<[string, unknown[]]>([
    ['type', [undefined, null, 'entityRead', 'entitycreated', '', 5, ['entityCreated']]],
    ['id', [null, 5, '', 'nonsense']],
    ['captureApplicationId', [undefined, null, '', 5, 'x'.repeat(65), ['x'], 'a\u0000b', '\ud800']],
    ['captureClientId', [undefined, null, '', 5, 'x'.repeat(65), {}, 'a\u0000b', '\udc00']],
    ['entityType', [undefined, null, '', 5, 'x'.repeat(65), false]],
    ['sub', [undefined, null, '', 5, 'nonsense', '726087ec35df4041aec8c11ecc208efa']],
    ['globalSub', [null, '', 5, 'x'.repeat(501)]],
    [
      'occurredAt',
      [
        null,
        5,
        '',
        'yesterday',
        '2026-01-31',
        '2026-01-31T12:00:00',
        '2026-01-31T12:00Z',
        '2026-02-30T00:00:00Z',
      ],
    ],
  ])('the field %s of an event is refused when it breaks its rule', (name, values) => {
    for (const value of values) {
      const found = new Set(faulty(check({ [name]: value })));
      expect([...found], JSON.stringify(value)).toEqual([name]);
    }
  });

  it('each text field of an event is accepted at its greatest length', () => {
    const longest = {
      captureApplicationId: 'x'.repeat(64),
      captureClientId: '𝒳'.repeat(64),
      entityType: 'é'.repeat(64),
      globalSub: 'x'.repeat(500),
    };
    expect(check(longest)).toMatchObject({ ok: true, event: longest });
  });

  it('a missing field of an event is reported as required', () => {
    for (const name of ['captureApplicationId', 'captureClientId', 'entityType', 'sub', 'customerId']) {
      const raw = anEvent({ customerId: CUSTOMER, [name]: undefined });
      expect(checkPublishedEvent(raw, ACCEPTED)).toMatchObject({ faults: [{ name, reason: 'is required' }] });
    }
  });

  it('an RFC 3339 time is accepted in any offset and precision', () => {
    for (const [text, ms] of [
      ['2026-01-31T12:00:00Z', 0],
      ['2026-01-31T12:00:00.123456789Z', 123],
      ['2026-01-31T06:30:00-05:30', 0],
    ] as const) {
      const occurredAt = Date.parse('2026-01-31T12:00:00Z') + ms;
      expect(check({ occurredAt: text }), text).toMatchObject({ event: { occurredAt } });
    }
  });

  it.each(['2026-01-31t12:00:00z', '2026-01-31T12:00:00z'])(
    'the lower-case RFC 3339 time %s is accepted',
    (text) => {
      expect(faulty(check({ occurredAt: text }))).toEqual([]);
    },
  );
});

describe('the id of an event', () => {
  it('the id of an event must be a UUID of version 7', () => {
    for (const id of ['726087ec-35df-4041-aec8-c11ecc208efa', '6ba7b810-9dad-11d1-80b4-00c04fd430c8']) {
      expect(faulty(check({ id })), id).toEqual(['id']);
    }
  });

  it('the id of an event has a time from 24 h before to 5 min after acceptance, both included', () => {
    const withTime = (ms: number) => faulty(check({ id: eventIdFloor(ACCEPTED + ms) }));
    expect(withTime(-24 * HOUR)).toEqual([]);
    expect(withTime(-24 * HOUR - 1)).toEqual(['id']);
    expect(withTime(300_000)).toEqual([]);
    expect(withTime(300_001)).toEqual(['id']);
  });
});

describe('the attributes of an event', () => {
  it('an entityUpdated event must have attributes', () => {
    expect(updated(undefined)).toMatchObject({ faults: [{ name: 'attributes', reason: 'is required' }] });
  });

  it.each(['entityCreated', 'entityDeleted'])('an %s event must not have attributes', (type) => {
    for (const attributes of [['a'], [], null, 'a']) {
      expect(faulty(check({ type, attributes }))).toEqual(['attributes']);
    }
  });

  it('an entityUpdated event has 1 to 500 attributes', () => {
    const some = (count: number) => Array.from({ length: count }, (_, index) => `a${index}`);
    expect(updated(some(1)).ok).toBe(true);
    expect(updated(some(500)).ok).toBe(true);
    expect(faulty(updated([]))).toEqual(['attributes']);
    expect(faulty(updated(some(501)))).toEqual(['attributes']);
    expect(faulty(updated('a'))).toEqual(['attributes']);
    expect(faulty(updated({ 0: 'a' }))).toEqual(['attributes']);
  });

  it('attributes are strings of 1 to 200 characters, and a fault names its position', () => {
    expect(updated(['x'.repeat(200), '𝒳'.repeat(200)]).ok).toBe(true);
    expect(faulty(updated(['ok', '', 'x'.repeat(201), 5, null, 'a\u0000']))).toEqual([
      'attributes[1]',
      'attributes[2]',
      'attributes[3]',
      'attributes[4]',
      'attributes[5]',
    ]);
  });
});

describe('the size of an event', () => {
  /** An event of exactly `bytes` bytes as JSON, padded in an unknown member. */
  function ofBytes(bytes: number, fill: string): Record<string, unknown> {
    const bare = new TextEncoder().encode(JSON.stringify(anEvent({ pad: '' }))).length;
    const size = new TextEncoder().encode(fill).length;
    const count = Math.floor((bytes - bare) / size);
    return anEvent({ pad: fill.repeat(count) + 'x'.repeat(bytes - bare - count * size) });
  }

  it.each(['x', 'é', '語', '😀'])(
    'an event is at most 60,000 bytes of UTF-8, also when it is full of %s',
    (fill) => {
      expect(faulty(checkPublishedEvent(ofBytes(60_000, fill), ACCEPTED, CUSTOMER))).toEqual([]);
      expect(checkPublishedEvent(ofBytes(60_001, fill), ACCEPTED, CUSTOMER)).toEqual({
        ok: false,
        faults: [{ name: 'event', reason: 'must be at most 60000 bytes as JSON' }],
      });
    },
  );

  it('an event from a queue is refused when it cannot be written as JSON', () => {
    const cyclic: Record<string, unknown> = anEvent();
    cyclic['self'] = cyclic;
    expect(faulty(checkPublishedEvent(cyclic, ACCEPTED, CUSTOMER))).toEqual(['event']);
    expect(faulty(check({ big: 10n }))).toEqual(['event']);
  });
});

describe('the faults of an event', () => {
  it('an event with several wrong fields is refused with all its faults at once', () => {
    const raw = {
      type: 'entityUpdated',
      sub: 'x',
      captureClientId: '',
      occurredAt: 'never',
      attributes: [''],
    };
    expect(faulty(checkPublishedEvent(raw, ACCEPTED)).sort()).toEqual([
      'attributes[0]',
      'captureApplicationId',
      'captureClientId',
      'customerId',
      'entityType',
      'occurredAt',
      'sub',
    ]);
  });

  it('an event of a wrong type is refused with the faults of its other fields too', () => {
    const raw = { ...anEvent({ type: 'entityRead', sub: 'x' }), entityType: '' };
    expect(faulty(checkPublishedEvent(raw, ACCEPTED, CUSTOMER)).sort()).toEqual([
      'entityType',
      'sub',
      'type',
    ]);
  });

  it('an event with a wrong time in its id and a wrong field is refused with both faults', () => {
    const result = check({ id: eventIdFloor(ACCEPTED - 25 * HOUR), sub: 'x' });
    expect(faulty(result).sort()).toEqual(['id', 'sub']);
  });

  it('an event that is too large and has a wrong field is refused with both faults', () => {
    expect(faulty(check({ sub: 'x', pad: 'x'.repeat(60_000) })).sort()).toEqual(['event', 'sub']);
  });
});
