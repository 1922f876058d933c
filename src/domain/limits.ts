/**
 * The limits of the product: what a customer, a producer or an operator can notice. Each has its unit in its name and says
 * what it protects. Tuning that nobody outside notices is beside its code (`delivery/tuning.ts`, `event-store/tuning.ts`);
 * what an operator may change is configuration (`config.ts`).
 */

export const SECOND_MS = 1000;
export const MINUTE_MS = 60 * SECOND_MS;
export const HOUR_MS = 60 * MINUTE_MS;
export const DAY_MS = 24 * HOUR_MS;

// --- Requests ---------------------------------------------------------------------------------------

/** The body of a publish over HTTPS: once packed it must fit one `sendBatch` of the platform, 256 KB (contract 10.1). */
export const PUBLISH_BODY_MAX_BYTES = 240_000;
/**
 * Characters as JSON of what a publish by RPC may hold. Such a value can name one object many times, so its JSON may be far
 * larger than itself. Of members that we do not know, events may have more than the queue would take.
 */
export const PUBLISH_INPUT_MAX_SIZE = 1_000_000;
/** Any other body (contract 8). It is parsed in memory, and no subscription needs more. */
export const BODY_MAX_BYTES = 131_072;
/** Faults that an answer names (contract 8): three bytes of a body may be a fault, which takes 80 of the answer. */
export const FAULTS_MAX = 100;
/** Events in one publish over HTTPS (contract 10.1). */
export const PUBLISH_MAX_EVENTS = 500;

// --- Events (contract 10.1) ---------------------------------------------------------------------------

/** One event as JSON: it must fit a packed queue message. */
export const EVENT_MAX_BYTES = 60_000;
/**
 * What an event may have more when it comes back as we keep it: the members `id`, `customerId` and `occurredAt` that we added, and
 * other spelling. So every event that was accepted can be replayed.
 */
export const EVENT_KEPT_MORE_BYTES = 256;
/** How far the time in an event id may be before acceptance. It keeps the store in order of time. */
export const EVENT_ID_MAX_PAST_MS = 24 * HOUR_MS;
/** How far the time in an event id may be after acceptance: clocks differ. */
export const EVENT_ID_MAX_FUTURE_MS = 5 * MINUTE_MS;
/** Names of changed attributes in one event. */
export const ATTRIBUTES_MAX = 500;
/** Characters of one attribute name. */
export const ATTRIBUTE_MAX_CHARACTERS = 200;
/** Characters of an application id, a client id or an entity type. */
export const NAME_MAX_CHARACTERS = 64;
/** Characters of `globalSub`. */
export const GLOBAL_SUB_MAX_CHARACTERS = 500;

// --- Filters (contract 4) -----------------------------------------------------------------------------

/** One filter as JSON. */
export const FILTER_MAX_BYTES = 65_536;
/** Objects and arrays within each other in a filter: evaluation recurses. */
export const FILTER_MAX_DEPTH = 32;
/** All filters of one customer together: an isolate reads those that it has not compiled. */
export const FILTERS_MAX_BYTES_PER_CUSTOMER = 1_048_576;
/** Schemas in one filter, the filter included: each is compiled, and kept in memory. */
export const FILTER_MAX_SCHEMAS = 1000;
/** Characters (UTF-16 units) of one pattern: it is limited before it is scanned. */
export const FILTER_PATTERN_MAX_CHARACTERS = 1000;
/** Instructions of a filter's patterns together: the automaton of a pattern takes memory. */
export const FILTER_PATTERNS_MAX_SIZE = 1000;
/**
 * Steps that one filter may take for one event, at worst: about a millisecond, and ten when all of them build the filter. All
 * customers share the consumer. `npm run filters` measures a step.
 */
export const FILTER_MAX_STEPS = 150_000;
/** Steps that all filters of one customer may take for one event, at worst: about ten milliseconds. It limits their memory too. */
export const FILTERS_MAX_STEPS_PER_CUSTOMER = 2_000_000;

// --- Endpoint health (contract 10.4) --------------------------------------------------------------------

