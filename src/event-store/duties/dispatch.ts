/**
 * Dispatch: due deliveries go to a queue, as ids and a lease token: to `webhook-unhealthy` if their endpoint is not healthy, else
 * to `webhook-deliveries`. A consumer makes the attempts.
 *
 * Before it dispatches, the store asks the limit of the host for places (contract 10.4), and dispatches as many deliveries as
 * it got. The consumer returns the places. What got none stays due; it is in no queue.
 *
 * The lease is written first. If the queue refuses the send, these deliveries are due again after a wait that grows, and the
 * duty pauses (alarm.ts): what else is due rings no alarm. A test or redelivery that somebody asks for is sent in spite of that. If the object dies in between, they are due again when the lease lapses. Of an endpoint that is not healthy only a few deliveries are on
 * their way at once.
 */
import { type Delivery, dispatchOrHold, type EndpointNow } from '../../domain/delivery.ts';
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
  DRAIN_STEP_MS,
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
  readonly endpoints: readonly string[];
  /** Deliveries that are due there. */
  readonly want: number;
}

/** The limits of hosts, for a dispatch. */
interface HostLimits {
  limit(customerId: string, host: string): HostLimitRpc;
  /** How long the places of a dispatch last that nobody returns, ms. */
  leaseMs(): number;
}

export class Dispatching implements Duty {
  readonly name = 'dispatch';
  readonly #deliveries: Rows;
  readonly #send: (dispatches: readonly Dispatch[]) => Promise<void>;
  readonly #ref: () => SubscriptionRef | undefined;
  readonly #endpointNow: (now: number) => EndpointNow;
  readonly #isGiven: (proof: number) => boolean;
  /** How often in a row the queue refused a send. */
  #refusals = 0;
  /** Enough deliveries are on their way; the next ones wait until this time, ms. */
  #nextAt = 0;
  #isUrgent = false;
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

  get isUrgent(): boolean {
    return this.#isUrgent;
  }

  /** Somebody waits for a test or a redelivery: the host is asked for a place at once, and the queue too if it refused. */
  hurry(): void {
    this.#isUrgent = true;
    this.#nextAt = 0;
    this.#waiting.clear();
    this.#deliveries.passOver(Number.NEGATIVE_INFINITY);
  }

  async work(asked: number): Promise<void> {
    const ref = this.#ref();
    this.#isUrgent = false;
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
    for (const { host, waitMs } of granted) if (waitMs > 0) this.#waiting.add(host, now + waitMs);
    const messages: Dispatch[] = [];
    const sent: string[] = [];
    for (const { host, id, places } of granted) {
      const outgoing = new Outgoing(this.#deliveries, now, endpoint, this.#isGiven);
      const taken = this.#fill(outgoing, host.endpoints, room, places, now);
      if (places > taken) await this.#visit(ref, host, id, 0, places - taken);
      messages.push(...messagesOf(ref, outgoing.idsByToken, isUnhealthy, { id, host: host.name }));
      sent.push(...[...outgoing.idsByToken.values()].flat());
    }
    if (room.others <= 0 && isUnhealthy) this.#nextAt = now + DRAIN_STEP_MS;
    if (room.others > 0 && this.#dueHosts(now, room).length === 0) this.#deliveries.passOver(now);
    if (messages.length === 0) return;
    try {
      await this.#send(messages);
      this.#refusals = 0;
    } catch (error) {
      this.#postpone(sent);
      throw error;
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
    const wants = new Map<string, number>();
    const note = (counts: Map<string, number>) => {
      for (const [endpoint, n] of counts) wants.set(endpoint, Math.max(wants.get(endpoint) ?? 0, n));
    };
    const except = this.#waiting.endpoints();
    if (first > 0) note(this.#deliveries.dueByEndpoint(now, first, true, except));
    if (others > 0) note(this.#deliveries.dueByEndpoint(now, others, false, except));
    const byHost = Map.groupBy(wants, ([endpoint]) => hostOf(endpoint));
    return [...byHost].slice(0, DISPATCH_MAX_HOSTS).map(([name, each]) => ({
      name,
      endpoints: each.map(([endpoint]) => endpoint),
      want: each.reduce((sum, [, n]) => sum + n, 0),
    }));
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
      failed: 0,
      leaseMs: leaseMs(),
    });
  }

  /** Takes due deliveries while there is room, and places at their host. @returns how many go out */
  #fill(outgoing: Outgoing, endpoints: readonly string[], room: Room, places: number, now: number): number {
    const first = Math.min(room.first, places);
    let sent = first <= 0 ? 0 : outgoing.take(this.#deliveries.due(now, first, true, endpoints));
    room.first -= sent;
    for (let looked = 0; sent < places && room.others > 0 && looked < DISPATCH_MAX_PER_ALARM; ) {
      const limit = Math.min(places - sent, room.others, DELIVERIES_BITE);
      const due = this.#deliveries.due(now, limit, false, endpoints);
      const taken = outgoing.take(due);
      sent += taken;
      room.others -= taken;
      looked += due.length;
      if (due.length < limit) break;
    }
    return sent;
  }

  /** The queue refused these: they are due again after a wait that grows. A test that ends the pause takes none of them along. */
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
  readonly #hosts = new Map<string, { readonly endpoints: readonly string[]; readonly until: number }>();

  add({ name, endpoints }: DueHost, until: number): void {
    const known = this.#hosts.get(name)?.endpoints ?? [];
    if (this.#hosts.size >= WAITING_HOSTS_MAX && known.length === 0) this.#hosts.clear();
    this.#hosts.set(name, {
      endpoints: [...new Set([...known, ...endpoints])].slice(-WAITING_HOSTS_MAX),
      until,
    });
  }

  /** When the first of them is asked again, ms; without any, never. */
  until(): number {
    return Math.min(...[...this.#hosts.values()].map(({ until }) => until));
  }

  endpoints(): string[] {
    return [...this.#hosts.values()].flatMap(({ endpoints }) => endpoints);
  }

  /** Those whose time has come wait no more. */
  forget(now: number): void {
    for (const [name, { until }] of this.#hosts) if (until <= now) this.#hosts.delete(name);
  }

  clear(): void {
    this.#hosts.clear();
  }
}

/** The deliveries that one alarm dispatches: each is written with its lease, then its id goes out with its token. */
class Outgoing {
  readonly idsByToken = new Map<string, string[]>();
  readonly #deliveries: Rows;
  readonly #now: number;
  readonly #endpoint: EndpointNow;
  readonly #isGiven: (proof: number) => boolean;
  readonly #freshToken = crypto.randomUUID();

  constructor(deliveries: Rows, now: number, endpoint: EndpointNow, isGiven: (proof: number) => boolean) {
    this.#isGiven = isGiven;
    this.#deliveries = deliveries;
    this.#now = now;
    this.#endpoint = endpoint;
  }

  /** @returns how many of them go out; the others are held, or become failures */
  take(due: readonly Delivery[]): number {
    let sent = 0;
    for (const delivery of due) {
      const isProven = delivery.proof === null || this.#isGiven(delivery.proof);
      const next = dispatchOrHold(delivery, this.#freshToken, this.#now, this.#endpoint, isProven);
      if (next === undefined) continue;
      this.#deliveries.put(next);
      if (next.leaseToken === null) continue;
      sent++;
      const sharing = this.idsByToken.get(next.leaseToken);
      if (sharing === undefined) this.idsByToken.set(next.leaseToken, [next.eventId]);
      else sharing.push(next.eventId);
    }
    return sent;
  }
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
