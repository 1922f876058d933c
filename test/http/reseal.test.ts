import { createExecutionContext } from 'cloudflare:test';
import { env, exports } from 'cloudflare:workers';
import { createRemoteJWKSet, customFetch, jwtVerify } from 'jose';
import { afterEach, describe, expect, it } from 'vitest';
import worker from '../../src/index.ts';
import { until } from '../support/until.ts';
import {
  anEvent,
  asOperator,
  BASE_URL,
  consumeBatch,
  newCustomer,
  newSubscription,
  OPERATOR_TOKEN,
  type TestSubscription,
} from '../support/world.ts';

const OLD = env.KEY_ENCRYPTION_KEY ?? '';
const NEW = btoa(String.fromCharCode(...new Uint8Array(32).fill(77)));

/** The two configurations that replace the key: first both keys, then the new one alone. */
const both = { ...env, KEY_ENCRYPTION_KEY: NEW, KEY_ENCRYPTION_KEY_PREVIOUS: OLD };
const onlyNew = { ...env, KEY_ENCRYPTION_KEY: NEW };

interface Progress {
  total: number;
  resealed: number;
  remaining: number;
  unreadable: number;
}

async function reseal(environment: typeof env): Promise<Progress> {
  const request = new Request(`${BASE_URL}/operator/signing-keys/reseal`, {
    method: 'POST',
    headers: { authorization: `Bearer ${OPERATOR_TOKEN}` },
  });
  const response = await worker.fetch(
    request as Parameters<typeof worker.fetch>[0],
    environment,
    createExecutionContext(),
  );
  expect(response.status).toBe(200);
  return (await response.json()) as Progress;
}

/** Reseals until only keys that no key opens are left: other tests leave some in the shared database. */
async function resealAll(environment: typeof env): Promise<Progress> {
  for (let resealed = 0, calls = 0; calls < 20; calls++) {
    const progress = await reseal(environment);
    resealed += progress.resealed;
    if (progress.remaining === progress.unreadable) return { ...progress, resealed };
  }
  throw new Error('the reseal does not end');
}

// A reseal changes the keys of all customers: seal them again under the key that the other tests use.
afterEach(async () => {
  await resealAll({ ...env, KEY_ENCRYPTION_KEY_PREVIOUS: NEW });
});

async function deliver(subscription: TestSubscription, environment: typeof env) {
  const event = { ...anEvent(), customerId: subscription.customer.id };
  return await consumeBatch('events', [{ body: event }], environment);
}

async function verify(subscription: TestSubscription): Promise<void> {
  const [call] = await until(async () => {
    const calls = await subscription.listener.calls();
    return calls.length > 0 && calls;
  }, 'the delivery');
  const { id } = subscription.customer;
  const jwks = createRemoteJWKSet(new URL(`${BASE_URL}/${id}/login/jwk`), {
    [customFetch]: (url, init) => exports.default.fetch(url, init as RequestInit),
  });
  await jwtVerify(call?.body ?? '', jwks, { issuer: `${BASE_URL}/${id}/webhooks` });
}

describe('replacing KEY_ENCRYPTION_KEY', () => {
  it('replacing KEY_ENCRYPTION_KEY by way of a reseal loses no delivery and no signature', async () => {
    // Each customer has keys that this isolate has never opened.
    const [before, during, after, byEdDsa] = await Promise.all(
      (['RS256', 'RS256', 'RS256', 'EdDSA'] as const).map(
        async (algorithm) => await newSubscription(await newCustomer('*:webhooks/**', algorithm)),
      ),
    );
    if (!before || !during || !after || !byEdDsa) throw new Error('four were made');
    expect((await deliver(before, env)).acked).toHaveLength(1);
    expect((await deliver(during, both)).acked).toHaveLength(1);
    const progress = await resealAll(both);
    expect(progress.resealed).toBeGreaterThanOrEqual(14);
    expect(progress.total).toBeGreaterThanOrEqual(progress.resealed);
    expect((await deliver(after, onlyNew)).acked).toHaveLength(1);
    expect((await deliver(byEdDsa, onlyNew)).acked).toHaveLength(1);
    for (const subscription of [before, during, after, byEdDsa]) await verify(subscription);
  });

  it('messages wait in the queue if the old encryption key is removed before the reseal', async () => {
    const subscription = await newSubscription(await newCustomer());
    const early = await deliver(subscription, onlyNew);
    expect(early.acked).toHaveLength(0);
    expect(early.retried).toHaveLength(1);
    expect((await deliver(subscription, both)).acked).toHaveLength(1);
  });

  it('a second reseal changes nothing', async () => {
    await newCustomer();
    const { unreadable } = await resealAll(both);
    const rows = async () =>
      (await env.DB.prepare('SELECT kid, sealed_private_key FROM signing_keys ORDER BY kid').all()).results;
    const sealed = await rows();
    expect(await reseal(both)).toMatchObject({ resealed: 0, remaining: unreadable });
    expect(await rows()).toEqual(sealed);
  });

  it('a reseal counts the keys that it cannot open and goes on with the others', async () => {
    const customer = await newCustomer();
    const other = await newCustomer();
    const { unreadable } = await resealAll(env);
    await env.DB.prepare(
      "UPDATE signing_keys SET sealed_private_key = 'x' || sealed_private_key WHERE customer_id = ?",
    )
      .bind(customer.id)
      .run();
    const progress = await resealAll(both);
    await env.DB.prepare('DELETE FROM signing_keys WHERE customer_id = ?').bind(customer.id).run();
    expect(progress.unreadable).toBe(unreadable + 3);
    expect((await deliver(await newSubscription(other), onlyNew)).acked).toHaveLength(1);
  });

  it('only the operator may reseal the keys', async () => {
    expect((await asOperator('POST', '/signing-keys/reseal')).status).toBe(200);
    const customer = await newCustomer();
    const answer = await exports.default.fetch(`${BASE_URL}/operator/signing-keys/reseal`, {
      method: 'POST',
      headers: { authorization: `Bearer ${customer.token}` },
    });
    expect(answer.status).toBe(403);
  });
});