/** An answer that took longer is slow. */
export const SLOW_ANSWER_MS = 2 * SECOND_MS;
/** Requests without an answer at once that make new events wait: one may be a slow answer among quick ones. */
export const UNANSWERED_MIN = 2;
/** Slow answers in a row that make an endpoint slow. */
export const SLOW_IN_A_ROW = 3;
/** Quick successes in a row that make a slow endpoint healthy again. */
export const QUICK_IN_A_ROW = 3;
/** Failed attempts in a row that make an endpoint failing. */
export const FAILED_IN_A_ROW = 5;
/** A failing endpoint gets a held event as a probe after this long without a result. The wait doubles each time. */
export const PROBE_WAIT_FIRST_MS = 3 * SECOND_MS;
/** The longest wait before a probe. */
export const PROBE_WAIT_MAX_MS = 5 * MINUTE_MS;

// --- Requests to one host (contract 10.4) ---------------------------------------------------------------

/** A host name of 253 characters (RFC 1035, 2.3.4), a colon and a port. */
export const HOST_MAX_CHARACTERS = 259;
/** Requests at once to one host for one customer, until the host answers with a success. */
export const HOST_PLACES_FIRST = 5;
/** The most requests at once to one host for one customer: as many as all consumers of a queue together can make. */
export const HOST_PLACES_MAX = 1250;
/** How many places a failed attempt takes from a host that answers. A success adds one. */
export const HOST_PLACES_PER_FAILURE = 2;
/** A success counts this long. After that the host begins again with the first places. */
export const HOST_ANSWERS_FOR_MS = MINUTE_MS;
/** After a failed attempt at a host that does not answer, its place rests this long: no more than five requests a second. */
export const HOST_PLACE_RESTS_MS = SECOND_MS;

// --- Test notifications (contract 3.7) --------------------------------------------------------------------

/** Test notifications of one subscription at once: each is a request that a customer can aim. */
export const TESTS_AT_ONCE = 10;
/** After those, one test notification of a subscription in this time. */
export const TEST_INTERVAL_MS = 6 * SECOND_MS;
/** Proofs of endpoints that one event store remembers (contract 10.8): a customer decides how often its endpoint changes. */
export const PROOFS_MAX = 100;

// --- Listener answers (contract 5.1 and 6.4) --------------------------------------------------------------

/** Bytes of an answer's body that are read. */
export const RESPONSE_BODY_MAX_BYTES = 4096;
/** What the platform lets one event store hold, bytes (contract 10.9). */
export const STORE_MAX_BYTES = 10_000_000_000;
/** From this share on the operator is warned. */
export const STORE_WARNING_SHARE = 0.5;
/** From this share on a delivery that would only wait fails at once, and its SET is not kept. */
export const STORE_SCARCE_SHARE = 0.8;
/** From this share on the store takes no new events. The rest is for retries of those that it has, and for their results. */
export const STORE_FULL_SHARE = 0.95;
/** Bytes of an answer's headers that are kept. */
export const RESPONSE_HEADERS_MAX_BYTES = 4096;
/** Bytes of a success's headers that are kept: nearly every delivery is one, and a store has room for 10 GB. */
export const SUCCESS_HEADERS_MAX_BYTES = 512;
/** Characters of an RFC 8935 description that the history keeps. */
export const REASON_MAX_CHARACTERS = 500;
/** `Retry-After` moves the next attempt at most this far. */
export const RETRY_AFTER_MAX_MS = DAY_MS;
/** The first wait before an attempt is made again that failed for a reason of ours (contract 6.4). The waits double. */
export const OUR_FAULT_WAIT_FIRST_MS = 5 * SECOND_MS;
/** The longest of these waits: an outage of hours costs twelve attempts an hour for each event that waits. */
export const OUR_FAULT_WAIT_MAX_MS = 5 * MINUTE_MS;
/** A verdict on a host name is kept at most this long (contract 3.3). */
export const ADDRESS_CACHE_MS = MINUTE_MS;
/** While no look-up succeeds, the last verdict still counts until it is this old (contract 3.3). */
export const ADDRESS_STALE_MS = 10 * MINUTE_MS;
/** After a look-up failed, the name service is asked about that host again after this long (contract 3.3). */
export const RESOLVER_PAUSE_MS = 5 * SECOND_MS;

// --- What is kept, and for how long ------------------------------------------------------------------------

