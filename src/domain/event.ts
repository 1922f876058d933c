/**
 * An event: one fact about a profile, published once, never changed (contract 10.1).
 *
 * It has two shapes. `PublishedEvent` is what a producer sends; it is checked here, and every fault is named.
 * `IdentityEvent` is what the service works with: its id and its time of acceptance are fixed, and stay the same through
 * queues, dead letters and replay.
 */
import { z } from 'zod';
import { type Fault, faultsOf } from './errors.ts';
import { eventIdTime, isEventId, isUuid } from './ids.ts';
import {
  ACCEPTANCE_MAX_AGE_MS,
  ACCEPTANCE_MAX_FUTURE_MS,
  ATTRIBUTE_MAX_CHARACTERS,
  ATTRIBUTES_MAX,
  EVENT_ID_MAX_FUTURE_MS,
  EVENT_ID_MAX_PAST_MS,
  EVENT_KEPT_MORE_BYTES,
  EVENT_MAX_BYTES,
  GLOBAL_SUB_MAX_CHARACTERS,
  NAME_MAX_CHARACTERS,
} from './limits.ts';
import { EVENT_ID_FORM, isText, required, rfc3339, text, uuid } from './schemas.ts';
import { isMoment, rfc3339Time } from './time.ts';

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
  /** The request that published it, for the log alone (contract 10.5). Absent: not known. */
  readonly requestId?: string;
}

const fields = {
  id: uuid
    .refine(isEventId, { error: 'must be a UUID version 7' })
    .optional()
    .meta({ ...EVENT_ID_FORM, description: 'UUID version 7; makes the publish idempotent' }),
  occurredAt: rfc3339.optional().meta({ description: 'when it happened; default: when it was accepted' }),
  captureApplicationId: text(1, NAME_MAX_CHARACTERS).meta({ examples: ['tep2dcqy4fwurwtpkaxg76twgf'] }),
  captureClientId: text(1, NAME_MAX_CHARACTERS).meta({ examples: ['zfccfzzcf626t449wu5umbt6zhek2det'] }),
  entityType: text(1, NAME_MAX_CHARACTERS).meta({ examples: ['user'] }),
  sub: uuid.meta({ description: "the profile's id" }),
  globalSub: text(1, GLOBAL_SUB_MAX_CHARACTERS)
    .optional()
    .meta({ description: 'default: made of the application, the type and `sub`' }),
};

const attributes = z
  .array(text(1, ATTRIBUTE_MAX_CHARACTERS), { error: required('must be an array of attribute names') })
  .min(1, { error: 'must name at least one attribute' })
  .max(ATTRIBUTES_MAX, { error: `must name at most ${ATTRIBUTES_MAX} attributes` });

const noAttributes = z
  .unknown()
  .refine((value) => value === undefined, { error: 'is allowed for entityUpdated only' })
  .optional()
  .meta({ description: 'of entityUpdated only', not: {} });

