/**
 * Sends notices for the operator (contract 10.16; what they say and when is in domain/notice.ts). A notice is settled in the event store
 * of the operator's subscription without an attempt, and goes from there like every delivery: the alarm, a queue, a consumer, retries.
 *
 * The step that notes a change of health in D1 sends the notice first. If it dies in between, the next settle finds the note out of date,
 * and the same notice is one event. When a notice cannot be sent, the health is noted all the same, and the daily visit sends it.
 */

import { NOTICES_CACHE_MS } from '../domain/limits.ts';
import {
  type DueNotice,
  dueOfEndpoint,
  dueOfEvents,
  noticeClaim,
  noticeEventId,
  type Standing,
} from '../domain/notice.ts';
import type { ShownState } from '../domain/proof.ts';
import { refOf, type Sharded, type Subscription } from '../domain/subscription.ts';
import type { EventStoreRpc, HealthNote } from '../event-store/rpc.ts';
import { describeError, logWarn } from '../log.ts';
import type { Signer } from '../signing/signer.ts';
import type { Database } from '../storage/database.ts';
import {
  findNoticed,
  findNoticesReceiver,
  type Noticed,
  type NoticesReceiver,
  noteSent,
} from '../storage/notices.ts';
import { noteHealth } from '../storage/recipients.ts';

interface NoticeNeeds {
  readonly db: Database;
  readonly signer: Pick<Signer, 'open' | 'sign'>;
  eventStore(subscription: Sharded): Pick<EventStoreRpc, 'settle' | 'health'>;
}

type Subject = Pick<Subscription, 'id' | 'customerId' | 'shards'>;

/** Who gets the notices, for each database of the isolate. */
const receivers = new WeakMap<Database, { receiver: NoticesReceiver | undefined; until: number }>();

/** The operator has set up notices, or changed them. Other isolates see it after `NOTICES_CACHE_MS`. */
export function forgetReceiver(db: Database): void {
  receivers.delete(db);
}

/** Who gets the notices; `undefined`: nobody, because they are not set up, or not enabled. */
async function findReceiver(db: Database, now: number): Promise<NoticesReceiver | undefined> {
  const known = receivers.get(db);
  if (known !== undefined && known.until > now) return known.receiver;
  const receiver = await findNoticesReceiver(db, now);
  receivers.set(db, { receiver, until: now + NOTICES_CACHE_MS });
  return receiver;
}

/** Whether a subscription belongs to the notices themselves: its trouble makes none. */
function isPartOf({ subscription }: NoticesReceiver, { customerId }: Subject): boolean {
  return subscription.customerId === customerId;
}

/**
 * Notes the health of an endpoint in D1, and sends the notice that it makes before.
 * @param before the state that D1 had
 */
export async function noteHealthWithNotice(
  needs: NoticeNeeds,
  subject: Subject,
  health: HealthNote,
  before: ShownState,
  now: number,
): Promise<void> {
  const isTurn = (health.state === 'failing') !== (before === 'failing');
  const notify = isTurn ? await sendOfTurn(needs, subject, health, now) : undefined;
  await noteHealth(needs.db, subject.id, health);
  await notify?.note();
}

/** What is left to do once the health is noted. */
interface Sent {
  note(): Promise<void>;
}

/** Sends the notice of a turn, if there is one. Never rejects: the health of an endpoint is noted all the same. */
async function sendOfTurn(
  needs: NoticeNeeds,
  subject: Subject,
  health: HealthNote,
  now: number,
): Promise<Sent | undefined> {
  try {
    const receiver = await findReceiver(needs.db, now);
    if (receiver === undefined || isPartOf(receiver, subject)) return undefined;
    const noticed = (await findNoticed(needs.db, [subject.id])).get(subject.id);
    const due = noticed && dueOfEndpoint(noticed.sent, health, now);
    if (noticed === undefined || due === undefined) return undefined;
    await send(needs, receiver, { ...subject, title: noticed.title }, due, health, now);
    return { note: () => noteSent(needs.db, subject.id, due.sent) };
  } catch (error) {
    logUnsent(subject, error);
    return undefined;
  }
}

/** Looks at the subscriptions of a daily visit, with one query for all of them, and sends what is due. */
export class VisitNotices {
  readonly #needs: NoticeNeeds;
  readonly #now: number;
  readonly #visited: readonly Subject[];
  #found: Promise<Found | undefined> | undefined;

  constructor(needs: NoticeNeeds, visited: readonly Subject[], now: number) {
    this.#needs = needs;
    this.#visited = visited;
    this.#now = now;
  }

  async #find(): Promise<Found | undefined> {
    const { db } = this.#needs;
    const receiver = await findReceiver(db, this.#now);
    if (receiver === undefined) return undefined;
    const ids = this.#visited.map(({ id }) => id);
    return { receiver, noticed: await findNoticed(db, ids) };
  }

  /** Sends what is due of one subscription: what was lost, and what has failed since the last visit. Never rejects. */
  async visit(subject: Subject, health: HealthNote): Promise<void> {
    try {
      this.#found ??= this.#find();
      const found = await this.#found;
      const noticed = found?.noticed.get(subject.id);
      if (found === undefined || noticed === undefined || isPartOf(found.receiver, subject)) return;
      const { receiver } = found;
      let { sent } = noticed;
      for (const dueOf of [dueOfEndpoint, dueOfEvents]) {
        const due = dueOf(sent, health, this.#now);
        if (due === undefined) continue;
        await send(this.#needs, receiver, { ...subject, title: noticed.title }, due, health, this.#now);
        await noteSent(this.#needs.db, subject.id, due.sent);
        sent = due.sent;
      }
    } catch (error) {
      logUnsent(subject, error);
    }
  }
}

/** What the visits of a run have in common. */
interface Found {
  readonly receiver: NoticesReceiver;
  readonly noticed: ReadonlyMap<string, Noticed>;
}

/** @throws Error when it is not stored: another one gets the notices by now, or nobody */
async function send(
  { db, signer, eventStore }: NoticeNeeds,
  { subscription, key }: NoticesReceiver,
  subject: Subject & { readonly title: string },
  due: DueNotice,
  standing: Standing,
  now: number,
): Promise<void> {
  const { waiting } = await eventStore(subject).health();
  const eventId = noticeEventId(subject.id, due, now);
  await signer.open([key.kid]);
  const { endpoint } = subscription;
  const set = await signer.sign(key, {
    customerId: subscription.customerId,
    subscriptionId: subscription.id,
    eventId,
    endpoint,
    acceptedAt: now,
    occurredAt: due.at,
    events: noticeClaim(eventId, subject, due, standing, waiting),
  });
  const report = { kind: 'deferred', eventId, acceptedAt: now, endpoint, set } as const;
  const { settled } = await eventStore(subscription).settle(refOf(subscription), [report]);
  if (settled[0]?.state !== 'dropped') return;
  // It was a repeat, or the store was erased since this isolate read who gets the notices.
  forgetReceiver(db);
  if ((await findReceiver(db, now))?.subscription.id !== subscription.id)
    throw new Error('the store of the notices was erased');
}

function logUnsent({ customerId, id }: Subject, error: unknown): void {
  logWarn('notice not sent', { customerId, subscriptionId: id, error: describeError(error) });
}
