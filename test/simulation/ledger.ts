/**
 * What the world remembers of one subscription, to compare its event store with: which events must arrive, which requests
 * were made, and what the store said last. `check` asks for every rule that must hold at any moment.
 */
import { type Delivery, isFinal, sendAgainAt } from '../../src/domain/delivery.ts';
import { hourOf } from '../../src/domain/figures.ts';
import { leaseTokenTime } from '../../src/domain/ids.ts';
import { EVENT_MAX_AGE_MS, FIGURES_WINDOW_MS } from '../../src/domain/limits.ts';
import { type Aged, windowStart } from '../../src/domain/retention.ts';
import type { Caller, RedeliveryJob } from '../../src/event-store/rpc.ts';
import { DUTY_PAUSE_MAX_MS, UNHEALTHY_UNDER_WAY_MAX } from '../../src/event-store/tuning.ts';
import type { Random } from '../support/random.ts';
import { faultOf, type Post } from './history.ts';
import type { SimulatedObject } from './object.ts';

export const DELAYS_MS = [3000, 30_000, 300_000];
export const RETENTION_MS = 7 * 86_400_000;
/** A delivery is dispatched once more no sooner than this after it was first, ms: the shortest lease of a dispatch. */
const DISPATCHED_AGAIN_MS = 120_000;
/** The alarm may be this late for what is due: a store whose host has no place asks again after 75 s at the latest. */
const ALARM_SLACK_MS = 76_000;

type DeliveryRow = Pick<Delivery, 'eventId' | 'state' | 'attempts' | 'acceptedAt' | 'updatedAt'>;

/** A request in full, as the listener got it. */
export interface SentPost extends Post {
  readonly endpoint: string;
  readonly set: string;
}

type FactKind = 'delivered' | 'failed' | 'attempts';

interface Waiting {
  readonly eventId: string;
  readonly acceptedAt: number;
}

export class Ledger {
  readonly #object: SimulatedObject;
  readonly #random: Random;
  /** Events that must arrive and were not stored yet. */
  readonly #unseen = new Map<string, Waiting>();
  /** Every acceptance of an event: a repeat has a time of its own. */
  readonly #acceptances = new Map<string, Set<number>>();
  /** The deliveries as the store showed them last. */
  readonly #seen = new Map<string, Delivery>();
  readonly #posts = new Map<string, SentPost[]>();
  readonly #dispatched = new Map<string, { readonly token: string; readonly at: number }>();
  /** What happened, by the histories that were seen: each fact once, whatever became of its delivery. */
  readonly #facts = new Map<string, { readonly at: number; readonly kinds: readonly FactKind[] }>();
  #checkedAt = -1;
  /** The segments, and the ids of the rows, at the last check. */
  #segments = '';
  #rowIds = new Set<string>();
  /** Deliveries that were ever stored. */
  stored = 0;

  constructor(object: SimulatedObject, random: Random) {
    this.#object = object;
    this.#random = random;
  }

  // --- What happened ------------------------------------------------------------------------------------

