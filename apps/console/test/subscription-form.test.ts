import { describe, expect, it } from 'vitest';
import { checkFilter } from '../../../src/domain/filter/check.ts';
import {
  changeOf,
  creationOf,
  type Draft,
  EVENT_TYPES,
  exampleEvent,
  faultsIn,
  TEMPLATES,
} from '../src/lib/subscription-form.ts';

const DRAFT: Draft = {
  title: 'Profile sync',
  endpoint: 'https://listener.example.com/hooks',
  events: ['entityCreated'],
  enabled: true,
  filter: '',
};

describe('the form of a subscription', () => {
  it('a good draft has no fault', () => {
    expect(faultsIn(DRAFT)).toEqual({});
  });

  it.each([
    [{ title: 'x' }, 'title', 'at least 2'],
    [{ title: '🙂'.repeat(201) }, 'title', 'this one has 201'],
    [{ endpoint: '' }, 'endpoint', 'Enter the URL'],
    [{ endpoint: 'listener.example.com' }, 'endpoint', 'begins with https://'],
    [{ endpoint: 'https://a b.example' }, 'endpoint', 'no spaces'],
    [{ endpoint: 'https://x.example/#top' }, 'endpoint', 'fragment'],
    [{ endpoint: 'https://u:p@x.example/' }, 'endpoint', 'user or password'],
    [{ endpoint: 'https://' }, 'endpoint', 'not a URL'],
    [{ filter: '{' }, 'filter', 'not JSON'],
    [{ filter: '[]' }, 'filter', 'is a JSON object'],
    [{ filter: JSON.stringify({ title: 'x'.repeat(65_536) }) }, 'filter', 'at most 64 KiB'],
  ] as const)('%j is a fault of %s', (change, field, words) => {
    expect(faultsIn({ ...DRAFT, ...change })[field]).toContain(words);
  });

  it('200 characters outside the basic plane are a good title', () => {
    expect(faultsIn({ ...DRAFT, title: '🙂'.repeat(200) })).toEqual({});
  });

  it('a change has only what differs, and a filter differs by its meaning', () => {
    const filtered = { ...DRAFT, filter: '{"minProperties": 1}' };
    expect(changeOf(DRAFT, DRAFT)).toEqual({});
    expect(changeOf(filtered, { ...filtered, filter: '{ "minProperties":1 }' })).toEqual({});
    expect(changeOf(filtered, { ...filtered, title: 'Other', filter: ' ' })).toEqual({
      title: 'Other',
      filter: null,
    });
    expect(changeOf(DRAFT, { ...filtered, enabled: false, events: [] })).toEqual({
      enabled: false,
      events: [],
      filter: { minProperties: 1 },
    });
  });

  it('a create without a filter does not name it', () => {
    expect(creationOf(DRAFT)).not.toHaveProperty('filter');
    expect(creationOf({ ...DRAFT, filter: '{}' })).toMatchObject({ filter: {} });
  });

  it('every template is a filter that the service accepts', () => {
    for (const { filter } of TEMPLATES) expect(checkFilter(filter)).toBeUndefined();
    expect(TEMPLATES).toHaveLength(3);
  });

  it('only an update has attributes in the example event', () => {
    for (const type of EVENT_TYPES) expect('attributes' in exampleEvent(type)).toBe(type === 'entityUpdated');
  });
});
