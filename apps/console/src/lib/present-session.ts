/** What the service says about the session of a page that was refused something (`GET /console/session`). */

export type Present =
  | { readonly kind: 'same' | 'ended' | 'unknown' }
  | { readonly kind: 'other'; readonly customerName: string };

/** @param shown the customer whose pages are shown; an operator has an empty one */
export function presentOf(shown: string, status: number, body: unknown): Present {
  if (status === 403) return { kind: 'ended' };
  const { customerId = '', customerName = '' } = (body ?? {}) as Partial<Record<string, string>>;
  if (status !== 200) return { kind: 'unknown' };
  return customerId === shown ? { kind: 'same' } : { kind: 'other', customerName };
}
