/**
 * # The event stores of a hot subscription, called like one (decision 0042)
 *
 * `ShardedStore` has the calls of an event store. It sends what concerns an event to the store of its shard, and puts together what all
 * stores answer. Callers do not know that there are several. `Stores` opens them, and `domain/shards.ts` says which event is where.
 *
 * Correctness rests on the stores alone: each call to a store is a transaction, and may be repeated. What dies between two stores is made
 * up for: events come again, every call brings the version of the subscription, and jobs are repaired by those who look at them
 * (`bulk-redeliveries.ts`, `exports.ts`). What this class remembers saves calls.
 *
 * An event may be at home although its shard is another: a version of the service that knew no shards stored it. So what its store
 * does not have is asked of home.
 */
import { BoundedCache } from '../../bounded-cache.ts';
import type { Delivery } from '../../domain/delivery.ts';
import type { EndpointNews, SubscriptionRef } from '../../domain/subscription.ts';
import type {
  Admission,
  Caller,
  EventStoreRpc,
  FoundDelivery,
  HealthNote,
  HealthReport,
  PageQuery,
  Redelivery,
  SearchQuery,
  SentReport,
  SettleReply,
  Span,
  StartedAttempt,
  StoredReport,
  StoreFigures,
  Summary,
  VisitNote,
} from '../rpc.ts';
import { beginIn } from './begun.ts';
import { BulkRedeliveries } from './bulk-redeliveries.ts';
import { ShardedExports } from './exports.ts';
import { listOf, searchOf } from './merged-pages.ts';
import { HOME, type Stores } from './stores.ts';
import { sum, sumOfFigures, sumOfVisits, withRoom } from './sums.ts';

/** Subscriptions that an isolate remembers here. */
const REMEMBERED_MAX = 1000;

/**
 * By subscription: when the last state began that this isolate has brought to all stores, ms. Many consumers see a change at the same moment,
 * and few of them need to spread it. A store that was missed learns it from D1.
 */
const spread = new BoundedCache<number>(REMEMBERED_MAX);

export class ShardedStore implements EventStoreRpc {
  readonly #stores: Stores;
  readonly #redeliveries: BulkRedeliveries;
  readonly #exports: ShardedExports;
  /** Events that were begun at home, although their shard is another. Their results go where they were begun. */
  readonly #atHome = new Set<string>();
  /** The stores that were asked for attempts. */
  readonly #asked = new Set<number>();

  constructor(stores: Stores) {
    this.#stores = stores;
    this.#redeliveries = new BulkRedeliveries(stores);
    this.#exports = new ShardedExports(stores);
  }

  // --- The event path ---------------------------------------------------------------------------------

  async admit(
    ref: SubscriptionRef,
    eventIds: readonly string[],
    waited: readonly string[] = [],
  ): Promise<(Admission | undefined)[]> {
    const patient = new Set(waited);
    return await this.#each(
      eventIds,
      (eventId) => eventId,
      'admit',
      async (store, number, ids) => {
        this.#asked.add(number);
        const own = ids.filter((id) => patient.has(id));
        return await store.admit(this.#stores.refFor(ref, number), ids, own);
      },
    );
  }

  async settle(ref: SubscriptionRef, reports: readonly SentReport[], caller?: Caller): Promise<SettleReply> {
    const replies = new Map<number, SettleReply>();
    const settled = await this.#each(
      reports,
      ({ eventId }) => eventId,
      'settle',
      async (store, number, own) => {
        const reply = await store.settle(this.#stores.refFor(ref, number), own, caller);
        replies.set(number, reply);
        return reply.settled;
      },
    );
    const health = newestOf([...replies.values()].map((reply) => reply.health));
    const retries = [...replies.values()].flatMap((reply) => reply.retries ?? []);
    await this.#spread(ref, health);
    // A report whose store is away has no answer: the reporter takes it for one that was not stored.
    const mayStart = this.#mayStartBy(replies);
    return {
      settled: settled as readonly StoredReport[],
      health,
      ...(mayStart === undefined ? {} : { mayStart }),
      ...(retries.length === 0 ? {} : { retries }),
    };
  }

  /** @returns `undefined` when a store that was asked for attempts did not say: it must be asked */
  #mayStartBy(replies: ReadonlyMap<number, SettleReply>): boolean | undefined {
    if ([...replies.values()].some(({ mayStart }) => mayStart === false)) return false;
    return [...this.#asked].every((number) => replies.get(number)?.mayStart === true) ? true : undefined;
  }