/** No event is kept longer than this after its acceptance (contract 5). */
export const EVENT_MAX_AGE_MS = 28 * DAY_MS;
/** `summary` and exports look back this far (contract 3.8 and 7). */
export const SUMMARY_WINDOW_MS = 7 * DAY_MS;
/** Figures look back so many hours, the running one among them (contract 10.14). */
export const FIGURES_HOURS_MAX = 168;
/** The whole hours before the running one of which there are figures. */
export const FIGURES_WINDOW_MS = (FIGURES_HOURS_MAX - 1) * HOUR_MS;
/** A finished export and its file are kept this long (contract 7). */
export const EXPORT_LIFE_MS = 7 * DAY_MS;
/** A bulk redelivery that ended is shown this long (contract 10.3). */
export const REDELIVERY_LIFE_MS = 7 * DAY_MS;
/** Exports, and as many bulk redeliveries, that one subscription keeps: their lists are not paged (contract 7 and 10.3). */
export const JOBS_KEPT_MAX = 100;
/** A deleted subscription leaves a tombstone for this long, so that a late message still finds its customer. */
export const TOMBSTONE_MS = 30 * DAY_MS;
/**
 * A customer with so many tombstones creates no subscription (contract 8). Else one that creates and deletes without end
 * fills D1.
 */
export const TOMBSTONES_MAX_PER_CUSTOMER = 10_000;
/** A retired signing key stays published this long (contract 6.3). */
export const RETIRED_KEY_PUBLISHED_MS = 35 * DAY_MS;
/** The first key of another algorithm is published this long before it signs: twice as long as listeners keep a key set (contract 6.3). */
export const KEY_PUBLISHED_BEFORE_SIGNING_MS = DAY_MS;

// --- Shards (contract 10.17) -----------------------------------------------------------------------------------

/** Event stores of one subscription: a list asks all of them. */
export const SHARDS_MAX = 16;
/** Epochs that a subscription keeps: every query of the event path brings them. */
export const EPOCHS_MAX = 16;

// --- Costly reads (contract 5.2 and 8) ------------------------------------------------------------------------

/** Events of one page: signing them again takes a second. Also the largest `limit` that a client may name. */
export const EVENTS_LIMIT_MAX = 1000;
/**
 * Events that a list shows for one unit of work. Signing 20 tokens again takes about 20 ms, which is also the longest time for
 * which a list keeps other work of the isolate waiting; 20 events whose tokens are stored whole take about 3 ms.
 */
export const EVENTS_PER_UNIT = 20;
/** Event stores that one call may ask for an event (contract 10.13): six at a time, a second or two when all of them have to wake up. */
export const DELIVERIES_LIMIT_MAX = 100;
/** Event stores that one call may ask for figures (contract 10.14). */
export const FIGURES_LIMIT_MAX = 100;
/** Event stores that are asked for one unit of work: each is a call of another object, which it may wake up. */
export const STORES_PER_UNIT = 10;
/** Looks of one dry run of a bulk redelivery (contract 10.3), each at 1,000 failures and for a unit of work. */
export const DRY_RUN_LOOKS_MAX = 10;
/** Subscriptions that a list shows for one unit of work. */
export const SUBSCRIPTIONS_PER_UNIT = 100;

// --- Access tokens and clients (contract 2 and 10.2) -----------------------------------------------------------

/** An access token is good for this long. */
export const ACCESS_TOKEN_LIFETIME_SECONDS = 3600;
/** Characters of an access token. */
export const ACCESS_TOKEN_MAX_CHARACTERS = 255;
/** Characters of a requested scope that differs from the client's own: it travels in the token, which has 255 characters. */
export const TOKEN_SCOPE_MAX_CHARACTERS = 88;
/** Characters of the scope that an operator gives a client. */
export const SCOPE_MAX_CHARACTERS = 500;
/** An isolate looks up a client's secret again after this long: a revoked one ends within 60 s. */
export const CREDENTIAL_CACHE_MS = 30 * SECOND_MS;
/** No customer takes the id of an erased one for so long (contract 10.2): twice what an isolate remembers of credentials. */
export const ERASED_ID_REST_MS = 60 * SECOND_MS;
/** Guesses at secrets are counted for this long. */
export const GUESS_WINDOW_MS = MINUTE_MS;
/** Failures of one client, or of the operator, from one address. Further guesses are not judged. */
export const FAILURES_MAX_PER_CLIENT = 20;
/** Failures from one address over all clients. */
export const FAILURES_MAX_PER_ADDRESS = 200;
/** An isolate remembers published keys this long, and the platform's cache its answer as long again (contract 6.3). */
export const KEY_SET_CACHE_MS = 15 * SECOND_MS;
/**
 * Keys that nobody could read again are shown for so long. It is shorter than the shortest time between two rotations by themselves, so
 * the key that signs is among them: it was the next one before.
 */
