/**
 * Dispatch: due deliveries go to a queue, as ids and a lease token: to `webhook-unhealthy` if their endpoint is not healthy, else
 * to `webhook-deliveries`. A consumer makes the attempts.
 *
 * Before it dispatches, the store asks the limit of the host for places (contract 10.4), and dispatches as many deliveries as
 * it got. The consumer returns the places. What got none stays due; it is in no queue.
 *
 * The lease is written first. A dispatch that nobody begins is sent again when its lease lapses, and each lease is longer
 * (docs/leases.md). If the queue refuses the send, the deliveries are to be sent again at once, and the duty pauses (alarm.ts). A
 * test or redelivery that somebody asks for ends the pause. If the object dies in between, the lease lapses.
 *
 * A bounded number of deliveries is dispatched and not begun, so that one store does not fill a slow queue. Of an endpoint that
 * is not healthy only a few deliveries are on their way at once.
 */
import { type Delivery, dispatchOrHold, type EndpointNow, sendAgainAt } from '../../domain/delivery.ts';
import { newLeaseToken } from '../../domain/ids.ts';
import type { SubscriptionRef } from '../../domain/subscription.ts';
import { hostOf } from '../../host-limit/client.ts';
import type { HostLimitRpc } from '../../host-limit/rpc.ts';
import { type Dispatch, packDispatch } from '../../outbound/queues.ts';
import type { Duty } from '../alarm.ts';
import type { Rows } from '../deliveries/rows.ts';
import {
  DELIVERIES_BITE,
  DISPATCH_MAX_HOSTS,
  DISPATCH_MAX_PER_ALARM,
  DISPATCHED_MAX,
  DRAIN_STEP_MS,
  UNHEALTHY_UNDER_WAY_MAX,
  WAITING_HOSTS_MAX,
} from '../tuning.ts';

/** Deliveries that may be dispatched: tests, redeliveries and probes, and then any. */
interface Room {
  first: number;
  others: number;
}

interface DueHost {
  readonly name: string;
  /** Deliveries that are due there. */
  want: number;
}

/** What a host has granted: `id` is the holder of the places. */
interface Granted {
  readonly host: DueHost;
  readonly id: string;
  readonly places: number;
}

/** What dispatching needs of the rest of the store. */
interface DispatchParts {
  readonly deliveries: Rows;
  /** Sends dispatches to the queue of their lane. @throws Outage when the queue does not take them */
  send(dispatches: readonly Dispatch[]): Promise<void>;
  /** The newest version of the subscription; `undefined` before the first call that brings one. */
  ref(): SubscriptionRef | undefined;
  /** How many shards new events have: their stores share what may be on its way to an endpoint that is not healthy. */
  shards(): number;
  endpointNow(now: number): EndpointNow;
  /** Whether a proof was given (contract 10.8). */
  isGiven(proof: number): boolean;
  /** Deliveries were held or tried to their end, and have failed. */
  countEnded(count: number): void;
  /** The limit of a host for a customer. */
  limit(customerId: string, host: string): HostLimitRpc;
  /** How long the places of a dispatch last that nobody returns, ms. */
  leaseMs(): number;
}

export class Dispatching implements Duty {
  readonly name = 'dispatch';
  readonly #parts: DispatchParts;
  readonly #deliveries: Rows;
  /** Enough deliveries are on their way; the next ones wait until this time, ms. */
  #nextAt = 0;
  #isUrgent = false;
  readonly #waiting = new WaitingHosts();

  constructor(parts: DispatchParts) {
    this.#parts = parts;
    this.#deliveries = parts.deliveries;
  }

