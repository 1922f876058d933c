/** The words for states, types and answers. */
import type { components } from '@identity-webhooks/client';
import type { JSX } from 'preact';
import type { HealthState } from '../lib/figures.ts';
import { Badge, type Tone } from '../ui/parts.tsx';

export type Subscription = components['schemas']['Subscription'];
export type WebhookEvent = components['schemas']['Event'];
export type ListedEvent = components['schemas']['ListedEvent'];
export type State = WebhookEvent['state'];

export const STATES: Readonly<Record<State, { readonly word: string; readonly tone: Tone }>> = {
  success: { word: 'Delivered', tone: 'ok' },
  failure: { word: 'Failed', tone: 'bad' },
  'awaiting-retry': { word: 'To be retried', tone: 'slow' },
  executing: { word: 'Under way', tone: 'run' },
  'awaiting-executing': { word: 'Not sent yet', tone: 'wait' },
};

export const isFinal = (state: State) => state === 'success' || state === 'failure';

export function StateBadge({ state }: { readonly state: State }): JSX.Element {
  const { word, tone } = STATES[state];
  return <Badge tone={tone}>{word}</Badge>;
}

const HEALTH: Readonly<Record<HealthState, { readonly word: string; readonly tone: Tone }>> = {
  healthy: { word: 'Healthy', tone: 'ok' },
  slow: { word: 'Slow', tone: 'slow' },
  failing: { word: 'Failing', tone: 'bad' },
  unverified: { word: 'Not verified', tone: 'wait' },
};

export function HealthBadge(props: {
  readonly state: HealthState;
  readonly enabled: boolean;
  /** Whether anything was sent to it. The service takes an endpoint for healthy until something fails. */
  readonly tried?: boolean;
}): JSX.Element {
  const { state, enabled, tried = true } = props;
  if (!enabled) return <Badge tone="off">Disabled</Badge>;
  if (state === 'healthy' && !tried) return <Badge tone="wait">Not tried yet</Badge>;
  const { word, tone } = HEALTH[state];
  return <Badge tone={tone}>{word}</Badge>;
}

export const TYPE_WORDS: Readonly<Record<string, string>> = {
  entityCreated: 'Created',
  entityUpdated: 'Updated',
  entityDeleted: 'Deleted',
  test: 'Test',
};

/** Types of the notices that the operator gets (contract 10.16). No list can be filtered by them. */
const NOTICE_WORDS: Readonly<Record<string, string>> = {
  endpointFailing: 'Endpoint failing',
  endpointRecovered: 'Endpoint recovered',
  eventsExpired: 'Events expired',
};

export function typeWord(type: string | undefined): string {
  return type === undefined ? '–' : (TYPE_WORDS[type] ?? NOTICE_WORDS[type] ?? type);
}

/** The listener's last answer in a few words. */
export function answerOf(event: Pick<ListedEvent, 'response' | 'error'>): string | undefined {
  if (event.response !== undefined) return `HTTP ${event.response.statusCode}`;
  if (event.error !== undefined) return event.error.message;
  return undefined;
}

/** The host of an endpoint: endpoints mostly differ by it. */
export function hostOf(endpoint: string): string {
  return URL.canParse(endpoint) ? new URL(endpoint).host : endpoint;
}
