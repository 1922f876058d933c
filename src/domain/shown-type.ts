/**
 * The type of a stored event, as lists show it (contract 10.12). Nothing but the SET of a delivery says of which type its event is, so
 * the reader of a type has to read the SET.
 */
import { EVENT_TYPES, type EventType } from './event.ts';
import { payloadOf } from './security-event-token.ts';

/** The types that a stored event may have: those of published events, and `test` for every test notification. */
export const SHOWN_TYPES = [...EVENT_TYPES, 'test'] as const;
export type ShownType = EventType | 'test';

/**
 * The type that a compact SET names. An example of an event (contract 10.11) is a test.
 * @param set signed or not
 * @returns `undefined` for a SET that was not kept (contract 10.9)
 */
export function shownTypeOf(set: string): ShownType | undefined {
  const claim = eventsIn(set);
  const name = Object.keys(claim)[0];
  const value = name === undefined ? undefined : claim[name];
  if (typeof value === 'object' && value !== null && Reflect.get(value, 'test') === true) return 'test';
  return SHOWN_TYPES.find((type) => type === name);
}

/** The `events` claim of a SET; empty when the text has none. */
function eventsIn(set: string): Readonly<Record<string, unknown>> {
  try {
    const { events } = JSON.parse(payloadOf(set)) as { readonly events?: unknown };
    return typeof events === 'object' && events !== null ? { ...events } : {};
  } catch {
    return {};
  }
}
