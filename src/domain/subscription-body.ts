/**
 * The bodies that create and modify a subscription (contract 3.1 and 3.5). They are apart from the subscription itself, because consumers and
 * event stores never read them: what they import is made at the start of every isolate.
 */
import { z } from 'zod';
import { EVENT_TYPES, EventType } from './event.ts';
import { checkFilter } from './filter/check.ts';
import { required, text } from './schemas.ts';

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
