/** A subscription: a customer's standing order to send events of some types to an endpoint (contract 3). */
import { z } from 'zod';
import { EVENT_TYPES, EventType } from './event.ts';
import { checkFilter } from './filter/check.ts';
import type { ShownState } from './proof.ts';
import { required, text } from './schemas.ts';

export interface Subscription {
  readonly id: string;
  readonly customerId: string;
  readonly title: string;
  readonly endpoint: string;
  readonly events: readonly EventType[];
  readonly enabled: boolean;
  /** A JSON Schema that `checkFilter` accepted; null: every event passes. */
  readonly filter: Readonly<Record<string, unknown>> | null;
  /** Steps that the filter may take for one event (contract 4); null: not counted yet, because the filter is an old one. */
  readonly filterSteps: number | null;
  /** The state of the endpoint as the event path noted it last. The event store knows the present one (contract 10.4). */
  readonly health: ShownState;
  /** How full the event store was when that was noted last, in tenths of what it may hold (contract 10.9). */
  readonly storeTenths: number;
  /** The proof that the endpoint needs before it gets events (contract 10.8); null: none. */
  readonly proof: number | null;
  /** Counts the changes. An event store adopts the newer of two versions. */
  readonly version: number;
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** What an event store must know of its subscription. Every call to the store carries it. */
export interface SubscriptionRef {
  readonly customerId: string;
  readonly subscriptionId: string;
  readonly version: number;
  readonly enabled: boolean;
  /** The store keeps the health of this endpoint (contract 10.4). A delivery keeps the endpoint it was stored with. */
  readonly endpoint: string;
  /** The proof that the endpoint needs (contract 10.8); null: none. Callers of version 0.1.0 leave it out. */
  readonly proof?: number | null;
}

/** A subscription as the event path knows it: without its filter, which may have 64 KiB, and what only the API shows. */
export type Recipient = Pick<
  Subscription,
  | 'id'
  | 'customerId'
  | 'endpoint'
  | 'events'
  | 'enabled'
  | 'filterSteps'
  | 'health'
  | 'proof'
  | 'storeTenths'
  | 'version'
>;

export function refOf(subscription: Recipient): SubscriptionRef {
  return {
    customerId: subscription.customerId,
    subscriptionId: subscription.id,
    version: subscription.version,
    enabled: subscription.enabled,
    endpoint: subscription.endpoint,
    proof: subscription.proof,
  };
}

/** How the OpenAPI document shows a filter. */
export const FILTER_FORM = {
  type: ['object', 'null'] as const,
  additionalProperties: true,
  description: 'JSON Schema (draft-07 subset) for the `events` claim; null: every event passes',
};

const filter = z
  .unknown()
  .superRefine((value, context) => {
    const reason = value === null || value === undefined ? undefined : checkFilter(value);
    if (reason !== undefined) context.addIssue({ code: 'custom', message: reason });
  })
  .transform((value) => value as Readonly<Record<string, unknown>> | null)
  .optional()
  .meta(FILTER_FORM);

/** Event types in one body. There are only three types, but a body may repeat them. */
const EVENTS_MAX = 100;

const fields = {
  title: text(2, 200).meta({ examples: ['Profile sync'] }),
  endpoint: z.string({ error: required('must be an https URL') }).meta({
    description: 'an https URL; `http` only where the operator permits it for development',
    maxLength: 2048,
    pattern: '^[hH][tT][tT][pP][sS]?://\\S+$',
    examples: ['https://listener.example.com/hooks'],
  }),
  events: z
    .array(z.unknown(), { error: required('must be an array of event types') })
    // The length is checked before the members, so that the answer does not grow with what was sent.
    .max(EVENTS_MAX, { error: `must name at most ${EVENTS_MAX} event types`, abort: true })
    .pipe(z.array(EventType))
    .transform((types) => [...new Set(types)])
    .meta({ type: 'array', items: { type: 'string', enum: [...EVENT_TYPES] }, maxItems: EVENTS_MAX }),
  enabled: z.boolean({ error: 'must be true or false' }),
  filter,
};

const notAnObject = { error: 'must be a JSON object' };

/** Body of a create (contract 3.1). The rules for endpoints need the configuration, so the route checks them. */
export const NewSubscription = z
  .object(
    {
      ...fields,
      // Not zod's default: generators take a member with a default for one that is always there.
      enabled: fields.enabled
        .optional()
        .transform((enabled) => enabled ?? true)
        .meta({ description: 'true without it' }),
    },
    notAnObject,
  )
  .meta({ id: 'NewSubscription' });

/** Body of a modify (contract 3.5): a merge patch (RFC 7396) whose members have the rules of a create. */
export const SubscriptionChange = z
  .object(
    {
      title: fields.title.optional(),
      endpoint: fields.endpoint.optional(),
      events: fields.events.optional(),
      enabled: fields.enabled.optional(),
      filter: fields.filter,
    },
    notAnObject,
  )
  .meta({ id: 'SubscriptionChange' });

export type SubscriptionChange = z.infer<typeof SubscriptionChange>;
