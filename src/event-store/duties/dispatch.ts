/**
 * Dispatch: due deliveries go to a queue, as ids and a lease token: to `webhook-unhealthy` if their endpoint is not healthy, else
 * to `webhook-deliveries`. A consumer makes the attempts.
 *
 * The lease is written first. If the queue refuses the send, these deliveries are due again after a wait that grows; others
 * keep their times. If the object dies in between, they are due again when the lease lapses. Of an endpoint that is not healthy only a few deliveries are on
 * their way at once.
 */
import { type Delivery, dispatchOrHold, type EndpointNow } from '../../domain/delivery.ts';
import type { SubscriptionRef } from '../../domain/subscription.ts';
import { logError } from '../../log.ts';
import { type Dispatch, packDispatch } from '../../outbound/queues.ts';
import type { Duty } from '../alarm.ts';
import type { Rows } from '../deliveries/rows.ts';
import {
  DELIVERIES_BITE,
  DISPATCH_MAX_PER_ALARM,
  DRAIN_STEP_MS,
  DUTY_PAUSE_MS,
  SEND_BACKOFF_FIRST_MS,
  SEND_BACKOFF_MAX_MS,
  UNHEALTHY_UNDER_WAY_MAX,
} from '../tuning.ts';

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

  /**
   * @param send sends dispatches to the queue of their lane
   * @param ref the newest version of the subscription; `undefined` before the first call that brings one
   * @param isGiven whether a proof was given (contract 10.8)
   */
  constructor(
    deliveries: Rows,
    send: (dispatches: readonly Dispatch[]) => Promise<void>,
    ref: () => SubscriptionRef | undefined,
    endpointNow: (now: number) => EndpointNow,
    isGiven: (proof: number) => boolean,
  ) {
    this.#isGiven = isGiven;
    this.#deliveries = deliveries;
    this.#send = send;
    this.#ref = ref;
    this.#endpointNow = endpointNow;
  }

  dueAt(): number | undefined {
    const due = this.#deliveries.earliestDue();
    return due === undefined ? undefined : Math.max(due, this.#nextAt);
  }

  async work(now: number): Promise<void> {
    const ref = this.#ref();
    if (ref === undefined) return;
    const endpoint = this.#endpointNow(now);
    const isUnhealthy = endpoint.state !== 'healthy';
    const outgoing = new Outgoing(this.#deliveries, now, endpoint, this.#isGiven);
    let room = DISPATCH_MAX_PER_ALARM;
    if (isUnhealthy) {
      // Tests and redeliveries go first, up to twice the window: they must not wait for all others (contract 10.4).
      const most = 2 * UNHEALTHY_UNDER_WAY_MAX;
      const first = Math.min(most - this.#deliveries.underWay(now, most), DELIVERIES_BITE);
      if (first > 0) outgoing.take(this.#deliveries.due(now, first, true));
      room = UNHEALTHY_UNDER_WAY_MAX - this.#deliveries.underWay(now, UNHEALTHY_UNDER_WAY_MAX);
    }
    room -= this.#fill(outgoing, now, room);
    if (room <= 0 && isUnhealthy) this.#nextAt = now + DRAIN_STEP_MS;
    const messages = messagesOf(ref, outgoing.idsByToken, isUnhealthy);
    if (messages.length === 0) return;
    try {
      await this.#send(messages);
      this.#refusals = 0;
    } catch (error) {
      this.#postpone([...outgoing.idsByToken.values()].flat());
      logError('duty failed', error, {
        customerId: ref.customerId,
        subscriptionId: ref.subscriptionId,
        duty: this.name,
      });
    }
  }

  /** Takes due deliveries while there is room. @returns how many go out */
  #fill(outgoing: Outgoing, now: number, room: number): number {
    let sent = 0;
    for (let looked = 0; sent < room && looked < DISPATCH_MAX_PER_ALARM; ) {
      const limit = Math.min(room - sent, DELIVERIES_BITE);
      const due = this.#deliveries.due(now, limit);
      sent += outgoing.take(due);
      looked += due.length;
      if (due.length < limit) break;
    }
    return sent;
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
) {
  const mark = isUnhealthy ? { unhealthy: true as const } : {};
  return [...idsByToken].flatMap(([token, eventIds]) =>
    packDispatch({ customerId, subscriptionId, token, eventIds, ...mark }),
  );
}
