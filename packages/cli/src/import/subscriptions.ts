/**
 * Imports subscriptions. It may run twice and die halfway: each run reads both sides, and makes only what is not there. An answer
 * that was lost is found by the next run, because the subscription is there then, under its title and endpoint.
 */
import { type WebhooksClient, WebhooksError } from '@identity-webhooks/client';
import type { Subscription } from '../command.ts';
import type { Session } from '../session.ts';
import { filtersOf, isEventType, refused, type Step } from './plan.ts';

export type Result = 'created' | 'changed' | 'kept' | 'refused' | 'unknown' | 'not reached';

export interface Done {
  readonly step: Step;
  readonly result: Result;
  readonly id: string | undefined;
  readonly notes: readonly string[];
}

/** Any event: only the verdict on the filter counts. */
const EXAMPLE = {
  type: 'entityCreated',
  captureApplicationId: 'example',
  captureClientId: 'example',
  entityType: 'user',
  sub: '00000000-0000-0000-0000-000000000000',
} as const;

/** Lets the service judge each filter that is new to it (contract 10.10). Nothing is stored. @returns the steps, some refused */
export async function judgeFilters(
  session: Session,
  client: WebhooksClient,
  steps: readonly Step[],
): Promise<Step[]> {
  const reasons = new Map<Step, string>();
  const filters = filtersOf(steps);
  let judged = 0;
  for (const [text, users] of filters) {
    session.progress(`Filters: ${judged++} of ${filters.size} judged …`);
    const filter = JSON.parse(text) as Record<string, unknown>;
    const reason = await client
      .call('testFilter', { body: { filter, event: EXAMPLE } })
      .then(() => undefined, refusalIn);
    if (reason !== undefined) for (const step of users) reasons.set(step, reason);
  }
  return steps.map((step) => {
    const reason = reasons.get(step);
    return reason === undefined ? step : refused(step, reason);
  });
}

/**
 * Makes and changes what the plan says, one after the other.
 * @param disabled make them disabled, whatever they are in the old service
 * @returns what was done, and the error that ended it early
 */
export async function carryOut(
  session: Session,
  client: WebhooksClient,
  steps: readonly Step[],
  disabled: boolean,
): Promise<{ readonly done: Done[]; readonly error: unknown }> {
  const done: Done[] = [];
  let error: unknown;
  for (const step of steps) {
    session.progress(`${done.length} of ${steps.length} subscriptions …`);
    if (error !== undefined) {
      done.push({ step, result: 'not reached', id: step.id, notes: step.notes });
      continue;
    }
    try {
      done.push(await perform(client, step, disabled));
    } catch (reason) {
      error = reason;
      done.push({
        step,
        result: outcomeIsKnown(reason) ? 'not reached' : 'unknown',
        id: step.id,
        notes: step.notes,
      });
    }
  }
  return { done, error };
}

async function perform(client: WebhooksClient, step: Step, disabled: boolean): Promise<Done> {
  const { old, action, id, changes, notes } = step;
  switch (action) {
    case 'keep':
      return { step, result: 'kept', id, notes };
    case 'refuse':
      return { step, result: 'refused', id, notes };
    case 'create':
    case 'change': {
      const made = await (action === 'create' ? create(client, step, disabled) : change(client, step)).catch(
        refusalIn,
      );
      return typeof made === 'string'
        ? { step, result: 'refused', id, notes: [made, ...notes] }
        : {
            step,
            result: action === 'create' ? 'created' : 'changed',
            id: made.id,
            notes: [
              ...(action === 'change' ? [`changed: ${changes.join(' and ')}`] : []),
              ...(disabled && old.enabled && action === 'create'
                ? ['made disabled; it is enabled there']
                : []),
              ...(made.health?.state === 'unverified'
                ? ['gets no event until its endpoint has answered a test with a 2xx (contract 10.8)']
                : []),
              ...notes,
            ],
          };
    }
  }
}

async function create(client: WebhooksClient, { old }: Step, disabled: boolean): Promise<Subscription> {
  const { title, endpoint, events, enabled, filter } = old;
  const body = { title, endpoint, events: events.filter(isEventType), enabled: enabled && !disabled };
  return await client.call('createSubscription', { body: filter === undefined ? body : { ...body, filter } });
}

async function change(client: WebhooksClient, { old, id = '', changes }: Step): Promise<Subscription> {
  const body = {
    ...(changes.includes('events') ? { events: old.events.filter(isEventType) } : {}),
    ...(changes.includes('filter') ? { filter: old.filter ?? null } : {}),
  };
  return await client.call('updateSubscription', { sid: id, body });
}

/** What a 400 says of this subscription. Everything else ends the import. */
function refusalIn(error: unknown): string {
  if (error instanceof WebhooksError && error.trouble.kind === 'invalid' && error.trouble.faults.length > 0) {
    return error.trouble.faults
      .map(({ name, reason }) => (name === 'filter' ? reason : `${name} ${reason}`))
      .join('; ');
  }
  throw error;
}

/** Whether nothing was changed for certain: the service has answered, and not with a 5xx, which may have taken effect (docs/errors.md). */
function outcomeIsKnown(error: unknown): boolean {
  return error instanceof WebhooksError && error.status !== undefined && error.status < 500;
}
