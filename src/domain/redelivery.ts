/** What a bulk redelivery is asked for (contract 10.3). */
import { z } from 'zod';
import { rfc3339 } from './schemas.ts';

/** Events accepted from `since` to `until`, both included; without them, all that failed. */
export const RedeliverySpan = z
  .object(
    {
      since: rfc3339.optional().meta({ description: 'events with this createdAt or a later one' }),
      until: rfc3339.optional().meta({ description: 'events with this createdAt or an earlier one' }),
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
