/**
 * What an import would do. Nothing here makes a request.
 *
 * A subscription is found again by its title and its endpoint, compared exactly. Titles are unique on both sides (contract 3.1). The
 * endpoint belongs to the key because a wrong guess would send events elsewhere: a subscription with the same title and another
 * endpoint is somebody's own, so it is reported and left alone.
 */
import { isDeepStrictEqual } from 'node:util';
import { EVENT_TYPES, type EventType, type Subscription } from '../command.ts';
import { refusalOf } from './endpoint.ts';

/** A subscription of the old service. */
export interface OldSubscription {
  readonly id: string;
  readonly title: string;
  readonly endpoint: string;
  readonly events: readonly string[];
  readonly enabled: boolean;
  readonly filter: Readonly<Record<string, unknown>> | undefined;
}

export type Action = 'create' | 'change' | 'keep' | 'refuse';

export interface Step {
  readonly old: OldSubscription;
  readonly action: Action;
  /** The subscription here, when there is one. */
  readonly id: string | undefined;
  /** Members that a change sets. */
  readonly changes: readonly ('events' | 'filter')[];
  /** Why it is refused, and differences that the customer will notice. */
  readonly notes: readonly string[];
}

export interface PlanOptions {
  /** http and private endpoints are refused wherever the service itself is https (contract 10.6). */
  readonly privateRefused: boolean;
  /** `MAX_SUBSCRIPTIONS` of the service. */
  readonly maxSubscriptions: number;
}

/** All filters of a customer together (contract 4), bytes of JSON. */
const FILTERS_MAX_BYTES = 1_048_576;

export function planOf(
  olds: readonly OldSubscription[],
  existing: readonly Subscription[],
  { privateRefused, maxSubscriptions }: PlanOptions,
): Step[] {
  const byTitle = new Map(existing.map((one) => [one.title, one]));
  const planned = new Set<string>();
  let room = maxSubscriptions - existing.length;
  return olds.map((old) => {
    const here = byTitle.get(old.title);
    const notes = differencesOf(old, privateRefused);
    const refuse = (...reasons: string[]): Step => ({
      old,
      action: 'refuse',
      id: undefined,
      changes: [],
      notes: [...reasons, ...notes],
    });
    if (planned.has(old.title)) return refuse('another subscription of the old service has the same title');
    planned.add(old.title);
    if (here !== undefined && here.endpoint !== old.endpoint) {
      return refuse(
        `a subscription here has the same title and another endpoint (${here.id}): rename one of them`,
      );
    }
    const reasons = reasonsAgainst(old, privateRefused);
    if (reasons.length > 0) return refuse(...reasons);
    if (here !== undefined) return compare(old, here, notes);
    if (room <= 0)
      return refuse(
        `there is no room: a customer has at most ${maxSubscriptions} subscriptions (--max-subscriptions)`,
      );
    room--;
    return { old, action: 'create', id: undefined, changes: [], notes };
  });
}

/** `enabled` is copied once, when a subscription is made: switching over is a step of its own. */
function compare(old: OldSubscription, here: Subscription, notes: readonly string[]): Step {
  const changes: ('events' | 'filter')[] = [];
  if (!isDeepStrictEqual(new Set(old.events), new Set(here.events))) changes.push('events');
  if (!isDeepStrictEqual(old.filter, here.filter)) changes.push('filter');
  const state = (enabled: boolean) => (enabled ? 'enabled' : 'disabled');
  const differs =
    old.enabled === here.enabled
      ? []
      : [`${state(here.enabled)} here and ${state(old.enabled)} there: left alone`];
  return {
    old,
    action: changes.length > 0 ? 'change' : 'keep',
    id: here.id,
    changes,
    notes: [...differs, ...notes],
  };
}

/** Why the service would refuse it, without its filter. */
function reasonsAgainst({ title, endpoint, events }: OldSubscription, privateRefused: boolean): string[] {
  const length = [...title].length;
  const unknown = events.filter((type) => !isEventType(type));
  const refusal = privateRefused ? refusalOf(endpoint) : undefined;
  return [
    ...(length < 2 || length > 200 || title.includes('\0') ? ['a title has 2 to 200 characters'] : []),
    ...(unknown.length > 0 ? [`unknown event types: ${unknown.join(', ')}`] : []),
    ...(refusal === undefined ? [] : [refusal]),
  ];
}

/** What works, and in another way. */
function differencesOf({ enabled, filter, endpoint }: OldSubscription, privateRefused: boolean): string[] {
  const refusal = privateRefused ? undefined : refusalOf(endpoint);
  return [
    ...(enabled ? [] : ['disabled there, and so here']),
    ...(refusal === undefined ? [] : [`${refusal}: a service with https refuses it`]),
    ...(filter !== undefined && hasPattern(filter)
      ? ['its filter has a pattern: here it has the syntax of RE2 (contract 4)']
      : []),
  ];
}

export function isEventType(type: string): type is EventType {
  return (EVENT_TYPES as readonly string[]).includes(type);
}

function hasPattern(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return Object.entries(value).some(
    ([key, inner]) => key === 'pattern' || key === 'patternProperties' || hasPattern(inner),
  );
}

/** Filters that the service must judge, each once, with the steps that need it. */
export function filtersOf(steps: readonly Step[]): ReadonlyMap<string, readonly Step[]> {
  const found = new Map<string, Step[]>();
  for (const step of steps) {
    const isNew = step.action === 'create' || step.changes.includes('filter');
    if (!isNew || step.old.filter === undefined) continue;
    const text = JSON.stringify(step.old.filter);
    found.set(text, [...(found.get(text) ?? []), step]);
  }
  return found;
}

export function refused(step: Step, reason: string): Step {
  return { ...step, action: 'refuse', changes: [], notes: [reason, ...step.notes] };
}

/** What concerns all subscriptions together. */
export function warningsOf(steps: readonly Step[], existing: readonly Subscription[]): string[] {
  const size = (filter: unknown) => (filter === undefined ? 0 : Buffer.byteLength(JSON.stringify(filter)));
  const replaced = new Set(steps.filter(({ changes }) => changes.includes('filter')).map(({ id }) => id));
  const bytes =
    existing.filter(({ id }) => !replaced.has(id)).reduce((sum, { filter }) => sum + size(filter), 0) +
    steps
      .filter(({ action, changes }) => action === 'create' || changes.includes('filter'))
      .reduce((sum, { old }) => sum + size(old.filter), 0);
  return bytes > FILTERS_MAX_BYTES
    ? [
        `all filters together have ${bytes.toLocaleString('en')} bytes, and a customer may have ${FILTERS_MAX_BYTES.toLocaleString('en')}: some will be refused`,
      ]
    : [];
}