  accept(eventId: string, acceptedAt: number): void {
    const times = this.#acceptances.get(eventId);
    if (times === undefined) this.#acceptances.set(eventId, new Set([acceptedAt]));
    else times.add(acceptedAt);
    if (!this.#seen.has(eventId) && !this.#unseen.has(eventId))
      this.#unseen.set(eventId, { eventId, acceptedAt });
  }

  /** A test may be stored: its caller learns whether it was. */
  expectTest(eventId: string, acceptedAt: number): void {
    this.#acceptances.set(eventId, new Set([acceptedAt]));
  }

  /**
   * A request goes out.
   * @param mayDiffer the delivery may have been stored with another SET since the store allowed the request
   * @throws Broken for one that must not go out
   */
  post(eventId: string, post: SentPost, mayDiffer: boolean): void {
    const posts = this.#posts.get(eventId) ?? [];
    this.#posts.set(eventId, posts);
    posts.push(post);
    const stored = this.find(eventId);
    if (stored === undefined || mayDiffer) return;
    // A delivery that succeeded at once is stored without its signature.
    must(
      stored.set === post.set || (stored.set.endsWith('.') && post.set.startsWith(stored.set)),
      `${eventId}: sent other bytes than are stored`,
    );
    must(stored.endpoint === post.endpoint, `${eventId}: sent to ${post.endpoint}, not ${stored.endpoint}`);
  }

  /** Whether an attempt was made already. An event that may have expired may come once more. */
  wasPosted(eventId: string, attempt: number, now: number): boolean {
    const [acceptedAt = now] = this.#acceptances.get(eventId) ?? [];
    if (acceptedAt + RETENTION_MS <= now) return false;
    return this.#posts.get(eventId)?.some((post) => post.attempt === attempt) === true;
  }

  /** The store sends a delivery to the queue. @throws Error for one that was sent just before */
  dispatch(eventId: string, token: string, now: number): void {
    const last = this.#dispatched.get(eventId);
    this.#dispatched.set(eventId, { token, at: now });
    if (last?.token !== token) return;
    must(now - last.at >= DISPATCHED_AGAIN_MS, `${eventId}: dispatched again after ${now - last.at} ms`);
  }

  /** The store leased a first retry to the caller. @throws Error unless the caller sends it, and the delivery waits for it */
  leased(eventId: string, token: string, caller: Caller | undefined): void {
    must(caller?.sendsRetries === true, `${eventId}: leased to a consumer that sends no retries`);
    const at = leaseTokenTime(token) ?? 0;
    const { state, attempts, history } = this.find(eventId) ?? {};
    must(state === 'awaiting-retry' && attempts === 1, `${eventId}: leased ahead in ${state}`);
    must(history?.at(-1)?.nextAttemptAt === at, `${eventId}: its lease begins at ${at}`);
    // The alarm sends it again when the lease ends.
    this.#dispatched.set(eventId, { token, at });
  }

  /** The queue refused these, as far as the store knows: it sends them again after a pause. */
  refuse(eventIds: readonly string[]): void {
    for (const eventId of eventIds) this.#dispatched.delete(eventId);
  }

  /** The store allowed a first attempt. @throws Error when it has the delivery already */
  admitted(eventId: string): void {
    must(this.find(eventId) === undefined, `${eventId}: admitted though it is stored`);
  }

  /** The store began an attempt. @throws Error unless the attempt was next */
  begun(eventId: string, attempt: number): void {
    const delivery = this.find(eventId);
    must(delivery !== undefined, `${eventId}: begun and not stored`);
    // The row says that an attempt began when its result is reported. A lapsed attempt is made again under its number.
    const { state, attempts } = delivery ?? { state: 'nothing', attempts: -1 };
    must(state === 'executing' || state.startsWith('awaiting-'), `${eventId}: begun in ${state}`);
    const next = state === 'executing' ? attempts : attempts + 1;
    must(next === attempt, `${eventId}: attempt ${attempt} begun in ${state} after ${attempts}`);
    must(this.#seen.get(eventId)?.state !== 'success', `${eventId}: attempted after its success`);
  }

  /** The store answered for the report of a success. @throws Error unless the success counts */
  succeeded(eventId: string, attempt: number): void {
    const delivery = this.find(eventId);
    if (delivery === undefined || attempt <= delivery.runBase) return;
    must(delivery.state === 'success', `${eventId}: a success of attempt ${attempt} left ${delivery.state}`);
  }

  // --- What must be true --------------------------------------------------------------------------------

  /** @param isKept whether an event is in a queue or among the dead letters */
  check(now: number, isKept: (eventId: string) => boolean): void {
    if (this.#object.written !== this.#checkedAt) {
      this.#checkedAt = this.#object.written;
      this.#checkDisabled();
      if (this.#random.chance(0.1) || !this.#checkChanges(now)) this.#checkStore(now);
    }
    for (const { eventId, acceptedAt } of this.#unseen.values()) {
      if (isKept(eventId)) continue;
      must(
        this.#isOver({ eventId, acceptedAt }, now) || this.#hasFailedAndExpired(eventId, acceptedAt, now),
        `${eventId} is lost: not stored, not queued, not a dead letter`,
      );
      this.#unseen.delete(eventId);
    }
  }

  /** The alarm is set exactly when something is due. Ask only while no call is under way. */
  checkAlarm(now: number, isLost: boolean): void {
    const { alarm, store } = this.#object;
    if (isLost || (alarm !== null && alarm <= now)) return;
    const rows = this.#object.rows<{ acceptedAt: number; leaseToken: string | null; dueAt: number }>(
      `SELECT accepted_at AS acceptedAt, lease_token AS leaseToken, due_at AS dueAt
       FROM deliveries WHERE due_at IS NOT NULL
       UNION ALL SELECT accepted_at, lease_token, due_at FROM first_retries`,
    );
    const [packed] = this.#object.rows<{ heldUntil: number | null }>(
      `SELECT min(held_until) AS heldUntil FROM packs JOIN pack_groups ON number = group_number WHERE reason IS NULL`,
    );
    const deadlines = packed?.heldUntil == null ? [] : [packed.heldUntil];
    const again = rows.flatMap((row) => sendAgainAt(row) ?? []);
    // When so many are dispatched and not begun, what else is due waits until one begins, or is sent again.
    const [of] = this.#object.rows<{ shards: number }>('SELECT shards FROM store');
    const isFull = again.length >= Math.max(1, Math.floor(UNHEALTHY_UNDER_WAY_MAX / (of?.shards ?? 1)));
    const due = isFull ? again : rows.map((row) => sendAgainAt(row) ?? row.dueAt);
    const times = [...due, ...deadlines];
    const at = times.length === 0 ? null : Math.min(...times);
    if (at !== null) {
      must(alarm !== null, 'something is open and no alarm is set');
      // A duty that fails pauses. The row of its pause may have been refused, too.
      const [pause] = this.#object.rows<{ until: number }>('SELECT max(until) AS until FROM pauses');
      const refused = this.#object.refusedAt + DUTY_PAUSE_MAX_MS;
      const latest = Math.max(now, at, pause?.until ?? 0, refused) + ALARM_SLACK_MS;
      must((alarm ?? 0) <= latest, `the alarm rings ${(alarm ?? 0) - latest} ms late`);
    }
    if (alarm !== null) return;
    const isEmpty = store.total() === 0 && store.redeliveries().length === 0 && store.exports().length === 0;
    must(isEmpty, 'something will expire and no alarm is set');
  }

  /** Every delivery is final. Ask when the world is quiet. */
  checkFinal(now: number): void {
    this.#checkStore(now);
    for (const { eventId, state } of this.#seen.values()) must(isFinal(state), `${eventId} ends in ${state}`);
    must(this.#object.store.health().waiting === 0, 'something waits');
  }

  find(eventId: string): Delivery | undefined {
    const near = [
      'SELECT 1 FROM deliveries WHERE event_id = ?1',
      'SELECT 1 FROM first_retries WHERE event_id = ?1',
      'SELECT 1 FROM segments WHERE last_id >= ?1 AND first_id <= ?1 LIMIT 1',
      'SELECT 1 FROM packs WHERE last_id >= ?1 AND first_id <= ?1 LIMIT 1',
    ];
    if (!near.some((query) => this.#object.rows(query, eventId).length > 0)) return undefined;
    const before = eventId.slice(0, -1) + String.fromCharCode(eventId.charCodeAt(35) - 1);
    const next = this.#object.store.list({ after: before, limit: 1 })[0];
    return next?.eventId === eventId ? next : undefined;
  }

  /** An event of which the store keeps a failure. */
  failed(): string[] {
    return [...this.#seen.values()].filter(({ state }) => state === 'failure').map(({ eventId }) => eventId);
  }

  /** A store that knows that it is disabled has no bulk redelivery under way (contract 3.6). */
  #checkDisabled(): void {
    const disabled = this.#object.rows('SELECT 1 FROM store WHERE enabled = 0').length > 0;
    const active = this.#object.rows("SELECT 1 FROM redeliveries WHERE state = 'processing'").length > 0;
    must(!(disabled && active), 'a disabled subscription has a bulk redelivery under way');
  }

  /** Checks the rows that changed. @returns whether nothing else has: nothing was packed, merged, deleted or failed by disabling */
  #checkChanges(now: number): boolean {
    if (this.#outlines() !== this.#segments) return false;
    const rows = this.#rows();
    if (this.#rowIds.difference(new Set(rows.map(({ eventId }) => eventId))).size > 0) return false;
    for (const row of rows) {
      const { eventId, state, attempts, updatedAt } = row;
      this.#rowIds.add(eventId);
      if (expiryOf(row) <= now) {
        this.#noteHidden(row);
        continue;
      }
      const before = this.#seen.get(eventId);
      if (before?.state === state && before.attempts === attempts && before.updatedAt === updatedAt) continue;
      const delivery = this.find(eventId);
      must(delivery !== undefined, `${eventId} has a row and is not listed`);
      if (delivery !== undefined) this.#checkDelivery(delivery, now);
    }
    return true;
  }

  #rows(): DeliveryRow[] {
    return this.#object.rows(
      `SELECT event_id AS eventId, state, attempts, accepted_at AS acceptedAt, updated_at AS updatedAt
       FROM deliveries
       UNION ALL
       SELECT event_id, 'awaiting-retry', 1, accepted_at, json_extract(history, '$[#-1].at') FROM first_retries`,
    );
  }

  /** A delivery is stored and no longer shown. It may have become final since the last check. */
  #noteHidden({ eventId, state, attempts, updatedAt }: DeliveryRow): void {
    this.#unseen.delete(eventId);
    const seen = this.#seen.get(eventId);
    if (seen !== undefined) this.#seen.set(eventId, { ...seen, state, attempts, updatedAt });
  }

  /** The same for deliveries that failed as a pack. Those that were taken out have rows. */
  #noteHiddenPacks(now: number): void {
    const packs = this.#object.rows<{ ids: string; failedAt: number }>(
      `SELECT lower(hex(ids)) AS ids, coalesce(failed_at, held_until) AS failedAt
       FROM packs JOIN pack_groups ON number = group_number WHERE reason IS NOT NULL`,
    );
    for (const { ids, failedAt } of packs)
      for (const [hex] of ids.matchAll(/.{32}/g)) {
        const eventId = hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
        const seen = this.#seen.get(eventId);
        if (seen === undefined || isFinal(seen.state) || this.#rowIds.has(eventId)) continue;
        const failed = { ...seen, state: 'failure' as const, updatedAt: failedAt };
        if (expiryOf(failed) <= now) this.#seen.set(eventId, failed);
      }
  }

  /** What changes the answers of the store although no row of `deliveries` changes. */
  #outlines(): string {
    const segments = this.#object.rows('SELECT last_id, events FROM segments');
    const packs = this.#object.rows('SELECT group_number, last_id, present, held_until FROM packs');
    const groups = this.#object.rows('SELECT number, reason FROM pack_groups');
    const mark = this.#object.rows('SELECT generation FROM disabled_mark');
    return JSON.stringify([segments, packs, groups, mark]);
  }

  /** Takes note of what the history of a delivery says. */
  #noteFacts({ eventId, history }: Delivery): void {
    for (const { at, state, attempts, response, error } of history) {
      const kinds: FactKind[] = [];
      if (state === 'success') kinds.push('delivered');
      if (state === 'failure') kinds.push('failed');
      if (response !== undefined || error !== undefined) kinds.push('attempts');
      if (kinds.length > 0) this.#facts.set(`${eventId} ${at} ${state} ${attempts}`, { at, kinds });
    }
  }

