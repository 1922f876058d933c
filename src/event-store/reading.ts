/** What a living store shows of its deliveries: those that have not expired, though the sweep may not have deleted the others yet. */
import type { Delivery } from '../domain/delivery.ts';
import { expiresAt, type Retention } from '../domain/retention.ts';
import type { Deliveries } from './deliveries/deliveries.ts';
import { summaryOf } from './deliveries/search.ts';
import type { FoundDelivery, FoundPage, PageQuery, SearchQuery } from './rpc.ts';

export class Reading {
  readonly #deliveries: Deliveries;
  readonly #retentionMs: () => number;

  constructor(deliveries: Deliveries, retentionMs: () => number) {
    this.#deliveries = deliveries;
    this.#retentionMs = retentionMs;
  }

  /** A delivery with its whole history. */
  read(eventId: string): Delivery | undefined {
    const delivery = this.unexpired(eventId, Date.now());
    return delivery && { ...delivery, history: this.#deliveries.history(delivery) };
  }

  /** A delivery without its SET and the older part of its history. */
  glance(eventId: string): FoundDelivery | undefined {
    const delivery = this.unexpired(eventId, Date.now());
    return delivery && summaryOf(delivery);
  }

  list(query: PageQuery): Delivery[] {
    return this.#deliveries.page(query, this.#retention());
  }

  search(query: SearchQuery): FoundPage {
    return this.#deliveries.search(query, this.#retention());
  }

  total(): number {
    return this.#deliveries.totalUnexpired(this.#retention());
  }

  /** A delivery that is stored and not past its time. */
  unexpired(eventId: string, now: number): Delivery | undefined {
    const delivery = this.#deliveries.find(eventId);
    const expiry = delivery && expiresAt(delivery, this.#retentionMs());
    return expiry !== undefined && expiry <= now ? undefined : delivery;
  }

  #retention(): Retention {
    return { now: Date.now(), retentionMs: this.#retentionMs() };
  }
}
