/**
 * Dispatch: due deliveries go to a queue, as ids and a lease token: to `webhook-unhealthy` if their endpoint is not healthy, else
 * to `webhook-deliveries`. A consumer makes the attempts.
 *
 * Before it dispatches, the store asks the limit of the host for places (contract 10.4), and dispatches as many deliveries as
 * it got. The consumer returns the places. What got none stays due; it is in no queue.
 *
 * The lease is written first. If the queue refuses the send, the store returns the places, and these deliveries are due again after a wait
 * that grows; others keep their times. If the object dies in between, they are due again when the lease lapses. Of an endpoint that is not healthy only a few deliveries are on
 * their way at once.
 */
import { dispatchOrHold, type EndpointNow } from '../../domain/delivery.ts';
import type { SubscriptionRef } from '../../domain/subscription.ts';
import { hostOf } from '../../host-limit/client.ts';
import type { HostLimitRpc } from '../../host-limit/rpc.ts';
import { logError } from '../../log.ts';
import { type Dispatch, packDispatch } from '../../outbound/queues.ts';
import type { Duty } from '../alarm.ts';
import type { Rows } from '../deliveries/rows.ts';
import {
  DELIVERIES_BITE,
  DISPATCH_MAX_HOSTS,
  DISPATCH_MAX_PER_ALARM,
  DRAIN_STEP_MS,
  DUTY_PAUSE_MS,
  SEND_BACKOFF_FIRST_MS,
  SEND_BACKOFF_MAX_MS,
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

/** The limits of hosts, for a dispatch. */
interface HostLimits {
  limit(customerId: string, host: string): HostLimitRpc;
  /** How long the places of a dispatch last that nobody returns, ms. */
  leaseMs(): number;
}

export class Dispatching implements Duty {
  readonly name = 'dispatch';
  readonly pauseMs = DUTY_PAUSE_MS;
  readonly #deliveries: Rows;
  readonly #send: (dispatches: readonly Dispatch[]) => Promise<void>;
  readonly #ref: () => SubscriptionRef | undefined;
  readonly #endpointNow: (now: number) => EndpointNow;
  readonly #isGiven: (proof: number) => boolean;
  /** How often in a row the queue refused a send. */
  #refusals = 0;
  /** Enough deliveries are on their way; the next ones wait until this time, ms. */
  #nextAt = 0;
  readonly #waiting = new WaitingHosts();
  readonly #hosts: HostLimits;

  /**
   * @param send sends dispatches to the queue of their lane
   * @param ref the newest version of the subscription; `undefined` before the first call that brings one
   * @param isGiven whether a proof was given (contract 10.8)
   * @param hosts the limits of hosts
   */
  constructor(
    deliveries: Rows,
    send: (dispatches: readonly Dispatch[]) => Promise<void>,
    ref: () => SubscriptionRef | undefined,
    endpointNow: (now: number) => EndpointNow,
    isGiven: (proof: number) => boolean,
    hosts: HostLimits,
  ) {
    this.#isGiven = isGiven;
    this.#deliveries = deliveries;
    this.#hosts = hosts;
    this.#send = send;
    this.#ref = ref;
    this.#endpointNow = endpointNow;
  }

  dueAt(): number | undefined {
    const due = this.#deliveries.earliestDue();
    const next = Math.min(due ?? Number.POSITIVE_INFINITY, this.#waiting.until());
    return next === Number.POSITIVE_INFINITY ? undefined : Math.max(next, this.#nextAt);
  }

  /** Somebody waits for a test or a redelivery: the host is asked for a place at once. */
  hurry(): void {
    this.#nextAt = 0;
    this.#waiting.clear();
    this.#deliveries.passOver(Number.NEGATIVE_INFINITY);
  }

  /** Whether the host of an endpoint gave too few places a moment ago. */
  waitsForHost(endpoint: string): boolean {
    return this.#waiting.has(hostOf(endpoint));
  }

  async work(asked: number): Promise<void> {
    const ref = this.#ref();
    if (ref === undefined) return;
    this.#waiting.forget(asked);
    this.#deliveries.passOver(Number.NEGATIVE_INFINITY);
    const hosts = this.#dueHosts(asked, this.#room(asked));
    // Calls that come while the hosts are asked need not ring again.
    this.#nextAt = asked + DRAIN_STEP_MS;
    const granted = await Promise.all(hosts.map((host) => this.#ask(ref, host)));
    const now = Date.now();
    const endpoint = this.#endpointNow(now);
    const isUnhealthy = endpoint.state !== 'healthy';
    const room = this.#room(now);
    this.#nextAt = now;
    for (const { host, waitMs } of granted) if (waitMs > 0) this.#waiting.add(host.name, now + waitMs);
    const outgoing = new Map(
      granted.map(({ host, places }) => [
        host.name,
        new Outgoing(places, this.#deliveries, now, endpoint, this.#isGiven),
      ]),
    );
    this.#fill(outgoing, room, now);
    if (room.others <= 0 && isUnhealthy) this.#nextAt = now + DRAIN_STEP_MS;
    else if (room.others > 0 && this.#dueHosts(now, room).length === 0) {
      this.#deliveries.passOver(now);
      // A look reads what waits. While anything does, new deliveries do not make it look each time.
      if (!this.#waiting.isEmpty) this.#nextAt = now + DRAIN_STEP_MS;
    }
    const messages = granted.flatMap(({ host, id }) => {
      const ids = outgoing.get(host.name)?.idsByToken ?? new Map<string, string[]>();
      return messagesOf(ref, ids, isUnhealthy, { id, host: host.name });
    });
    const isSent = await this.#trySend(ref, messages);
    // What the queue did not take needs no place before it is due again.
    const unused = granted.map(async ({ host, id, places }) => {
      const left = isSent ? (outgoing.get(host.name)?.places ?? 0) : places;
      if (left > 0) await this.#visit(ref, host, id, 0, left);
    });
    await Promise.all(unused);
  }

  /** @returns whether the queue took the messages; if not, their deliveries are due again later */
  async #trySend(ref: SubscriptionRef, messages: readonly Dispatch[]): Promise<boolean> {
    if (messages.length === 0) return true;
    try {
      await this.#send(messages);
      this.#refusals = 0;
      return true;
    } catch (error) {
      this.#postpone(messages.flatMap(({ eventIds }) => eventIds));
      logError('duty failed', error, {
        customerId: ref.customerId,
        subscriptionId: ref.subscriptionId,
        duty: this.name,
      });
      return false;
    }
  }

  /** How many deliveries may be dispatched now. */
  #room(now: number): Room {
    if (this.#endpointNow(now).state === 'healthy') return { first: 0, others: DISPATCH_MAX_PER_ALARM };
    // Tests and redeliveries go first, up to twice the window: they must not wait for all others (contract 10.4).
    const most = 2 * UNHEALTHY_UNDER_WAY_MAX;
    return {
      first: Math.min(most - this.#deliveries.underWay(now, most), DELIVERIES_BITE),
      others: UNHEALTHY_UNDER_WAY_MAX - this.#deliveries.underWay(now, UNHEALTHY_UNDER_WAY_MAX),
    };
  }

  /** The hosts of what is due, without those that wait. An event keeps the endpoint with which it was stored, so there may be several. */
  #dueHosts(now: number, { first, others }: Room): DueHost[] {
    const hosts = new Map<string, DueHost>();
    for (const { name, want } of [...this.#look(now, true, first), ...this.#look(now, false, others)]) {
      const known = hosts.get(name);
      if (known !== undefined) known.want = Math.max(known.want, want);
      else if (hosts.size < DISPATCH_MAX_HOSTS) hosts.set(name, { name, want });
    }
    return [...hosts.values()];
  }

  /** The hosts of the first `count` that are due at hosts that do not wait, the host that waits longest first. */
  #look(now: number, neverHeld: boolean, count: number): DueHost[] {
    const hosts = new Map<string, DueHost>();
    if (count <= 0) return [];
    const names = new HostNames();
    let left = count;
    for (const { endpoint } of this.#deliveries.firstDue(now, neverHeld, count)) {
      const name = names.of(endpoint);
      if (this.#waiting.has(name)) continue;
      const host = hosts.get(name) ?? { name, want: 0 };
      host.want++;
      hosts.set(name, host);
      if (--left === 0) break;
    }
    return [...hosts.values()];
  }

  async #ask(ref: SubscriptionRef, host: DueHost) {
    const id = crypto.randomUUID();
    const { granted, waitMs } = await this.#visit(ref, host, id, host.want, 0);
    return { host, id, places: granted, waitMs };
  }

  async #visit({ customerId }: SubscriptionRef, { name }: DueHost, id: string, want: number, left: number) {
    const { limit, leaseMs } = this.#hosts;
    return await limit(customerId, name).visit({
      id,
      want,
      left,
      succeeded: 0,
      failedStarts: [],
      leaseMs: leaseMs(),
    });
  }

  /** Takes due deliveries while there is room, and places at their hosts. */
  #fill(outgoing: ReadonlyMap<string, Outgoing>, room: Room, now: number): void {
    const names = new HostNames();
    for (const lane of ['first', 'others'] as const) {
      const places = [...outgoing.values()].reduce((sum, host) => sum + host.places, 0);
      const enough = Math.min(places, room[lane]);
      if (enough <= 0) continue;
      let left = DISPATCH_MAX_PER_ALARM;
      for (const { event_id, endpoint } of this.#deliveries.firstDue(now, lane === 'first', enough)) {
        const host = outgoing.get(names.of(endpoint));
        if (host === undefined || host.places <= 0) continue;
        if (host.take(event_id)) room[lane]--;
        if (room[lane] <= 0 || --left <= 0 || ![...outgoing.values()].some(hasPlaces)) break;
      }
    }
  }

  /** The queue refused these: they are due again after a wait that grows. Other deliveries keep their times. */
  #postpone(eventIds: readonly string[]): void {
    const dueAt = Date.now() + Math.min(SEND_BACKOFF_FIRST_MS * 2 ** this.#refusals, SEND_BACKOFF_MAX_MS);
    this.#refusals = Math.min(this.#refusals + 1, 10);
    for (const eventId of eventIds) {
      const delivery = this.#deliveries.find([eventId]).get(eventId);
      // A delivery that moved on meanwhile keeps what it has.
      if (delivery?.leaseToken != null && delivery.dueAt !== null)
        this.#deliveries.put({ ...delivery, dueAt });
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
  readonly #deliveries: Rows;
  readonly #now: number;
  readonly #endpoint: EndpointNow;
  readonly #isGiven: (proof: number) => boolean;
  readonly #freshToken = crypto.randomUUID();

  constructor(
    places: number,
    deliveries: Rows,
    now: number,
    endpoint: EndpointNow,
    isGiven: (proof: number) => boolean,
  ) {
    this.places = places;
    this.#isGiven = isGiven;
    this.#deliveries = deliveries;
    this.#now = now;
    this.#endpoint = endpoint;
  }

  /** Takes a due delivery. @returns whether it goes out; else it is held, or becomes a failure */
  take(eventId: string): boolean {
    const delivery = this.#deliveries.find([eventId]).get(eventId);
    if (delivery === undefined) return false;
    const isProven = delivery.proof === null || this.#isGiven(delivery.proof);
    const next = dispatchOrHold(delivery, this.#freshToken, this.#now, this.#endpoint, isProven);
    if (next === undefined) return false;
    this.#deliveries.put(next);
    if (next.leaseToken === null) return false;
    this.places--;
    const sharing = this.idsByToken.get(next.leaseToken);
    if (sharing === undefined) this.idsByToken.set(next.leaseToken, [eventId]);
    else sharing.push(eventId);
    return true;
  }
}

function hasPlaces({ places }: Outgoing): boolean {
  return places > 0;
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
