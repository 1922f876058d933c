/** How the limit of a host is tuned. A customer sees none of these figures; the limits of the product are in `domain/limits.ts`. */
import { MINUTE_MS, SECOND_MS } from '../domain/limits.ts';

/** How long a place is usually taken at a host that answers. */
export const TURN_ANSWERING_MS = 250;
/** The same at a host that does not: a request may take its whole time limit. */
export const TURN_SILENT_MS = 10 * SECOND_MS;
/** The shortest wait before a holder that got too few places asks again. */
export const WAIT_MIN_MS = SECOND_MS;
/** The longest. A thousand subscriptions at a host that hangs then ask 17 times a second together. */
export const WAIT_MAX_MS = MINUTE_MS;
/** The longest at a host that answers: each success adds a place, so the line is shorter than it was when somebody joined it. */
export const WAIT_ANSWERING_MAX_MS = 5 * SECOND_MS;
/** Those that a limit with too much to do sends away wait this long, and up to as long again. */
export const OVERLOADED_WAIT_MS = 30 * SECOND_MS;
/** A limit that takes longer to answer has too much to do. */
export const LIMIT_ANSWERS_WITHIN_MS = SECOND_MS;
