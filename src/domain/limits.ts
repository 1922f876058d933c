/**
 * Every limit of the service in one place: its unit in its name, and what it protects beside it.
 * What an operator may change is configuration (`config.ts`) instead.
 */

export const SECOND_MS = 1000;
export const MINUTE_MS = 60 * SECOND_MS;
export const HOUR_MS = 60 * MINUTE_MS;
export const DAY_MS = 24 * HOUR_MS;

// --- What may be sent to us ------------------------------------------------------------------------

/** A publish over HTTPS must stay one `sendBatch` of the platform (256 KB) once packed (contract 10.1). */
export const PUBLISH_BODY_MAX_BYTES = 240_000;
/** Any other body (contract 8): nobody needs more for a subscription, and it is parsed in memory. */
export const BODY_MAX_BYTES = 131_072;
/** Events in one publish over HTTPS (contract 10.1). */
export const PUBLISH_MAX_EVENTS = 500;
/** One event as JSON: it must fit a packed queue message (contract 10.1). */
export const EVENT_MAX_BYTES = 60_000;
/** An event id's own time against its acceptance (contract 10.1): keeps the store in order of time. */
export const EVENT_ID_MAX_PAST_MS = 24 * HOUR_MS;
export const EVENT_ID_MAX_FUTURE_MS = 5 * MINUTE_MS;
export const ATTRIBUTES_MAX = 500;
export const ATTRIBUTE_MAX_CHARACTERS = 200;
export const NAME_MAX_CHARACTERS = 64;
export const GLOBAL_SUB_MAX_CHARACTERS = 500;

// --- Filters (contract 4) -------------------------------------------------------------------------

export const FILTER_MAX_BYTES = 65_536;
/** Objects and arrays within each other: evaluation recurses. */
export const FILTER_MAX_DEPTH = 32;
/** All filters of one customer: they are read with every batch. */
export const FILTERS_MAX_BYTES_PER_CUSTOMER = 1_048_576;
/** Instructions of a filter's patterns together: each costs at most one step for each character of a claim. */
export const FILTER_PATTERNS_MAX_SIZE = 1000;
/**
 * What evaluating a filter may cost for one event: schemas visited, at worst, with 500 attributes. Each takes one to
 * two microseconds, and all customers share the consumer.
 */
export const FILTER_MAX_COST = 50_000;
/** Compiled filters an isolate keeps. */
export const FILTERS_COMPILED_MAX = 2000;

// --- Queues ---------------------------------------------------------------------------------------

/** The platform bills per 64 KB and takes 128 KB: a packed message stays within one unit. */
export const QUEUE_MESSAGE_MAX_BYTES = 64_000;
/** Of one `sendBatch`: the platform takes 100 messages and 256 KB. */
export const QUEUE_SEND_MAX_MESSAGES = 100;
export const QUEUE_SEND_MAX_BYTES = 250_000;
/** `max_retries` of every consumer in wrangler.toml: the platform's highest. */
export const QUEUE_MAX_RETRIES = 100;
/** Longest wait between two deliveries of a message we could not process yet. */
export const QUEUE_RETRY_MAX_SECONDS = 900;
/** Delivery ids in one message of `webhook-deliveries`: a lost message then costs little. */
export const DISPATCH_MAX_IDS = 20;

// --- One consumer invocation ----------------------------------------------------------------------

/** The platform lets six connections wait for headers; a seventh would queue while its time runs. */
export const FETCHES_PER_INVOCATION = 6;
/** So that one slow endpoint leaves slots to the others of the batch. */
export const FETCHES_PER_SUBSCRIPTION = 2;
/** No attempt starts later than this into an invocation: what is left goes through the store. */
export const INVOCATION_BUDGET_MS = 30 * SECOND_MS;
/** Events of one subscription admitted at once: what an invocation holds in memory, and may have to hand back. */
export const ADMIT_MAX_EVENTS = 100;
/** An attempt waits for a slot no longer than this on its store's last word that the subscription is enabled. */
export const ASK_AGAIN_MS = SECOND_MS;
/** Subscriptions worked on at once: twice what six slots can serve. */
export const ROUTES_AT_ONCE = 12;
/** Results reach the store at least this often, so that a consumer that dies repeats little. */
export const SETTLE_INTERVAL_MS = SECOND_MS;
/** Results in one `settle`: bounds the size of a call (32 MiB) and of a transaction. */
export const SETTLE_MAX_RESULTS = 100;

