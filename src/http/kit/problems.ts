/** The error answers of contract 8, as the OpenAPI document shows them; `error-table.ts` has what each of them says. */
import { z } from 'zod';

const Problem = z
  .object({
    type: z.string().optional(),
    status: z.number().int(),
    title: z.string(),
    details: z.string().optional(),
    'invalid-body-params': z.array(z.object({ name: z.string(), reason: z.string() })).optional(),
    'invalid-query-params': z.array(z.object({ name: z.string(), reason: z.string() })).optional(),
  })
  .meta({ id: 'Problem' });

const Forbidden = z.object({ errors: z.literal('Forbidden') }).meta({ id: 'Forbidden' });

const DESCRIPTIONS = {
  400: 'The body is not JSON, or the answer names its faults, 100 at most',
  403: 'No right to make this call; the answer says nothing of what exists',
  404: 'There is no such resource',
  409: 'The state of the resource does not allow it',
  413: 'The body is too large',
  415: 'The body is not sent as JSON',
  429: 'Too many requests; see Retry-After',
  503: 'Briefly away; see Retry-After',
} as const;

type Status = keyof typeof DESCRIPTIONS;

/** Error answers of a route. A guard that answers 403 also limits, so each such route can answer 429. */
export function problems(...statuses: Status[]) {
  return Object.fromEntries(
    withLimit(statuses).map((status) => [
      status,
      {
        description: DESCRIPTIONS[status],
        content: { 'application/json': { schema: status === 403 ? Forbidden : Problem } },
      },
    ]),
  );
}

function withLimit(statuses: readonly Status[]): readonly Status[] {
  return statuses.includes(403) ? [...new Set<Status>([...statuses, 429])] : statuses;
}
