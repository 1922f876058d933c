import { env, exports } from 'cloudflare:workers';
import { createRemoteJWKSet, customFetch, jwtVerify } from 'jose';
import { describe, expect, it } from 'vitest';
import { holdClock } from '../support/clock.ts';
import { runCron } from '../support/cron.ts';
import { callIn } from '../support/requests.ts';
import { until } from '../support/until.ts';
import { anEvent, asOperator, BASE_URL, newCustomer, newSubscription } from '../support/world.ts';

const DAY_MS = 86_400_000;

async function kids(customerId: string): Promise<string[]> {
  // A new isolate, which remembers no key set.
  const { body } = await callIn(env, 'GET', `/${customerId}/login/jwk`);
  return body.keys.map(({ kid }: { kid: string }) => kid);
}

function rotate(customerId: string) {
  return asOperator('POST', `/customers/${customerId}/signing-keys/rotate`);
}

describe('rotation of signing keys', () => {
  it('a key rotation makes the next key current, keeps the old one published and adds a next one', async () => {
    const customer = await newCustomer();
    const [first, second, third] = await kids(customer.id);
    const answer = await rotate(customer.id);
    expect(answer.status).toBe(200);
    expect(answer.body.keys.map(({ kid }: { kid: string }) => kid)).toEqual([second, third, first]);
    expect(await kids(customer.id)).toEqual([second, third, first]);
    await rotate(customer.id);
    const after = await kids(customer.id);
    expect(after).toHaveLength(4);
    expect(after[0]).toBe(third);
    expect(after).toEqual(expect.arrayContaining([first ?? '', second ?? '']));
  });

  it('two key rotations at once leave exactly one current key', async () => {
    const customer = await newCustomer();
    const [, second] = await kids(customer.id);
    const answers = await Promise.all([rotate(customer.id), rotate(customer.id)]);
    expect(answers.map(({ status }) => status)).toEqual([200, 200]);
    const current = await env.DB.prepare(
      "SELECT count(*) AS n FROM signing_keys WHERE customer_id = ? AND role = 'current'",
    )
      .bind(customer.id)
      .first('n');
    expect(current).toBe(1);
    expect((await kids(customer.id)).length).toBeGreaterThanOrEqual(3);
    expect(await kids(customer.id)).toContain(second);
  });

  it("a listener's remote key set verifies tokens from before and after a rotation", async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer);
    const jwks = createRemoteJWKSet(new URL(`${BASE_URL}/${customer.id}/login/jwk`), {
      cooldownDuration: 0,
      [customFetch]: (url, init) => exports.default.fetch(url, init as RequestInit),
    });
    for (const round of [1, 2, 3]) {
      await customer.call('POST', '/events', anEvent());
      const calls = await until(async () => {
        const all = await subscription.listener.calls();
        return all.length === round && all;
      }, 'the notification');
      for (const { body } of calls) await jwtVerify(body, jwks);
      await rotate(customer.id);
    }
    const used = (await subscription.listener.calls()).map(
      ({ body }) => JSON.parse(atob(body.split('.')[0] ?? '')).kid,
    );
    expect(new Set(used).size).toBe(3);
  });

  it('a retired key stays published for 35 days and is then deleted', async () => {
    const clock = holdClock();
    const customer = await newCustomer();
    const [first = ''] = await kids(customer.id);
    await rotate(customer.id);
    clock.advance(1);
    await rotate(customer.id);
    clock.advance(35 * DAY_MS - 2);
    expect(await kids(customer.id)).toContain(first);
    clock.advance(1);
    expect(await kids(customer.id)).not.toContain(first);
    await runCron(env, clock.now());
    const left = await env.DB.prepare('SELECT count(*) AS n FROM signing_keys WHERE kid = ?')
      .bind(first)
      .first('n');
    expect(left).toBe(0);
  });

  it('the key before the current one stays published, so three keys are always shown', async () => {
    const clock = holdClock();
    const customer = await newCustomer();
    const [first = '', second = ''] = await kids(customer.id);
    await rotate(customer.id);
    clock.advance(DAY_MS);
    await rotate(customer.id);
    clock.advance(36 * DAY_MS);
    await runCron(env, clock.now());
    const left = await kids(customer.id);
    expect(left).toHaveLength(3);
    expect(left).toContain(second);
    expect(left).not.toContain(first);
  });

  it('the cron rotates a key that has signed for KEY_ROTATION_DAYS', async () => {
    const clock = holdClock();
    const customer = await newCustomer();
    const [first, second] = await kids(customer.id);
    await runCron({ ...env, KEY_ROTATION_DAYS: '30' }, clock.now() + 30 * DAY_MS - 1);
    expect((await kids(customer.id))[0]).toBe(first);
    // Other tests made customers too. A run rotates the keys of ten customers, the longest in use first.
    const query = "SELECT count(*) AS n FROM signing_keys WHERE role = 'current'";
    const runs = 1 + Number(await env.DB.prepare(query).first('n')) / 10;
    for (let run = 0; run < runs && (await kids(customer.id))[0] === first; run++) {
      await runCron({ ...env, KEY_ROTATION_DAYS: '30' }, clock.now() + 30 * DAY_MS);
    }
    expect((await kids(customer.id))[0]).toBe(second);
  });

  it('a key rotation for an unknown customer gets a 404', async () => {
    expect((await rotate(crypto.randomUUID())).status).toBe(404);
    expect((await rotate('nonsense')).status).toBe(404);
  });
});
