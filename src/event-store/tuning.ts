/**
 * How the event store is tuned: sizes of its bites, pauses between them, and the shape of segments. A customer sees none of
 * these figures; the limits of the product are in `domain/limits.ts`.
 */
import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from '../domain/limits.ts';

// --- The alarm ------------------------------------------------------------------------------------

/** A duty that failed waits this long before the alarm calls it again. The pause doubles with each further failure. */
export const DUTY_PAUSE_FIRST_MS = SECOND_MS;
/** The longest pause of a duty that goes on failing. */
export const DUTY_PAUSE_MAX_MS = 15 * MINUTE_MS;
/** When the schedule cannot be read, because the configuration is wrong, the alarm looks again after this long. */
export const SCHEDULE_UNREADABLE_MS = 15 * MINUTE_MS;
/**
 * The alarm rings after this long at the latest. Nothing is due later, unless an earlier version stored a time beyond all dates: the
 * platform refuses to set such an alarm, and then the store would have none.
 */
export const ALARM_MAX_AHEAD_MS = 400 * DAY_MS;
/** Deliveries that one bite of work holds in memory at once. One delivery may take 100 KB. */
export const DELIVERIES_BITE = 50;
/** A deleted store drops late results for this long. After that it erases itself for good. */
export const DELETED_MARK_MS = HOUR_MS;

/** Rows that one alarm rewrites after the subscription was disabled. The next alarm rings at once for the rest. */
export const DISABLING_BITE = 500;
/** Marks of a subscription that was disabled again before the alarm had rewritten what failed: their times are kept. */
export const EARLIER_MARKS_MAX = 16;

/** Failures that a bulk redelivery looks at in one step. */
export const REDELIVERY_LOOK_MAX = 1000;

// --- Searches ---------------------------------------------------------------------------------------

/** Deliveries that a search reads with their SETs at once: it holds them in memory. */
export const SEARCH_BITE = 200;
/** Rows whose times and states a search reads for one such bite, without content, when it looks for times. */
export const SEARCH_BITE_ROWS = 1000;
/** Bites of one look. A look keeps the store from other calls: 1,000 deliveries take some 20 ms. */
export const SEARCH_BITES = 5;
/** Characters of SETs after which a look begins no further bite: an event may have 80 KB, and a search by type parses them. */
export const SEARCH_CHARACTERS = 4_000_000;

// --- Dispatch and backlog ---------------------------------------------------------------------------

/** Due deliveries that one alarm dispatches. The next alarm rings at once for the rest. */
export const DISPATCH_MAX_PER_ALARM = 1000;
/** Hosts that one alarm asks for places: nearly always one. The next alarm asks the others. */
export const DISPATCH_MAX_HOSTS = 5;
/**
 * Due deliveries that one look passes over, because their host gives no places. The backlog has 500 on their way at most, so more
 * are due only after thousands of retries at once.
 */
export const DUE_LOOKED_AT_MAX = 5000;
/** Hosts without places that a store remembers: more than one look can find. */
export const WAITING_HOSTS_MAX = DUE_LOOKED_AT_MAX;
/** Earlier endpoints whose held deliveries are released in one order. Those of further ones follow. */
export const HELD_ENDPOINTS_MAX = 20;
/**
 * Groups of packs. Each endpoint that fails has one, and each disabling leaves one behind. What is held beyond has a row each, so that a
 * search looks into a bounded number of groups.
 */
export const PACK_GROUPS_MAX = 20;
/** Packs that one alarm takes when their deliveries have waited too long. */
export const DEADLINE_PACKS = 50;
/** Deliveries of one subscription that are dispatched and not begun, so that a slow queue is not filled by one store. */
export const DISPATCHED_MAX = 3000;
/** Deliveries that a store which wakes looks at in one call, to learn which are dispatched. It dispatches none until it has seen all. */
export const DISPATCHED_LOOK_MAX = 1000;
/** Deliveries of an unhealthy endpoint on their way at once, so that it cannot fill the queue that endpoints in trouble share. */
export const UNHEALTHY_UNDER_WAY_MAX = 40;
/** A delivery whose consumer cannot sign is dispatched again after this long: consumers of two versions run for minutes. */
export const SIGNER_WAIT_MS = 5 * SECOND_MS;
/** The backlog releases deliveries in drain steps of this length. */
export const DRAIN_STEP_MS = SECOND_MS;
/** The most deliveries of one drain step; the pace doubles up to here. */
export const DRAIN_STEP_MAX = 500;