// --- Endpoint health (contract 10.4) ----------------------------------------------------------------

/** An answer that took longer is slow. */
export const SLOW_ANSWER_MS = 2 * SECOND_MS;
/** Slow answers that make an endpoint slow, and quick successes that make it healthy again. */
export const SLOW_IN_A_ROW = 3;
export const QUICK_IN_A_ROW = 3;
/** Failed attempts that make an endpoint failing. */
export const FAILED_IN_A_ROW = 5;
/** For how long nothing need be heard of a failing endpoint before a held event is let go as a probe; it doubles. */
export const PROBE_WAIT_FIRST_MS = 3 * SECOND_MS;
export const PROBE_WAIT_MAX_MS = 5 * MINUTE_MS;
/** Slots of an invocation that endpoints which are not healthy may take together: the rest is for the others. */
export const FETCHES_UNHEALTHY = 4;
/** Deliveries of such an endpoint on their way at once: it cannot fill the queue of all the others. */
export const UNHEALTHY_UNDER_WAY_MAX = 40;
/** What waited is let go in steps; each may be twice the last, up to this many. */
export const DRAIN_STEP_MS = SECOND_MS;
export const DRAIN_STEP_MAX = 500;

// --- Leases ---------------------------------------------------------------------------------------

/** Beyond the attempt's own limit, before an attempt counts as lapsed. */
export const LEASE_MARGIN_MS = 30 * SECOND_MS;
/** How long a dispatched delivery may lie in `webhook-deliveries` before it is dispatched again. */
export const DISPATCH_LEASE_MS = 2 * MINUTE_MS;
/** Deliveries an alarm, or a change of the subscription, holds in memory at once: one may have 100 KB. */
export const DELIVERIES_BITE = 50;
/** Due deliveries dispatched by one alarm; more follow at the next, at once. */
export const DISPATCH_MAX_PER_ALARM = 1000;

// --- Listener answers -----------------------------------------------------------------------------

/** Endpoints whose URL an isolate need not check again. */
export const ENDPOINTS_CHECKED_MAX = 2000;
/** Of an answer's body, and of its headers kept (contract 5.1, 6.4). */
export const RESPONSE_BODY_MAX_BYTES = 4096;
export const RESPONSE_HEADERS_MAX_BYTES = 4096;
/** Of an RFC 8935 description put into the history. */
export const REASON_MAX_CHARACTERS = 500;
/** `Retry-After` moves the next attempt at most this far (contract 6.4). */
export const RETRY_AFTER_MAX_MS = DAY_MS;
/** Answers of name look-ups are kept at most this long (contract 3.3). */
export const ADDRESS_CACHE_MS = MINUTE_MS;
/** A name server that says nothing for this long counts as away. */
export const RESOLVE_TIMEOUT_MS = 3 * SECOND_MS;

// --- The event store ------------------------------------------------------------------------------

/** No event is kept longer than this after its acceptance (contract 5). */
export const EVENT_MAX_AGE_MS = 28 * DAY_MS;
/** Expired deliveries are looked for at most this often. */
export const SWEEP_INTERVAL_MS = HOUR_MS;
/** Rows deleted, or looked at, in one bite of a sweep. */
export const SWEEP_MAX_ROWS = 1000;
/** After a part of an alarm's work failed, at least. */
export const ALARM_BACKOFF_MS = 10 * SECOND_MS;
/** A deleted store drops late results for this long, then erases itself for good. */
export const DELETED_MARK_MS = HOUR_MS;
/** Figures of larger stores are counted anew when older than this; those of smaller ones at every question. */
export const SUMMARY_MAX_AGE_MS = MINUTE_MS;
/** Until then the old ones are the answer while they are counted (contract 3.8 allows 24 h). */
export const SUMMARY_KEPT_MS = 23 * HOUR_MS;
export const SUMMARY_FRESH_UP_TO_ROWS = 10_000;
/** Rows beyond the last count that are counted at waking; more are counted for good, but for the youngest. */
export const TOTAL_COUNTED_AGAIN_ROWS = 5000;
/** The youngest rows, among which others may still come to stand. */
export const TOTAL_TAIL_ROWS = 1000;
/**
 * One segment (event-store/deliveries/segments.ts): text before compression and events, so that reading one event stays cheap and a
 * row never comes near the 2 MB it may have, and the time between its first and its last id, so that a search by id
 * looks at few.
 */
