/** A list of which pages arrive while others are shown. */

/**
 * Puts a page into a list whose ids sort by time, newest first. An item of the page replaces the one that is shown.
 * @returns the list, and the ids that are newer than everything that was shown
 */
export function merged<Item>(
  shown: readonly Item[],
  page: readonly Item[],
  idOf: (item: Item) => string,
): { readonly list: readonly Item[]; readonly added: readonly string[] } {
  const byId = new Map(shown.map((item) => [idOf(item), item]));
  const newest = shown[0] === undefined ? '' : idOf(shown[0]);
  const added = page.map(idOf).filter((id) => !byId.has(id) && id > newest);
  for (const item of page) byId.set(idOf(item), item);
  const list = [...byId.values()].sort((a, b) => (idOf(a) < idOf(b) ? 1 : -1));
  return { list, added };
}
