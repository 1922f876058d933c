/** The error answers of contract 8, as the OpenAPI document shows them; `error-table.ts` has what each of them says. */
import { z } from '@hono/zod-openapi';
import type { ApiError } from '../../domain/errors.ts';
import { ERRORS, type ErrorRow, onTheWire } from './error-table.ts';

const Fault = z.object({ name: z.string(), reason: z.string() }).meta({ id: 'Fault' });

const Problem = z
  .object({
    type: z.string().optional().meta({ description: 'a client decides by it where a status has several' }),
    status: z.number().int().min(400).max(599),
    title: z.string(),
    details: z.string().optional().meta({ description: 'for people; may change' }),
    'invalid-body-params': z.array(Fault).optional(),
    'invalid-query-params': z.array(Fault).optional(),
  })
  .meta({ id: 'Problem' });

const Forbidden = z.object({ errors: z.literal('Forbidden') }).meta({ id: 'Forbidden' });

const RETRY_AFTER = {
  'Retry-After': {
    description: 'seconds to wait before the same call',
    required: true,
    schema: { type: 'integer', minimum: 0 },
    example: 10,
  },
};

const ALLOW = {
  Allow: {
    description: 'the methods of the path',
    required: true,
    schema: { type: 'string' },
    example: 'GET, HEAD, POST',
  },
};

const ANSWERS = {
  400: {
    name: 'BadRequest',
    description: 'The answer names the faults of the query or the body, 100 at most',
  },
  403: {
    name: 'Forbidden',
    description: 'No right to make this call; the answer says nothing of what exists',
  },
  404: { name: 'NotFound', description: 'There is no such resource' },
  405: { name: 'MethodNotAllowed', description: 'The path has no such method', headers: ALLOW },
  409: { name: 'Conflict', description: 'The state of the resource does not allow it' },
  413: { name: 'PayloadTooLarge', description: 'The body is too large' },
  415: { name: 'UnsupportedMediaType', description: 'The body is not sent as JSON' },
  429: { name: 'TooManyRequests', description: 'Too many requests; see Retry-After', headers: RETRY_AFTER },
  500: { name: 'InternalServerError', description: 'A fault of the service; its log has the X-Request-Id' },
  503: { name: 'ServiceUnavailable', description: 'Briefly away; see Retry-After', headers: RETRY_AFTER },
} as const;

type Status = keyof typeof ANSWERS;

/** Error answers that every operation can give. */
const ALWAYS = [405, 500, 503] as const satisfies readonly Status[];

/** Error answers of a route. A guard that answers 403 also limits, so each such route can answer 429. */
export function problems(...statuses: Status[]) {
  const all = new Set<Status>([...statuses, ...ALWAYS]);
  if (all.has(403)) all.add(429);
  return Object.fromEntries(
    [...all].map((status) => [status, { $ref: `#/components/responses/${ANSWERS[status].name}` }]),
  );
}

/** The schemas and the answers to which `problems` refers, for the registry of the document. */
export const PROBLEM_SCHEMAS = { Problem, Forbidden };

export function problemAnswers() {
  return (Object.entries(ANSWERS) as unknown as [string, (typeof ANSWERS)[Status]][]).map(
    ([status, { name, ...answer }]) => {
      const schema = { $ref: `#/components/schemas/${status === '403' ? 'Forbidden' : 'Problem'}` };
      const content = { 'application/json': { schema, examples: examplesOf(Number(status)) } };
      return { name, answer: { ...answer, content } };
    },
  );
}

function examplesOf(status: number) {
  const rows = (Object.entries(ERRORS) as [string, ErrorRow<ApiError>][]).filter(
    ([, row]) => row.status === status,
  );
  return Object.fromEntries(rows.map(([code, { example }]) => [code, { value: onTheWire(example).body }]));
}