  dueAt(now: number): number | undefined {
    const { dispatched } = this.#deliveries.due;
    if (this.#deliveries.due.areBlocked) return undefined;
    if (!dispatched.areKnown) return now;
    // A begin makes room again, and each call of the store asks this.
    const due = this.#isFull(now) && !this.#isUrgent ? undefined : this.#deliveries.due.earliest();
    const next = Math.min(due ?? Number.POSITIVE_INFINITY, dispatched.earliest(), this.#waiting.until());
    return next === Number.POSITIVE_INFINITY ? undefined : Math.max(next, this.#nextAt);
  }

  get isUrgent(): boolean {
    return this.#isUrgent;
  }

  /** It does not know yet what is dispatched. */
  get isPreparing(): boolean {
    return !this.#deliveries.due.dispatched.areKnown;
  }

  /** Somebody waits for a test or a redelivery: the host is asked for a place at once, and the queue too if it refused. */
  hurry(): void {
    this.#isUrgent = true;
    this.#nextAt = 0;
    this.#waiting.clear();
    this.#deliveries.due.passOver(Number.NEGATIVE_INFINITY);
  }

  /** A host answered with a success, so it has more places now. It is asked at the next step, not when its turn in the line comes. */
  answered(endpoint: string, now: number): void {
    this.#waiting.bringForward(hostOf(endpoint), now + DRAIN_STEP_MS);
  }

  /** Whether the host of an endpoint gave too few places a moment ago. */
  waitsForHost(endpoint: string): boolean {
    return this.#waiting.has(hostOf(endpoint));
  }

  /** Whether a consumer may dispatch for the store: nothing holds up what is due, and there is room. */
  mayDispatch(now: number): boolean {
    const { due } = this.#deliveries;
    return !due.areBlocked && due.dispatched.areKnown && !this.#isFull(now) && this.#waiting.isEmpty;
  }

  async work(asked: number): Promise<void> {
    const ref = this.#parts.ref();
    const { dispatched } = this.#deliveries.due;
    if (ref === undefined) return;
    // The next alarm, which rings at once, looks at the next rows.
    if (!dispatched.areKnown) dispatched.readOn();
    if (!dispatched.areKnown) return;
    this.#isUrgent = false;
    this.#waiting.forget(asked);
    this.#deliveries.due.passOver(Number.NEGATIVE_INFINITY);
    const hosts = this.#dueHosts(asked, this.#room(asked), this.#again(asked));
    // Calls that come while the hosts are asked need not ring again.
    this.#nextAt = asked + DRAIN_STEP_MS;
    const granted = await Promise.all(hosts.map((host) => this.#ask(ref, host)));
    const now = Date.now();
    const room = this.#room(now);
    for (const { host, waitMs } of granted) if (waitMs > 0) this.#waiting.add(host.name, now + waitMs);
    let sent: ReadonlyMap<Granted, Outgoing> = new Map();
    try {
      // All leases or none: a delivery with a lease that is not sent would wait until it lapses.
      sent = this.#deliveries.transaction(() => this.#fill(granted, room, now));
      this.#setNext(now, room);
      await this.#sendAll(ref, sent, now);
    } finally {
      await this.#returnPlaces(ref, granted, sent);
    }
  }

  /** The next alarm goes on with what is left. What got no place waits until its host is asked again. */
  #setNext(now: number, room: Room): void {
    const isOutOfRoom = this.#isFull(now) || (this.#isUnhealthy(now) && room.others <= 0);
    this.#nextAt = isOutOfRoom ? now + DRAIN_STEP_MS : now;
    if (room.others > 0 && this.#dueHosts(now, room, []).length === 0) {
      this.#deliveries.due.passOver(now);
      // A look reads what waits. While anything does, new deliveries do not make it look each time.
      if (!this.#waiting.isEmpty) this.#nextAt = now + DRAIN_STEP_MS;
    }
    const { dispatched } = this.#deliveries.due;
    const again = dispatched.due(now);
    if (again.length === 0 || this.#dueHosts(now, { first: 0, others: 0 }, again).length > 0) return;
    dispatched.postpone(again, Math.max(now + DRAIN_STEP_MS, this.#waiting.until()));
  }

  async #sendAll(ref: SubscriptionRef, sent: ReadonlyMap<Granted, Outgoing>, now: number): Promise<void> {
    const isUnhealthy = this.#isUnhealthy(now);
    const messages = [...sent].flatMap(([{ id, host }, { idsByToken }]) =>
      messagesOf(ref, idsByToken, isUnhealthy, { id, host: host.name }),
    );
    if (messages.length === 0) return;
    try {
      await this.#parts.send(messages);
    } catch (error) {
      this.#deliveries.due.dispatched.postpone(
        messages.flatMap(({ eventIds }) => eventIds),
        now,
      );
      for (const outgoing of sent.values()) outgoing.takeBack();
      throw error;
    }
  }

  /** Returns the places that nothing was sent for. A limit that is away frees them when their lease lapses. */
  async #returnPlaces(
    ref: SubscriptionRef,
    granted: readonly Granted[],
    sent: ReadonlyMap<Granted, Outgoing>,
  ): Promise<void> {
    const visits = granted.flatMap((each) => {
      const left = sent.get(each)?.places ?? each.places;
      return left > 0 ? [this.#visit(ref, each.host, each.id, 0, left)] : [];
    });
    await Promise.allSettled(visits);
  }

  /** How many deliveries may be dispatched now, beside those that are sent again. */
  #room(now: number): Room {
    const { dispatched } = this.#deliveries.due;
    const left = DISPATCHED_MAX - dispatched.count;
    if (!this.#isUnhealthy(now)) {
      const first = left > 0 ? 0 : Math.min(left + DELIVERIES_BITE, DELIVERIES_BITE);
      return { first, others: Math.min(left, DISPATCH_MAX_PER_ALARM) };
    }
    // Tests and redeliveries go first, up to twice the window: they must not wait for all others (contract 10.4).
    const share = this.#unhealthyMax;
    const most = 2 * share;
    const underWay = this.#deliveries.due.underWay(now, most);
    return {
      first: Math.min(most - underWay, DELIVERIES_BITE),
      others: Math.min(share - underWay, left),
    };
  }

  /** Whether what is dispatched and not begun leaves no room for others: only time or a begin changes that. */
  #isFull(now: number): boolean {
    const { dispatched } = this.#deliveries.due;
    if (dispatched.count >= DISPATCHED_MAX) return true;
    return this.#isUnhealthy(now) && dispatched.countOfThisLife >= this.#unhealthyMax;
  }

  get #unhealthyMax(): number {
    return Math.max(1, Math.floor(UNHEALTHY_UNDER_WAY_MAX / this.#parts.shards()));
  }

  #isUnhealthy(now: number): boolean {
    return this.#parts.endpointNow(now).state !== 'healthy';
  }

  /** Dispatches that nobody began and that are sent again now, as many as one alarm takes. */
  #again(now: number): string[] {
    const most = this.#isUnhealthy(now) ? this.#unhealthyMax : DISPATCH_MAX_PER_ALARM;
    return this.#deliveries.due.again(now, most);
  }

  /** The hosts of what is due, without those that wait. An event keeps the endpoint with which it was stored, so there may be several. */
  #dueHosts(now: number, { first, others }: Room, again: readonly string[]): DueHost[] {
    const names = new HostNames();
    const wants = new Map<string, number>();
    for (const looked of [this.#look(now, true, first, names), this.#look(now, false, others, names)])
      for (const [name, n] of looked) wants.set(name, Math.max(wants.get(name) ?? 0, n));
    for (const [endpoint, n] of this.#deliveries.due.countByEndpoint(again)) {
      const name = names.of(endpoint);
      if (!this.#waiting.has(name)) wants.set(name, (wants.get(name) ?? 0) + n);
    }
    return [...wants].slice(0, DISPATCH_MAX_HOSTS).map(([name, want]) => ({ name, want }));
  }

  /** How many of the first `count` that are due go to each host that does not wait, the host that waits longest first. */
  #look(now: number, neverHeld: boolean, count: number, names: HostNames): Map<string, number> {
    const wants = new Map<string, number>();
    if (count <= 0) return wants;
    let left = count;
    for (const { endpoint } of this.#deliveries.due.first(now, neverHeld, count)) {
      const name = names.of(endpoint);
      if (this.#waiting.has(name)) continue;
      wants.set(name, (wants.get(name) ?? 0) + 1);
      if (--left === 0) break;
    }
    return wants;
  }

  async #ask(ref: SubscriptionRef, host: DueHost) {
    const id = crypto.randomUUID();
    const { granted, waitMs } = await this.#visit(ref, host, id, host.want, 0);
    return { host, id, places: granted, waitMs };
  }

  async #visit({ customerId }: SubscriptionRef, { name }: DueHost, id: string, want: number, left: number) {
    const { limit, leaseMs } = this.#parts;
    return await limit(customerId, name).visit({
      id,
      want,
      left,
      succeeded: 0,
      failedStarts: [],
      leaseMs: leaseMs(),
    });
  }

  /** Takes due deliveries while there is room, and places at their hosts: first those that are sent again. */
  #fill(granted: readonly Granted[], room: Room, now: number): ReadonlyMap<Granted, Outgoing> {
    const { endpointNow, isGiven } = this.#parts;
    const sent = new Map(
      granted.map((each) => [
        each,
        new Outgoing(each.places, this.#deliveries, now, endpointNow(now), isGiven),
      ]),
    );
    const byHost = new Map([...sent].map(([{ host }, outgoing]) => [host.name, outgoing]));
    const names = new HostNames();
    const again = this.#again(now);
    for (let start = 0; start < again.length && hasPlaces(byHost); start += DELIVERIES_BITE)
      for (const delivery of this.#deliveries.find(again.slice(start, start + DELIVERIES_BITE)).values()) {
        const outgoing = byHost.get(names.of(delivery.endpoint));
        if (outgoing !== undefined && outgoing.places > 0) outgoing.take(delivery);
      }
    for (const lane of ['first', 'others'] as const) this.#fillLane(lane, byHost, names, room, now);
    const ended = [...sent.values()].reduce((sum, outgoing) => sum + outgoing.ended, 0);
    if (ended > 0) this.#parts.countEnded(ended);
    return sent;
  }

  #fillLane(
    lane: keyof Room,
    byHost: ReadonlyMap<string, Outgoing>,
    names: HostNames,
    room: Room,
    now: number,
  ): void {
    const places = [...byHost.values()].reduce((sum, outgoing) => sum + outgoing.places, 0);
    const enough = Math.min(places, room[lane]);
    if (enough <= 0) return;
    let left = DISPATCH_MAX_PER_ALARM;
    for (const { event_id, endpoint } of this.#deliveries.due.first(now, lane === 'first', enough)) {
      const outgoing = byHost.get(names.of(endpoint));
      if (outgoing === undefined || outgoing.places <= 0) continue;
      const delivery = this.#deliveries.find([event_id]).get(event_id);
      if (delivery !== undefined && outgoing.take(delivery)) room[lane]--;
      if (room[lane] <= 0 || --left <= 0 || !hasPlaces(byHost)) return;
    }
  }
}

/** Hosts that gave too few places, and when to ask again. They do not hold up deliveries for others. In memory: a store that wakes asks. */
class WaitingHosts {
  /** By name: until when, ms. */
  readonly #hosts = new Map<string, number>();

  add(name: string, until: number): void {
    const [first] = this.#hosts.keys();
    if (this.#hosts.size >= WAITING_HOSTS_MAX && first !== undefined) this.#hosts.delete(first);
    this.#hosts.set(name, until);
  }

  /** A host that waits is asked at this time (ms) at the latest. */
  bringForward(name: string, until: number): void {
    const known = this.#hosts.get(name);
    if (known !== undefined && known > until) this.#hosts.set(name, until);
  }

  has(name: string): boolean {
    return this.#hosts.has(name);
  }

  get isEmpty(): boolean {
    return this.#hosts.size === 0;
  }

  /** When the first of them is asked again, ms; without any, never. */
  until(): number {
    return Math.min(...this.#hosts.values());
  }

  /** Those whose time has come wait no more. */
  forget(now: number): void {
    for (const [name, until] of this.#hosts) if (until <= now) this.#hosts.delete(name);
  }

  clear(): void {
    this.#hosts.clear();
  }
}

/** The hosts of the endpoints of one look: a thousand deliveries have few endpoints, and a URL takes long to read. */
class HostNames {
  readonly #byEndpoint = new Map<string, string>();

  of(endpoint: string): string {
    const known = this.#byEndpoint.get(endpoint);
    if (known !== undefined) return known;
    const host = hostOf(endpoint);
    this.#byEndpoint.set(endpoint, host);
    return host;
  }
}

/** The deliveries that one alarm dispatches to one host: each is written with its lease, then its id goes out with its token. */
class Outgoing {
  readonly idsByToken = new Map<string, string[]>();
  /** Places at the host that no delivery has yet. */
  places: number;
  /** Deliveries that were due and have failed: they had been held, or had lapsed, to their end. */
  ended = 0;
  readonly #granted: number;
  readonly #deliveries: Rows;
  readonly #now: number;
  readonly #endpoint: EndpointNow;
  readonly #isGiven: (proof: number) => boolean;
  readonly #freshToken: string;

  constructor(
    places: number,
    deliveries: Rows,
    now: number,
    endpoint: EndpointNow,
    isGiven: (proof: number) => boolean,
  ) {
    this.places = places;
    this.#granted = places;
    this.#isGiven = isGiven;
    this.#deliveries = deliveries;
    this.#now = now;
    this.#endpoint = endpoint;
    this.#freshToken = newLeaseToken(now, crypto.getRandomValues(new Uint8Array(16)));
  }

  /** Takes a due delivery. @returns whether it goes out; else it is held, or becomes a failure */
  take(delivery: Delivery): boolean {
    const isProven = delivery.proof === null || this.#isGiven(delivery.proof);
    const next = dispatchOrHold(delivery, this.#freshToken, this.#now, this.#endpoint, isProven);
    if (next === undefined) {
      // An attempt may be under way, so it keeps its time, whatever made it due here.
      const againAt = Math.max(sendAgainAt(delivery) ?? 0, this.#now + DRAIN_STEP_MS);
      this.#deliveries.due.dispatched.postpone([delivery.eventId], againAt);
      return false;
    }
    this.#write(delivery, next);
    if (next.state === 'failure' && this.#endpoint.enabled) this.ended++;
    if (next.leaseToken === null) return false;
    this.places--;
    const sharing = this.idsByToken.get(next.leaseToken);
    if (sharing === undefined) this.idsByToken.set(next.leaseToken, [next.eventId]);
    else sharing.push(next.eventId);
    return true;
  }

  /** The queue refused all of them: they need no place before they are sent again. */
  takeBack(): void {
    this.idsByToken.clear();
    this.places = this.#granted;
  }

  #write(before: Delivery, next: Delivery): void {
    const { hold, proof, dueAt } = before;
    const isLeasedOnly = next.hold === hold && next.proof === proof && next.dueAt === dueAt;
    if (next.leaseToken !== null && isLeasedOnly) this.#deliveries.due.lease(next);
    else this.#deliveries.put(next);
  }
}

function hasPlaces(byHost: ReadonlyMap<string, Outgoing>): boolean {
  return [...byHost.values()].some(({ places }) => places > 0);
}

function messagesOf(
  { customerId, subscriptionId }: SubscriptionRef,
  idsByToken: ReadonlyMap<string, string[]>,
  isUnhealthy: boolean,
  places: Dispatch['places'],
) {
  const mark = isUnhealthy ? { unhealthy: true as const } : {};
  return [...idsByToken].flatMap(([token, eventIds]) =>
    packDispatch({ customerId, subscriptionId, token, eventIds, ...mark, places }),
  );
}
