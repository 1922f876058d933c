import { describe, expect, it } from 'vitest';
import { addressKey } from '../../src/domain/caller.ts';

const WORKERS = '2a06:98c0:3600::103';

describe('the key of a caller', () => {
  it.each([
    ['192.0.2.7', undefined, '192.0.2.7'],
    ['::ffff:192.0.2.7', undefined, '192.0.2.7'],
    ['2001:db8:1:2:3::4', undefined, '2001:db8:1:2::/64'],
    ['no address', undefined, 'unknown'],
  ])('%s with the zone %s counts as %s', (address, zone, key) => {
    expect(addressKey(address, zone)).toBe(key);
  });

  it('Workers, which all call from one address, count by their zone', () => {
    expect(addressKey(WORKERS, 'Mine.Example')).toBe('worker mine.example');
    expect(addressKey(WORKERS, 'other.example')).toBe('worker other.example');
    expect(addressKey(WORKERS, 'z'.repeat(1000))).toHaveLength(260);
  });

  it('Workers without a zone count together', () => {
    expect(addressKey(WORKERS)).toBe('2a06:98c0:3600::/64');
    expect(addressKey(WORKERS, '')).toBe('2a06:98c0:3600::/64');
  });

  it('another address cannot choose its key by naming a zone', () => {
    expect(addressKey('192.0.2.7', 'mine.example')).toBe('192.0.2.7');
    expect(addressKey('2001:db8::1', 'mine.example')).toBe('2001:db8::/64');
  });
});