export const SEGMENT_MAX_BYTES = 1_000_000;
export const SEGMENT_MAX_EVENTS = 1000;
export const SEGMENT_SPAN_MS = 15 * MINUTE_MS;
/** An id further from its acceptance keeps a row of its own: else each segment's range would overlap many. */
export const SEGMENT_ID_MAX_SKEW_MS = 5 * MINUTE_MS;
/** Small segments are merged when there are this many, none younger than that, so much text and so many in one alarm. */
export const MERGE_SEGMENTS = 32;
export const MERGE_AGE_MS = 10 * MINUTE_MS;
export const MERGE_MAX_BYTES = 2_000_000;
export const MERGE_STEP_MS = SECOND_MS;
/** Segments deleted in one bite of a sweep: each may free a hundred pages. */
export const SWEEP_MAX_SEGMENTS = 100;
/** What `summary` and exports look back on (contract 3.8 and 7). */
export const SUMMARY_WINDOW_MS = 7 * DAY_MS;
/** A finished export and its file live this long (contract 7). */
export const EXPORT_LIFE_MS = 7 * DAY_MS;
/** A bulk redelivery that ended is shown this long. */
export const REDELIVERY_LIFE_MS = 7 * DAY_MS;
/** One part of an export's file: a row may have 2 MB, and its events are in memory at once. */
export const EXPORT_PART_MAX_BYTES = 1_000_000;
export const EXPORT_PART_EVENTS = 50;
/** Events written into a file by one alarm. */
export const EXPORT_EVENTS_PER_ALARM = 10_000;
/** Entries of a history that move out of a delivery's row together. */
export const HISTORY_PAGE_ENTRIES = 50;
/** Events of one page when a client names no limit (contract 5.2), and of one chunk read for it. */
export const EVENTS_PAGE_MAX = 10_000;
export const EVENTS_LIMIT_MAX = 1000;
export const EVENTS_CHUNK = 200;
/** A page that took longer ends early, with `next`: every call answers within 10 s (contract 1), and each SET is signed. */
export const EVENTS_WITHIN_MS = 8 * SECOND_MS;

// --- Tokens, clients, keys ------------------------------------------------------------------------

/** Contract 2. */
export const ACCESS_TOKEN_LIFETIME_SECONDS = 3600;
export const ACCESS_TOKEN_MAX_CHARACTERS = 255;
/** A client's secrets are looked up again after this long: revocation takes effect within 60 s. */
export const CREDENTIAL_CACHE_MS = 30 * SECOND_MS;
/** Scope strings asked for that differ from the client's own: they travel in the token and must leave it within 255. */
export const TOKEN_SCOPE_MAX_CHARACTERS = 88;
export const SCOPE_MAX_CHARACTERS = 500;
/** Private keys sealed anew together (a D1 batch), and for how long one call may go on (it must answer in 10 s). */
export const RESEAL_BITE = 50;
export const RESEAL_WITHIN_MS = 5 * SECOND_MS;
/** Opened private keys an isolate keeps. */
export const SIGNING_KEYS_OPENED_MAX = 5000;
/** A retired signing key stays published this long (contract 6.3). */
export const RETIRED_KEY_PUBLISHED_MS = 35 * DAY_MS;
export const CLIENTS_MAX_PER_CUSTOMER = 100;

// --- Dead letters ---------------------------------------------------------------------------------

/** Letters of one queue message, so that one message cannot crowd out those of all others; the rest share one. */
export const DEAD_LETTERS_PER_MESSAGE = 1000;
/** Contract 10.2. */
export const DEAD_LETTERS_MAX = 100_000;
export const DEAD_LETTER_RETENTION_MS = 30 * DAY_MS;
/** Deleted subscriptions leave a tombstone for this long, so that a late message finds no stranger. */
export const TOMBSTONE_MS = 30 * DAY_MS;
