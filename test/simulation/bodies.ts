/** Reads queue messages as the world needs it: which events are in them. */
import type { IdentityEvent } from '../../src/domain/event.ts';
import { PackedEvents } from '../../src/outbound/queues.ts';
import { unpackEvents } from '../support/packed.ts';

type Published = Omit<IdentityEvent, 'acceptedAt' | 'occurredAt'>;

/** The events of a message of events: packed, replayed, or an array from a producer's own Worker. */
export function eventsOf(body: unknown, sentAt: number): IdentityEvent[] {
  if (Array.isArray(body)) {
    return (body as Published[]).map((event) => ({ ...event, acceptedAt: sentAt, occurredAt: sentAt }));
  }
  const packed = PackedEvents.safeParse(body);
  if (packed.success) return unpackEvents(packed.data);
  const replayed = body as { replay?: 1; acceptedAt: number; event: Published };
  if (replayed.replay !== 1) return [];
  const { acceptedAt, event } = replayed;
  return [{ ...event, acceptedAt, occurredAt: acceptedAt }];
}

const known = new WeakMap<object, readonly string[]>();

/** The ids of the events in a message of any queue; none for a dispatch. */
export function bodyIds(body: unknown): readonly string[] {
  if (typeof body !== 'object' || body === null) return [];
  let ids = known.get(body);
  if (ids === undefined) {
    ids = idsOf(body);
    known.set(body, ids);
  }
  return ids;
}

function idsOf(body: object): readonly string[] {
  const { packed, events, token, deadLetter, body: inner } = body as Readonly<Record<string, unknown>>;
  if (packed === 1) return (events as PackedEvents['events']).map(([id]) => id);
  if (token !== undefined) return [];
  return deadLetter === 1 ? bodyIds(JSON.parse(inner as string)) : eventsOf(body, 0).map(({ id }) => id);
}
