/** Which algorithm signs for a customer (contract 6.2, 6.3 and 10.2): the operator chooses, and no listener meets a token that it cannot verify. */
import { env } from 'cloudflare:workers';
import { createLocalJWKSet, decodeProtectedHeader, type JSONWebKeySet, jwtVerify } from 'jose';
import { describe, expect, it } from 'vitest';
import { auditEntries } from '../support/audit.ts';
import { type HeldClock, holdClock } from '../support/clock.ts';
import { runCron } from '../support/cron.ts';
import { callIn } from '../support/requests.ts';
import { until } from '../support/until.ts';
import {
  anEvent,
  asOperator,
  consumeBatch,
  newCustomer,
  newSubscription,
  type TestCustomer,
  type TestSubscription,
} from '../support/world.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

type Algorithm = 'RS256' | 'EdDSA';

function choose(customer: { readonly id: string }, signingAlgorithm: unknown) {
  return asOperator('PATCH', `/customers/${customer.id}`, { signingAlgorithm });
}

/** The key set as a listener gets it from an isolate that remembers none. */
async function keySet({ id }: { readonly id: string }): Promise<JSONWebKeySet> {
  return (await callIn(env, 'GET', `/${id}/login/jwk`)).body;
}

async function algorithmsOf(customer: { readonly id: string }): Promise<string[]> {
  return (await keySet(customer)).keys.map(({ alg }) => alg ?? '');
}

const kidsOf = ({ keys }: JSONWebKeySet, alg: Algorithm) =>
  keys.filter((key) => key.alg === alg).map(({ kid }) => kid ?? '');

/** Publishes an event and takes what its listener got. */
async function deliver(subscription: TestSubscription): Promise<string> {
  const before = (await subscription.listener.calls()).length;
  await consumeBatch('events', [{ body: { ...anEvent(), customerId: subscription.customer.id } }]);
  const calls = await subscription.listener.calls();
  expect(calls).toHaveLength(before + 1);
  return calls.at(-1)?.body ?? '';
}

const headerOf = (set: string) => decodeProtectedHeader(set) as { alg: Algorithm; kid: string };

/** A customer for whom EdDSA signs now. */
async function signingByEdDsa(clock: HeldClock): Promise<TestCustomer> {
  const customer = await newCustomer();
  await choose(customer, 'EdDSA');
  clock.advance(DAY_MS);
  return customer;
}

describe('a customer that is created with EdDSA', () => {
  it('a customer that is created with EdDSA is signed for by EdDSA at once, and has keys of both kinds', async () => {
    const { now } = holdClock();
    const created = await asOperator('POST', '/customers', { name: 'Acme', signingAlgorithm: 'EdDSA' });
    expect(created.status).toBe(201);
    expect(created.body).toMatchObject({
      signingAlgorithm: 'EdDSA',
      signingAlgorithmFrom: new Date(now()).toISOString(),
    });
    expect((await asOperator('GET', `/customers/${created.body.id}`)).body).toEqual(created.body);
    const { keys } = await keySet(created.body);
    expect(keys.map(({ alg }) => alg)).toEqual(['EdDSA', 'RS256', 'RS256', 'EdDSA', 'RS256']);
    for (const key of keys.filter(({ alg }) => alg === 'EdDSA')) {
      expect(key).toEqual({
        kty: 'OKP',
        crv: 'Ed25519',
        use: 'sig',
        alg: 'EdDSA',
        kid: expect.stringMatching(/^[0-9a-f]{40}$/),
        x: expect.stringMatching(/^[A-Za-z0-9_-]{43}$/),
      });
    }
  });

  it('a customer that is created without an algorithm, or with RS256, has RSA keys alone', async () => {
    for (const choice of [{}, { signingAlgorithm: 'RS256' }]) {
      const { body } = await asOperator('POST', '/customers', { name: 'Acme', ...choice });
      expect(body.signingAlgorithm).toBe('RS256');
      expect(body).not.toHaveProperty('signingAlgorithmFrom');
      expect(await algorithmsOf(body)).toEqual(['RS256', 'RS256', 'RS256']);
    }
  });

  it('another algorithm is a 400 that names it, and nothing is created or changed', async () => {
    const customer = await newCustomer();
    const before = await keySet(customer);
    for (const wrong of ['eddsa', 'ES256', 'none', 'HS256', '', null, 5, ['EdDSA'], {}]) {
      const created = await asOperator('POST', '/customers', { name: 'Acme', signingAlgorithm: wrong });
      const changed = await choose(customer, wrong);
      for (const { status, body } of [created, changed]) {
        expect(status, JSON.stringify(wrong)).toBe(400);
        expect(JSON.stringify(body)).toContain('"signingAlgorithm"');
      }
    }
    expect(await keySet(customer)).toEqual(before);
  });
});

