/**
 * An event: one fact about a profile, published once, never changed (contract 10.1).
 *
 * It has two shapes. `PublishedEvent` is what a producer sends; it is checked here, and every fault is named.
 * `IdentityEvent` is what the service works with: its id and its time of acceptance are fixed, and stay the same through
 * queues, dead letters and replay.
 */
import { z } from 'zod';
import { type Fault, faultsOf } from './errors.ts';
import { eventIdTime, isEventId } from './ids.ts';
import {
  ATTRIBUTE_MAX_CHARACTERS,
  ATTRIBUTES_MAX,
  EVENT_ID_MAX_FUTURE_MS,
  EVENT_ID_MAX_PAST_MS,
  EVENT_MAX_BYTES,
  GLOBAL_SUB_MAX_CHARACTERS,
  NAME_MAX_CHARACTERS,
} from './limits.ts';
import { required, rfc3339, text, uuid } from './schemas.ts';

export const EVENT_TYPES = ['entityCreated', 'entityUpdated', 'entityDeleted'] as const;
export type EventType = (typeof EVENT_TYPES)[number];

export const EventType = z.enum(EVENT_TYPES, {
  error: required(`must be one of ${EVENT_TYPES.join(', ')}`),
});

/** An accepted event; times in milliseconds since 1970. */
export interface IdentityEvent {
  readonly customerId: string;
  readonly id: string;
  readonly type: EventType;
  readonly acceptedAt: number;
  readonly occurredAt: number;
  readonly captureApplicationId: string;
  readonly captureClientId: string;
  readonly entityType: string;
  readonly sub: string;
  /** As published. If it is absent, the SET gets a default that is made from the configuration. */
  readonly globalSub?: string;
  /** Names of the changed attributes; only `entityUpdated` has them. */
  readonly attributes?: readonly string[];
}

const fields = {
  id: uuid
    .refine(isEventId, { error: 'must be a UUID version 7' })
    .optional()
    .meta({ description: 'UUID version 7; makes the publish idempotent' }),
  occurredAt: rfc3339.optional().meta({ description: 'when it happened; default: when it was accepted' }),
  captureApplicationId: text(1, NAME_MAX_CHARACTERS),
  captureClientId: text(1, NAME_MAX_CHARACTERS),
  entityType: text(1, NAME_MAX_CHARACTERS),
  sub: uuid.meta({ description: "the profile's id" }),
  globalSub: text(1, GLOBAL_SUB_MAX_CHARACTERS).optional(),
};

const attributes = z
  .array(text(1, ATTRIBUTE_MAX_CHARACTERS), { error: required('must be an array of attribute names') })
  .min(1, { error: 'must name at least one attribute' })
  .max(ATTRIBUTES_MAX, { error: `must name at most ${ATTRIBUTES_MAX} attributes` });

const noAttributes = z
  .unknown()
  .refine((value) => value === undefined, { error: 'is allowed for entityUpdated only' })
  .optional()
  .meta({ description: 'of entityUpdated only' });

/** What a producer sends, without its customer. */
export const PublishedEvent = z
  .discriminatedUnion(
    'type',
    [
      z.object({ type: z.literal('entityCreated'), ...fields, attributes: noAttributes }),
      z.object({ type: z.literal('entityUpdated'), ...fields, attributes }),
      z.object({ type: z.literal('entityDeleted'), ...fields, attributes: noAttributes }),
    ],
    { error: 'must be an event object' },
  )
  .meta({ id: 'PublishedEvent' });

/** The fields of every event. An event of an unknown type is checked with them, so that all its faults are named. */
const Common = z.object(fields);
const Customer = z.object({ customerId: uuid });

export type EventCheck =
  | { readonly ok: true; readonly event: Omit<IdentityEvent, 'id'> & { readonly id?: string } }
  | { readonly ok: false; readonly faults: readonly Fault[] };

/**
 * Checks one event of a producer at the border.
 * @param raw the event as it was sent, parsed from JSON
 * @param acceptedAt time of acceptance, ms: the time of the call, or the queue's timestamp of the message
 * @param customerId from the path of an HTTPS call; without it, the event must name its customer
 * @returns the event, without an id if the producer gave none; or every fault
 */
export function checkPublishedEvent(raw: unknown, acceptedAt: number, customerId?: string): EventCheck {
  const event = PublishedEvent.safeParse(raw);
  const owner = customerId === undefined ? Customer.safeParse(raw).data?.customerId : customerId;
  const faults = [...faultsBeyondSchema(raw, acceptedAt)];
  if (!event.success) faults.unshift(...faultsOfSchema(raw, event.error.issues));
  if (owner === undefined && isObject(raw)) faults.push(...faultsIn(Customer, raw));
  if (!event.success || owner === undefined || faults.length > 0) return { ok: false, faults };
  const { id, occurredAt, globalSub, attributes: _, ...rest } = event.data;
  return {
    ok: true,
    event: {
      customerId: owner,
      ...(id === undefined ? {} : { id }),
      acceptedAt,
      occurredAt: occurredAt === undefined ? acceptedAt : Date.parse(occurredAt),
      ...rest,
      ...(globalSub === undefined ? {} : { globalSub }),
      ...(event.data.type === 'entityUpdated' ? { attributes: event.data.attributes } : {}),
    },
  };
}

function faultsOfSchema(raw: unknown, issues: Parameters<typeof faultsOf>[0]): Fault[] {
  const faults = faultsOf(issues, 'event');
  if (!isObject(raw)) return faults;
  // For an unknown type the union reports the type alone.
  return EventType.safeParse(raw['type']).success
    ? faults
    : [{ name: 'type', reason: typeFault(raw) }, ...faultsIn(Common, raw)];
}

function* faultsBeyondSchema(raw: unknown, acceptedAt: number): Iterable<Fault> {
  const id = isObject(raw) && typeof raw['id'] === 'string' ? raw['id'].toLowerCase() : '';
  const reason = isEventId(id) ? faultOfIdTime(id, acceptedAt) : undefined;
  if (reason !== undefined) yield { name: 'id', reason };
  if (jsonBytesExceed(raw, EVENT_MAX_BYTES)) {
    yield { name: 'event', reason: `must be at most ${EVENT_MAX_BYTES} bytes as JSON` };
  }
}

function faultsIn(schema: z.ZodType, raw: unknown): Fault[] {
  const parsed = schema.safeParse(raw);
  return parsed.success ? [] : faultsOf(parsed.error.issues, 'event');
}

function typeFault(raw: Readonly<Record<string, unknown>>): string {
  return raw['type'] === undefined ? 'is required' : `must be one of ${EVENT_TYPES.join(', ')}`;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The time in an id is at most 24 h before and 5 min after acceptance (contract 10.1). */
function faultOfIdTime(id: string, acceptedAt: number): string | undefined {
  const age = acceptedAt - eventIdTime(id);
  if (age > EVENT_ID_MAX_PAST_MS) return 'has a time more than 24 hours before acceptance';
  if (-age > EVENT_ID_MAX_FUTURE_MS) return 'has a time more than 5 minutes after acceptance';
  return undefined;
}

/** Whether the JSON text of a value has more than this many bytes in UTF-8. */
export function jsonBytesExceed(value: unknown, maxBytes: number): boolean {
  let json: string | undefined;
  try {
    json = JSON.stringify(value);
  } catch {
    return true; // a value with a cycle or a BigInt has no JSON text
  }
  if (json === undefined || json.length * 3 <= maxBytes) return false;
  return json.length > maxBytes || new TextEncoder().encode(json).length > maxBytes;
}
