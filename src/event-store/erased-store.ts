/**
 * What an event store answers after its subscription was deleted: nothing is stored, and nothing can be stored. A mark drops
 * late results for an hour; then the alarm erases the mark as well. After that no table is left, so nothing here reads one.
 */
import type { SubscriptionRef } from '../domain/subscription.ts';
import { noFiguresAt } from './deliveries/figures.ts';
import { emptySummary } from './deliveries/summary.ts';
import type { EventStoreRpc, HealthNote, SentReport, Served, SettleReply, VisitNote } from './rpc.ts';
import { DELETED_MARK_MS } from './tuning.ts';

const HEALTHY: HealthNote = { state: 'healthy', since: 0 };

export class ErasedStore implements Served<Omit<EventStoreRpc, 'erase'>> {
  readonly #storage: DurableObjectStorage;
  readonly #deletedAt: number;

  /** @param deletedAt when the subscription was deleted, ms */
  constructor(storage: DurableObjectStorage, deletedAt: number) {
    this.#storage = storage;
    this.#deletedAt = deletedAt;
  }

  // --- The event path: everything is done, nothing begins -------------------------------------------------

  admit(_ref: SubscriptionRef, eventIds: readonly string[]) {
    return eventIds.map(() => ({ answer: 'done' as const }));
  }

  settle(_ref: SubscriptionRef, reports: readonly SentReport[]): SettleReply {
    const settled = reports.map(({ eventId }) => ({ eventId, state: 'dropped' as const, attempts: 0 }));
    return { settled, health: HEALTHY };
  }

  begin() {
    return [];
  }

  mayStart() {
    return false;
  }

  release() {}

  // --- Reading: nothing is there --------------------------------------------------------------------------

  read() {
    return undefined;
  }

  list() {
    return [];
  }

  search() {
    return { found: [] };
  }

  glance() {
    return undefined;
  }

  total() {
    return 0;
  }

  summary() {
    return emptySummary(Date.now());
  }

  figures() {
    return noFiguresAt(Date.now());
  }

  health() {
    return { ...HEALTHY, waiting: 0 };
  }

  // --- Redelivery and jobs: none can begin ------------------------------------------------------------------

  redeliver() {
    return { answer: 'not found' as const };
  }

  askRedelivery() {
    return { answer: 'not found' as const };
  }

  takeRedelivery() {
    return { answer: 'disabled' as const };
  }

  joinRedelivery() {
    return undefined;
  }

  startRedelivery() {
    return { answer: 'disabled' as const };
  }

  previewRedelivery() {
    return { answer: 'disabled' as const };
  }

  redeliveries(_id?: string) {
    return [];
  }

  cancelRedelivery() {
    return undefined;
  }

  joinExport() {
    return undefined;
  }

  startExport() {
    return { answer: 'active' as const };
  }

  exports(_id?: string) {
    return [];
  }

  exportPart() {
    return undefined;
  }

  cancelExport() {
    return undefined;
  }

  // --- Changes of the subscription: they come too late --------------------------------------------------------

  adopt() {
    return undefined;
  }

  ensureAlarm(): VisitNote {
    return HEALTHY;
  }

  /** Erases the mark when its hour is over; the object remembers it until it is evicted. */
  async alarm(now: number): Promise<void> {
    const until = this.#deletedAt + DELETED_MARK_MS;
    if (now < until) await this.#storage.setAlarm(until);
    else await this.#storage.deleteAll();
  }
}
