/** Figures of subscriptions, as the calls `…/stats` give them, and what they ask of a person. */
import type { Hour } from './chart.ts';

export type HealthState = 'healthy' | 'slow' | 'failing' | 'unverified';

interface Totals {
  readonly delivered: number;
  readonly failed: number;
  readonly attempts: number;
  readonly answerTimes: readonly number[];
}

export interface SubscriptionFigures {
  readonly from: string;
  readonly until: string;
  readonly totals: Totals;
  readonly waiting: number;
  readonly oldestWaitingAt?: string;
  readonly lastDeliveredAt?: string;
  readonly answerTimeBoundsMs: readonly number[];
  readonly hours: readonly Hour[];
  readonly exact: boolean;
}

export interface FiguresOfOne {
  readonly id: string;
  readonly title: string;
  readonly enabled: boolean;
  readonly health: { readonly state: HealthState; readonly since?: string };
  readonly totals: Totals;
  readonly delivered: readonly number[];
  readonly failed: readonly number[];
  readonly waiting: number;
  readonly oldestWaitingAt?: string;
  readonly lastDeliveredAt?: string;
  /** How many failed events there are now, where it was asked. The figures count failures, also of events that were sent again since. */
  readonly failedNow?: number;
}

export interface FiguresPage {
  readonly from: string;
  readonly until: string;
  readonly answerTimeBoundsMs: readonly number[];
  readonly totals: Totals;
  readonly hours: readonly Hour[];
  readonly exact: boolean;
  readonly _embedded: { readonly subscriptions: readonly FiguresOfOne[] };
  readonly _links: { readonly next?: { readonly href: string } };
}

export interface Figures {
  readonly delivered: number;
  readonly failed: number;
  readonly waiting: number;
  readonly oldestWaitingAt: string | undefined;
  readonly hours: readonly Hour[];
  readonly boundsMs: readonly number[];
  readonly exact: boolean;
  readonly subscriptions: readonly FiguresOfOne[];
}

/** The pages of a customer as one. Hours are added by their time: the hour may have changed between two pages. */
export function together(pages: readonly FiguresPage[]): Figures {
  const subscriptions = pages.flatMap((page) => page._embedded.subscriptions);
  const hours = new Map<string, Hour>();
  for (const { hour, delivered, failed } of pages.flatMap((page) => page.hours)) {
    const sum = hours.get(hour) ?? { hour, delivered: 0, failed: 0 };
    hours.set(hour, { hour, delivered: sum.delivered + delivered, failed: sum.failed + failed });
  }
  const sum = (of: (one: FiguresOfOne) => number) => subscriptions.reduce((all, one) => all + of(one), 0);
  return {
    delivered: sum(({ totals }) => totals.delivered),
    failed: sum(({ totals }) => totals.failed),
    waiting: sum(({ waiting }) => waiting),
    oldestWaitingAt: subscriptions.flatMap(({ oldestWaitingAt }) => oldestWaitingAt ?? []).sort()[0],
    hours: [...hours.values()].sort((a, b) => (a.hour < b.hour ? -1 : 1)),
    boundsMs: pages[0]?.answerTimeBoundsMs ?? [],
    exact: pages.every(({ exact }) => exact),
    subscriptions,
  };
}

export type Advice =
  | { readonly kind: 'create first' }
  | { readonly kind: 'failing' | 'slow' | 'unverified'; readonly subscription: FiguresOfOne }
  | { readonly kind: 'redeliver'; readonly subscription: FiguresOfOne }
  | { readonly kind: 'disabled'; readonly subscription: FiguresOfOne }
  | { readonly kind: 'never delivered'; readonly subscription: FiguresOfOne };

const ADVICE_MAX = 6;
/** Each costs a call. */
const ASKED_MAX = 20;

/** Whether a request was ever made, as far as the figures reach. */
export function wasTried({
  totals,
  lastDeliveredAt,
}: Pick<FiguresOfOne, 'lastDeliveredAt'> & { readonly totals: Pick<Totals, 'attempts'> }): boolean {
  return totals.attempts > 0 || lastDeliveredAt !== undefined;
}

const leftOf = ({ failedNow }: FiguresOfOne) => failedNow ?? 0;

/** Those that had failures: it is worth asking how many of them are left. */
export function withFailures(subscriptions: readonly FiguresOfOne[]): readonly FiguresOfOne[] {
  return subscriptions
    .filter(({ totals }) => totals.failed > 0)
    .sort((a, b) => b.totals.failed - a.totals.failed)
    .slice(0, ASKED_MAX);
}

/** @returns how many events are failed now; undefined where not all were asked */
export function failedLeft(subscriptions: readonly FiguresOfOne[]): number | undefined {
  const had = subscriptions.filter(({ totals }) => totals.failed > 0);
  if (had.some(({ failedNow }) => failedNow === undefined)) return undefined;
  return had.reduce((sum, one) => sum + leftOf(one), 0);
}

/** What to do next, the most urgent first. */
export function adviceOf(subscriptions: readonly FiguresOfOne[]): Advice[] {
  if (subscriptions.length === 0) return [{ kind: 'create first' }];
  const inState = (state: HealthState) =>
    subscriptions
      .filter((one) => one.enabled && one.health.state === state)
      .sort((a, b) => b.waiting - a.waiting);
  const healthy = inState('healthy');
  return [
    ...inState('failing').map((subscription) => ({ kind: 'failing' as const, subscription })),
    ...inState('unverified').map((subscription) => ({ kind: 'unverified' as const, subscription })),
    ...[...healthy, ...inState('slow')]
      .filter((one) => leftOf(one) > 0)
      .sort((a, b) => leftOf(b) - leftOf(a))
      .map((subscription) => ({ kind: 'redeliver' as const, subscription })),
    ...inState('slow').map((subscription) => ({ kind: 'slow' as const, subscription })),
    ...subscriptions
      .filter((one) => !one.enabled && leftOf(one) > 0)
      .map((subscription) => ({ kind: 'disabled' as const, subscription })),
    ...healthy
      .filter((one) => !wasTried(one))
      .map((subscription) => ({ kind: 'never delivered' as const, subscription })),
  ].slice(0, ADVICE_MAX);
}
