/**
 * Exports over several stores (contract 7). Home begins a job, and decides whether one may begin. Each other store joins it under its id
 * and writes a file of its own; the download merges the lines of the files in order of event id.
 *
 * A job is completed when all its parts are. When one part failed or was canceled, the others are canceled too, also those that are
 * completed: no file shows their events, so a later export must. A call that shows the jobs does what a caller who died has left undone.
 */
import { storesAt } from '../../domain/shards.ts';
import type { SubscriptionRef } from '../../domain/subscription.ts';
import type { EventStoreRpc, ExportJob, ExportState, StartedExport } from '../rpc.ts';
import { JOINS_FOR_MS } from './bulk-redeliveries.ts';
import { MergedLines } from './merged-lines.ts';
import { HOME, type Stores } from './stores.ts';

type Part = ExportJob | 'missing' | undefined;

export class ShardedExports {
  readonly #stores: Stores;
  /** The file that is being read. */
  #reading: { readonly id: string; readonly lines: MergedLines } | undefined;

  constructor(stores: Stores) {
    this.#stores = stores;
  }

  async start(ref: SubscriptionRef): Promise<StartedExport> {
    const jobs = await this.list();
    if (jobs.some(({ state }) => state === 'processing')) return { answer: 'active' };
    const started = await this.#stores.home.startExport(this.#stores.refFor(ref, HOME));
    if (started.answer !== 'started') return started;
    const [job = started.job] = await this.list(started.job.id);
    return { answer: 'started', job };
  }

  /** Jobs of home, oldest first, each with its parts in the other stores. */
  async list(id?: string): Promise<ExportJob[]> {
    const [own = [], ...others] = await this.#stores.all((store) => store.exports(id));
    const now = Date.now();
    return await Promise.all(
      own.map(async (job) => {
        const found = this.#stores.used.map((_, number) =>
          number === HOME ? job : others[number - 1]?.find((one) => one.id === job.id),
        );
        return await this.#whole(job, found, now);
      }),
    );
  }

  /** @returns the next lines of the merged file; its parts are read in order */
  async part(id: string, part: number): Promise<string | undefined> {
    if (this.#reading?.id !== id || this.#reading.lines.read !== part) {
      const stores = this.#stores.used;
      const jobs = await Promise.all(stores.map((store) => store.exports(id)));
      const files = stores.map((store, number) => ({ store, parts: jobs[number]?.[0]?.parts ?? 0 }));
      this.#reading = { id, lines: new MergedLines(id, files) };
      while (this.#reading.lines.read < part) await this.#reading.lines.next();
    }
    return await this.#reading.lines.next();
  }

  async cancel(id: string): Promise<ExportState | undefined> {
    const [job] = await this.list(id);
    if (job?.state !== 'processing') return job?.state;
    await this.#stores.all((store) => store.cancelExport(id, true));
    return 'canceled';
  }

  async #whole(job: ExportJob, found: readonly (ExportJob | undefined)[], now: number): Promise<ExportJob> {
    const broken =
      found.find((part) => part?.state === 'failed') ?? found.find((part) => part?.state === 'canceled');
    if (broken !== undefined) {
      await this.#stores.all((store, number) => this.#end(store, job.id, found[number]));
      return { ...job, state: broken.state, updatedAt: latest(found), parts: 0 };
    }
    const parts = await this.#stores.all((store, number) =>
      this.#joined(store, number, job, found[number], now),
    );
    const known = parts.flatMap((part) => (part === undefined || part === 'missing' ? [] : part));
    const isActive = parts.includes('missing') || known.some(({ state }) => state === 'processing');
    return {
      ...job,
      state: isActive ? 'processing' : 'completed',
      updatedAt: latest(known),
      parts: known.reduce((sum, part) => sum + part.parts, 0),
    };
  }

  /** Ends a part of a broken job. A store that is away is called again by the next call that shows the jobs. */
  async #end(store: EventStoreRpc, id: string, part: ExportJob | undefined): Promise<void> {
    if (part === undefined || part.state === 'failed' || part.state === 'canceled') return;
    try {
      await store.cancelExport(id, true);
    } catch (error) {
      this.#stores.logAway('cancelExport', error);
    }
  }

  async #joined(
    store: EventStoreRpc,
    number: number,
    job: ExportJob,
    part: ExportJob | undefined,
    now: number,
  ): Promise<Part> {
    const isNeeded =
      part === undefined &&
      now - job.createdAt < JOINS_FOR_MS &&
      number < storesAt(this.#stores.shards, job.createdAt);
    if (!isNeeded) return part;
    try {
      return await store.joinExport(job.id);
    } catch (error) {
      this.#stores.logAway('joinExport', error);
      return 'missing';
    }
  }
}

function latest(parts: readonly (ExportJob | undefined)[]): number {
  return Math.max(...parts.flatMap((part) => part?.updatedAt ?? []));
}
