import { describe, expect, it } from 'vitest';
import { isMoment, rfc3339Time } from '../../src/domain/time.ts';

describe('a time as text', () => {
  it.each<[string, number, string]>([
    ['a time', 1_769_860_800_250, '2026-01-31T12:00:00.250Z'],
    ['a part of a millisecond', 0.9, '1970-01-01T00:00:00.000Z'],
    ['a time beyond all dates', 9e15, '9999-12-31T23:59:59.999Z'],
    ['a time of the year 10,000', 253_402_300_800_000, '9999-12-31T23:59:59.999Z'],
    ['infinity', Number.POSITIVE_INFINITY, '9999-12-31T23:59:59.999Z'],
    ['a time before the year 0', -1e15, '0000-01-01T00:00:00.000Z'],
    ['a time before all dates', Number.NEGATIVE_INFINITY, '0000-01-01T00:00:00.000Z'],
    ['what is no number', Number.NaN, '1970-01-01T00:00:00.000Z'],
  ])('%s has a text that RFC 3339 allows', (_, ms, text) => {
    expect(rfc3339Time(ms)).toBe(text);
  });

  it.each([0, -1, 253_402_300_799_999, -62_167_219_200_000])('%d is a moment', (ms) => {
    expect(isMoment(ms)).toBe(true);
  });

  it.each([[0.5], [9e15], [-9e15], [Number.NaN], ['0'], [null], [1n]])('%s is no moment', (value) => {
    expect(isMoment(value)).toBe(false);
  });
});