describe('a change to EdDSA', () => {
  it('a change to EdDSA publishes its keys at once, and signs with them after 24 hours, to the millisecond', async () => {
    const clock = holdClock();
    const customer = await newCustomer();
    const subscription = await newSubscription(customer);
    const changed = await choose(customer, 'EdDSA');
    expect(changed.status).toBe(200);
    expect(changed.body).toMatchObject({
      id: customer.id,
      signingAlgorithm: 'EdDSA',
      signingAlgorithmFrom: new Date(clock.now() + DAY_MS).toISOString(),
    });
    expect(await algorithmsOf(customer)).toEqual(['RS256', 'EdDSA', 'RS256', 'EdDSA', 'RS256']);
    clock.advance(DAY_MS - 1);
    expect(headerOf(await deliver(subscription)).alg).toBe('RS256');
    expect((await algorithmsOf(customer))[0]).toBe('RS256');
    clock.advance(1);
    const set = await deliver(subscription);
    const keys = await keySet(customer);
    expect(headerOf(set)).toEqual({
      alg: 'EdDSA',
      jku: `http://webhooks.test/${customer.id}/login/jwk`,
      kid: keys.keys[0]?.kid,
      typ: 'secevent+jwt',
    });
    await jwtVerify(set, createLocalJWKSet(keys));
    expect(
      (await customer.call('POST', `/subscriptions/${subscription.id}/test`)).body.request.payload,
    ).toMatch(new RegExp(`^${set.split('.')[0]}\\.`));
  });

  it('a listener that keeps a key set for 12 hours verifies every token through changes to EdDSA, a rotation, and back', async () => {
    const clock = holdClock();
    const customer = await newCustomer();
    const subscription = await newSubscription(customer);
    let kept = await keySet(customer);
    const steps: Record<number, () => Promise<unknown>> = {
      1: () => choose(customer, 'EdDSA'),
      7: () => asOperator('POST', `/customers/${customer.id}/signing-keys/rotate`),
      12: () => asOperator('POST', `/customers/${customer.id}/signing-keys/rotate`),
      18: () => choose(customer, 'RS256'),
    };
    const algorithms = new Set<string>();
    for (let step = 0; step <= 20; step++) {
      if (step % 4 === 0) kept = await keySet(customer);
      await steps[step]?.();
      const set = await deliver(subscription);
      algorithms.add(headerOf(set).alg);
      await jwtVerify(set, createLocalJWKSet(kept));
      clock.advance(3 * HOUR_MS);
    }
    expect([...algorithms]).toEqual(['RS256', 'EdDSA']);
    expect(headerOf(await deliver(subscription)).alg).toBe('RS256');
  });

  it('a repeated change to EdDSA changes nothing, and the audit trail has one entry', async () => {
    const clock = holdClock();
    const customer = await newCustomer();
    const first = await choose(customer, 'EdDSA');
    const keys = await keySet(customer);
    clock.advance(HOUR_MS);
    const again = await Promise.all([choose(customer, 'EdDSA'), choose(customer, 'EdDSA')]);
    for (const { status, body } of again) expect([status, body]).toEqual([200, first.body]);
    expect(await keySet(customer)).toEqual(keys);
    const entries = (await auditEntries({ customerId: customer.id })).filter(
      ({ event }) => event === 'signing-algorithm-changed',
    );
    expect(entries).toMatchObject([{ actor: 'operator', outcome: 'done', target: 'EdDSA', count: 1 }]);
  });

  it('two changes to EdDSA at once leave one ring of keys', async () => {
    const customer = await newCustomer();
    const answers = await Promise.all(Array.from({ length: 5 }, () => choose(customer, 'EdDSA')));
    expect(answers.map(({ status }) => status)).toEqual(Array(5).fill(200));
    expect(kidsOf(await keySet(customer), 'EdDSA')).toHaveLength(2);
  });

  it('a change without the member, and one with other members alone, changes nothing', async () => {
    const customer = await newCustomer();
    await choose(customer, 'EdDSA');
    const before = await asOperator('GET', `/customers/${customer.id}`);
    for (const body of [{}, { name: 'Other', id: crypto.randomUUID(), signingAlgorithmFrom: 'now' }]) {
      const { status, body: after } = await asOperator('PATCH', `/customers/${customer.id}`, body);
      expect([status, after]).toEqual([200, before.body]);
    }
  });

  it('a change of an unknown customer gets a 404', async () => {
    expect((await choose({ id: crypto.randomUUID() }, 'EdDSA')).status).toBe(404);
    expect((await choose({ id: 'nonsense' }, 'EdDSA')).status).toBe(404);
  });

  it('the list of customers shows the algorithm of each', async () => {
    const customer = await newCustomer();
    await choose(customer, 'EdDSA');
    const { body } = await asOperator('GET', `/customers/${customer.id}`);
    const listed: unknown[] = [];
    for (let page = 1, total = 1; listed.length < total; page++) {
      const answer = (await asOperator('GET', `/customers?page=${page}`)).body;
      total = answer.total;
      listed.push(...answer._embedded.customers);
    }
    expect(listed.find((one) => (one as { id: string }).id === customer.id)).toEqual(body);
  });
});

