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

/** `updated`, `test`. A summary says its type; of a whole event it is in the token. */
export function typeOf(event: Pick<Event, 'type' | 'request'>): string {
  const claims = claimsOf(event) as { events?: object } | undefined;
  const type = event.type ?? Object.keys(claims?.events ?? {})[0] ?? '';
  return type.replace(/^entity/, '').toLowerCase();
}

/** The claims of the SET, unverified: the service shows its own token. Undefined when it was not kept (contract 10.9). */
export function claimsOf({ request }: Pick<Event, 'request'>): unknown {
  try {
    return JSON.parse(Buffer.from(request?.payload.split('.')[1] ?? '', 'base64url').toString());
  } catch {
    return undefined;
  }
}
