/** Schemas that the OpenAPI document shows in many places. */
import { z } from 'zod';

/** A time in a resource, as `timestamp` writes it (contract 1). */
export const time = z.string().meta({ format: 'date-time' });

export const wholeNumber = z.number().int();

export const jsonContent = <Schema extends z.ZodType>(schema: Schema) => ({ 'application/json': { schema } });

export const customerPath = z.object({
  cid: z.string().meta({ format: 'uuid', description: 'customer id' }),
});
export const subscriptionPath = customerPath.extend({
  sid: z.string().meta({ format: 'uuid', description: 'subscription id' }),
});
export const eventPath = subscriptionPath.extend({
  eid: z.string().meta({ format: 'uuid', description: 'event id' }),
});
