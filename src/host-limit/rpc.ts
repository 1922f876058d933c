/** What crosses the wall between the limit of a host and the rest of the service. */

/** Asks for places, and returns places with the results of requests. */
export interface Visit {
  /** Who holds the places: an invocation, or one dispatch of an event store. */
  readonly id: string;
  /** How many more places it could use. */
  readonly want: number;
  /** How many of its places it returns. */
  readonly left: number;
  /** Results since its last visit. What failed by our fault, or was blocked, is neither. */
  readonly succeeded: number;
  /** Of each request that failed, when it began, ms. */
  readonly failedStarts: readonly number[];
  /** A holder that says nothing for this long is dead, and its places are free. */
  readonly leaseMs: number;
}

export interface Answer {
  readonly granted: number;
  /** When it got too few: ask again after this long. */
  readonly waitMs: number;
  /** The host has lately answered with a success: there will be room soon. */
  readonly isAnswering: boolean;
  /** Successes still add places: report them soon. */
  readonly isGrowing: boolean;
}

/** The calls of the limit of one host. */
export interface HostLimitRpc {
  visit(visit: Visit): Promise<Answer>;
}
