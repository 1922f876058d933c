/** What becomes of a queue message, decided where it was worked on and carried out in `queue/acknowledge.ts`. */
export type Disposition =
  /** Every event of the message is stored, or needs no more work. */
  | { readonly kind: 'done' }
  /** The queue must deliver it again, after a wait that doubles each time. */
  | { readonly kind: 'retry' }
  /** The queue must deliver it again after this long. */
  | { readonly kind: 'retry-after'; readonly waitMs: number };

export const DONE: Disposition = { kind: 'done' };
export const RETRY: Disposition = { kind: 'retry' };
/** Nothing was done for lack of time: an invocation with time should have it at once. */
export const RETRY_AT_ONCE: Disposition = { kind: 'retry-after', waitMs: 0 };

/** The disposition of a message with several parts: done when all are; it waits as long as the longest part asks. */
export function combined(parts: readonly Disposition[]): Disposition {
  const open = parts.filter((part) => part.kind !== 'done');
  if (open.length === 0) return DONE;
  let waitMs = 0;
  for (const part of open) {
    if (part.kind === 'retry') return RETRY;
    waitMs = Math.max(waitMs, part.waitMs);
  }
  return { kind: 'retry-after', waitMs };
}
