/**
 * Answers that are made while they are sent, part by part, so that memory stays flat however long they are. A part that
 * fails breaks the transfer off: the answer must not look whole.
 */
import type { AppContext } from './context.ts';
import type { Links } from './links.ts';

/** The pages of a collection; after the last page it returns the links, because only then is it known whether there is more. */
export type Pages<Item> = AsyncGenerator<readonly Item[], Links>;

/**
 * Answers with a collection (contract 1), its links last in the text.
 * The total and the first page are read before the answer starts: if they fail, the answer is still an error.
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

/** Answers 200 with a text made of these parts. */
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
  // A route declares a schema for its answer, and a stream has no static type: this cast is the only one.
  return c.body(body, 200, { ...headers }) as never;
}
