/** What a form for a subscription can judge while one types. The service judges everything again (contract 3.1, 3.3, 4). */

export const EVENT_TYPES = ['entityCreated', 'entityUpdated', 'entityDeleted'] as const;
export type EventType = (typeof EVENT_TYPES)[number];

export interface Draft {
  readonly title: string;
  readonly endpoint: string;
  readonly events: readonly EventType[];
  readonly enabled: boolean;
  /** JSON text; empty for no filter. */
  readonly filter: string;
}

export type Faults = { readonly [Field in keyof Draft]?: string };

const FILTER_MAX_BYTES = 65_536;

export function faultsIn(draft: Draft): Faults {
  const found: Record<string, string> = {};
  const title = titleFault(draft.title);
  const endpoint = endpointFault(draft.endpoint);
  const filter = filterFault(draft.filter);
  if (title !== undefined) found['title'] = title;
  if (endpoint !== undefined) found['endpoint'] = endpoint;
  if (filter !== undefined) found['filter'] = filter;
  return found;
}

function titleFault(title: string): string | undefined {
  const length = [...title].length;
  if (length < 2) return 'Give it a title of at least 2 characters.';
  if (length > 200) return `A title has at most 200 characters; this one has ${length}.`;
  return undefined;
}

function endpointFault(endpoint: string): string | undefined {
  if (endpoint === '') return 'Enter the URL of your listener.';
  if (/[\s\\]/.test(endpoint)) return 'A URL has no spaces and no backslashes.';
  if (endpoint.length > 2_048) return 'A URL has at most 2,048 characters.';
  if (!/^https?:\/\//i.test(endpoint)) return 'A URL begins with https://';
  if (endpoint.includes('#')) return 'A URL with a fragment (#) is refused.';
  if (!URL.canParse(endpoint)) return 'This is not a URL.';
  const { username, password } = new URL(endpoint);
  if (username !== '' || password !== '') return 'A URL with user or password is refused.';
  return undefined;
}

/** What is permitted only where the operator allows it. */
export function endpointHint(endpoint: string): string | undefined {
  return /^http:\/\//i.test(endpoint)
    ? 'http is accepted only where the operator permits it for development.'
    : undefined;
}

function filterFault(filter: string): string | undefined {
  if (filter.trim() === '') return undefined;
  const parsed = parseJson(filter);
  if ('fault' in parsed) return `The filter is not JSON: ${parsed.fault}`;
  const { value } = parsed;
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return 'A filter is a JSON object.';
  if (new TextEncoder().encode(JSON.stringify(value)).length > FILTER_MAX_BYTES)
    return 'A filter has at most 64 KiB.';
  return undefined;
}

export function parseJson(text: string): { readonly value: unknown } | { readonly fault: string } {
  try {
    return { value: JSON.parse(text) };
  } catch (error) {
    return { fault: error instanceof Error ? error.message : 'unreadable' };
  }
}

/** The body of a create. */
export function creationOf(draft: Draft) {
  return {
    ...bodyOf(draft),
    ...(draft.filter.trim() !== '' && { filter: JSON.parse(draft.filter) as unknown }),
  };
}

/** The members that differ, as a merge patch. */
export function changeOf(before: Draft, after: Draft): Record<string, unknown> {
  const change: Record<string, unknown> = {};
  if (before.title !== after.title) change['title'] = after.title;
  if (before.endpoint !== after.endpoint) change['endpoint'] = after.endpoint;
  if (before.enabled !== after.enabled) change['enabled'] = after.enabled;
  if (before.events.join() !== after.events.join()) change['events'] = after.events;
  if (canonical(before.filter) !== canonical(after.filter))
    change['filter'] = after.filter.trim() === '' ? null : (JSON.parse(after.filter) as unknown);
  return change;
}

function bodyOf({ title, endpoint, events, enabled }: Draft) {
  return { title, endpoint, events, enabled };
}

function canonical(filter: string): string {
  return filter.trim() === '' ? '' : JSON.stringify(JSON.parse(filter));
}

/** Filters to begin with. */
export const TEMPLATES: readonly { readonly name: string; readonly filter: unknown }[] = [
  {
    name: 'Some attributes',
    filter: {
      properties: {
        entityUpdated: {
          properties: { attributes: { contains: { enum: ['email', 'givenName', 'familyName'] } } },
        },
      },
    },
  },
  {
    name: 'One application',
    filter: ofEveryType({ captureApplicationId: { const: 'your-application-id' } }),
  },
  {
    name: 'One kind of entity',
    filter: ofEveryType({ entityType: { const: 'user' } }),
  },
];

/** A filter with the same properties for each type. */
function ofEveryType(properties: unknown) {
  return { properties: Object.fromEntries(EVENT_TYPES.map((type) => [type, { properties }])) };
}

/** An event to try a filter with. */
export function exampleEvent(type: EventType): Record<string, unknown> {
  return {
    type,
    captureApplicationId: 'your-application-id',
    captureClientId: 'your-client-id',
    entityType: 'user',
    sub: '726087ec-35df-4041-aec8-c11ecc208efa',
    ...(type === 'entityUpdated' && { attributes: ['givenName', 'primaryAddress.city'] }),
  };
}
