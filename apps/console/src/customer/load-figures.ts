/** Fetches the figures of all subscriptions, page by page. */
import { type Figures, type FiguresPage, together } from '../lib/figures.ts';
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