export const KEY_SET_STALE_MS = 12 * HOUR_MS;
/** An isolate remembers this long that an id is no customer's: a customer that was just created may have to wait for it. */
export const UNKNOWN_CUSTOMER_CACHE_MS = 10 * SECOND_MS;
/** Clients of one customer. */
export const CLIENTS_MAX_PER_CUSTOMER = 100;
/** Secrets of one client that have not ended. */
export const CLIENT_SECRETS_MAX = 10;

// --- The console (contract 10.15) ---------------------------------------------------------------------------------

/** A session of the console ends this long after its sign-in, whatever happens in it. */
export const CONSOLE_SESSION_MS = 8 * HOUR_MS;
/** An access token of a session is good for this long: the page keeps it in memory and takes another. */
export const CONSOLE_TOKEN_LIFETIME_SECONDS = 600;
/** How long a link can be used, when the operator does not say it. */
export const CONSOLE_LINK_SECONDS = 3600;
export const CONSOLE_LINK_MIN_SECONDS = 60;
export const CONSOLE_LINK_MAX_SECONDS = 86_400;
/** Links of one customer that are not used and have not ended. */
export const CONSOLE_LINKS_MAX_PER_CUSTOMER = 100;
/** Sessions of one customer, and as many of the operator, that have not ended. */
export const CONSOLE_SESSIONS_MAX = 1000;
/** The body of a sign-in: a client's secret has at most 255 characters. */
export const CONSOLE_BODY_MAX_BYTES = 4096;

// --- Notices for the operator (contract 10.16) ---------------------------------------------------------------------

/** Notices about one endpoint at once: one that fails and recovers in turn must not flood the operator. */
export const NOTICES_AT_ONCE = 4;
/** After those, one notice about the endpoint in this time. */
export const NOTICE_INTERVAL_MS = 15 * MINUTE_MS;
/** An isolate looks up again after this long whether there are notices, and where they go. */
export const NOTICES_CACHE_MS = 30 * SECOND_MS;

// --- Dead letters (contract 10.1 and 10.2) ---------------------------------------------------------------------

/** Dead letters for the invalid events of one queue message. Further ones share the last, so that one message cannot fill the list. */
export const DEAD_LETTERS_PER_MESSAGE = 1000;
/** Dead letters that the operator's list holds. */
export const DEAD_LETTERS_MAX = 100_000;
/** A dead letter is kept this long. */
export const DEAD_LETTER_RETENTION_MS = 30 * DAY_MS;
/**
 * Dead letters of one customer for events that were refused. Those that name no customer of ours count as one customer. So a
 * producer that sends nonsense drops its own letters, and no event that was accepted.
 */
export const DEAD_LETTERS_MAX_REFUSED = 10_000;
/**
 * How long before its queue message an event may have been accepted: a letter waits in a queue for up to 14 days, then 30 days in
 * the list, and may come back as a letter once.
 */
export const ACCEPTANCE_MAX_AGE_MS = 2 * DEAD_LETTER_RETENTION_MS;
/** How far acceptance may be after the queue message and the consumer's clock: clocks differ. */
export const ACCEPTANCE_MAX_FUTURE_MS = 5 * MINUTE_MS;
/** Arrays and objects in one another that a dead letter shows. Far deeper JSON exhausts the stack of the code that reads it. */
export const DEAD_LETTER_MAX_DEPTH = 100;
/** Characters of the reason of a dead letter. */
export const DEAD_LETTER_REASON_MAX_CHARACTERS = 1000;

// --- The audit trail (contract 10.7) ------------------------------------------------------------------------------

/** An entry of the audit trail is kept this long. */
export const AUDIT_RETENTION_MS = 90 * DAY_MS;
/** Entries of one page. */
export const AUDIT_LIMIT_MAX = 1000;
/** Entries that the list shows for one unit of work. */
export const AUDIT_ENTRIES_PER_UNIT = 100;
