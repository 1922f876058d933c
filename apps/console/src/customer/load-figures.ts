/** Fetches the figures of all subscriptions, page by page. */
import type { components } from '@identity-webhooks/client';
import { type Figures, type FiguresPage, together, withFailures } from '../lib/figures.ts';
import { customer } from '../state/session.ts';

/** A customer has a thousand subscriptions by default. */
const PAGES_MAX = 10;

export async function loadFigures(hours: number, signal: AbortSignal): Promise<Figures> {
  const { api, at } = customer();
  const pages: FiguresPage[] = [];
  let next: string | undefined = `${at('stats')}?hours=${hours}&limit=100`;
  while (next !== undefined && pages.length < PAGES_MAX) {
    const page: FiguresPage = await api.json<FiguresPage>(next, { signal });
    pages.push(page);
    next = page._links.next?.href;
  }
  return together(pages);
}

/** The figures, and how many failed events are left where there were any. */
export async function loadOverview(hours: number, signal: AbortSignal): Promise<Figures> {
  const { api, at } = customer();
  const figures = await loadFigures(hours, signal);
  const left = new Map(
    await Promise.all(
      withFailures(figures.subscriptions).map(async ({ id }) => {
        const path = at('subscriptions', id, 'summary');
        const summary = await api.json<components['schemas']['Summary']>(path, { signal });
        return [id, summary.failed] as const;
      }),
    ),
  );
  const subscriptions = figures.subscriptions.map((one) => {
    const failedNow = left.get(one.id);
    return failedNow === undefined ? one : { ...one, failedNow };
  });
  return { ...figures, subscriptions };
}
