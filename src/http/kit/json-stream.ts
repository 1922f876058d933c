/**
 * Answers that are made part by part while they are sent, so that memory stays flat however long they are. A part that
 * fails ends the transfer with an error: the answer must not look whole.
 */
import type { AppContext } from './context.ts';
import type { Links } from './links.ts';

/** Yields the pages of a collection and returns its links: whether there is a next page is known at the end. */
export type Pages<Item> = AsyncGenerator<readonly Item[], Links>;

/**
 * Answers with a collection (contract 1) whose links are last in the text. The total and the first page are read before
 * the answer starts, so that their failure is still answered as an error.
 */
export async function streamCollection<Item>(
  c: AppContext,
  plural: string,
  total: Promise<number>,
  pages: Pages<Item>,
): Promise<never> {
  const [count, first] = await Promise.all([total, pages.next()]);
  return streamText(c, { 'content-type': 'application/json' }, textOf(count, plural, first, pages));
}

async function* textOf<Item>(
  total: number,
  plural: string,
  first: IteratorResult<readonly Item[], Links>,
  pages: Pages<Item>,
): AsyncGenerator<string> {
  yield `{"total":${total},"_embedded":{${JSON.stringify(plural)}:[`;
  let separator = '';
  let page = first;
  while (!page.done) {
    if (page.value.length > 0) {
      yield separator + page.value.map((item) => JSON.stringify(item)).join(',');
      separator = ',';
    }
    page = await pages.next();
  }
  yield `]},"_links":${JSON.stringify(page.value)}}`;
}

/** Answers 200 with the text that these parts make. */
export function streamText(
  c: AppContext,
  headers: Readonly<Record<string, string>>,
  parts: AsyncGenerator<string>,
): never {
  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const part = await parts.next();
      if (part.done) controller.close();
      else controller.enqueue(encoder.encode(part.value));
    },
  });
  // Routes type their answers by schema, and a stream has no such type. This is the only cast for it.
  return c.body(body, 200, { ...headers }) as never;
}
