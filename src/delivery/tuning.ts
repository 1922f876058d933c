/**
 * How one invocation of a consumer is tuned. A customer sees none of these figures; times that leases depend on are in
 * `domain/leases.ts`, the limits of the product in `domain/limits.ts`.
 */
import { SECOND_MS } from '../domain/limits.ts';

/** Requests at once. The platform lets six connections wait for headers; a seventh would queue while its time limit runs. */
export const FETCHES_PER_INVOCATION = 6;
/** Requests at once for one subscription, so that one slow endpoint leaves slots to the others of the batch. */
export const FETCHES_PER_SUBSCRIPTION = 2;
/** Requests at once for all unhealthy endpoints together: the remaining slots are for the healthy ones. */
export const FETCHES_UNHEALTHY = 4;
/** Events of one subscription admitted at once: the invocation holds them in memory, and may have to return them. */
export const ADMIT_MAX_EVENTS = 100;
/** An event waits for a slot at most this long on the store's last word that attempts may start. */
export const ASK_AGAIN_MS = SECOND_MS;
/** Subscriptions that an invocation works on at once: twice as many as six slots can serve. */
export const ROUTES_AT_ONCE = 12;
/** Reports in one call of `settle`: bounds the size of the call (32 MiB) and of its transaction. */
export const SETTLE_MAX_REPORTS = 100;
/** Compiled filters that an isolate keeps: their schemas as JSON, and their patterns. An isolate has 128 MB for everything. */
export const FILTERS_COMPILED_MAX_BYTES = 4_194_304;
