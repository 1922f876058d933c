/** The quick check of packed events says nothing that the schema of published events does not say. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkKeptEvent, type IdentityEvent, isAcceptedEvent, keptEvent } from '../../src/domain/event.ts';
import { eventIdFloor } from '../../src/domain/ids.ts';

const ACCEPTED = 1_769_860_800_000;
const DAY_MS = 86_400_000;

const GOOD: IdentityEvent = {
  customerId: 'b18fc81d-457e-4a40-ac87-2b78bd946fa2',
  id: eventIdFloor(ACCEPTED),
  type: 'entityUpdated',
  acceptedAt: ACCEPTED,
  occurredAt: ACCEPTED - 1,
  captureApplicationId: 'app',
  captureClientId: 'client',
  entityType: 'user',
  sub: '726087ec-35df-4041-aec8-c11ecc208efa',
  globalSub: 'capture-v1://x',
  attributes: ['a', 'b'],
};

/** A text at or beyond a limit of characters, also one whose characters have two units. */
const near = (max: number) =>
  fc
    .tuple(fc.constantFrom('x', 'é', '😀', '"', '\u0001'), fc.constantFrom(0, 1, max - 1, max, max + 1))
    .map(([fill, count]) => fill.repeat(count));

const odd = fc.oneof(
  fc.constantFrom<unknown>(
    undefined,
    null,
    0,
    0.5,
    9e15,
    Number.NaN,
    '',
    '\0',
    '\ud800',
    true,
    [],
    {},
    [1],
    [''],
    ['a\0'],
  ),
  fc.constantFrom<unknown>(...Object.values(GOOD)),
  fc.constantFrom('entityCreated', 'entityDeleted', 'entityRenamed', GOOD.sub.toUpperCase(), GOOD.sub),
  fc.constantFrom(-DAY_MS, -DAY_MS - 1, 300_000, 300_001).map((ms) => eventIdFloor(ACCEPTED + ms)),
  fc.constantFrom(-62_167_219_200_000, -62_167_219_200_001, 253_402_300_799_999, 253_402_300_800_000),
  near(64),
  near(200).map((text) => [text]),
  near(500),
  fc
    .tuple(near(200), fc.constantFrom(1, 50, 300, 500, 501))
    .map(([text, count]) => Array.from({ length: count }, () => text)),
);

const anyEvent = fc
  .dictionary(fc.constantFrom(...Object.keys(GOOD).filter((name) => name !== 'acceptedAt')), odd, {
    maxKeys: 2,
  })
  .map((values): IdentityEvent => {
    const event: Record<string, unknown> = { ...GOOD, ...values };
    for (const [name, value] of Object.entries(values)) if (value === undefined) delete event[name];
    return event as unknown as IdentityEvent;
  });

describe('an event of a packed message', () => {
  it('the quick check accepts only what the schema accepts, unchanged', () => {
    let accepted = 0;
    fc.assert(
      fc.property(anyEvent, (event) => {
        if (!isAcceptedEvent(event)) return;
        accepted++;
        expect(checkKeptEvent(keptEvent(event), ACCEPTED)).toEqual({ ok: true, event });
      }),
      { numRuns: 3000 },
    );
    expect(accepted).toBeGreaterThan(100);
  });

  it('the quick check refuses no small event that is in our spelling', () => {
    fc.assert(
      fc.property(anyEvent, (event) => {
        const check = checkKeptEvent(keptEvent(event), ACCEPTED);
        if (!check.ok || JSON.stringify(event).length > 5000) return;
        if (JSON.stringify(check.event) !== JSON.stringify(event)) return;
        expect(isAcceptedEvent(event)).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });
});
