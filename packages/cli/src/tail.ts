/**
 * Follows the events of a subscription by polling. An event may appear before an id that was passed already (contract 5.2), so each
 * poll begins a little before the newest id that is known, and drops the events that it has seen.
 */
import { type WebhooksClient, WebhooksError } from '@identity-webhooks/client';
import { eventIdAt } from './command.ts';
import { EVENT_COLUMNS, type Event } from './event-view.ts';
import type { Session } from './session.ts';
import { tableOf } from './table.ts';

/** An event is readable when its first attempt has ended: after 10 s, and the look-up of a name before it. */
const OVERLAP_MS = 20_000;
/** How far the clock of this machine may be ahead of that of the service. */
const SKEW_MS = 60_000;
/** The service may be away so long, for a deploy for example, before `tail` gives up. */
const AWAY_MAX_MS = 300_000;
/** The largest page (contract 5.2). */
const PAGE = 1000;

export interface Following {
  readonly sid: string;
  /** RFC 3339; from now on without it. */
  readonly since: string | undefined;
  readonly intervalMs: number;
}

/** Never resolves: it ends by Ctrl-C, or by an error that lasts. */
export async function tail(
  session: Session,
  client: WebhooksClient,
  { sid, since, intervalMs }: Following,
): Promise<never> {
  const { now, signal } = session.world;
  const seen = new Set<string>();
  /** Time of the newest id that is known, by the clock of the service. */
  let newest = since === undefined ? now() - SKEW_MS : Date.parse(since);
  let after = eventIdAt(newest);
  /** Without `since`, what is there at the beginning is not new. */
  let isNew = since !== undefined;
  let awaySince: number | undefined;
  // A line shows nothing of the request, so the service need not sign tokens for it.
  const fields = session.options.json ? {} : { fields: 'summary' as const };
  for (;;) {
    try {
      for await (const event of client.items('listEvents', {
        sid,
        query: { after, limit: PAGE, ...fields },
      })) {
        if (seen.has(event.id)) continue;
        seen.add(event.id);
        newest = Math.max(newest, timeOf(event.id));
        if (isNew) print(session, event);
      }
      isNew = true;
      awaySince = undefined;
      const next = eventIdAt(newest - OVERLAP_MS);
      if (next > after) after = next;
      // What no later poll can bring need not be remembered.
      for (const id of seen) if (id <= after) seen.delete(id);
    } catch (error) {
      if (!isAway(error) || signal.aborted) throw error;
      awaySince ??= now();
      if (now() - awaySince > AWAY_MAX_MS) throw error;
      session.progress('No answer from the service; asking again …');
    }
    await session.wait(intervalMs);
  }
}

function isAway(error: unknown): boolean {
  return (
    error instanceof WebhooksError &&
    ['unreachable', 'unavailable', 'too-many-requests'].includes(error.trouble.kind)
  );
}

function print(session: Session, event: Event): void {
  if (session.options.json) session.json(event, 0);
  else if (session.options.quiet) session.print(event.id);
  // The columns have one width for every line, because no line waits for the next.
  else session.print(tableOf([event], WIDE, undefined)[1] ?? '');
}

/** The widest type and state. */
const PADDED: Readonly<Record<string, number>> = { TYPE: 7, STATE: 18, ATTEMPTS: 8 };
const WIDE = EVENT_COLUMNS.map((column) => ({
  ...column,
  title: '',
  of: (event: Event) => String(column.of(event) ?? '').padEnd(PADDED[column.title] ?? 0),
}));

function timeOf(id: string): number {
  return Number.parseInt(id.replace('-', '').slice(0, 12), 16);
}