/**
 * Deliveries that wait for their first retry in one row each. All of them are outlined in memory, and read when the object wakes. Of a
 * listener that fails one event in ten, so many wait at fifty failures a second.
 */
export const FIRST_RETRIES_MAX = 200;
/** A first retry that is due later is not sent ahead: until then its endpoint may change, and its message would only fill the queue. */
export const SENT_AHEAD_MAX_MS = MINUTE_MS;

// --- The check for writes -----------------------------------------------------------------------------

/** Size of the row that finds out whether the store takes writes, bytes: more than a delivery takes. */
export const WRITE_CHECK_BYTES = 100_000;
/** For this long after results were stored, the check is not made for events that have waited. */
export const WRITE_CHECKED_FOR_MS = 10 * SECOND_MS;
/** An event that is this old when it is admitted may have been attempted: an object without calls is evicted after as long. */
export const WAITED_MS = 10 * SECOND_MS;

// --- Sweep ------------------------------------------------------------------------------------------

/** The sweep looks for expired deliveries at most this often. */
export const SWEEP_INTERVAL_MS = HOUR_MS;
/** Rows that one bite of the sweep looks at, and may delete. */
export const SWEEP_MAX_ROWS = 1000;
/** Segments that one bite of the sweep deletes. Each may free a hundred pages of the database. */
export const SWEEP_MAX_SEGMENTS = 100;
/** Packs that one bite of the sweep deletes: the exports look for the marks of their 20,000 deliveries. */
export const SWEEP_MAX_PACKS = 20;

// --- Segments ---------------------------------------------------------------------------------------

/** Text of one segment before compression, bytes: a row stays far below the 2 MB that the platform allows. */
export const SEGMENT_MAX_BYTES = 1_000_000;
/** Events of one segment, so that reading one of them stays cheap. */
export const SEGMENT_MAX_EVENTS = 1000;
/** Time between the first and the last id of one segment, so that a search by id looks at few segments. */
export const SEGMENT_SPAN_MS = 15 * MINUTE_MS;
/** An event whose id is further from its acceptance keeps a row of its own; else each segment would overlap many. */
export const SEGMENT_ID_MAX_SKEW_MS = 5 * MINUTE_MS;
/**
 * A segment that spans more than this is wide: many of them overlap each other. Ids of one settle that are further apart are packed apart,
 * because they are of two producers, one of which is late.
 */
export const SEGMENT_NARROW_MS = 45 * SECOND_MS;
/** Sorting begins when this many wide segments are there: it makes of them one for each half minute of the five by which ids are late. */
export const SORT_SEGMENTS = 16;
/** A segment with at most so much text may grow, bytes before compression: the settle inflates and deflates it again, in some 50 µs. */
export const SEGMENT_GROWS_BYTES = 16_000;
/** A segment with so many times the text of what comes may grow as well: a settle of many deliveries may rewrite more. */
export const SEGMENT_GROWS_TIMES = 4;
/** No segment grows beyond this, bytes before compression: to deflate it takes 2 to 10 ms, in which the store answers nobody. */
export const SEGMENT_GROWN_MAX_BYTES = 400_000;
/** Segments that a settle looks at to find one that may grow. Some of the newest are full. */
export const SEGMENTS_LOOKED_AT = 4;
/** Merging begins when this many small segments are there. */
export const MERGE_SEGMENTS = 32;
/** Merging leaves younger segments alone, because late events may still join them. */
export const MERGE_AGE_MS = 10 * MINUTE_MS;
/** Merging waits this long for what one large segment may hold. Without that, a steady stream would be merged one by one, into nothing. */
export const MERGE_WAIT_MS = MERGE_AGE_MS + SEGMENT_SPAN_MS;
/** After this much text, a bite of merging begins no further large segment; bytes before compression. With the last one it takes 30 ms. */
export const MERGE_MAX_BYTES = 500_000;
/** Text that one bite of sorting rewrites, bytes before compression: fewer wide segments at once would be sorted again more often. */
export const SORT_MAX_BYTES = 2_000_000;
/** The pause between two bites of merging. */
export const MERGE_STEP_MS = SECOND_MS / 2;

