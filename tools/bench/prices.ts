/**
 * Published prices, in dollars, for use beyond what the Workers Paid plan includes, as of 2026-11-24:
 * developers.cloudflare.com, the pages "Pricing" of Workers, Queues, D1, Durable Objects and Workers Logs.
 */
import type { Units } from './units.ts';

const PER_MILLION = {
  requests: 0.3,
  cpuMilliseconds: 0.02,
  queueOperations: 0.4,
  d1RowsRead: 0.001,
  d1RowsWritten: 1,
  objectRequests: 0.15,
  objectRowsRead: 0.001,
  objectRowsWritten: 1,
  logLines: 0.6,
} as const;
const STORED_GB_MONTH = 0.2;
const OBJECT_GB_SECOND = 12.5 / 1_000_000;
const OBJECT_GB = 0.128;
const DAYS_STORED = 7;

/** Units that are measured or assumed, not counted. */
export interface Estimates {
  /** Processor time of the runtime: an upper bound, because the runtime also does the work of queues and databases. */
  readonly cpuMilliseconds: number;
  /** Time in which stores were working, seconds. */
  readonly objectSeconds: number;
  readonly storedBytes: number;
}

/** @returns dollars for the units given */
export function price(units: Units, { cpuMilliseconds, objectSeconds, storedBytes }: Estimates): number {
  const counted = { ...units, cpuMilliseconds };
  const names = Object.keys(PER_MILLION) as (keyof typeof PER_MILLION)[];
  const perUse = names.reduce((sum, name) => sum + (counted[name] * PER_MILLION[name]) / 1_000_000, 0);
  const stored = (storedBytes / 1e9) * STORED_GB_MONTH * (DAYS_STORED / 30);
  return perUse + stored + objectSeconds * OBJECT_GB * OBJECT_GB_SECOND;
}
