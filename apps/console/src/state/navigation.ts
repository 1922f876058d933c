/** Where the reader is. */
import { computed, signal } from '@preact/signals';
import { hrefOf, type Route, routeOf } from '../lib/routes.ts';

const hash = signal(location.hash);

export const route = computed<Route>(() => routeOf(hash.value));

addEventListener('hashchange', () => {
  hash.value = location.hash;
});

export function navigate(
  path: readonly string[],
  query?: Readonly<Record<string, string | undefined>>,
): void {
  location.hash = hrefOf(path, query);
}

/** Another address for what is shown: no new entry of the browser's history. */
export function replace(path: readonly string[], query?: Readonly<Record<string, string | undefined>>): void {
  replaceHash(hrefOf(path, query));
}

export function replaceHash(next: string): void {
  history.replaceState(null, '', next);
  hash.value = next;
}

/** Changes parameters of the present address. An empty one is left out. */
export function setQuery(changes: Readonly<Record<string, string | undefined>>): void {
  const { path, query } = route.value;
  replace(path, { ...Object.fromEntries(query), ...changes });
}
