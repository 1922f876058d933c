/** HAL: links and collections, as every resource shows them (contract 1). */
import { z } from 'zod';

export const Link = z.object({ href: z.string() }).meta({ id: 'Link' });
export type Link = z.infer<typeof Link>;

/** Links by their relation. */
export type Links = Record<string, Link>;

/** `href`s are path-only: no scheme, no host. */
export function link(path: string): Link {
  return { href: path };
}

/** The schema of a collection: `{"total":N,"_links":{…},"_embedded":{"<plural>":[…]}}` */
export function collectionOf<Plural extends string, Item extends z.ZodType>(plural: Plural, item: Item) {
  return z.object({
    total: z.number().int(),
    _links: z.record(z.string(), Link),
    _embedded: z.object({ [plural]: z.array(item) } as Record<Plural, z.ZodArray<Item>>),
  });
}
