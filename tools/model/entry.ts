/**
 * Where the model calls src: what index.ts wires for the platform. A change of `consume` or of the object's constructor is
 * followed here.
 */

import { compiledFilters } from '../../src/delivery/filters.ts';
import { eventsClaim, setHeader, setPayload, signingInput } from '../../src/domain/security-event-token.ts';
import type { Env } from '../../src/env.ts';
import { EventStore } from '../../src/event-store/event-store.ts';
import { HostLimit } from '../../src/host-limit/host-limit.ts';
import { consume } from '../../src/queue/consumer.ts';
import { createServices, type Services } from '../../src/services.ts';
import { currentInvocation } from './invocation.ts';
import { CPU, STEPS_PER_MS } from './platform.ts';
import type { Handler } from './queue.ts';

type Sign = Services['delivery']['sign'];

/** Every host is public: the model has no name service. */
const checkAddress = async () => ({ kind: 'public' }) as const;

/** Handles the batches of all queues. */
export function createHandler(env: unknown): Handler {
  return async (batch, context) => {
    const create = () => withSignature(createServices(env as Env, checkAddress));
    await consume(batch as unknown as Parameters<typeof consume>[0], create, (work) =>
      context.waitUntil(work),
    );
  };
}

/** An evaluation of a filter costs the steps that it takes at worst, whatever the filter of the scenario says. */
const { prepare } = compiledFilters;
compiledFilters.prepare = async (...values: Parameters<typeof prepare>) => {
  const passes = await prepare.apply(compiledFilters, values);
  return (subscription, claim) => {
    currentInvocation()?.work((subscription.filterSteps ?? 0) / STEPS_PER_MS);
    return passes(subscription, claim);
  };
};

export function createObject(
  state: unknown,
  env: unknown,
): Record<string, (...values: unknown[]) => unknown> {
  return new EventStore(state as never, env as Env) as never;
}

/** The limit of a host: an object without storage. */
export function createHostLimit(
  state: unknown,
  env: unknown,
): Record<string, (...values: unknown[]) => unknown> {
  type Made = new (state: unknown, env: unknown) => Record<string, (...values: unknown[]) => unknown>;
  return new (HostLimit as unknown as Made)(state, env);
}

/** Keys need no opening, and a signature costs processor time of the model only. */
function withSignature(services: Services): Services {
  const { baseUrl, captureDomain } = services.config;
  const sign: Sign = async (event, subscription, kid) => {
    const invocation = currentInvocation();
    invocation?.work(CPU.sign);
    if (invocation?.isAlive === false) return await new Promise(() => undefined);
    const header = JSON.stringify(setHeader(baseUrl, event.customerId, kid));
    const payload = setPayload(baseUrl, {
      customerId: event.customerId,
      subscriptionId: subscription.id,
      eventId: event.id,
      endpoint: subscription.endpoint,
      acceptedAt: event.acceptedAt,
      occurredAt: event.occurredAt,
      events: eventsClaim(event, captureDomain),
    });
    const set = `${signingInput({ header, payload })}.${event.id.padEnd(SIGNATURE_CHARACTERS, '_')}`;
    invocation?.hold(set.length);
    return set;
  };
  const signStored = async (set: string) => {
    const invocation = currentInvocation();
    invocation?.work(CPU.sign);
    const { events } = JSON.parse(atob(set.split('.')[1] ?? '')) as {
      events: Record<string, { id: string }>;
    };
    return `${set}${(Object.values(events)[0]?.id ?? '').padEnd(SIGNATURE_CHARACTERS, '_')}`;
  };
  return {
    ...services,
    signer: { ...services.signer, open: async () => undefined },
    delivery: { ...services.delivery, sign, signStored },
  };
}

/** An RS256 signature in base64url. */
const SIGNATURE_CHARACTERS = 342;

/** The event of a SET of the model: its id is in the place of the signature. */
export function eventIdOf(set: string): string {
  const at = set.lastIndexOf('.') + 1;
  return set.slice(at, at + 36);
}
