/**
 * The connection slots of one invocation.
 *
 * The platform lets six connections of an invocation wait for an answer at once, sends to queues included; a seventh would wait
 * while its time limit runs. So a request begins only when it has one of five slots, and it keeps the slot until its answer is
 * there, however long that takes.
 *
 * The slots are shared fairly. Customers take turns, and so do the subscriptions of a customer. In a batch of several customers
 * each has three slots at most. A subscription has two at most while others wait, and one until its listener has answered
 * (contract 10.4).
 *
 * When three requests have had no answer for longer than usual (four in a batch of several customers), the invocation closes:
 * what still waits is better off in an invocation with free connections.
 */
import type { SubscriptionRef } from '../domain/subscription.ts';
import {
  CONNECTIONS_OVERDUE_MAX,
  CONNECTIONS_OVERDUE_SHARED_MAX,
  FETCHES_PER_CUSTOMER,
  FETCHES_PER_INVOCATION,
  FETCHES_PER_SUBSCRIPTION,
  FETCHES_UNPROVEN,
} from './tuning.ts';

/** The answer to the question for a slot. `undefined`: the caller gets none in this invocation. */
export type Slot = { release(): void };

type Names = Pick<SubscriptionRef, 'customerId' | 'subscriptionId'>;

/** The places that the invocation has at one host: a slot there needs one, too. */
interface SlotPlaces {
  readonly hasRoom: boolean;
  take(): void;
  giveBack(): void;
}

interface Waiter {
  resolve(slot: Slot | undefined): void;
  /** It stays when the others of its subscription are dismissed. */
  readonly staysInLine: boolean;
}

interface Line {
  readonly names: Names;
  waiting: Waiter[];
  inUse: number;
  isProven: boolean;
  /** Absent: nobody else sends requests of this customer to its host. */
  readonly places: SlotPlaces | undefined;
  /** When it got a slot last, counted in slots. */
  servedAt: number;
}

interface Customer {
  readonly lines: Map<string, Line>;
  servedAt: number;
  inUse: number;
}

export class Slots {
  readonly #mostPerCustomer: number;
  readonly #mostOverdue: number;
  #free = FETCHES_PER_INVOCATION;
  #overdue = 0;
  #isClosed = false;
  /** Customers who get no more slots. */
  readonly #closedFor = new Set<string>();
  readonly #overdueOf = new Map<string, number>();
  #served = 0;
  readonly #customers = new Map<string, Customer>();

  /** @param isShared whether the batch has messages of several customers */
  constructor(isShared: boolean) {
    this.#mostPerCustomer = isShared ? FETCHES_PER_CUSTOMER : FETCHES_PER_INVOCATION;
    this.#mostOverdue = isShared ? CONNECTIONS_OVERDUE_SHARED_MAX : CONNECTIONS_OVERDUE_MAX;
  }

