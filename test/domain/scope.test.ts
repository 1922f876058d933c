import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { covers, parseScopes, permits, type Scope } from '../../src/domain/scope.ts';

function scopes(text: string): readonly Scope[] {
  const parsed = parseScopes(text);
  if (parsed === undefined) throw new Error(`not a scope: ${text}`);
  return parsed;
}

const allows = (text: string, method: string, path: string) => permits(scopes(text), method, path);

/** Whether a client that holds `allowed` may ask for all of `asked`. */
const mayAsk = (allowed: string, asked: string) =>
  scopes(asked).every((scope) => covers(scopes(allowed), scope));

describe('the scope grammar', () => {
  it.each([
    '*:webhooks/**',
    'GET:webhooks/subscriptions',
    'POST:webhooks/events',
    'GET:webhooks/*/x DELETE:**',
    '  GET:a   GET:b ',
    '*:*',
  ])('the scope grammar accepts %j', (text) => {
    expect(parseScopes(text)).toBeDefined();
  });

  it.each([
    '',
    '   ',
    'webhooks/**',
    ':webhooks',
    'GET:',
    'get:webhooks',
    'GET:/webhooks',
    'GET:webhooks/',
    'GET:web//hooks',
    'GET:web*',
    'GET:***',
    'GET:webhooks/?x',
    'GET,POST:webhooks',
    'GET:webhooks\tPOST:webhooks',
    'GET:webhooks nonsense',
  ])('the scope grammar refuses %j', (text) => {
    expect(parseScopes(text)).toBeUndefined();
  });

  it('the scope grammar reads several scopes separated by spaces', () => {
    expect(parseScopes('GET:a/* *:b')).toEqual([
      { method: 'GET', segments: ['a', '*'] },
      { method: '*', segments: ['b'] },
    ]);
  });
});

describe('the calls that a scope permits', () => {
  it.each([
    ['*:webhooks/**', 'DELETE', 'webhooks/subscriptions/1'],
    ['*:webhooks/**', 'GET', 'webhooks'],
    ['*:**', 'POST', 'anything/at/all'],
    ['GET:webhooks/*', 'GET', 'webhooks/subscriptions'],
    ['GET:webhooks/*/events', 'GET', 'webhooks/1/events'],
    ['GET:**/events', 'GET', 'webhooks/subscriptions/1/events'],
    ['GET:a/**/b/**/c', 'GET', 'a/b/x/b/c'],
    ['GET:a POST:b', 'POST', 'b'],
    ['GET:webhooks', 'HEAD', 'webhooks'],
  ])('the scope %s permits %s %s', (scope, method, path) => {
    expect(allows(scope, method, path)).toBe(true);
  });

  it.each([
    ['GET:webhooks/**', 'POST', 'webhooks/subscriptions'],
    ['POST:webhooks/**', 'HEAD', 'webhooks/subscriptions'],
    ['*:webhooks/**', 'GET', 'login/jwk'],
    ['*:webhooks/**', 'GET', 'webhooksother/x'],
    ['*:webhooks/*', 'GET', 'webhooks'],
    ['*:webhooks/*', 'GET', 'webhooks/subscriptions/1'],
    ['*:webhooks', 'GET', 'webhooks/subscriptions'],
    ['*:webhooks/subscriptions', 'GET', 'webhooks/Subscriptions'],
    ['GET:a POST:b', 'POST', 'a'],
    ['GET:**/events', 'GET', 'webhooks/events/1'],
  ])('the scope %s does not permit %s %s', (scope, method, path) => {
    expect(allows(scope, method, path)).toBe(false);
  });

  it('a scope whose glob is made to be slow is still decided at once', () => {
    const glob = Array.from({ length: 60 }, () => '**/a').join('/');
    const path = `${Array.from({ length: 200 }, () => 'a').join('/')}/b`;
    const started = performance.now();
    expect(allows(`*:${glob}`, 'GET', path)).toBe(false);
    // A matcher that backtracks would need years. The bound only has to separate the two.
    expect(performance.now() - started).toBeLessThan(60_000);
  });
});

describe('the scopes that a client may ask for', () => {
  it.each([
    ['*:webhooks/**', '*:webhooks/**'],
    ['*:webhooks/**', 'GET:webhooks/subscriptions'],
    ['*:webhooks/**', 'GET:webhooks/*/events POST:webhooks/events'],
    ['*:webhooks/**', '*:webhooks/*/**'],
    ['GET:a/* POST:b', 'GET:a/x'],
  ])('a client with %s may ask for %s', (allowed, asked) => {
    expect(mayAsk(allowed, asked)).toBe(true);
  });

  it.each([
    ['GET:webhooks/**', '*:webhooks/**'],
    ['*:webhooks/**', '*:**'],
    ['*:webhooks/*', '*:webhooks/**'],
    ['*:webhooks/subscriptions', '*:webhooks/*'],
    ['GET:a/* POST:b', 'GET:a/x POST:a/x'],
  ])('a client with %s may not ask for %s', (allowed, asked) => {
    expect(mayAsk(allowed, asked)).toBe(false);
  });

  it('a client can never ask for a call that its own scopes do not permit', () => {
    const segment = fc.constantFrom('a', 'b', '*', '**');
    const glob = fc.array(segment, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
    const path = fc.array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(glob, glob, path, (allowed, asked, segments) => {
        const call = segments.join('/');
        if (!mayAsk(`GET:${allowed}`, `GET:${asked}`) || !allows(`GET:${asked}`, 'GET', call)) return;
        expect(allows(`GET:${allowed}`, 'GET', call)).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });
});