// --- Counts -----------------------------------------------------------------------------------------

/** If more rows than this were added since the saved count, the store saves a new count. */
export const TOTAL_COUNTED_AGAIN_ROWS = 5000;
/** The saved count leaves out this many of the newest rows, because late events may still be inserted among them. */
export const TOTAL_TAIL_ROWS = 1000;
/** A store with at most this many deliveries counts its summary at every question. */
export const SUMMARY_FRESH_UP_TO_ROWS = 10_000;
/** A larger store counts its summary again when the saved one is older than this. */
export const SUMMARY_MAX_AGE_MS = MINUTE_MS;
/** Until the saved summary is this old, it is the answer while the store counts again (contract 3.8 allows 24 h). */
export const SUMMARY_KEPT_MS = 23 * HOUR_MS;

// --- Figures ------------------------------------------------------------------------------------------

/** Days of figures that are kept. The last 168 hours may be in eight days; the ninth is for clocks that differ. */
export const FIGURE_DAYS = 9;
/** A segment that is not counted weighs so much more than its deliveries: reading its row takes as long as counting four of them. */
export const FIGURES_SEGMENT_WEIGHT = 4;
/** From this weight on, an alarm that rings anyway counts. */
export const FIGURES_COUNT_FROM = 4000;
/** From this weight on, the alarm rings for the figures: four rows for so many deliveries, a hundredth of what they cost at the least. */
export const FIGURES_DUE_FROM = 16_000;
/** The weight that one bite counts: some 100 ms. */
export const FIGURES_BITE = 16_000;
/** Text that one bite counts, bytes before compression. */
export const FIGURES_BITE_BYTES = 12_000_000;
/** The weight that a question counts, beside what is counted or was counted for another. A store with 500 events a second, in arrays, has less. */
export const FIGURES_LOOK_MAX = 32_000;
/** Text that a question counts, bytes before compression. */
export const FIGURES_LOOK_BYTES = 24_000_000;
/** Segments of which the counts are in memory, so that each is counted once for somebody who looks each few seconds: as many as a look reads. */
export const FIGURES_KNOWN_MAX = 8000;
/** The pause between two bites of counting while there is more to count. */
export const FIGURES_STEP_MS = SECOND_MS;
/** Counting leaves younger segments alone: a delivery that comes among counted ones costs a row. Most first retries come sooner. */
export const FIGURES_AGE_MS = 20 * SECOND_MS;
/** Counting stays behind producers that are late by so much at most: by as much as ids differ from the acceptance of their events. */
export const FIGURES_AGE_MAX_MS = SEGMENT_ID_MAX_SKEW_MS;

// --- Exports and histories ----------------------------------------------------------------------------

/** Text of one part of an export's file, bytes: a row may have 2 MB. */
export const EXPORT_PART_MAX_BYTES = 1_000_000;
/** Events of one part: all of them are in memory at once. */
export const EXPORT_PART_EVENTS = 50;
/** Events that one alarm writes into a file: 35 ms for small ones, in which no call of the store is answered. */
export const EXPORT_EVENTS_PER_ALARM = 750;
/** Entries of a long history that move together from the delivery's row to a page of their own. */
export const HISTORY_PAGE_ENTRIES = 50;
/** Pages that are kept of one history: with them, and what is in the row, it has a thousand entries at least (contract 5.3). */
export const HISTORY_PAGES_MAX = 20;
/** A longer history is compressed, characters of JSON. SQLite keeps a quarter of a page of a row, and gives the rest a page of its own. */
export const HISTORY_TEXT_MAX = 600;
