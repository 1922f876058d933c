/** The operator's lists come in pages of a hundred, by `?page=N` of the address. */
import type { JSX } from 'preact';
import { route, setQuery } from '../state/navigation.ts';
import { Button } from '../ui/parts.tsx';

export interface Links {
  readonly prev?: { readonly href: string };
  readonly next?: { readonly href: string };
}

export function pageOf(): number {
  const page = Number(route.value.query.get('page') ?? '1');
  return Number.isInteger(page) && page > 0 ? page : 1;
}

export function Pages({ links }: { readonly links: Links }): JSX.Element | null {
  const page = pageOf();
  if (links.prev === undefined && links.next === undefined && page === 1) return null;
  const go = (to: number) => setQuery({ page: to === 1 ? undefined : String(to) });
  return (
    <nav class="more" aria-label="Pages">
      <Button disabled={page === 1} onClick={() => go(page - 1)}>
        Previous page
      </Button>
      <span class="soft">Page {page}</span>
      <Button disabled={links.next === undefined} onClick={() => go(page + 1)}>
        Next page
      </Button>
    </nav>
  );
}
