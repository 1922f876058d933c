/** The event store of a new subscription: created by the call that creates the subscription, and not needed for it. */
import { createExecutionContext, runInDurableObject, waitOnExecutionContext } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { createApp } from '../../src/http/app.ts';
import { createAddressCheck } from '../../src/outbound/address-check.ts';
import { eventStoreStub } from '../support/event-store.ts';
import { environmentWith, resolverOf } from '../support/requests.ts';
import { anEvent, BASE_URL, consumeBatch, newAddress, newCustomer, TestListener } from '../support/world.ts';

/** Creates a subscription, and waits for what goes on after the answer. */
async function create(environment: typeof env) {
  const customer = await newCustomer();
  const listener = new TestListener();
  const ctx = createExecutionContext();
  const request = new Request(`${BASE_URL}/${customer.id}/webhooks/subscriptions`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${customer.token}`,
      'content-type': 'application/json',
      'cf-connecting-ip': newAddress(),
    },
    body: JSON.stringify({ title: 'new', endpoint: listener.endpoint, events: ['entityCreated'] }),
  });
  const response = await createApp(createAddressCheck(resolverOf({}))).fetch(request, environment, ctx);
  await waitOnExecutionContext(ctx);
  const { id } = (await response.json()) as { id: string };
  return { status: response.status, id, customer, listener };
}

/** The row of a store that says whose it is. */
const ownerOf = (id: string) =>
  runInDurableObject(eventStoreStub(id), (_, state) =>
    state.storage.sql.exec('SELECT customer_id, version, enabled FROM store').toArray(),
  );

describe('a new subscription', () => {
  it('the call that creates a subscription creates its event store', async () => {
    const { status, id, customer } = await create(env);
    expect(status).toBe(201);
    expect(await ownerOf(id)).toEqual([{ customer_id: customer.id, version: 1, enabled: 1 }]);
  });

  it('a subscription is created while its event store is away, and the first event creates the store', async () => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => undefined);
    onTestFinished(() => warn.mockRestore());
    const away = async () => {
      throw Object.assign(new Error('the object is away'), { overloaded: true });
    };
    const EVENT_STORE = { idFromName: () => 'id', get: () => ({ adopt: away }) };
    const { status, id, customer, listener } = await create(
      environmentWith({ EVENT_STORE: EVENT_STORE as unknown as typeof env.EVENT_STORE }) as typeof env,
    );
    expect(status).toBe(201);
    expect(warn.mock.calls.map(([line]) => JSON.parse(String(line)))).toEqual([
      {
        level: 'warn',
        event: 'event store not created',
        customerId: customer.id,
        subscriptionId: id,
        error: expect.stringContaining('the object is away'),
      },
    ]);
    await consumeBatch('events', [{ body: { ...anEvent(), customerId: customer.id } }]);
    expect(await listener.calls()).toHaveLength(1);
    expect(await ownerOf(id)).toHaveLength(1);
  });
});
