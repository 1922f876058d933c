/**
 * Brings the reports of one invocation to their event stores: soon, in few calls, and never more than a second late, so
 * that a consumer that dies repeats little. `report` resolves once its report is stored; only then may the queue message be
 * acknowledged.
 */
import { SETTLE_INTERVAL_MS } from '../domain/leases.ts';
import { FAILED_IN_A_ROW } from '../domain/limits.ts';
import type { SubscriptionRef } from '../domain/subscription.ts';
import type { EventStoreRpc, HealthNote, SentReport, StoredReport } from '../event-store/rpc.ts';
import { SETTLE_MAX_CHARACTERS, SETTLE_MAX_REPORTS } from './tuning.ts';

/** Called once for each `settle`, with every report it stored and the endpoint's health after them. */
type OnStored = (
  ref: SubscriptionRef,
  pairs: readonly (readonly [SentReport, StoredReport])[],
  health: HealthNote,
) => void;

interface Waiting {
  readonly report: SentReport;
  readonly resolve: (stored: StoredReport) => void;
  readonly reject: (error: unknown) => void;
}

/** The reports of one subscription within one invocation. */
export class Reporter {
  readonly #store: Pick<EventStoreRpc, 'settle'>;
  readonly #ref: SubscriptionRef;
  readonly #onStored: OnStored;
  #expected: number;
  #waiting: Waiting[] = [];
  /** Characters of the tokens that wait here. */
  #characters = 0;
  #timer: number | null = null;
  /** Failed attempts whose reports wait here. */
  #failedWaiting = 0;
  #health: HealthNote | undefined;
  #verdict: Promise<unknown> = Promise.resolve();
  #hasFailed = false;

  /** Whether reports could not be stored: the results of further requests could not be either. */
  get hasFailed(): boolean {
    return this.#hasFailed;
  }

  /** The endpoint's health as the store answered it last; `undefined` before the first answer. */
  get health(): HealthNote | undefined {
    return this.#health;
  }

  /** Ends when the store has answered to the last reports that may turn the endpoint's health. Never rejects. */
  get verdict(): Promise<unknown> {
    return this.#verdict;
  }

  /** @param expected how many reports will come: the last one goes out at once */
  constructor(
    store: Pick<EventStoreRpc, 'settle'>,
    ref: SubscriptionRef,
    expected: number,
    onStored: OnStored,
  ) {
    this.#store = store;
    this.#ref = ref;
    this.#expected = expected;
    this.#onStored = onStored;
  }

  /** Stores a report together with others of its time. Rejects when the store could not take it. */
  report(report: SentReport): Promise<StoredReport> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ report, resolve, reject });
      this.#characters += ('set' in report ? report.set : report.unsigned).length;
      // Report a result at once if it may change the endpoint's health, so that we stop sending to a listener in trouble.
      const kind = report.kind === 'attempted' ? report.result.outcome.kind : 'success';
      if (kind !== 'success') this.#failedWaiting++;
      const isNews = report.kind === 'waiting' || kind === 'timed_out';
      this.#countDown(isNews || this.#failedWaiting >= FAILED_IN_A_ROW);
    });
  }

  /** One of the expected reports will not come. */
  expectOneLess(): void {
    this.#countDown(false);
  }

  #countDown(atOnce: boolean): void {
    this.#expected--;
    const isFull = this.#waiting.length >= SETTLE_MAX_REPORTS || this.#characters >= SETTLE_MAX_CHARACTERS;
    if (atOnce || isFull || this.#expected <= 0) this.#flush();
    else this.#timer ??= setTimeout(() => this.#flush(), SETTLE_INTERVAL_MS);
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = null;
    const waiting = this.#waiting;
    if (waiting.length === 0) return;
    this.#waiting = [];
    this.#characters = 0;
    const mayTurnHealth = this.#failedWaiting >= FAILED_IN_A_ROW;
    this.#failedWaiting = 0;
    const reports = waiting.map(({ report }) => report);
    const stored = this.#store.settle(this.#ref, reports).then(
      ({ settled, health }) => {
        this.#health = health;
        this.#pass(waiting, settled, health);
      },
      (error: unknown) => {
        this.#hasFailed = true;
        for (const { reject } of waiting) reject(error);
      },
    );
    if (mayTurnHealth) this.#verdict = stored;
  }

  #pass(waiting: readonly Waiting[], settled: readonly StoredReport[], health: HealthNote): void {
    const pairs: [SentReport, StoredReport][] = [];
    for (const [index, { report, resolve, reject }] of waiting.entries()) {
      const answer = settled[index];
      if (answer === undefined) reject(new Error('the store answered for fewer reports than it was given'));
      else {
        pairs.push([report, answer]);
        resolve(answer);
      }
    }
    this.#onStored(this.#ref, pairs, health);
  }
}
