/** The body that asks for a bulk redelivery, or for a dry run of one (contract 10.3). */
import { z } from 'zod';
import { rfc3339 } from './schemas.ts';

/** Failed events that were accepted from `since` to `until`, both included. Without both: all failed events. */
export const RedeliverySpan = z
  .object(
    {
      since: rfc3339.optional().meta({ description: 'events with this createdAt or a later one' }),
      until: rfc3339.optional().meta({ description: 'events with this createdAt or an earlier one' }),
      // Nothing else counts as "no": a misspelt yes must not send anything.
      dryRun: z
        .boolean({ error: 'must be true or false' })
        .optional()
        .meta({ description: 'true: nothing is sent; the answer says what would be' }),
    },
    { error: 'must be a JSON object' },
  )
  .refine(
    ({ since, until }) =>
      since === undefined || until === undefined || Date.parse(since) <= Date.parse(until),
    { path: ['until'], error: 'must not be before since' },
  )
  .meta({ id: 'NewRedelivery' });
export type RedeliverySpan = z.infer<typeof RedeliverySpan>;
