import { describe, expect, it } from 'vitest';
import { hrefOf, match, routeOf } from '../src/lib/routes.ts';

describe('routes', () => {
  it.each([
    ['', [], ''],
    ['#/', [], ''],
    [
      '#/subscriptions/abc/events?state=failure&type=test',
      ['subscriptions', 'abc', 'events'],
      'state=failure&type=test',
    ],
    ['#/a%2Fb/?x=%3F?', ['a/b'], 'x=%3F%3F'],
  ])('the address %j is read as its path and its query', (hash, path, query) => {
    const route = routeOf(hash);
    expect(route.path).toEqual(path);
    expect(route.query.toString()).toBe(query);
  });

  it('an address with a wrong escape is read as it stands', () => {
    expect(routeOf('#/100%/x').path).toEqual(['100%', 'x']);
  });

  it('an address that was made is read as what it was made of, whatever is in it', () => {
    const path = ['find', 'a/b?c#d', '%', '../x'];
    const query = { since: '2026-01-31T12:00:00.000Z', text: '&=?#' };
    const route = routeOf(hrefOf(path, query));
    expect(route.path).toEqual(path);
    expect(Object.fromEntries(route.query)).toEqual(query);
  });

  it('empty parameters are left out of an address', () => {
    expect(hrefOf(['events'], { state: '', type: undefined, limit: '5' })).toBe('#/events?limit=5');
    expect(hrefOf([])).toBe('#/');
  });

  it('a pattern names the segments of a path that it fits, and no other path', () => {
    expect(match('subscriptions/:sid/events', ['subscriptions', 'S', 'events'])).toEqual({ sid: 'S' });
    expect(match('subscriptions/:sid/events', ['subscriptions', 'S', 'exports'])).toBeUndefined();
    expect(match('subscriptions/:sid', ['subscriptions', 'S', 'events'])).toBeUndefined();
    expect(match('', [])).toEqual({});
  });
});
