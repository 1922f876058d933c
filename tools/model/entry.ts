/**
 * Where the model calls src: what index.ts wires for the platform. A change of `consume` or of the object's constructor is
 * followed here.
 */
import type { Env } from '../../src/env.ts';
import { EventStore } from '../../src/event-store/event-store.ts';
import { consume } from '../../src/queue/consumer.ts';
import { createServices, type Services } from '../../src/services.ts';
import { currentInvocation } from './invocation.ts';
import { CPU } from './platform.ts';
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

export function createObject(
  state: unknown,
  env: unknown,
): Record<string, (...values: unknown[]) => unknown> {
  return new EventStore(state as never, env as Env) as never;
}

/** Keys need no opening, and a signature costs processor time of the model only. */
function withSignature(services: Services): Services {
  return {
    ...services,
    signer: { ...services.signer, open: async () => undefined },
    delivery: { ...services.delivery, sign: signed },
  };
}

const HEADER = 'eyJhbGciOiJSUzI1NiJ9'.padEnd(330, 'x');
const SIGNATURE = 'y'.repeat(342);
/** Characters of a payload beside the event's own, and what base64 adds. */
const PAYLOAD_MIN = 500;
const sizes = new WeakMap<object, number>();

const signed: Sign = async (event) => {
  const invocation = currentInvocation();
  invocation?.work(CPU.sign);
  if (invocation?.isAlive === false) return await new Promise(() => undefined);
  let size = sizes.get(event);
  if (size === undefined) {
    size = Math.ceil((JSON.stringify(event).length * 4) / 3);
    sizes.set(event, size);
  }
  const set = `${HEADER}.${event.id}${'z'.repeat(PAYLOAD_MIN + size - 36)}.${SIGNATURE}`;
  invocation?.hold(set.length);
  return set;
};
