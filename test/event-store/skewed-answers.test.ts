/**
 * Answers of event stores of an earlier version, as callers get them for some minutes of every deploy: what is newer than version 0.1.0 is
 * missing from each answer, and calls that are newer do not exist. A new member of an answer, or a new call, is added here.
 */
import { env } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import type { EventStoreRpc } from '../../src/event-store/rpc.ts';
import { environmentWith, newIsolate } from '../support/requests.ts';
import {
  anEvent,
  consumeBatch,
  newCustomer,
  newSubscription,
  type TestSubscription,
} from '../support/world.ts';

type Method = (...values: unknown[]) => Promise<unknown>;

/** Members of answers that version 0.1.0 does not have. */
const NEWER_MEMBERS = new Set([
  'unsigned',
  'storeTenths',
  'proof',
  'isUntested',
  'upTo',
  'because',
  'waitMs',
  'retries',
]);
const NEWER_CALLS = new Set<keyof EventStoreRpc>(['search', 'glance', 'previewRedelivery', 'figures']);
/** Calls that answered nothing then. */
const SILENT_CALLS = new Set<keyof EventStoreRpc>(['adopt']);

function asBefore(answer: unknown): unknown {
  if (Array.isArray(answer)) return answer.map(asBefore);
  if (typeof answer !== 'object' || answer === null) return answer;
  const members = Object.entries(answer).filter(([name]) => !NEWER_MEMBERS.has(name));
  return Object.fromEntries(members.map(([name, value]) => [name, asBefore(value)]));
}

function earlierStores(calls: string[]): typeof env.EVENT_STORE {
  const namespace = env.EVENT_STORE;
  const get = (id: DurableObjectId) =>
    new Proxy(namespace.get(id), {
      get(stub, key) {
        const name = String(key) as keyof EventStoreRpc;
        return async (...values: unknown[]) => {
          calls.push(name);
          if (NEWER_CALLS.has(name)) {
            throw new TypeError(`The RPC receiver does not implement the method "${name}".`);
          }
          const answer = await (stub as unknown as Record<string, Method>)[name]?.(...values);
          return SILENT_CALLS.has(name) ? undefined : asBefore(answer);
        };
      },
    });
  return { idFromName: (name: string) => namespace.idFromName(name), get } as unknown as typeof namespace;
}

async function skewed() {
  const calls: string[] = [];
  const environment = environmentWith({ EVENT_STORE: earlierStores(calls) });
  const subscription = await newSubscription(await newCustomer());
  const isolate = newIsolate(environment);
  const path = `/${subscription.customer.id}/webhooks/subscriptions/${subscription.id}`;
  const { token } = subscription.customer;
  return {
    subscription,
    calls,
    environment,
    ask: (method: string, rest = '', body?: unknown) =>
      isolate(method, `${path}${rest}`, { token, ...(body === undefined ? {} : { body }) }),
  };
}

const messageOf = ({ customer }: TestSubscription) => ({
  body: { ...anEvent(), customerId: customer.id },
});

describe('an event store of an earlier version', () => {
  it('a consumer delivers events whose store answers as version 0.1.0 did', async () => {
    const { subscription, environment } = await skewed();
    const { acked } = await consumeBatch('events', [messageOf(subscription)], environment as typeof env);
    expect(acked).toHaveLength(1);
    expect(await subscription.events()).toMatchObject([{ state: 'success' }]);
  });

  it('a consumer signs what a store holds that does not say that it takes events unsigned', async () => {
    const { subscription, environment } = await skewed();
    await subscription.listener.script(...Array.from({ length: 5 }, () => ({ status: 503 })));
    for (let nth = 0; nth < 6; nth++) {
      await consumeBatch('events', [messageOf(subscription)], environment as typeof env);
    }
    const held = (await subscription.events()).filter(({ state }) => state === 'awaiting-executing');
    expect(held).toHaveLength(1);
    expect(held[0].request.payload.split('.')[2]).not.toBe('');
  });

  it('a PATCH asks for the health when the answer to the change does not have it', async () => {
    const { calls, ask } = await skewed();
    const { status, body } = await ask('PATCH', '', { enabled: false });
    expect([status, body.enabled, body.health.state]).toEqual([200, false, 'healthy']);
    expect(calls).toEqual(['adopt', 'health']);
  });

  it('a list and a summary are answered, and a search is a 503 that says when to repeat it', async () => {
    const { subscription, environment, ask } = await skewed();
    await consumeBatch('events', [messageOf(subscription)], environment as typeof env);
    expect((await ask('GET', '/events')).body).toMatchObject({ total: 1 });
    expect((await ask('GET', '/summary')).body).toMatchObject({ succeeded: 1 });
    const search = await ask('GET', '/events?order=desc');
    expect([search.status, search.headers.has('retry-after')]).toEqual([503, true]);
  });
});