  /**
   * Resolves when a slot is free for the subscription; with `undefined` when the invocation closes, or the subscription is
   * dismissed.
   * @param staysInLine it is not dismissed
   * @param places at its host
   */
  take(names: Names, isProven: boolean, staysInLine = false, places?: SlotPlaces): Promise<Slot | undefined> {
    if (this.#isClosed || this.#closedFor.has(names.customerId)) return Promise.resolve(undefined);
    const line = this.#line(names, places);
    line.isProven ||= isProven;
    return new Promise((resolve) => {
      line.waiting.push({ resolve, staysInLine });
      this.#serve();
    });
  }

  /** The listener of a subscription has answered. */
  proven({ customerId, subscriptionId }: Names): void {
    const line = this.#customers.get(customerId)?.lines.get(subscriptionId);
    if (line === undefined) return;
    line.isProven = true;
    this.#serve();
  }

  /**
   * A request is overdue. It keeps its slot. When all slots that its customer can have are overdue, the customer gets no more;
   * when too many are, nobody does.
   */
  overdue({ customerId }: Names): void {
    this.#overdue++;
    const own = (this.#overdueOf.get(customerId) ?? 0) + 1;
    this.#overdueOf.set(customerId, own);
    if (this.#overdue >= this.#mostOverdue) this.close();
    else if (own >= this.#mostPerCustomer) this.#closeFor(customerId);
  }

  /** An overdue request has ended. */
  answered({ customerId }: Names): void {
    this.#overdue--;
    this.#overdueOf.set(customerId, (this.#overdueOf.get(customerId) ?? 1) - 1);
  }

  /** All who wait for a slot for this subscription now get none. */
  dismiss({ customerId, subscriptionId }: Names): void {
    const line = this.#customers.get(customerId)?.lines.get(subscriptionId);
    if (line === undefined) return;
    const dismissed = line.waiting.filter(({ staysInLine }) => !staysInLine);
    line.waiting = line.waiting.filter(({ staysInLine }) => staysInLine);
    for (const { resolve } of dismissed) resolve(undefined);
  }

  /** The places of a host have changed. @param isSpent no request can start there any more: all who wait for it get none */
  placesChanged(places: SlotPlaces, isSpent: boolean): void {
    if (isSpent) {
      for (const { lines } of this.#customers.values()) {
        for (const line of lines.values()) {
          if (line.places !== places) continue;
          for (const { resolve } of line.waiting.splice(0)) resolve(undefined);
        }
      }
    }
    this.#serve();
  }

  /** Nobody gets a slot any more. */
  close(): void {
    this.#isClosed = true;
    for (const customerId of this.#customers.keys()) this.#closeFor(customerId);
  }

  #closeFor(customerId: string): void {
    this.#closedFor.add(customerId);
    for (const { waiting } of this.#customers.get(customerId)?.lines.values() ?? []) {
      for (const { resolve } of waiting.splice(0)) resolve(undefined);
    }
  }

  #line(names: Names, places: SlotPlaces | undefined): Line {
    const { customerId, subscriptionId } = names;
    const customer = this.#customers.get(customerId) ?? {
      lines: new Map<string, Line>(),
      servedAt: 0,
      inUse: 0,
    };
    this.#customers.set(customerId, customer);
    let line = customer.lines.get(subscriptionId);
    if (line === undefined) {
      line = { names, waiting: [], inUse: 0, isProven: false, places, servedAt: 0 };
      customer.lines.set(subscriptionId, line);
    }
    return line;
  }

  #serve(): void {
    while (this.#free > 0) {
      const line = this.#next(FETCHES_PER_SUBSCRIPTION) ?? this.#next(FETCHES_PER_INVOCATION);
      const waiter = line?.waiting.shift();
      if (line === undefined || waiter === undefined) return;
      this.#free--;
      line.inUse++;
      line.places?.take();
      line.servedAt = ++this.#served;
      const customer = this.#customers.get(line.names.customerId);
      if (customer !== undefined) {
        customer.servedAt = this.#served;
        customer.inUse++;
      }
      waiter.resolve({ release: () => this.#release(line) });
    }
  }

  #release(line: Line): void {
    this.#free++;
    line.inUse--;
    line.places?.giveBack();
    const customer = this.#customers.get(line.names.customerId);
    if (customer !== undefined) customer.inUse--;
    if (line.inUse === 0 && line.waiting.length === 0) this.#forget(line.names);
    this.#serve();
  }

  /** The line whose turn it is, among those that have fewer slots than this: the one that was served longest ago. */
  #next(most: number): Line | undefined {
    let next: Line | undefined;
    let since = Number.POSITIVE_INFINITY;
    for (const { lines, servedAt, inUse } of this.#customers.values()) {
      if (servedAt > since || inUse >= this.#mostPerCustomer) continue;
      for (const line of lines.values()) {
        const limit = line.isProven ? most : FETCHES_UNPROVEN;
        if (line.waiting.length === 0 || line.inUse >= limit || line.places?.hasRoom === false) continue;
        if (servedAt < since || next === undefined || line.servedAt < next.servedAt) next = line;
        since = servedAt;
      }
    }
    return next;
  }

  #forget({ customerId, subscriptionId }: Names): void {
    const customer = this.#customers.get(customerId);
    customer?.lines.delete(subscriptionId);
    if (customer?.lines.size === 0 && customer.inUse === 0) this.#customers.delete(customerId);
  }
}
