/**
 * The log of 403s. A caller learns no reason (contract 2), so the operator finds it here. Anybody can make refusals, and
 * log lines are billed: like refusals of a minute share a line, and their count follows.
 */
import { MINUTE_MS } from '../../domain/limits.ts';
import { uuid } from '../../domain/schemas.ts';
import { logWarn } from '../../log.ts';
import type { AppContext } from './context.ts';
import { idsOf } from './request-id.ts';

/**
 * Why a call was refused. A token that we did not sign is `malformed`. A token is `revoked` when its client, its secret or
 * its customer is gone, or its session of the console. `wrong token` is the operator's; the last three are the console's door alone.
 */
export type Refusal =
  | 'missing'
  | 'malformed'
  | 'expired'
  | 'revoked'
  | 'other customer'
  | 'scope'
  | 'wrong token'
  | 'wrong code'
  | 'wrong credentials'
  | 'cross-site';

interface Kind {
  readonly door: 'management' | 'operator' | 'console';
  readonly reason: Refusal;
  readonly customerId: string | undefined;
  readonly clientId: string | undefined;
  readonly method: string;
}

/** Kinds of a minute that an isolate counts one by one. It limits its memory and its lines: callers choose the customer id. */
const KINDS_MAX = 100;
/** A method is the caller's text. Others than these are logged as `other`. */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

/** The refusals of the current minute: each kind with the number of its repeats. */
const repeats = new Map<string, { readonly kind: Kind; count: number }>();
let others = 0;
let minute = 0;

/** Logs that a call gets a 403, or counts it when the minute has a line for its like. */
export function logRefusal(
  c: AppContext,
  door: Kind['door'],
  reason: Refusal,
  who: { readonly customerId?: string | undefined; readonly clientId?: string | undefined } = {},
): void {
  const now = Math.floor(Date.now() / MINUTE_MS);
  if (now !== minute) writeCounts();
  minute = now;
  const kind: Kind = {
    door,
    reason,
    customerId: uuid.safeParse(who.customerId).data,
    clientId: who.clientId,
    method: METHODS.has(c.req.method) ? c.req.method : 'other',
  };
  const key = JSON.stringify(Object.values(kind));
  const known = repeats.get(key);
  if (known !== undefined) known.count++;
  else if (repeats.size >= KINDS_MAX) others++;
  else {
    repeats.set(key, { kind, count: 0 });
    logWarn('forbidden', { ...kind, ...idsOf(c) });
  }
}

/** Writes what was only counted, and forgets it. The counts of an isolate that dies are lost; its first lines are not. */
function writeCounts(): void {
  for (const { kind, count } of repeats.values()) {
    if (count > 0) logWarn('forbidden again', { ...kind, count });
  }
  if (others > 0) logWarn('forbidden again', { reason: 'others', count: others });
  repeats.clear();
  others = 0;
}
