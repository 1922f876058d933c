/**
 * How one invocation of a consumer is tuned. A customer sees none of these figures; times that leases depend on are in
 * `domain/leases.ts`, the limits of the product in `domain/limits.ts`.
 */
import { MINUTE_MS, SECOND_MS } from '../domain/limits.ts';

/**
 * Requests at once. The platform lets six connections wait for headers; a seventh would queue while its time limit runs. The
 * sixth is for the queues: when all listeners hang, the rest must still be sent on.
 */
export const FETCHES_PER_INVOCATION = 5;
/** Requests at once for one subscription while others wait. */
export const FETCHES_PER_SUBSCRIPTION = 2;
/** Requests at once for one customer in a batch of several: its hanging listeners leave connections to the others. */
export const FETCHES_PER_CUSTOMER = 3;
/** Requests at once for a subscription whose listener has not answered lately: it may hang. */
export const FETCHES_UNPROVEN = 1;
/** Overdue requests that close an invocation: what waits is better off where all connections are free. */
export const CONNECTIONS_OVERDUE_MAX = 3;
/** The same in a batch of several customers: one more than a customer can have. */
export const CONNECTIONS_OVERDUE_SHARED_MAX = 4;
/** Deliveries signed and stored at once without an attempt. They need no connection. */
export const DEFERRALS_AT_ONCE = 2;
/** Events of one subscription admitted at once: the invocation holds them in memory, and may have to send them on. */
export const ADMIT_MAX_EVENTS = 100;
/** An event waits for a slot at most this long on the store's last word that attempts may start. */
export const ASK_AGAIN_MS = SECOND_MS;
/** A dispatched delivery begins at most this long before its request is likely to start. */
export const BEGIN_AHEAD_MS = SECOND_MS;
/** A store that takes longer for a call counts as away. */
export const STORE_ANSWERS_WITHIN_MS = 5 * SECOND_MS;
/** A queue that takes longer for a retry that is sent ahead counts as away: the store sends it. */
export const QUEUE_TAKES_WITHIN_MS = 5 * SECOND_MS;
/** Reports of dispatched attempts reach the store at least this often: the backlog goes by what they say of the listener. */
export const SETTLE_DISPATCHED_MS = SECOND_MS;
/** A customer's successes have one line of the log in so long, in an isolate; so has what its consumers send on. */
export const SHARED_LINE_MS = MINUTE_MS;
/** Successes of one line: their times are in memory until it is written. */
export const SUCCESSES_LINE_MAX = 1000;
/** Customers whose shared lines an isolate remembers. */
export const SHARED_LINES_MAX = 2000;
/** Subscriptions that an invocation for `webhook-events` works on at once, so that each customer of a batch has its turn. */
export const EVENTS_ROUTES_AT_ONCE = 40;
/** Events that an invocation for `webhook-slices` works on at once: twice as many as it has connections. */
export const SLICES_EVENTS_AT_ONCE = 10;
/** Reports in one call of `settle`: bounds the size of its transaction. */
export const SETTLE_MAX_REPORTS = 100;
/** Signed tokens in one call of `settle`, characters. */
export const SETTLE_MAX_CHARACTERS = 256_000;
/** Signed tokens that an invocation holds until they are stored, characters. */
export const UNSTORED_MAX_CHARACTERS = 8_000_000;
/** Deliveries of one message that are made straight from `webhook-events`; a wider message is split into slices. */
export const NARROW_MAX_DELIVERIES = 400;
/** Steps of filters (contract 4) that one message may take there at worst, about 20 ms: others of its batch wait for them. */
export const NARROW_MAX_FILTER_STEPS = 3_000_000;
/** No attempt starts later than this in an invocation for `webhook-events`: the events behind it must not wait. */
export const EVENTS_BUDGET_MS = 3 * SECOND_MS;
/** The same for `webhook-slices`: the queue adds consumers only when an invocation ends, and slices take turns. */
export const SLICES_BUDGET_MS = 3 * SECOND_MS;
/** Deliveries of a slice when a message is split into few: an invocation ends soon, and the queue adds another. */
export const SLICE_DELIVERIES = 30;
/** Steps of filters that such a slice takes at worst, about 100 ms. */
export const SLICE_FILTER_STEPS = 15_000_000;
/** Slices into which one message is split at most. Each works for its time and sends on the rest, so customers take turns. */
export const SLICES_MAX = 64;
/** Messages that an invocation splits at once: each has up to 256 KB of slices in memory. */
export const SPLITS_AT_ONCE = 4;
/** Compiled filters that an isolate keeps, in memory as they are. An isolate has 128 MB for everything. */
export const FILTERS_COMPILED_MAX_BYTES = 8_388_608;
/** Subscriptions of which an isolate knows which compiled filter they have: about 200 bytes each. */
export const FILTERS_KNOWN_MAX = 10_000;

/** Milliseconds for which audiences are used without a question, for events that were accepted before they were read. */
export const AUDIENCE_MAX_AGE_MS = 5000;

/** Milliseconds by which the clocks of two machines of the platform may differ: far more than they do. */
export const CLOCKS_DIFFER_MS = 1000;

/** Audiences that an isolate remembers: some 7,000 subscriptions. An isolate has 128 MB. */
export const AUDIENCES_MAX_BYTES = 4_000_000;
