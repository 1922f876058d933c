/**
 * Brings the reports of one invocation to their event stores, in as few calls as they need. A report is *news* when somebody goes
 * by it: an attempt that failed has a next one, and a request without an answer needs its lease. News is sent at once, with everything
 * that waits; while a call with news is under way, further failures wait for its answer, unless they may turn the endpoint's health. A
 * success is no news, unless the endpoint was failing by the last word of it: then it ends the holding. Other successes, and events that
 * were deferred, are stored a hundred at a time, or when the first of them has
 * waited for some seconds, or when no more are expected.
 *
 * The store answers to the failure of a first attempt with the lease of its retry, if the consumer may send that ahead
 * (retries-ahead.ts): it does so before the report counts as stored.
 *
 * What waits here is repeated if the consumer dies: fewer than a hundred successes of one subscription, none older than those
 * seconds. `report` resolves once its report is stored; only then may the queue message be acknowledged.
 */
import { FAILED_IN_A_ROW } from '../domain/limits.ts';
import type { SubscriptionRef } from '../domain/subscription.ts';
import type { EventStoreRpc, HealthNote, LeasedRetry, SentReport, StoredReport } from '../event-store/rpc.ts';
import type { Deadlines } from './deadlines.ts';
import { SETTLE_MAX_CHARACTERS, SETTLE_MAX_REPORTS } from './tuning.ts';

/** Called once for each `settle`, with every report it stored and the endpoint's health after them. */
export type OnStored = (
  ref: SubscriptionRef,
  pairs: readonly (readonly [SentReport, StoredReport])[],
  health: HealthNote,
) => void;

interface Waiting {
  readonly report: SentReport;
  readonly resolve: (stored: StoredReport) => void;
  readonly reject: (error: unknown) => void;
}

/** What a reporter needs of its invocation. */
interface ReporterRules {
  readonly store: Pick<EventStoreRpc, 'settle'>;
  readonly onStored: OnStored;
  readonly deadlines: Pick<Deadlines, 'after'>;
  /** How long a report that is no news may wait, ms. */
  readonly waitMs: number;
  /** Whether the endpoint was failing when the invocation read of it. */
  readonly isFailing: boolean;
  /** The answer of the store. @throws Error when it takes too long */
  answerOf<Answer>(call: Promise<Answer>): Promise<Answer>;
  /** Sends first retries to the queue; absent: the store does. Never rejects. */
  readonly sendRetries?: (retries: readonly LeasedRetry[]) => Promise<void>;
  /** Keeps the invocation alive for retries whose store answers after their batch has ended. */
  readonly outlives?: (work: Promise<unknown>) => void;
  now(): number;
}

/** What a store answered last. */
interface LastAnswer {
  readonly health: HealthNote;
  /** Whether attempts may start; absent from a store of an earlier version. */
  readonly mayStart: boolean | undefined;
  /** When the answer came, ms. */
  readonly at: number;
}

/** The reports of one subscription within one invocation. */
export class Reporter {
  readonly #rules: ReporterRules;
  readonly #ref: SubscriptionRef;
  #expected: number;
  #waiting: Waiting[] = [];
  /** Characters of the tokens that wait here. */
  #characters = 0;
  /** Cancels the limit of the report that has waited longest. */
  #cancel: (() => void) | undefined;
  #hasNews = false;
  /** Calls with news that are under way. */
  #newsUnderWay = 0;
  /** Attempts that failed in a row, as this invocation has seen them. */
  #failedInARow = 0;
  #last: LastAnswer | undefined;
  #verdict: Promise<unknown> = Promise.resolve();
  #hasFailed = false;

  /** Whether reports could not be stored: the results of further requests could not be either. */
  get hasFailed(): boolean {
    return this.#hasFailed;
  }

  /** What the store answered last; `undefined` before its first answer. */
  get last(): LastAnswer | undefined {
    return this.#last;
  }

  /** Ends when the store has answered to the last reports that may turn the endpoint's health. Never rejects. */
  get verdict(): Promise<unknown> {
    return this.#verdict;
  }

