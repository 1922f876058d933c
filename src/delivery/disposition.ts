/** What becomes of one event for one subscription in this invocation, and so of its queue message. */
export type Disposition =
  /** The delivery is stored, or needs no more work. */
  | { readonly kind: 'done' }
  /** Something failed: the queue must deliver the message again, after a wait that doubles each time. */
  | { readonly kind: 'failed' }
  /**
   * Nothing failed, but this invocation cannot go on with it: its time or its connections are used up, or somebody else is
   * working on it. It is sent on, to another invocation, after this long.
   */
  | { readonly kind: 'later'; readonly waitMs: number };

export const DONE: Disposition = { kind: 'done' };
export const FAILED: Disposition = { kind: 'failed' };
/** Another invocation can go on at once. */
export const LATER: Disposition = { kind: 'later', waitMs: 0 };
