import { describe, expect, it } from 'vitest';
import { permits } from '../src/lib/scope.ts';

describe('scopes', () => {
  it.each([
    ['*:webhooks/**', 'DELETE', 'webhooks/subscriptions/S', true],
    ['*:webhooks/**', 'GET', 'webhooks', true],
    ['*:webhooks/**', 'GET', 'other', false],
    ['GET:webhooks/**', 'POST', 'webhooks/subscriptions', false],
    ['GET:webhooks/** POST:webhooks/filter-tests', 'POST', 'webhooks/filter-tests', true],
    ['GET:webhooks/** POST:webhooks/filter-tests', 'POST', 'webhooks/subscriptions/S/redeliveries', false],
    ['GET:webhooks/subscriptions/*', 'GET', 'webhooks/subscriptions', false],
    ['GET:webhooks/subscriptions/*', 'GET', 'webhooks/subscriptions/S', true],
    ['GET:webhooks/subscriptions/*', 'GET', 'webhooks/subscriptions/S/events', false],
    ['GET:webhooks/**/history', 'GET', 'webhooks/subscriptions/S/events/E/history', true],
    ['', 'GET', 'webhooks', false],
  ])('the scope %j permits %s %s: %s', (scope, method, path, expected) => {
    expect(permits(scope, method, path)).toBe(expected);
  });
});