  /** The figures have every fact that was seen (contract 10.14), and no other, unless something may have expired unseen. */
  #checkFigures(now: number): void {
    const from = hourOf(now) - FIGURES_WINDOW_MS;
    const { hours, isExact } = this.#object.store.figures(from);
    must(isExact, 'the figures are not exact');
    const accepted = [...this.#acceptances.values()].flatMap((times) => [...times]);
    const mayHaveExpired = accepted.some((at) => at + RETENTION_MS <= now);
    for (const kind of ['delivered', 'failed', 'attempts'] as const) {
      const counted = hours.reduce((sum, hour) => sum + hour[kind], 0);
      const seen = [...this.#facts.values()].filter(
        ({ at, kinds }) => at >= from && kinds.includes(kind),
      ).length;
      const isRight = mayHaveExpired ? counted >= seen : counted === seen;
      must(isRight, `the figures have ${counted} ${kind}, and ${seen} were seen`);
    }
  }

  #checkStore(now: number): void {
    const { store } = this.#object;
    this.#segments = this.#outlines();
    const rows = this.#rows();
    this.#rowIds = new Set(rows.map(({ eventId }) => eventId));
    for (const row of rows) if (expiryOf(row) <= now) this.#noteHidden(row);
    this.#noteHiddenPacks(now);
    const listed = store.list({ limit: 100_000 });
    const ids = new Set<string>();
    let open = 0;
    for (const delivery of listed) {
      ids.add(delivery.eventId);
      if (!isFinal(delivery.state)) open++;
      if (!isSame(delivery, this.#seen.get(delivery.eventId))) this.#checkDelivery(delivery, now);
    }
    must(ids.size === listed.length, 'a delivery is listed twice');
    for (const gone of this.#seen.values()) if (!ids.has(gone.eventId)) this.#checkGone(gone, now);
    must(store.total() === listed.length, `total ${store.total()}, listed ${listed.length}`);
    must(store.health().waiting === open, `${store.health().waiting} wait, ${open} are open`);
    for (const job of store.redeliveries()) checkJob(job);
    if (this.#random.chance(0.1)) this.#checkPages(listed, now);
  }

  #checkDelivery(delivery: Delivery, now: number): void {
    const { eventId, state, attempts } = delivery;
    const last = this.#seen.get(eventId);
    // One that had expired, or has succeeded late, may have been deleted since, and the event may have come once more.
    const hasExpired = last !== undefined && (expiryOf(last) <= now || this.#isOver(last, now));
    const before = hasExpired ? undefined : last;
    const posts = this.#posts.get(eventId) ?? [];
    // A list shows no history.
    const whole = this.#object.store.read(eventId);
    if (whole !== undefined) this.#noteFacts(whole);
    const fault = whole && faultOf(whole, posts, DELAYS_MS);
    must(fault === undefined, `${eventId}: ${fault} ${JSON.stringify(whole?.history)}`);
    must(
      this.#acceptances.get(eventId)?.has(delivery.acceptedAt) === true,
      `${eventId}: accepted at another time`,
    );
    must((delivery.dueAt === null) === isFinal(state), `${eventId}: due in ${state}`);
    const isUntried = state === 'awaiting-executing' && attempts === 0;
    must(delivery.hold !== 'held' || isUntried, `${eventId}: held in ${state} after ${attempts} attempts`);
    if (before === undefined) this.stored++;
    else {
      must(before.state !== 'success', `${eventId}: ${state} after its success`);
      // That an attempt is under way may be forgotten: then it is made again under its number.
      const isForgotten = before.state === 'executing' && attempts === before.attempts - 1;
      const isFewer = attempts < before.attempts && !isForgotten;
      must(!isFewer, `${eventId}: ${attempts} attempts after ${before.attempts}`);
      must(isSameText(before.set, delivery.set), `${eventId}: its SET changed`);
    }
    this.#seen.set(eventId, delivery);
    this.#unseen.delete(eventId);
  }

  /** The event came late, succeeded, and the sweep deleted it, all since the last check. */
  #isOver({ eventId, acceptedAt }: Pick<Delivery, 'eventId' | 'acceptedAt'>, now: number): boolean {
    return acceptedAt + RETENTION_MS <= now && this.#hasSucceeded(eventId);
  }

  /** A delivery is deleted only when it is final and past its time (contract 5). */
  #checkGone(gone: Delivery, now: number): void {
    const { eventId, acceptedAt } = gone;
    const expiry = expiryOf(gone);
    const isPast = expiry <= now || acceptedAt + EVENT_MAX_AGE_MS <= now;
    must(isPast || this.#isOver(gone, now), `${eventId}: deleted in ${gone.state} before its time`);
    // Its requests are kept: the event may come once more, and be under way already.
    this.#seen.delete(eventId);
    this.#dispatched.delete(eventId);
  }

  /** Lists by pages, lists by state and the summary agree with the whole list. */
  #checkPages(listed: readonly Delivery[], now: number): void {
    const { store } = this.#object;
    const limit = this.#random.whole(1, 9);
    const paged: string[] = [];
    for (let after = ''; ; ) {
      const page = store.list({ after, limit });
      paged.push(...page.map(({ eventId }) => eventId));
      const last = page.at(-1);
      if (last === undefined || page.length < limit) break;
      after = last.eventId;
    }
    must(
      paged.join() === listed.map(({ eventId }) => eventId).join(),
      `pages of ${limit} differ from the list`,
    );
    const { state } = listed.length === 0 ? { state: 'success' as const } : this.#random.pick(listed);
    const ofState = store.list({ state, limit: 100_000 }).map(({ eventId }) => eventId);
    const expected = listed.filter((one) => one.state === state).map(({ eventId }) => eventId);
    must(ofState.join() === expected.join(), `the list of ${state} differs`);
    this.#checkFigures(now);
    const summary = store.summary();
    const start = windowStart(now);
    const recent = listed.filter(({ acceptedAt }) => acceptedAt >= start);
    const failed = recent.filter((one) => one.state === 'failure').length;
    const succeeded = recent.filter((one) => one.state === 'success').length;
    // The summary counts what is stored (contract 3.8). The list leaves out what has expired and is not deleted yet.
    const hidden = this.#stored() - listed.length;
    const isOf = (counted: number, shown: number) => counted >= shown && counted <= shown + hidden;
    must(isOf(summary.failed, failed), `the summary has ${summary.failed} failures, the list ${failed}`);
    must(isOf(summary.succeeded, succeeded), `the summary has ${summary.succeeded}, the list ${succeeded}`);
    must(summary.retrying === recent.length - failed - succeeded, 'the summary has others that retry');
  }

  /** How many deliveries are stored, expired ones included. */
  #stored(): number {
    const counted = this.#object.rows<{ n: number }>(
      `SELECT (SELECT count(*) FROM deliveries) + (SELECT count(*) FROM first_retries)
         + (SELECT coalesce(sum(events), 0) FROM segments)
         + (SELECT coalesce(sum(present), 0) FROM packs) AS n`,
    );
    return counted[0]?.n ?? 0;
  }

  /** It failed between two checks, and its time has passed: it is stored, but no list shows it. */
  #hasFailedAndExpired(eventId: string, acceptedAt: number, now: number): boolean {
    if (acceptedAt + RETENTION_MS > now) return false;
    const row = "SELECT 1 FROM deliveries WHERE event_id = ? AND state = 'failure'";
    const pack = `SELECT 1 FROM packs JOIN pack_groups ON number = group_number
       WHERE reason IS NOT NULL AND instr(hex(ids), upper(?)) > 0`;
    const isPacked = this.#object.rows(pack, eventId.replaceAll('-', '')).length > 0;
    return isPacked || this.#object.rows(row, eventId).length > 0;
  }

  #hasSucceeded(eventId: string): boolean {
    return this.#posts.get(eventId)?.some(({ succeeded }) => succeeded) === true;
  }
}