describe('a change back to RS256', () => {
  it('a change back to RS256 signs with RSA at once, and the EdDSA key stays published for 35 days', async () => {
    const clock = holdClock();
    const customer = await signingByEdDsa(clock);
    const subscription = await newSubscription(customer);
    const { kid } = headerOf(await deliver(subscription));
    const changed = await choose(customer, 'RS256');
    expect(changed.body).toMatchObject({ signingAlgorithm: 'RS256' });
    expect(changed.body).not.toHaveProperty('signingAlgorithmFrom');
    const keys = await keySet(customer);
    expect(headerOf(await deliver(subscription))).toMatchObject({ alg: 'RS256', kid: keys.keys[0]?.kid });
    expect(kidsOf(keys, 'EdDSA')).toEqual([kid]);
    clock.advance(35 * DAY_MS - 1);
    await runCron(env, clock.now());
    expect(kidsOf(await keySet(customer), 'EdDSA')).toEqual([kid]);
    clock.advance(1);
    await runCron(env, clock.now());
    expect(kidsOf(await keySet(customer), 'EdDSA')).toEqual([]);
    const left = "SELECT count(*) AS n FROM signing_keys WHERE customer_id = ? AND algorithm = 'EdDSA'";
    expect(await env.DB.prepare(left).bind(customer.id).first('n')).toBe(0);
  });

  it('a second change to EdDSA makes other keys, which are published for a day before they sign', async () => {
    const clock = holdClock();
    const customer = await signingByEdDsa(clock);
    const first = kidsOf(await keySet(customer), 'EdDSA');
    await choose(customer, 'RS256');
    const { body } = await choose(customer, 'EdDSA');
    expect(body.signingAlgorithmFrom).toBe(new Date(clock.now() + DAY_MS).toISOString());
    const second = kidsOf(await keySet(customer), 'EdDSA');
    expect(second).toHaveLength(3);
    expect(second.filter((kid) => first.includes(kid))).toEqual([first[0]]);
  });

  it('the audit trail has both changes', async () => {
    const clock = holdClock();
    const customer = await newCustomer();
    for (const algorithm of ['EdDSA', 'RS256', 'RS256']) {
      clock.advance(1000);
      await choose(customer, algorithm);
    }
    const entries = (await auditEntries({ customerId: customer.id })).filter(
      ({ event }) => event === 'signing-algorithm-changed',
    );
    expect(entries.map(({ target }) => target)).toEqual(['RS256', 'EdDSA']);
  });
});

