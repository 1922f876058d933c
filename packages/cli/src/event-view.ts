/** How an event of a subscription is shown. */
import type { ItemOf } from '@identity-webhooks/client';
import type { Column } from './table.ts';
import { time } from './text.ts';

export type Event = ItemOf<'listEvents'>;

export const EVENT_COLUMNS: readonly Column<Event>[] = [
  { title: 'ID', of: ({ id }) => id },
  { title: 'ACCEPTED', of: ({ createdAt }) => time(createdAt) },
  { title: 'TYPE', of: (event) => typeOf(event) },
  { title: 'STATE', of: ({ state }) => state },
  { title: 'ATTEMPTS', of: ({ attempts }) => attempts },
  { title: 'ANSWER', of: (event) => answerOf(event), shrinks: true },
];

/** The answer to the last attempt, in a word: `200`, `timed_out`. */
export function answerOf({
  response,
  error,
  attempts,
}: Pick<Event, 'response' | 'error' | 'attempts'>): string {
  if (response !== undefined) return `HTTP ${response.statusCode}`;
  return error?.code ?? (attempts === 0 ? '' : 'none yet');
}

/** The type is in the token: `updated`, `test`. */
export function typeOf(event: Event): string {
  const types = Object.keys((claimsOf(event) as { events?: object } | undefined)?.events ?? {});
  return (types[0] ?? '').replace(/^entity/, '').toLowerCase();
}

/** The claims of the SET, unverified: the service shows its own token. Undefined when it was not kept (contract 10.9). */
export function claimsOf({ request }: Event): unknown {
  try {
    return JSON.parse(Buffer.from(request?.payload.split('.')[1] ?? '', 'base64url').toString());
  } catch {
    return undefined;
  }
}