function isSame(now: Delivery, before: Delivery | undefined): boolean {
  return (
    before !== undefined &&
    now.updatedAt === before.updatedAt &&
    now.state === before.state &&
    now.attempts === before.attempts &&
    now.history.length === before.history.length
  );
}

/** Whether two SETs are the same, with or without a signature. */
function isSameText(one: string, other: string): boolean {
  const isOf = (unsigned: string, set: string) => unsigned.endsWith('.') && set.startsWith(unsigned);
  return one === other || isOf(one, other) || isOf(other, one);
}

/** When a delivery expires by contract 5, ms. */
function expiryOf({ state, acceptedAt, updatedAt }: Aged): number {
  if (state === 'success') return acceptedAt + RETENTION_MS;
  if (state !== 'failure') return Number.POSITIVE_INFINITY;
  return Math.min(updatedAt + RETENTION_MS, acceptedAt + EVENT_MAX_AGE_MS);
}

function checkJob({ id, total, redelivered, succeeded, failed, state }: RedeliveryJob): void {
  const figures = `job ${id}: ${JSON.stringify({ total, redelivered, succeeded, failed, state })}`;
  must(redelivered <= total && succeeded >= 0 && failed >= 0, figures);
  must(succeeded + failed <= redelivered, figures);
  if (state === 'completed') must(succeeded + failed === redelivered, figures);
}

export function must(isTrue: boolean, what: string): void {
  if (!isTrue) throw new Broken(what);
}

/** A rule of the service does not hold. */
export class Broken extends Error {}
