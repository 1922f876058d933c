/** Schemas that the OpenAPI document shows in many places. */
import { z } from 'zod';
import { isUuid } from '../../domain/ids.ts';
import { EVENT_ID_FORM } from '../../domain/schemas.ts';
import { EXAMPLE } from './examples.ts';

/** A time in a resource, as `timestamp` writes it (contract 1). */
export const time = z.string().meta({ format: 'date-time' });

/** A UUID in a resource. */
export const id = z.string().meta({ format: 'uuid' });

/** A count. */
export const wholeNumber = z.number().int().min(0);

/** @param example the text of a body as the document shows it, as a value */
export const jsonContent = <Schema extends z.ZodType>(schema: Schema, example: NoInfer<z.input<Schema>>) => ({
  'application/json': { schema, example },
});

export const customerPath = z.object({
  cid: z.string().meta({ format: 'uuid', description: 'customer id', examples: [EXAMPLE.customer] }),
});
export const subscriptionPath = customerPath.extend({
  sid: z.string().meta({ format: 'uuid', description: 'subscription id', examples: [EXAMPLE.subscription] }),
});
const eid = z.string().meta({ ...EVENT_ID_FORM, description: 'event id' });
export const eventPath = subscriptionPath.extend({ eid });
export const customerEventPath = customerPath.extend({ eid });

/** The cursor of a list that goes through the subscriptions of a customer (contract 10.13 and 10.14). */
export const afterSubscription = z
  .string()
  .refine(isUuid, { error: 'must be a subscription id' })
  .optional()
  .meta({
    format: 'uuid',
    description: 'only subscriptions after this id',
    examples: [EXAMPLE.subscription],
  });

/** How many items a page of a list may have at most, as a parameter of a query. */
export function limitParameter(max: number, description: string) {
  return z
    .string()
    .refine((text) => /^\d{1,4}$/.test(text) && Number(text) >= 1 && Number(text) <= max, {
      error: `must be a whole number from 1 to ${max}`,
    })
    .optional()
    .meta({ type: 'integer', minimum: 1, maximum: max, description });
}

/** The `Location` of an answer, as the document shows it. */
export function locationOf(what: string, example: string) {
  return { Location: { description: `the path of ${what}`, schema: { type: 'string' as const }, example } };
}

/** The `Cache-Control` of an answer, as the document shows it. */
export function cacheControl(value: string) {
  return {
    'Cache-Control': {
      description: 'who may store the answer',
      schema: { type: 'string' as const },
      example: value,
    },
  };
}
