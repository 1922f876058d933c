/**
 * What is left of a deleted subscription in D1: its ids, its version and its times. Nothing that the customer wrote stays.
 * Migration 0012 has the same rule for code that does not know it.
 */
import { sql } from 'drizzle-orm';
import { subscriptions } from './schema.ts';

/** The columns of a subscription that is deleted at `now` (ms). */
export function tombstone(now: number) {
  return {
    title: '',
    endpoint: '',
    events: [],
    enabled: false,
    filter: null,
    filterSteps: 0,
    health: 'healthy' as const,
    healthSince: 0,
    storeTenths: 0,
    dayAccepted: 0,
    dayDelivered: 0,
    dayFailed: 0,
    waiting: 0,
    oldestWaitingAt: null,
    proof: null,
    proven: null,
    deletedAt: now,
    updatedAt: now,
    version: sql`${subscriptions.version} + 1`,
  };
}
