/**
 * An event: one fact about a profile, published once, never changed (contract 10.1).
 *
 * Two shapes. `PublishedEvent` is what a producer sends, checked here with every fault named. `IdentityEvent` is
 * what travels inside: id and time of acceptance are fixed, and stay so through queues, dead letters and replay.
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
import { required, text, uuid } from './schemas.ts';

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
  /** As published; absent, the SET's default is made from the configuration. */
  readonly globalSub?: string;
  /** Names of changed attributes; of `entityUpdated` only. */
  readonly attributes?: readonly string[];
}

const fields = {
  id: uuid
    .refine(isEventId, { error: 'must be a UUID version 7' })
    .optional()
    .meta({ description: 'UUID version 7; makes the publish idempotent' }),
  occurredAt: z.iso
    .datetime({ offset: true, error: 'must be an RFC 3339 time, e.g. 2026-01-31T12:00:00Z' })
    .optional()
    .meta({ description: 'when it happened; default: when it was accepted' }),
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
    {
      error: (issue) =>
        typeof issue.input === 'object' && issue.input !== null && !Array.isArray(issue.input)
          ? `must be one of ${EVENT_TYPES.join(', ')}`
          : 'must be an event object',
    },
  )
  .meta({ id: 'PublishedEvent' });

const Customer = z.object({ customerId: uuid });

export type EventCheck =
  | { readonly ok: true; readonly event: Omit<IdentityEvent, 'id'> & { readonly id?: string } }
  | { readonly ok: false; readonly faults: readonly Fault[] };

/**
 * Checks one event of a producer at the border.
 * @param raw what came, parsed from JSON
 * @param acceptedAt time of acceptance, ms: the call's, or the queue's timestamp of the message
 * @param customerId from the path of an HTTPS call; absent, the event must bring its own
 * @returns the event, its id absent where the producer gave none; or every fault
 */
export function checkPublishedEvent(raw: unknown, acceptedAt: number, customerId?: string): EventCheck {
  const faults: Fault[] = [];
  const event = PublishedEvent.safeParse(raw);
  if (!event.success) faults.push(...faultsOf(event.error.issues, 'event'));
  let owner = customerId;
  if (owner === undefined && typeof raw === 'object' && raw !== null && !Array.isArray(raw)) {
    const customer = Customer.safeParse(raw);
    if (customer.success) owner = customer.data.customerId;
    else faults.push(...faultsOf(customer.error.issues, 'event'));
  }
  if (event.success && event.data.id !== undefined) {
    const reason = faultOfIdTime(event.data.id, acceptedAt);
    if (reason !== undefined) faults.push({ name: 'id', reason });
  }
  if (jsonBytesExceed(raw, EVENT_MAX_BYTES)) {
    faults.push({ name: 'event', reason: `must be at most ${EVENT_MAX_BYTES} bytes as JSON` });
  }
  if (!event.success || owner === undefined || faults.length > 0) return { ok: false, faults };
  const { id, occurredAt, globalSub, attributes: names, ...rest } = event.data;
  return {
    ok: true,
    event: {
      customerId: owner,
      ...(id === undefined ? {} : { id }),
      acceptedAt,
      occurredAt: occurredAt === undefined ? acceptedAt : Date.parse(occurredAt),
      ...rest,
      ...(globalSub === undefined ? {} : { globalSub }),
      ...(names === undefined ? {} : { attributes: names }),
    },
  };
}

/** Contract 10.1: an id's time lies within 24 h before and 5 min after acceptance. */
function faultOfIdTime(id: string, acceptedAt: number): string | undefined {
  const age = acceptedAt - eventIdTime(id);
  if (age > EVENT_ID_MAX_PAST_MS) return 'has a time more than 24 hours before acceptance';
  if (-age > EVENT_ID_MAX_FUTURE_MS) return 'has a time more than 5 minutes after acceptance';
  return undefined;
}

/** Whether a value's JSON takes more than this many bytes of UTF-8. */
export function jsonBytesExceed(value: unknown, maxBytes: number): boolean {
  let json: string | undefined;
  try {
    json = JSON.stringify(value);
  } catch {
    return true; // cyclic or with a BigInt: no JSON, whatever its size
  }
  if (json === undefined || json.length * 3 <= maxBytes) return false;
  return json.length > maxBytes || new TextEncoder().encode(json).length > maxBytes;
}