describe('the rotation of EdDSA keys', () => {
  const rotate = ({ id }: TestCustomer) => asOperator('POST', `/customers/${id}/signing-keys/rotate`);

  it('a rotation moves both rings: the next key of each becomes the current one', async () => {
    const clock = holdClock();
    const customer = await signingByEdDsa(clock);
    const before = await keySet(customer);
    const [current = '', next = ''] = kidsOf(before, 'EdDSA');
    const shown = await asOperator('GET', `/customers/${customer.id}`);
    clock.advance(HOUR_MS);
    const { status, body } = await rotate(customer);
    expect((await asOperator('GET', `/customers/${customer.id}`)).body).toEqual(shown.body);
    expect(status).toBe(200);
    expect(body.keys[0].kid).toBe(next);
    expect(kidsOf(body, 'EdDSA')).toEqual([next, expect.any(String), current]);
    expect(kidsOf(body, 'RS256')[0]).toBe(kidsOf(before, 'RS256')[1]);
    expect(headerOf(await deliver(await newSubscription(customer)))).toMatchObject({
      alg: 'EdDSA',
      kid: next,
    });
    const entries = await auditEntries({ customerId: customer.id, event: 'signing-keys-rotated' });
    expect(entries.map(({ target }) => target)).toEqual([current]);
  });

  it('two rotations at once count as one for both rings', async () => {
    const customer = await signingByEdDsa(holdClock());
    await Promise.all([rotate(customer), rotate(customer)]);
    const keys = await keySet(customer);
    expect([kidsOf(keys, 'EdDSA').length, kidsOf(keys, 'RS256').length]).toEqual([3, 3]);
  });

  it('a rotation in the day before EdDSA signs does not move that time', async () => {
    const clock = holdClock();
    const customer = await newCustomer();
    const { body } = await choose(customer, 'EdDSA');
    const [, next] = kidsOf(await keySet(customer), 'EdDSA');
    clock.advance(HOUR_MS);
    await rotate(customer);
    expect((await asOperator('GET', `/customers/${customer.id}`)).body).toEqual(body);
    expect((await algorithmsOf(customer))[0]).toBe('RS256');
    clock.advance(23 * HOUR_MS);
    expect((await keySet(customer)).keys[0]?.kid).toBe(next);
  });

  it('a rotation beside a change back to RS256 leaves no EdDSA key that signs', async () => {
    const customer = await signingByEdDsa(holdClock());
    await Promise.all([rotate(customer), choose(customer, 'RS256'), rotate(customer)]);
    const { body } = await asOperator('GET', `/customers/${customer.id}`);
    expect(body.signingAlgorithm).toBe('RS256');
    const roles = 'SELECT count(*) AS n FROM signing_keys WHERE customer_id = ? AND eddsa_role IS NOT NULL';
    expect(await env.DB.prepare(roles).bind(customer.id).first('n')).toBe(0);
  });

  it('the cron rotates both rings when a key has signed for KEY_ROTATION_DAYS', async () => {
    const clock = holdClock();
    // Other tests made customers too. A run rotates the keys of ten customers, the longest in use first.
    await env.DB.prepare('UPDATE signing_keys SET current_since = ? WHERE role = ?')
      .bind(clock.now() + 1000 * DAY_MS, 'current')
      .run();
    const customer = await signingByEdDsa(clock);
    const [, next] = kidsOf(await keySet(customer), 'EdDSA');
    await runCron({ ...env, KEY_ROTATION_DAYS: '30' }, clock.now() + 30 * DAY_MS);
    expect((await keySet(customer)).keys[0]?.kid).not.toBeUndefined();
    expect(kidsOf(await keySet(customer), 'EdDSA')).toContain(next);
    const current = "SELECT kid FROM signing_keys WHERE customer_id = ? AND eddsa_role = 'current'";
    expect(await env.DB.prepare(current).bind(customer.id).first('kid')).toBe(next);
  });
});

