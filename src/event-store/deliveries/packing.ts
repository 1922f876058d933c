/**
 * How deliveries are packed into one segment. Each delivery is three lines of text: what is kept of it, then header and
 * payload of its SET. All lines of a segment are compressed together. A signature is random to a compressor, and longer than
 * all the rest, so it is left out; key and text make it again (`setText`). The ids are stored apart, sixteen bytes
 * each, in order, so that a repeat is found without unpacking.
 */
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { arrive, type Delivery, type HistoryEntry } from '../../domain/delivery.ts';
import { eventIdTime, isEventId } from '../../domain/ids.ts';
import { isUnsigned, setText, unsigned } from '../../domain/security-event-token.ts';
import {
  SEGMENT_ID_MAX_SKEW_MS,
  SEGMENT_MAX_BYTES,
  SEGMENT_MAX_EVENTS,
  SEGMENT_NARROW_MS,
  SEGMENT_SPAN_MS,
} from '../tuning.ts';

/** One delivery on its way into a segment, or out of it. */
export interface Entry {
  readonly eventId: string;
  readonly acceptedAt: number;
  /** Three lines, each ended by a line feed. */
  readonly text: string;
  /** Bytes of the text in UTF-8. */
  readonly bytes: number;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** What is kept of a packed delivery, beside its id and its SET. */
type Kept = readonly [
  acceptedAt: number,
  updatedAt: number,
  endpoint: string,
  history: readonly HistoryEntry[],
];

/** A delivery as text; `undefined` when it may still change, or when its text would not give it back exactly. */
export function toEntry(delivery: Delivery): Entry | undefined {
  const { acceptedAt, updatedAt, endpoint, history } = delivery;
  if (delivery.state !== 'success' || delivery.runBase !== 0) return undefined;
  if (delivery.hold !== 'possible' || isUnsigned(delivery.set)) return undefined;
  const kept: Kept = [acceptedAt, updatedAt, endpoint, history];
  return packable(delivery, kept);
}

/** What is kept of a held delivery, beside its id, its SET, and the endpoint that it shares with its whole pack. */
type KeptHeld = readonly [acceptedAt: number, heldUntil: number, requestId?: string];

/**
 * A held delivery that nobody has attempted, as text: its history has only its arrival. `undefined` when its text would not give it back
 * exactly.
 */
export function toHeldEntry(delivery: Delivery): Entry | undefined {
  const { acceptedAt, updatedAt, heldUntil, history, requestId } = delivery;
  if (delivery.hold !== 'held' || heldUntil === undefined || delivery.leaseToken !== null) return undefined;
  if (history.length !== 1 || updatedAt !== acceptedAt) return undefined;
  const kept: KeptHeld =
    requestId === undefined ? [acceptedAt, heldUntil] : [acceptedAt, heldUntil, requestId];
  return packable(delivery, kept);
}

function packable(delivery: Delivery, kept: Kept | KeptHeld): Entry | undefined {
  const { eventId, acceptedAt } = delivery;
  if (delivery.redeliveryId !== null || !isEventId(eventId)) return undefined;
  if (Math.abs(eventIdTime(eventId) - acceptedAt) > SEGMENT_ID_MAX_SKEW_MS) return undefined;
  const set = setText(delivery.set);
  if (set === undefined || set.header.includes('\n') || set.payload.includes('\n')) return undefined;
  return entryOf(eventId, `${JSON.stringify(kept)}\n${set.header}\n${set.payload}\n`);
}

/** The held delivery of a text. Its SET lacks the signature. */
export function fromHeldEntry(eventId: string, text: string, endpoint: string): Delivery {
  const [kept = '', header = '', payload = ''] = text.split('\n');
  const [acceptedAt, heldUntil, requestId] = JSON.parse(kept) as KeptHeld;
  const traced = requestId === undefined ? {} : { requestId };
  const facts = { eventId, acceptedAt, endpoint, set: unsigned({ header, payload }), ...traced };
  return { ...arrive(facts, heldUntil, true), hold: 'held', heldUntil, form: 'packed' };
}

/** An entry from its text. */
export function entryOf(eventId: string, text: string): Entry {
  return { eventId, acceptedAt: acceptedAtOf(text), text, bytes: encoder.encode(text).length };
}

/** The delivery of a text. Its SET lacks the signature. */
export function fromEntry(eventId: string, text: string): Delivery {
  const [kept = '', header = '', payload = ''] = text.split('\n');
  const [acceptedAt, updatedAt, endpoint, history] = JSON.parse(kept) as Kept;
  return {
    eventId,
    acceptedAt,
    endpoint,
    set: unsigned({ header, payload }),
    state: 'success',
    attempts: history.at(-1)?.attempts ?? 1,
    runBase: 0,
    updatedAt,
    dueAt: null,
    leaseToken: null,
    hold: 'possible',
    redeliveryId: null,
    proof: null,
    history,
  };
}

/** A segment as its row has it. */
export interface Segment {
  readonly firstId: string;
  readonly lastId: string;
  readonly events: number;
  readonly acceptedFrom: number;
  readonly acceptedUntil: number;
  /** Bytes of its text, before compression. */
  readonly bytes: number;
  readonly ids: Uint8Array;
  readonly content: Uint8Array;
  /** What was packed. */
  readonly entries: readonly Entry[];
}

/**
 * Packs entries that were settled together. Those of a producer that is late by minutes are packed apart from the others: a
 * segment with both would overlap all segments of these minutes. At most one row more is written for that.
 */
export function packSettled(entries: readonly Entry[]): Segment[] {
  const sorted = entries.toSorted(byEventId);
  let [cut, widest] = [0, SEGMENT_NARROW_MS];
  for (let index = 1; index < sorted.length; index++) {
    const gap = eventIdTime(sorted[index]?.eventId ?? '') - eventIdTime(sorted[index - 1]?.eventId ?? '');
    if (gap > widest) [cut, widest] = [index, gap];
  }
  return [...pack(sorted.slice(0, cut)), ...pack(sorted.slice(cut))];
}

/** Packs entries into as few segments as the limits of one allow. */
export function pack(entries: readonly Entry[]): Segment[] {
  const sorted = entries.toSorted(byEventId);
  const segments: Segment[] = [];
  let open: Entry[] = [];
  let bytes = 0;
  for (const entry of sorted) {
    if (open.length > 0 && !fits(open, bytes, entry)) {
      segments.push(closed(open, bytes));
      open = [];
      bytes = 0;
    }
    open.push(entry);
    bytes += entry.bytes;
  }
  if (open.length > 0) segments.push(closed(open, bytes));
  return segments;
}

function byEventId(a: Entry, b: Entry): number {
  return a.eventId < b.eventId ? -1 : 1;
}

function fits(open: readonly Entry[], bytes: number, entry: Entry): boolean {
  return (
    open.length < SEGMENT_MAX_EVENTS &&
    bytes + entry.bytes <= SEGMENT_MAX_BYTES &&
    eventIdTime(entry.eventId) - eventIdTime(open[0]?.eventId ?? entry.eventId) <= SEGMENT_SPAN_MS
  );
}

function closed(entries: readonly Entry[], bytes: number): Segment {
  const times = entries.map(({ acceptedAt }) => acceptedAt);
  return {
    firstId: entries[0]?.eventId ?? '',
    lastId: entries.at(-1)?.eventId ?? '',
    events: entries.length,
    acceptedFrom: Math.min(...times),
    acceptedUntil: Math.max(...times),
    bytes,
    ids: Uint8Array.fromHex(entries.map(({ eventId }) => eventId.replaceAll('-', '')).join('')),
    content: deflateRawSync(encoder.encode(entries.map(({ text }) => text).join(''))),
    entries,
  };
}

/** When the event of a text was accepted, ms: its first figure. */
export function acceptedAtOf(text: string): number {
  return Number.parseInt(text.slice(1), 10);
}

/** The history of the delivery of a text, without its SET. */
export function historyOfText(text: string): readonly HistoryEntry[] {
  return (JSON.parse(text.slice(0, text.indexOf('\n'))) as Kept)[3];
}

/** When the held delivery of a text has waited too long, ms: its second figure. */
export function heldUntilOf(text: string): number {
  return Number.parseInt(text.slice(text.indexOf(',') + 1), 10);
}

/** The texts of a segment's entries, in the order of its ids. @throws Error when the text does not end with a whole entry */
export function unpack(content: Uint8Array): string[] {
  const texts: string[] = [];
  const text = decoder.decode(inflateRawSync(content));
  for (let start = 0; start < text.length; ) {
    let end = start;
    for (let line = 0; line < 3; line++) {
      end = text.indexOf('\n', end) + 1;
      if (end === 0) throw new Error('a segment is damaged');
    }
    texts.push(text.slice(start, end));
    start = end;
  }
  return texts;
}

const HEX_DIGITS = 32;

/** The ids of a segment, in order. */
export class IdList {
  readonly #hex: string;

  constructor(bytes: Uint8Array) {
    this.#hex = bytes.toHex();
  }

  /** The list of a segment that has one event. */
  static of(eventId: string): IdList {
    return new IdList(Uint8Array.fromHex(eventId.replaceAll('-', '')));
  }

  get length(): number {
    return this.#hex.length / HEX_DIGITS;
  }

  at(index: number): string {
    const hex = this.#digits(index);
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
  }

  /** The position of an id; -1 when the list lacks it. */
  indexOf(eventId: string): number {
    const index = this.#firstFrom(eventId.replaceAll('-', ''));
    return index < this.length && this.at(index) === eventId ? index : -1;
  }

  /** The positions of the ids between two, both excluded: the first, and the one after the last. */
  between(after: string, before: string): [number, number] {
    const start = this.#firstFrom(after.replaceAll('-', ''));
    const isThere = start < this.length && this.at(start) === after;
    return [isThere ? start + 1 : start, this.#firstFrom(before.replaceAll('-', ''))];
  }

  #digits(index: number): string {
    return this.#hex.slice(index * HEX_DIGITS, (index + 1) * HEX_DIGITS);
  }

  #firstFrom(hex: string): number {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#digits(middle) < hex) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
