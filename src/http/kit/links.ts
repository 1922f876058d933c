/** HAL: links and collections as every resource shows them (contract 1), and the schemas that document them. */
import { z } from 'zod';

export const Link = z.object({ href: z.string() }).meta({ id: 'Link' });
export type Link = z.infer<typeof Link>;

/** `href`s are path-only: no scheme, no host. */
export function link(path: string): Link {
  return { href: path };
}

/** `{"total":N,"_links":{…},"_embedded":{"<plural>":[…]}}` */
export function collectionOf<Plural extends string, Item extends z.ZodType>(plural: Plural, item: Item) {
  return z.object({
    total: z.number().int(),
    _links: z.record(z.string(), Link),
    _embedded: z.object({ [plural]: z.array(item) } as Record<Plural, z.ZodArray<Item>>),
  });
}

/** Errors of section 8, for the document. */
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
  400: 'Not JSON, or faults, all of them named',
  403: 'No right to make this call; says nothing of what exists',
  404: 'There is no such resource',
  409: 'The state of the resource does not allow it',
  413: 'The body is too large',
  415: 'The body is not sent as JSON',
  429: 'Too many requests; see Retry-After',
  503: 'Briefly away; see Retry-After',
} as const;

/** Error answers of a route, for the document. */
export function problems(...statuses: (keyof typeof DESCRIPTIONS)[]) {
  return Object.fromEntries(
    statuses.map((status) => [
      status,
      {
        description: DESCRIPTIONS[status],
        content: { 'application/json': { schema: status === 403 ? Forbidden : Problem } },
      },
    ]),
  );
}

/** A page number as it came; whatever is none (given twice, not a number) is decided where the page is made. */
export const pageParameter = z
  .string()
  .optional()
  .catch('')
  .meta({ type: 'string', description: 'first is 1' });

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