describe('a token and its repeats', () => {
  it('each shown payload is the token that was sent, whichever algorithm signs by then', async () => {
    const clock = holdClock();
    const customer = await newCustomer();
    const subscription = await newSubscription(customer);
    const sent = [await deliver(subscription)]; // an RS256 token of a store from before the change
    await choose(customer, 'EdDSA');
    clock.advance(DAY_MS);
    sent.push(await deliver(subscription));
    await asOperator('POST', `/customers/${customer.id}/signing-keys/rotate`);
    sent.push(await deliver(subscription));
    await choose(customer, 'RS256');
    sent.push(await deliver(subscription));
    expect(sent.map((set) => headerOf(set).alg)).toEqual(['RS256', 'EdDSA', 'EdDSA', 'RS256']);
    const listed = (await subscription.events()).map(({ request }) => request.payload as string);
    expect(listed.toSorted()).toEqual(sent.toSorted());
    const jwks = createLocalJWKSet(await keySet(customer));
    for (const set of listed) await jwtVerify(set, jwks);
  });

  it.each([
    ['EdDSA', 'RS256'],
    ['RS256', 'EdDSA'],
  ] as const)('a retry of an %s token repeats its bytes after %s began to sign', async (from, to) => {
    const clock = holdClock();
    const customer = from === 'EdDSA' ? await signingByEdDsa(clock) : await newCustomer();
    const subscription = await newSubscription(customer, { answers: [{ status: 500 }, { status: 500 }, {}] });
    if (to === 'EdDSA') {
      // The first attempt is made in the last second of the day.
      await choose(customer, 'EdDSA');
      clock.advance(DAY_MS - 1000);
    }
    const first = await deliver(subscription);
    expect(headerOf(first).alg).toBe(from);
    if (to === 'RS256') await choose(customer, 'RS256');
    const id = (await subscription.events())[0]?.id as string;
    for (const [index, waitMs] of [3000, 30_000].entries()) {
      clock.advance(waitMs);
      await subscription.ring();
      const attempts = index + 2;
      await until(async () => {
        const event = await subscription.event(id);
        return event.attempts === attempts && event.state !== 'executing';
      }, `attempt ${attempts}`);
    }
    const calls = (await subscription.listener.calls()).map(({ body }) => body);
    expect(calls).toEqual([first, first, first]);
    expect((await subscription.events())[0]?.request.payload).toBe(first);
    expect(headerOf(await deliver(subscription)).alg).toBe(to);
  });

  it('events that were held unsigned are signed with the EdDSA key that they name, after RS256 signs again', async () => {
    const clock = holdClock();
    const customer = await signingByEdDsa(clock);
    const subscription = await newSubscription(customer, { answers: [{ status: 500 }] });
    const health = async () =>
      (await customer.call('GET', `/subscriptions/${subscription.id}`)).body.health as {
        state: string;
        waiting: number;
      };
    await customer.call(
      'POST',
      '/events',
      Array.from({ length: 5 }, () => anEvent()),
    );
    await until(async () => (await health()).state === 'failing', 'the failing endpoint');
    await customer.call(
      'POST',
      '/events',
      Array.from({ length: 3 }, () => anEvent()),
    );
    await until(async () => (await health()).waiting === 8, 'the held events');
    const held = (await subscription.events()).map(({ request }) => request.payload as string);
    await choose(customer, 'RS256');
    await subscription.listener.script({});
    await until(async () => {
      clock.advance(1000);
      await subscription.ring();
      return (await health()).waiting === 0;
    }, 'the delivery of all waiting events');
    const sent = (await subscription.listener.calls()).map(({ body }) => body);
    const jwks = createLocalJWKSet(await keySet(customer));
    for (const set of sent) {
      expect(headerOf(set).alg).toBe('EdDSA');
      await jwtVerify(set, jwks);
    }
    // What the list showed while they were held is what was sent.
    const shown = (await subscription.events()).map(({ request }) => request.payload as string);
    for (const sets of [held, shown]) expect(new Set(sets)).toEqual(new Set(sent));
  });
});