  async release(eventIds: readonly string[]): Promise<void> {
    const byStore = Map.groupBy(eventIds, (eventId) => this.#numberOf(eventId));
    await Promise.all([...byStore].map(([number, ids]) => this.#stores.get(number).release(ids)));
  }

  async begin(
    ref: SubscriptionRef,
    token: string,
    eventIds: readonly string[],
    caller?: Caller,
  ): Promise<StartedAttempt[]> {
    const { begun, atHome } = await beginIn(this.#stores, eventIds, (store, number, ids) =>
      store.begin(this.#stores.refFor(ref, number), token, ids, caller),
    );
    for (const eventId of atHome) this.#atHome.add(eventId);
    return begun;
  }

  /** Asks the stores that this consumer has asked for attempts: they may know that the subscription was disabled. */
  async mayStart(): Promise<boolean> {
    const asked = this.#asked.size === 0 ? [HOME] : [...this.#asked];
    const answers = await Promise.all(asked.map((number) => this.#stores.get(number).mayStart()));
    return answers.every((answer) => answer);
  }

  // --- Reading ----------------------------------------------------------------------------------------

  async read(eventId: string): Promise<Delivery | undefined> {
    return await this.#found(eventId, (store) => store.read(eventId));
  }

  async glance(eventId: string): Promise<FoundDelivery | undefined> {
    return await this.#found(eventId, (store) => store.glance(eventId));
  }

  async list(query: PageQuery): Promise<Delivery[]> {
    return await listOf(this.#stores.used, query);
  }

  async search(query: SearchQuery) {
    return await searchOf(this.#stores.used, query);
  }

  async total(): Promise<number> {
    return sum(await this.#stores.all((store) => store.total()));
  }

  async summary(): Promise<Summary> {
    const all = await this.#stores.all((store) => store.summary());
    return {
      at: Math.min(...all.map(({ at }) => at)),
      succeeded: sum(all.map(({ succeeded }) => succeeded)),
      retrying: sum(all.map(({ retrying }) => retrying)),
      failed: sum(all.map(({ failed }) => failed)),
      exportable: sum(all.map(({ exportable }) => exportable)),
    };
  }

  async figures(from: number): Promise<StoreFigures> {
    return sumOfFigures(await this.#stores.all((store) => store.figures(from)));
  }

  /** The health that home knows: it has the proofs, and the others tell it what they find. */
  async health(ref?: SubscriptionRef): Promise<HealthReport> {
    const all = await this.#stores.all((store, number) =>
      store.health(ref && this.#stores.refFor(ref, number)),
    );
    const [home = { state: 'healthy', since: 0 } as const] = all;
    return { ...home, waiting: sum(all.map(({ waiting }) => waiting)) };
  }

  // --- Redelivery and jobs ------------------------------------------------------------------------------

  async redeliver(ref: SubscriptionRef, eventId: string): Promise<Redelivery> {
    const number = await this.#whereIs(eventId);
    const store = this.#stores.get(number);
    const own = this.#stores.refFor(ref, number);
    if (number === HOME) return await store.redeliver(own, eventId);
    // Home counts those that are accepted, so the others are refused before.
    const asked = await store.askRedelivery(own, eventId);
    if (asked.answer !== 'accepted') return asked;
    const taken = await this.takeRedelivery(ref);
    return taken.answer === 'too soon' ? taken : await store.redeliver(own, eventId);
  }

  async askRedelivery(ref: SubscriptionRef, eventId: string): Promise<Redelivery> {
    const number = await this.#whereIs(eventId);
    return await this.#stores.get(number).askRedelivery(this.#stores.refFor(ref, number), eventId);
  }

  async takeRedelivery(ref: SubscriptionRef) {
    return await this.#stores.home.takeRedelivery(this.#stores.refFor(ref, HOME));
  }

  async startRedelivery(ref: SubscriptionRef, span: Span) {
    return await this.#redeliveries.start(ref, span);
  }

  async joinRedelivery(jobId: string, span: Span) {
    return await this.#stores.home.joinRedelivery(jobId, span);
  }

  async previewRedelivery(ref: SubscriptionRef, span: Span, after?: string) {
    return await this.#redeliveries.preview(ref, span, after);
  }

  async redeliveries(id?: string) {
    return await this.#redeliveries.list(id);
  }

  async cancelRedelivery(jobId: string) {
    return await this.#redeliveries.cancel(jobId);
  }

  async startExport(ref: SubscriptionRef) {
    return await this.#exports.start(ref);
  }

  async joinExport(exportId: string) {
    return await this.#stores.home.joinExport(exportId);
  }

  async exports(id?: string) {
    return await this.#exports.list(id);
  }

  async exportPart(exportId: string, part: number) {
    return await this.#exports.part(exportId, part);
  }

  async cancelExport(exportId: string) {
    return await this.#exports.cancel(exportId);
  }

  // --- Changes of the subscription ----------------------------------------------------------------------

  async adopt(ref: SubscriptionRef): Promise<HealthReport | undefined> {
    const all = await this.#stores.all((store, number) => store.adopt(this.#stores.refFor(ref, number)));
    const reports = all.flatMap((one) => one ?? []);
    const [home] = reports;
    // A store of an earlier version says nothing: then the caller asks.
    if (home === undefined || reports.length < all.length) return undefined;
    return { ...home, waiting: sum(reports.map(({ waiting }) => waiting)) };
  }

  /** Erases every store that the subscription ever had. When one does not confirm, the caller begins from the beginning. */
  async erase(ref: SubscriptionRef): Promise<void> {
    await Promise.all(
      this.#stores.ever.map((store, number) => store.erase(this.#stores.refFor(ref, number))),
    );
  }

  /** Visits every store, and makes up for callers that have died: brings news to all stores, repairs jobs. @returns the health that home knows, and the room of the fullest */
  async ensureAlarm(ref: SubscriptionRef): Promise<VisitNote> {
    const notes = await this.#stores.all((store, number) =>
      store.ensureAlarm(this.#stores.refFor(ref, number)),
    );
    await this.#spread(ref, newestOf(notes));
    await this.#redeliveries.list();
    await this.#exports.list();
    const [home = { state: 'healthy', since: 0 } as const] = notes;
    return sumOfVisits(home, notes);
  }

  // --- Inside -------------------------------------------------------------------------------------------

  #numberOf(eventId: string): number {
    return this.#atHome.has(eventId) ? HOME : this.#stores.numberOf(eventId);
  }

  /**
   * Makes a call of each store that is concerned, with what concerns it.
   * @returns what they answer, in the order of the items; `undefined` for those whose store is away
   * @throws what the first store threw, when all of them threw
   */
  async #each<Item, Answer>(
    items: readonly Item[],
    idOf: (item: Item) => string,
    name: string,
    call: (store: EventStoreRpc, number: number, items: Item[]) => Promise<readonly Answer[]>,
  ): Promise<Answer[]> {
    const byStore = Map.groupBy(
      items.map((item, index) => ({ item, index })),
      ({ item }) => this.#numberOf(idOf(item)),
    );
    const answers = new Array<Answer>(items.length);
    const faults: unknown[] = [];
    await Promise.all(
      [...byStore].map(async ([number, some]) => {
        try {
          const own = some.map(({ item }) => item);
          const answered = await call(this.#stores.get(number), number, own);
          for (const [at, { index }] of some.entries()) answers[index] = answered[at] as Answer;
        } catch (error) {
          faults.push(error);
          if (byStore.size > 1) this.#stores.logAway(name, error);
        }
      }),
    );
    if (faults.length > 0 && faults.length === byStore.size) throw faults[0];
    return answers;
  }

  async #found<Answer>(
    eventId: string,
    ask: (store: EventStoreRpc) => Promise<Answer | undefined>,
  ): Promise<Answer | undefined> {
    const number = this.#stores.numberOf(eventId);
    const found = await ask(this.#stores.get(number));
    return found !== undefined || number === HOME ? found : await ask(this.#stores.home);
  }

  async #whereIs(eventId: string): Promise<number> {
    const number = this.#stores.numberOf(eventId);
    return (await this.#stores.get(number).glance(eventId)) === undefined ? HOME : number;
  }

  /** One store has news of the endpoint that D1 did not have: the others learn them now, and not when D1 has them. */
  async #spread(ref: SubscriptionRef, note: HealthNote): Promise<void> {
    const news = newsIn(ref, note);
    if (news === undefined || news.since <= (spread.get(ref.subscriptionId) ?? 0)) return;
    spread.set(ref.subscriptionId, news.since);
    const calls = this.#stores.used.map(async (store, number) => {
      await store.adopt(this.#stores.refFor({ ...ref, news }, number));
    });
    for (const one of await Promise.allSettled(calls)) {
      if (one.status === 'rejected') this.#stores.logAway('adopt', one.reason);
    }
  }
}

/** What a note says that the caller's version of the subscription does not know. */
function newsIn({ news: known, proof = null }: SubscriptionRef, note: HealthNote): EndpointNews | undefined {
  const { state, since, proof: given } = note;
  if (state === 'unverified') return undefined;
  const isProof = proof !== null && given === proof && known?.proven !== proof;
  const isTurn = since > (known?.since ?? 0);
  return isProof || isTurn ? { state, since, proven: given ?? null } : undefined;
}

/** The note of the store whose endpoint turned last. One that has not learned of a proof yet says least. */
function newestOf(notes: readonly HealthNote[]): HealthNote {
  const inOrder = notes.toSorted((a, b) => rankOf(a) - rankOf(b));
  // What has ended in failure is counted by each store: only the daily visit has the sum.
  const { ended: _, ...newest } = inOrder.at(-1) ?? { state: 'healthy', since: 0 };
  return withRoom(newest, notes);
}

function rankOf({ state, since }: HealthNote): number {
  return state === 'unverified' ? -1 : since;
}