  /** @param expected how many reports will come: the last one goes out at once */
  constructor(ref: SubscriptionRef, expected: number, rules: ReporterRules) {
    this.#ref = ref;
    this.#expected = expected;
    this.#rules = rules;
  }

  /** Stores a report together with others of its time. Rejects when the store could not take it. */
  report(report: SentReport): Promise<StoredReport> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ report, resolve, reject });
      this.#characters += ('set' in report ? report.set : report.unsigned).length;
      const outcome = report.kind === 'attempted' ? report.result.outcome.kind : undefined;
      const isFailure = outcome !== undefined && outcome !== 'success';
      if (isFailure) this.#failedInARow++;
      else if (outcome === 'success') this.#failedInARow = 0;
      const isRelief = outcome === 'success' && this.#isFailing;
      if (isFailure || isRelief || report.kind === 'waiting') this.#hasNews = true;
      // It may change the endpoint's health, so that we stop sending to a listener in trouble: it does not wait for another call.
      const mayTurnHealth = outcome === 'timed_out' || (isFailure && this.#failedInARow >= FAILED_IN_A_ROW);
      this.#countDown(report.kind === 'waiting' || mayTurnHealth);
    });
  }

  /** Whether the endpoint is failing, by the last word of its store. */
  get #isFailing(): boolean {
    return this.#last === undefined ? this.#rules.isFailing : this.#last.health.state === 'failing';
  }

  /** One of the expected reports will not come. */
  expectOneLess(): void {
    this.#countDown(false);
  }

  #countDown(atOnce: boolean): void {
    this.#expected--;
    const isFull = this.#waiting.length >= SETTLE_MAX_REPORTS || this.#characters >= SETTLE_MAX_CHARACTERS;
    const isNews = this.#hasNews && this.#newsUnderWay === 0;
    if (atOnce || isFull || isNews || this.#expected <= 0) this.#flush();
    else if (this.#waiting.length > 0)
      this.#cancel ??= this.#rules.deadlines.after(this.#rules.waitMs, () => this.#flush());
  }

  #flush(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    const waiting = this.#waiting;
    if (waiting.length === 0) return;
    this.#waiting = [];
    this.#characters = 0;
    const hasNews = this.#hasNews;
    this.#hasNews = false;
    if (hasNews) this.#newsUnderWay++;
    const stored = this.#settle(waiting).finally(() => {
      if (!hasNews) return;
      this.#newsUnderWay--;
      if (this.#hasNews && this.#newsUnderWay === 0) this.#flush();
    });
    if (hasNews && this.#failedInARow >= FAILED_IN_A_ROW) this.#verdict = stored;
  }

  /** Never rejects. */
  async #settle(waiting: readonly Waiting[]): Promise<void> {
    const { store, answerOf, sendRetries, outlives, now } = this.#rules;
    let sent: Promise<void> | undefined;
    try {
      const reports = waiting.map(({ report }) => report);
      const call = store.settle(this.#ref, reports, sendRetries && { sendsRetries: true });
      // Also when the answer comes too late for the reports: the leases are written.
      sent = call.then(
        ({ retries = [] }) => sendRetries?.(retries),
        () => undefined,
      );
      const { settled, health, mayStart } = await answerOf(call);
      this.#last = { health, mayStart, at: now() };
      // Health is noted in the order of the answers: a send must not hold up one that is older than the next.
      this.#note(waiting, settled, health);
      await sent;
      this.#pass(waiting, settled);
    } catch (error) {
      this.#hasFailed = true;
      if (sent !== undefined) outlives?.(sent);
      for (const { reject } of waiting) reject(error);
    }
  }

  #note(waiting: readonly Waiting[], settled: readonly StoredReport[], health: HealthNote): void {
    const pairs = waiting.flatMap(({ report }, index) => {
      const answer = settled[index];
      return answer === undefined ? [] : [[report, answer] as const];
    });
    this.#rules.onStored(this.#ref, pairs, health);
  }

  #pass(waiting: readonly Waiting[], settled: readonly StoredReport[]): void {
    for (const [index, { resolve, reject }] of waiting.entries()) {
      const answer = settled[index];
      if (answer === undefined) reject(new Error('the store answered for fewer reports than it was given'));
      else resolve(answer);
    }
  }
}
