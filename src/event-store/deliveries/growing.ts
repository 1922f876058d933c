/**
 * How a small segment grows. Deliveries that come singly would make a row each, and merging would delete each of them. So what a settle
 * brings goes into a small segment beside it, when there is one: the row is written again, which costs as much as a new row, and one row for
 * many deliveries is left to delete (docs/decisions/0044-a-small-segment-grows.md).
 *
 * Nothing is remembered from settle to settle: the rows say which segment may grow. So nothing is forgotten when the object is evicted, and
 * nothing is wrong after a rollback.
 */
import { eventIdFloor, eventIdTime } from '../../domain/ids.ts';
import {
  SEGMENT_GROWN_MAX_BYTES,
  SEGMENT_GROWS_BYTES,
  SEGMENT_GROWS_TIMES,
  SEGMENT_NARROW_MS,
  SEGMENT_SPAN_MS,
  SEGMENTS_LOOKED_AT,
} from '../tuning.ts';
import { type Entry, pack, type Segment } from './packing.ts';
import type { SegmentRows, SizedOutline } from './segment-rows.ts';

interface Growth {
  readonly outline: SizedOutline;
  /** What the segment is then. */
  readonly grown: Segment;
}

/** The stored segment that takes what a settle brings; `undefined`: there is none, so it becomes a row of its own. */
export function growthBy(segment: Segment, rows: SegmentRows): Growth | undefined {
  const after = eventIdFloor(eventIdTime(segment.lastId) - SEGMENT_SPAN_MS);
  const before = eventIdFloor(eventIdTime(segment.firstId) + SEGMENT_NARROW_MS + 1);
  for (const outline of rows.growable(after, before, SEGMENTS_LOOKED_AT)) {
    if (!hasRoom(outline, segment) || !isNear(outline, segment, rows)) continue;
    const [grown, ...more] = pack([...entriesOf(outline, rows), ...segment.entries]);
    const isWhole = grown?.events === outline.events + segment.events;
    if (grown !== undefined && more.length === 0 && isWhole) return { outline, grown };
  }
  return undefined;
}

/** The settle deflates the text of the segment once more, so that must be short, or not much longer than what comes. */
function hasRoom({ bytes }: SizedOutline, segment: Segment): boolean {
  const mayHave = Math.max(SEGMENT_GROWS_BYTES, SEGMENT_GROWS_TIMES * segment.bytes);
  return bytes <= mayHave && bytes + segment.bytes <= SEGMENT_GROWN_MAX_BYTES;
}

/**
 * A segment may become wide only by ids that are greater than all: behind it there is nothing that it could overlap. That is for stores with
 * an event a minute.
 */
function isNear(
  { first_id, last_id }: SizedOutline,
  { firstId, lastId }: Segment,
  rows: SegmentRows,
): boolean {
  const first = first_id < firstId ? first_id : firstId;
  const last = last_id > lastId ? last_id : lastId;
  const span = eventIdTime(last) - eventIdTime(first);
  return span <= SEGMENT_NARROW_MS || (span <= SEGMENT_SPAN_MS && firstId > rows.greatestId());
}

/** One that cannot be read, or is not what its row says, does not grow: its settle must not fail with it. Merging reports it. */
function entriesOf(outline: SizedOutline, rows: SegmentRows): Entry[] {
  try {
    const entries = rows.entries(outline);
    return isSound(entries, outline) ? entries : [];
  } catch {
    return [];
  }
}

function isSound(entries: readonly Entry[], { first_id, last_id }: SizedOutline): boolean {
  const hasItsIds = entries[0]?.eventId === first_id && entries.at(-1)?.eventId === last_id;
  return hasItsIds && entries.every(({ acceptedAt }) => Number.isSafeInteger(acceptedAt));
}
