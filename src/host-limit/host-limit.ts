/**
 * # HostLimit: the Durable Object of one host, for one customer
 *
 * It bounds how many requests of the customer are on their way to the host at once, whatever the number of subscriptions, invocations and
 * queues. Everything is in memory: an object that was evicted begins again with the first places, and a visit costs a request
 * and no row. Nothing of correctness rests on it.
 */
import { DurableObject } from 'cloudflare:workers';
import type { Env } from '../env.ts';
import { Places } from './places.ts';
import type { Visit } from './rpc.ts';

export class HostLimit extends DurableObject<Env> {
  readonly #places = new Places(Math.random);

  visit(visit: Visit) {
    return this.#places.visit(visit, Date.now());
  }
}
