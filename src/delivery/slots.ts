/**
 * The connection slots of one invocation. The platform lets six requests wait for an answer at once; here they are shared
 * fairly: two for one subscription at most, and four for all unhealthy endpoints together (contract 10.4).
 */
import pLimit, { type LimitFunction } from 'p-limit';
import { FETCHES_PER_INVOCATION, FETCHES_PER_SUBSCRIPTION, FETCHES_UNHEALTHY } from './tuning.ts';

export class Slots {
  readonly #all: LimitFunction = pLimit(FETCHES_PER_INVOCATION);
  readonly #unhealthy: LimitFunction = pLimit(FETCHES_UNHEALTHY);
  readonly #bySubscription = new Map<string, LimitFunction>();

  /** Runs a task once a slot is free for its subscription, and for its lane. */
  run<Answer>(subscriptionId: string, isUnhealthy: boolean, task: () => Promise<Answer>): Promise<Answer> {
    let own = this.#bySubscription.get(subscriptionId);
    if (own === undefined) {
      own = pLimit(FETCHES_PER_SUBSCRIPTION);
      this.#bySubscription.set(subscriptionId, own);
    }
    return isUnhealthy ? own(() => this.#unhealthy(() => this.#all(task))) : own(() => this.#all(task));
  }
}