/** What a producer sends, without its customer. */
export const PublishedEvent = z
  .discriminatedUnion(
    'type',
    [
      z
        .object({ type: z.literal('entityCreated'), ...fields, attributes: noAttributes })
        .meta({ id: 'PublishedEntityCreated' }),
      z
        .object({ type: z.literal('entityUpdated'), ...fields, attributes })
        .meta({ id: 'PublishedEntityUpdated' }),
      z
        .object({ type: z.literal('entityDeleted'), ...fields, attributes: noAttributes })
        .meta({ id: 'PublishedEntityDeleted' }),
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
  return check(raw, acceptedAt, customerId, EVENT_MAX_BYTES);
}

/**
 * Whether a value names a profile and a customer, as each published event does. The answer costs next to nothing, and a queue message
 * has room for at most 1,400 such values.
 */
export function mayBePublishedEvent(raw: unknown): boolean {
  if (typeof raw !== 'object' || raw === null) return false;
  const { sub, customerId } = raw as Record<string, unknown>;
  return [sub, customerId].every((id) => typeof id === 'string' && isUuid(id.toLowerCase()));
}

/** Checks one event that comes back as we keep it: a published event, to which we added some members. */
export function checkKeptEvent(raw: unknown, acceptedAt: number): EventCheck {
  return check(raw, acceptedAt, undefined, EVENT_MAX_BYTES + EVENT_KEPT_MORE_BYTES);
}

/** An event as a producer would publish it with all that we added: `checkKeptEvent` takes it. */
export function keptEvent({
  acceptedAt: _,
  requestId: __,
  ...event
}: IdentityEvent): Record<string, unknown> {
  return {
    ...event,
    // Any other value stays as it is, and is named as a fault.
    occurredAt: isMoment(event.occurredAt) ? rfc3339Time(event.occurredAt) : event.occurredAt,
  };
}

/**
 * Whether an event obeys every rule of contract 10.1, in the spelling that we keep. It says nothing new: `checkKeptEvent` accepts
 * each such event unchanged. But a consumer reads hundreds of them in each message, and the schema takes twenty times as long.
 */
export function isAcceptedEvent(event: IdentityEvent): boolean {
  const { id, acceptedAt, globalSub } = event;
  return (
    typeof id === 'string' &&
    isEventId(id) &&
    faultOfIdTime(id, acceptedAt) === undefined &&
    isUuid(event.customerId) &&
    isMoment(event.occurredAt) &&
    isText(event.captureApplicationId, 1, NAME_MAX_CHARACTERS) &&
    isText(event.captureClientId, 1, NAME_MAX_CHARACTERS) &&
    isText(event.entityType, 1, NAME_MAX_CHARACTERS) &&
    typeof event.sub === 'string' &&
    isUuid(event.sub) &&
    (globalSub === undefined || isText(globalSub, 1, GLOBAL_SUB_MAX_CHARACTERS)) &&
    hasItsAttributes(event)
  );
}

function hasItsAttributes({ type, attributes }: IdentityEvent): boolean {
  if (type !== 'entityUpdated') return attributes === undefined && EVENT_TYPES.includes(type);
  if (!Array.isArray(attributes) || attributes.length < 1 || attributes.length > ATTRIBUTES_MAX) return false;
  let units = 0;
  for (const name of attributes) {
    if (!isText(name, 1, ATTRIBUTE_MAX_CHARACTERS)) return false;
    units += name.length;
  }
  // A unit of UTF-16 has at most six bytes in JSON. The other members together are short.
  return units * 6 <= EVENT_MAX_BYTES / 2 || !jsonBytesExceed(attributes, EVENT_MAX_BYTES / 2);
}

function check(
  raw: unknown,
  acceptedAt: number,
  customerId: string | undefined,
  maxBytes: number,
): EventCheck {
  const event = PublishedEvent.safeParse(raw);
  const owner = customerId === undefined ? Customer.safeParse(raw).data?.customerId : customerId;
  const faults = [...faultsBeyondSchema(raw, acceptedAt, maxBytes)];
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

function* faultsBeyondSchema(raw: unknown, acceptedAt: number, maxBytes: number): Iterable<Fault> {
  const id = isObject(raw) && typeof raw['id'] === 'string' ? raw['id'].toLowerCase() : '';
  const reason = isEventId(id) ? faultOfIdTime(id, acceptedAt) : undefined;
  if (reason !== undefined) yield { name: 'id', reason };
  if (jsonBytesExceed(raw, maxBytes)) {
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

/**
 * The acceptance that a message of ours names is at most 60 days before the message and 5 min after it (contract 10.1).
 * @param sentAt the queue's timestamp of the message, ms
 * @param now the consumer's clock, ms: the one of the two that is later counts
 */
export function faultOfAcceptance(acceptedAt: number, sentAt: number, now: number): string | undefined {
  if (sentAt - acceptedAt > ACCEPTANCE_MAX_AGE_MS) return 'acceptedAt is more than 60 days ago';
  if (acceptedAt - Math.max(sentAt, now) > ACCEPTANCE_MAX_FUTURE_MS) return 'acceptedAt is in the future';
  return undefined;
}

/** The time in an id is at most 24 h before and 5 min after acceptance (contract 10.1). */
export function faultOfIdTime(id: string, acceptedAt: number): string | undefined {
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
