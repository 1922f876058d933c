/** A filter tried on an event (contract 10.10): judged and evaluated as the event path does it, and nothing is stored. */
import type { Fault } from './errors.ts';
import { checkPublishedEvent, type EventCheck } from './event.ts';
import { checkFilter } from './filter/check.ts';
import { compileFilter } from './filter/filter.ts';
import { isObject } from './filter/values.ts';
import { eventsClaim } from './security-event-token.ts';

export type FilterTest =
  | { readonly ok: true; readonly matches: boolean; readonly typeNamed: boolean }
  | { readonly ok: false; readonly faults: readonly Fault[] };

/** What a publish at this moment would make of the event. */
interface Publish {
  /** ms */
  readonly now: number;
  readonly customerId: string;
  /** For an event without an id. */
  readonly freshId: string;
  readonly captureDomain: string;
}

/**
 * Judges a filter as a subscription does and an event as a publish does, and evaluates the one on the other.
 * @param raw `{"filter": …, "event": …}` as it was sent, parsed from JSON
 */
export function testFilter(raw: unknown, publish: Publish): FilterTest {
  if (!isObject(raw)) return { ok: false, faults: [{ name: 'body', reason: 'must be a JSON object' }] };
  const { filter, event: rawEvent } = raw;
  const reason = reasonAgainst(filter);
  const check: EventCheck =
    rawEvent === undefined
      ? { ok: false, faults: [{ name: 'event', reason: 'is required' }] }
      : checkPublishedEvent(rawEvent, publish.now, publish.customerId);
  if (reason !== undefined || !check.ok) {
    const ofFilter = reason === undefined ? [] : [{ name: 'filter', reason }];
    return { ok: false, faults: [...ofFilter, ...(check.ok ? [] : check.faults.map(withinBody))] };
  }
  const event = { ...check.event, id: check.event.id ?? publish.freshId };
  if (!isObject(filter)) return { ok: true, matches: true, typeNamed: false };
  const matches = compileFilter(filter).passes(eventsClaim(event, publish.captureDomain));
  return { ok: true, matches, typeNamed: namesType(filter, event.type) };
}

/** Null is no filter, as in a subscription; but a test without one is a mistake. */
function reasonAgainst(filter: unknown): string | undefined {
  if (filter === undefined) return 'is required';
  return filter === null ? undefined : checkFilter(filter);
}

/** `sub` → `event.sub`; a fault of the whole event stays `event`. */
function withinBody(fault: Fault): Fault {
  return fault.name === 'event' ? fault : { ...fault, name: `event.${fault.name}` };
}

/**
 * Whether a filter says something of a type: `properties` has it, in the filter or in a schema that the filter combines.
 * @param schema one that `checkFilter` accepted, so it is small and not deep
 */
function namesType(schema: unknown, type: string): boolean {
  if (!isObject(schema)) return false;
  const { properties, allOf, anyOf, oneOf, not, if: condition, then, else: otherwise } = schema;
  if (isObject(properties) && Object.hasOwn(properties, type)) return true;
  const combined = [allOf, anyOf, oneOf, not, condition, then, otherwise].flat();
  return combined.some((one) => namesType(one, type));
}
