import { describe, expect, it } from 'vitest';
import {
  bytes,
  countdown,
  counted,
  duration,
  fromLocalInput,
  localTime,
  percent,
  relative,
  shortId,
  toLocalInput,
  utcTime,
} from '../src/lib/format.ts';

const NOON = Date.parse('2026-01-31T12:00:00.000Z');

describe('durations and countdowns', () => {
  it.each([
    [0, '0 ms'],
    [41, '41 ms'],
    [999.6, '1 s'],
    [1_000, '1 s'],
    [4_251, '4.2 s'],
    [59_900, '59 s'],
    [60_000, '1 min'],
    [200_000, '3 min 20 s'],
    [3_600_000, '1 h'],
    [187_200_000, '2 d 4 h'],
  ])('%d ms is shown as %s', (ms, text) => {
    expect(duration(ms)).toBe(text);
  });

  it.each([
    [0, '0:00'],
    [-5_000, '0:00'],
    [1, '0:01'],
    [7_000, '0:07'],
    [299_001, '5:00'],
    [3_600_000, '1:00:00'],
    [86_399_000, '23:59:59'],
  ])('a countdown with %d ms left shows %s', (left, text) => {
    expect(countdown(NOON + left, NOON)).toBe(text);
  });

  it.each([
    [-2_000, 'just now'],
    [-30_000, '30 s ago'],
    [-300_000, '5 min ago'],
    [10_800_000, 'in 3 h'],
  ])('a time that is %d ms away is shown as %s', (away, text) => {
    expect(relative(NOON + away, NOON)).toBe(text);
  });

  it('a time that is a day away has no age, because its date matters', () => {
    expect(relative(NOON - 86_400_000, NOON)).toBeUndefined();
  });
});

describe('times', () => {
  const shown = (time: string, zone: string) => localTime(Date.parse(time), NOON, 'en-GB', zone);

  it('a time of today is shown without its date, in the zone of the reader', () => {
    expect(shown('2026-01-31T11:59:58.123Z', 'UTC')).toBe('11:59:58');
    expect(shown('2026-01-31T11:59:58.123Z', 'Asia/Tokyo')).toBe('20:59:58');
  });

  it('midnight is 00, not 24', () => {
    expect(shown('2026-01-31T00:00:00Z', 'UTC')).toBe('00:00:00');
  });

  it('a time of another day has its date, and one of another year its year', () => {
    expect(shown('2026-01-30T23:00:00Z', 'UTC')).toBe('30 Jan, 23:00:00');
    expect(shown('2025-12-31T23:00:00Z', 'UTC')).toBe('31 Dec 2025, 23:00:00');
  });

  it('the day is that of the reader, not that of UTC', () => {
    expect(shown('2026-01-30T23:30:00Z', 'Europe/Berlin')).toBe('00:30:00');
  });

  it('the hint has the time in UTC with milliseconds', () => {
    expect(utcTime(NOON + 7)).toBe('2026-01-31 12:00:00.007 UTC');
  });

  it('a time goes into a field of the form and comes out as the same time', () => {
    expect(fromLocalInput(toLocalInput('2026-07-31T12:00:05.000Z'))).toBe('2026-07-31T12:00:05.000Z');
    expect(toLocalInput('nonsense')).toBe('');
    expect(toLocalInput(undefined)).toBe('');
    expect(fromLocalInput('')).toBeUndefined();
  });
});

describe('numbers and ids', () => {
  it.each([
    [0, 0, '–'],
    [0, 10, '0 %'],
    [10, 10, '100 %'],
    [9_999, 10_000, '99.9 %'],
    [1, 100_000, '0.1 %'],
    [98_760, 100_000, '98.7 %'],
    [1, 2, '50 %'],
  ])('%d of %d is shown as %s', (part, whole, text) => {
    expect(percent(part, whole)).toBe(text);
  });

  it('one thing is counted in the singular', () => {
    expect(counted(1, 'event')).toBe('1 event');
    expect(counted(0, 'event')).toBe('0 events');
    expect(counted(1_200, 'event waits', 'events wait', 'en')).toBe('1,200 events wait');
  });

  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [18_400, '18.4 KB'],
    [1_250_000, '1.3 MB'],
    [9e12, '9000 GB'],
  ])('%d bytes are shown as %s', (value, text) => {
    expect(bytes(value)).toBe(text);
  });

  it('a long id is shown by both of its ends, a short one whole', () => {
    expect(shortId('01890a5d-ac96-774b-bcce-b302099a8057')).toBe('0189…099a8057');
    expect(shortId('backend')).toBe('backend');
  });
});
