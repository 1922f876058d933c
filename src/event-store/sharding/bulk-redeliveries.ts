/**
 * Bulk redeliveries over several stores (contract 10.3). Home begins a job and decides whether one may begin. Each other store joins it
 * under its id, with a part of its own. The job is active until all parts have ended, and its totals are those of the parts together.
 *
 * A caller may die after home has begun. So every call that shows the jobs also lets stores join that have no part yet, and ends parts
 * of a job that home has canceled. Joining is harmless when it is repeated.
 */
import { DAY_MS } from '../../domain/limits.ts';
import { storesAt } from '../../domain/shards.ts';
import type { SubscriptionRef } from '../../domain/subscription.ts';
import type {
  EventStoreRpc,
  PreviewedRedelivery,
  RedeliveryJob,
  RedeliveryPreview,
  RedeliveryState,
  Span,
  SpanEnd,
  StartedRedelivery,
} from '../rpc.ts';
import { HOME, type Stores } from './stores.ts';

/** Stores join a job that began less than this ago, ms. A store forgets its part a week after the end, and must not begin it once more. */
export const JOINS_FOR_MS = DAY_MS;
/** Takes nothing: asked to learn whether a job may begin. */
const NOTHING: Span = { since: 0, until: -1 };

export class BulkRedeliveries {
  readonly #stores: Stores;

  constructor(stores: Stores) {
    this.#stores = stores;
  }

  async start(ref: SubscriptionRef, span: Span): Promise<StartedRedelivery> {
    const { home } = this.#stores;
    const homeRef = this.#stores.refFor(ref, HOME);
    const jobs = await this.list();
    if (jobs.some(({ state }) => state === 'processing')) {
      // A disabled subscription is said first.
      const preview = await home.previewRedelivery(homeRef, NOTHING);
      return preview.answer === 'previewed' ? { answer: 'active' } : { answer: preview.answer };
    }
    const started = await home.startRedelivery(homeRef, span);
    if (started.answer !== 'started') return started;
    const [job = started.job] = await this.list(started.job.id);
    return { answer: 'started', job };
  }

  /** Jobs of home, oldest first, each with its parts in the other stores. */
  async list(id?: string): Promise<RedeliveryJob[]> {
    const [own = [], ...others] = await this.#stores.all((store) => store.redeliveries(id));
    const now = Date.now();
    return await Promise.all(
      own.map(async (job) => {
        const parts = await this.#stores.all(async (store, number) => {
          const part = number === HOME ? job : others[number - 1]?.find((one) => one.id === job.id);
          return number === HOME ? part : await this.#repaired(store, number, job, part, now);
        });
        return sumOfParts(job, parts);
      }),
    );
  }

  async cancel(id: string): Promise<RedeliveryState | undefined> {
    const [job] = await this.list(id);
    if (job === undefined || job.state === 'completed') return job?.state;
    await this.#stores.all((store) => store.cancelRedelivery(id));
    return 'canceled';
  }

  /** @param after one cursor for each store that has more to look at, as the look before this one gave them */
  async preview(ref: SubscriptionRef, span: Span, after: string | undefined): Promise<PreviewedRedelivery> {
    const cursors =
      readCursors(after) ?? this.#stores.used.map((_, number) => ({ number, after: undefined }));
    const previews = await Promise.all(
      cursors.map(async (cursor) => {
        const previewed = await this.#stores
          .get(cursor.number)
          .previewRedelivery(this.#stores.refFor(ref, cursor.number), span, cursor.after);
        return { number: cursor.number, previewed };
      }),
    );
    const refused = previews.find(({ previewed }) => previewed.answer !== 'previewed');
    if (refused !== undefined) return refused.previewed;
    const seen = previews.flatMap(({ number, previewed }) =>
      previewed.answer === 'previewed' ? [{ number, preview: previewed.preview }] : [],
    );
    return { answer: 'previewed', preview: sumOfPreviews(seen) };
  }

  /** @returns the part of a store, after it joined or ended what is not ended; `missing` when it is needed and the store is away */
  async #repaired(
    store: EventStoreRpc,
    number: number,
    job: RedeliveryJob,
    part: RedeliveryJob | undefined,
    now: number,
  ): Promise<RedeliveryJob | 'missing' | undefined> {
    try {
      if (job.state === 'canceled' && part?.state === 'processing') {
        await store.cancelRedelivery(job.id);
        return { ...part, state: 'canceled' };
      }
      const isNeeded =
        part === undefined &&
        job.state !== 'canceled' &&
        now - job.createdAt < JOINS_FOR_MS &&
        number < storesAt(this.#stores.shards, job.createdAt);
      return isNeeded && job.span !== undefined ? await store.joinRedelivery(job.id, job.span) : part;
    } catch (error) {
      this.#stores.logAway('joinRedelivery', error);
      return part ?? 'missing';
    }
  }
}

function sumOfParts(
  job: RedeliveryJob,
  parts: readonly (RedeliveryJob | 'missing' | undefined)[],
): RedeliveryJob {
  const known = parts.flatMap((part) => (part === undefined || part === 'missing' ? [] : part));
  const sum = (count: (part: RedeliveryJob) => number) =>
    known.reduce((total, part) => total + count(part), 0);
  return {
    ...job,
    state: stateOf(job, known, parts.includes('missing')),
    updatedAt: Math.max(...known.map(({ updatedAt }) => updatedAt)),
    total: sum(({ total }) => total),
    redelivered: sum(({ redelivered }) => redelivered),
    succeeded: sum(({ succeeded }) => succeeded),
    failed: sum(({ failed }) => failed),
  };
}

function stateOf(
  job: RedeliveryJob,
  parts: readonly RedeliveryJob[],
  isIncomplete: boolean,
): RedeliveryState {
  if (job.state === 'canceled') return 'canceled';
  if (isIncomplete || parts.some(({ state }) => state === 'processing')) return 'processing';
  return parts.some(({ state }) => state === 'canceled') ? 'canceled' : 'completed';
}

type Cursor = { readonly number: number; readonly after: string | undefined };

/** The cursors of a dry run: `1=EVENT_ID,3=EVENT_ID`. */
function readCursors(text: string | undefined): Cursor[] | undefined {
  return text?.split(',').map((one) => {
    const [number, after] = one.split('=');
    return { number: Number(number), after };
  });
}

function sumOfPreviews(
  seen: readonly { readonly number: number; readonly preview: RedeliveryPreview }[],
): RedeliveryPreview {
  const sum = (count: (preview: RedeliveryPreview) => number) =>
    seen.reduce((total, { preview }) => total + count(preview), 0);
  const ends = seen.flatMap(({ preview }) => [preview.oldest ?? [], preview.newest ?? []].flat());
  const inOrder = ends.toSorted((a: SpanEnd, b: SpanEnd) => a.acceptedAt - b.acceptedAt);
  const [oldest, newest] = [inOrder[0], inOrder.at(-1)];
  const cursors = seen.flatMap(({ number, preview: { upTo } }) =>
    upTo === undefined ? [] : `${number}=${upTo}`,
  );
  return {
    total: sum(({ total }) => total),
    ...(oldest === undefined ? {} : { oldest }),
    ...(newest === undefined ? {} : { newest }),
    notKept: sum(({ notKept }) => notKept),
    notVerified: sum(({ notVerified }) => notVerified),
    ...(cursors.length === 0 ? {} : { upTo: cursors.join(',') }),
    isEarly: seen.some(({ preview }) => preview.isEarly),
  };
}
