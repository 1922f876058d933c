/** Calls by the names of the OpenAPI document, and lists as iterators. A client says how its requests are authorized. */
import { bodyOf, WebhooksError } from './errors.ts';
import { OPERATIONS } from './operations.ts';
import type { ArgumentsOf, ItemOf, ListOperation, OperationId, ResultOf } from './types.ts';

/** What a call may bring along, of whatever operation. */
export interface AnyArguments {
  readonly query?: Readonly<Record<string, unknown>>;
  readonly body?: unknown;
  readonly [parameter: string]: unknown;
}

/** One argument, which may be left out when nothing in it is required. */
type Given<Id extends OperationId> =
  Record<string, never> extends ArgumentsOf<Id> ? [ArgumentsOf<Id>?] : [ArgumentsOf<Id>];

/** The members are there, if the service answered and nothing else did. */
interface Page<Item> {
  readonly _embedded?: Readonly<Record<string, readonly Item[]>>;
  readonly _links?: { readonly next?: { readonly href: string } };
}

export abstract class Api<Operation extends OperationId> {
  /** Parameters of paths that the client fills in. */
  readonly #filledIn: Readonly<Record<string, string>>;

  constructor(filledIn: Readonly<Record<string, string>>) {
    this.#filledIn = filledIn;
  }

  /** @returns the answer to an authorized request, a success @throws WebhooksError otherwise */
  protected abstract request(operation: Operation, path: string, init: RequestInit): Promise<Response>;

  /**
   * Makes one call, by the operation's name in the OpenAPI document.
   * @returns the body of the answer; nothing where it has none
   * @throws WebhooksError for every answer that is no success
   */
  async call<Id extends Operation>(operation: Id, ...[given]: Given<Id>): Promise<ResultOf<Id>> {
    const answer = await this.ask(operation, given as AnyArguments | undefined);
    return (answer.status === 204 ? undefined : await bodyOf(operation, answer)) as ResultOf<Id>;
  }

  /**
   * Yields the items of a list, one page after the other.
   * @param operation an operation that lists
   */
  async *items<Id extends Operation & ListOperation>(
    operation: Id,
    ...given: Given<Id>
  ): AsyncGenerator<ItemOf<Id>, void, undefined> {
    for await (const page of this.pages(operation, ...given)) {
      const { _embedded } = page as Page<ItemOf<Id>>;
      for (const list of Object.values(_embedded ?? {})) yield* list;
    }
  }

  /**
   * Yields the pages of a list, for what a page says beside its items.
   * @param operation an operation that lists
   */
  async *pages<Id extends Operation & ListOperation>(
    operation: Id,
    ...[given]: Given<Id>
  ): AsyncGenerator<ResultOf<Id>, void, undefined> {
    let path: string | undefined = this.#pathOf(operation, given as AnyArguments | undefined);
    while (path !== undefined) {
      const answer: Response = await this.request(operation, path, { method: 'GET' });
      const page = (await bodyOf(operation, answer)) as Page<ItemOf<Id>>;
      const unexpected = (what: string) => new WebhooksError(operation, what, { kind: 'unexpected' }, answer);
      const lists = Object.values(page?._embedded ?? {});
      if (!lists.every(Array.isArray) || lists.length === 0) throw unexpected('the answer is not a list');
      yield page as ResultOf<Id>;
      const next = page._links?.next?.href;
      // A path is appended to the base URL: "@elsewhere.example" would take the access token to another host.
      if (next === path || (next !== undefined && !next.startsWith('/'))) {
        throw unexpected('the link to the next page is not the path of another page');
      }
      path = next;
    }
  }

  protected async ask(operation: Operation, given: AnyArguments = {}): Promise<Response> {
    const [method] = OPERATIONS[operation];
    const init =
      given.body === undefined
        ? { method }
        : { method, headers: { 'content-type': 'application/json' }, body: JSON.stringify(given.body) };
    return await this.request(operation, this.#pathOf(operation, given), init);
  }

  #pathOf(operation: Operation, given: AnyArguments = {}): string {
    const values: Readonly<Record<string, unknown>> = { ...given, ...this.#filledIn };
    const path = OPERATIONS[operation][1].replaceAll(/\{(\w+)\}/g, (_, name: string) =>
      encodeURIComponent(String(values[name])),
    );
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(given.query ?? {})) {
      for (const one of [value].flat()) if (one !== undefined) query.append(name, String(one));
    }
    return query.size === 0 ? path : `${path}?${query}`;
  }
}

export function withHeader(init: RequestInit, name: string, value: string): RequestInit {
  const headers = new Headers(init.headers);
  headers.set(name, value);
  return { ...init, headers };
}
