/**
 * The tuning of the event store made so small that a life of forty steps meets every limit: segments that are full, merges,
 * sweeps in several bites, counts that are saved, long histories.
 */
export const SMALL_LIMITS = {
  DELIVERIES_BITE: 3,
  DISABLING_BITE: 3,
  DUE_CHUNK: 3,
  REDELIVERY_LOOK_MAX: 4,
  DISPATCH_MAX_PER_ALARM: 4,
  DISPATCHED_MAX: 8,
  PACK_GROUPS_MAX: 2,
  DEADLINE_PACKS: 1,
  UNHEALTHY_UNDER_WAY_MAX: 3,
  DRAIN_STEP_MAX: 4,
  SWEEP_MAX_ROWS: 3,
  SWEEP_MAX_SEGMENTS: 2,
  SEGMENT_MAX_BYTES: 3000,
  SEGMENT_MAX_EVENTS: 7,
  MERGE_SEGMENTS: 3,
  SORT_SEGMENTS: 2,
  MERGE_MAX_BYTES: 5000,
  TOTAL_COUNTED_AGAIN_ROWS: 6,
  TOTAL_TAIL_ROWS: 3,
  SUMMARY_FRESH_UP_TO_ROWS: 10_000,
  EXPORT_PART_EVENTS: 3,
  EXPORT_EVENTS_PER_ALARM: 5,
  HISTORY_PAGE_ENTRIES: 4,
} as const;
