/** How ids lie in segments and packs: those of one are close together in time, and its row is keyed by the last of them. */
import { eventIdFloor, eventIdTime } from '../../domain/ids.ts';
import { SEGMENT_SPAN_MS } from '../tuning.ts';

/** Ids this close to each other are searched together. */
const SEARCHED_TOGETHER_MS = 60_000;

/** Before every id, and after every id. */
export const BEFORE_ALL = '';
export const AFTER_ALL = '~';

/** The largest last id that a segment with this id in it can have. */
export function reach(eventId: string): string {
  return eventIdFloor(eventIdTime(eventId) + SEGMENT_SPAN_MS + 1);
}

export function byEventId(a: { readonly eventId: string }, b: { readonly eventId: string }): number {
  return a.eventId < b.eventId ? -1 : 1;
}

/** Ids in order, in groups that lie close together in time. */
export function nearEachOther(eventIds: readonly string[]): string[][] {
  const groups: string[][] = [];
  for (const eventId of eventIds.toSorted()) {
    const group = groups.at(-1);
    const since = group?.[0];
    if (since !== undefined && eventIdTime(eventId) - eventIdTime(since) <= SEARCHED_TOGETHER_MS) {
      group?.push(eventId);
    } else groups.push([eventId]);
  }
  return groups;
}
