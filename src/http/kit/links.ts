/** HAL: links and collections, as every resource shows them (contract 1). */
import { z } from 'zod';

export const Link = z
  .object({
    href: z.string().meta({ format: 'uri-reference', description: 'a path, without scheme and host' }),
  })
  .meta({ id: 'Link' });
export type Link = z.infer<typeof Link>;

/** The links of a collection, by their relation. */
const Links = z
  .object({
    self: Link,
    first: Link.optional(),
    prev: Link.optional(),
    next: Link.optional(),
    last: Link.optional(),
    event: Link.optional(),
  })
  .meta({ id: 'CollectionLinks', description: 'each is present where the contract says so' });
export type Links = z.infer<typeof Links>;

/** `href`s are path-only: no scheme, no host. */
export function link(path: string): Link {
  return { href: path };
}

/**
 * The schema of a collection: `{"total":N,"_links":{…},"_embedded":{"<plural>":[…]}}`
 * @param name of the schema in the document
 */
export function collectionOf<Plural extends string, Item extends z.ZodType>(
  name: string,
  plural: Plural,
  item: Item,
) {
  return z
    .object({
      total: z.number().int().min(0).meta({ description: 'items in the whole collection' }),
      _links: Links,
      _embedded: z.object({ [plural]: z.array(item) } as Record<Plural, z.ZodArray<Item>>),
    })
    .meta({ id: name });
}
