/**
 * Admission: which events a consumer may attempt straight from the queue.
 *
 * Claims and unanswered requests are in memory only. They save duplicates, and keep events away from a listener that may hang.
 * When they are forgotten, no event is lost.
 */
import { Claims } from './claims.ts';
import { UnansweredRequests } from './endpoint/unanswered.ts';
import type { Admission, AttemptReport, StoredReport } from './rpc.ts';

/** What admission must know of the rest of the store. */
interface AdmissionParts {
  /** Those of these events that are stored. */
  known(eventIds: readonly string[]): ReadonlySet<string>;
  /** Whether the store takes no new events (contract 10.9). */
  isFull(): boolean;
  /** Whether the subscription is enabled and its endpoint healthy. */
  isOpen(): boolean;
  /** Whether the subscription is enabled and its endpoint failing: new events are held. */
  isFailing(): boolean;
  /** The present endpoint; a request to an earlier one says nothing about it. */
  endpoint(): string | undefined;
  claimMs(): number;
  attemptLeaseMs(): number;
  /** @throws when the results of these events could not be stored */
  checkWrites(eventIds: readonly string[], now: number): void;
}

export class Admissions {
  readonly unanswered = new UnansweredRequests();
  readonly #claims = new Claims();
  readonly #parts: AdmissionParts;

  constructor(parts: AdmissionParts) {
    this.#parts = parts;
  }

  mayStart(now: number): boolean {
    return this.#parts.isOpen() && !this.unanswered.areSlow(now);
  }

  /**
   * @param waited those that have waited once for the answers to others
   * @param isVerified whether the endpoint of the caller's version may get events (contract 10.8)
   * @returns `full` when the store takes no new events, and there are some among these
   */
  admit(
    eventIds: readonly string[],
    now: number,
    waited: ReadonlySet<string>,
    isVerified: boolean,
  ): Admission[] | 'full' {
    const known = this.#parts.known(eventIds);
    if (this.#parts.isFull() && eventIds.some((eventId) => !known.has(eventId))) return 'full';
    const forMs = this.#parts.claimMs();
    const mayStart = isVerified && this.mayStart(now);
    const held: Admission =
      isVerified && this.#parts.isFailing() ? { answer: 'held', unsigned: true } : { answer: 'held' };
    // The listener may answer at any moment. Until then its new events wait in the queue, and are not stored.
    const waitMs = mayStart ? this.unanswered.waitMs(now) : undefined;
    this.#claims.endLapsed(now);
    const admissions = eventIds.map((eventId): Admission => {
      if (known.has(eventId)) return { answer: 'done' };
      if (waitMs !== undefined && !waited.has(eventId)) return { answer: 'busy', retryAfterMs: waitMs };
      const retryAfterMs = this.#claims.claim(eventId, now, forMs);
      if (retryAfterMs !== undefined) return { answer: 'busy', retryAfterMs };
      return mayStart ? { answer: 'new' } : held;
    });
    const begun = eventIds.filter((_, index) => admissions[index]?.answer === 'new');
    try {
      this.#parts.checkWrites(begun, now);
    } catch (error) {
      // The queue's next delivery can claim them again.
      this.release(begun);
      throw error;
    }
    return admissions;
  }

  /** A consumer gives admitted events to another one. */
  release(eventIds: readonly string[]): void {
    for (const eventId of eventIds) this.#claims.end(eventId);
  }

  /** Takes note of reports that are stored now. */
  settled(reports: readonly AttemptReport[], stored: readonly StoredReport[], now: number): void {
    for (const [index, report] of reports.entries()) {
      const { eventId } = report;
      this.#claims.end(eventId);
      if (report.kind === 'attempted') this.unanswered.end(eventId);
      const isPresent = report.endpoint === this.#parts.endpoint();
      if (report.kind === 'waiting' && isPresent && stored[index]?.state === 'executing') {
        const { startedAt, isUnusual, isAlone } = report;
        this.unanswered.add(eventId, {
          startedAt,
          isUnusual,
          isAlone,
          until: now + this.#parts.attemptLeaseMs(),
        });
      }
    }
  }
}
