/**
 * The product's story, end to end: the service is started as `npm start` starts it, and the tests use only HTTP. Read
 * it as a tour of what an operator, a customer, a producer and a listener do. The tests build on each other, in order.
 */
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { OperatorClient, WebhooksClient, WebhooksError } from '@identity-webhooks/client';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newEventIds } from '../../src/domain/ids.ts';
import {
  type Home,
  makeHome,
  pause,
  type RunningService,
  startService,
} from '../../tools/harness/service.ts';
import type { Answer, Call } from '../support/listener-script.ts';
import { type ScriptedListener, startScriptedListener } from '../support/scripted-listener.ts';

let home: Home;
let service: RunningService;
let listener: ScriptedListener;
let operator: OperatorClient;
let customer: WebhooksClient;
/** The values that must not be in the log or in the stored files, by name. */
const secrets = new Map<string, string>();
/** The log of the services that were killed. */
let log = '';

/**
 * The first wait is long enough to kill the service while events wait, also on a slow machine. A slow machine answers
 * within the time limit of an attempt.
 */
const VARIABLES = { RETRY_DELAYS_SECONDS: '20,1,1,1,1', ATTEMPT_TIMEOUT_SECONDS: '60' };
/** A safety net that names what a test waits for in vain, ms. */
const GIVE_UP_MS = 300_000;

const hook = (name: string) => `${listener.url}/hooks/${name}`;

async function script(name: string, ...answers: Answer[]): Promise<void> {
  await fetch(`${listener.url}/scripts/${name}`, { method: 'PUT', body: JSON.stringify(answers) });
}

async function calls(name: string): Promise<Call[]> {
  return (await (await fetch(`${listener.url}/scripts/${name}/calls`)).json()) as Call[];
}

async function until<T>(ask: () => Promise<T | false | undefined>, what: string): Promise<T> {
  for (const deadline = Date.now() + GIVE_UP_MS; ; await pause(25)) {
    const answer = await ask();
    if (answer !== false && answer !== undefined) return answer;
    if (Date.now() > deadline) throw new Error(`gave up waiting for ${what}\n${service.output()}`);
  }
}

async function subscribe(title: string): Promise<string> {
  const events = ['entityCreated', 'entityUpdated', 'entityDeleted'] as const;
  return (await customer.call('createSubscription', { body: { title, endpoint: hook(title), events } })).id;
}

/** The only subscription that there is so far. */
async function firstSubscription() {
  const [found] = (await customer.call('listSubscriptions'))._embedded.subscriptions;
  if (found === undefined) throw new Error('there is no subscription');
  return found;
}

/** What a link of an answer leads to, as a client sees it that follows links. */
async function follow(href: string): Promise<{ readonly total: number }> {
  const headers = { authorization: `Bearer ${secrets.get('the access token')}` };
  return (await (await fetch(service.url + href, { headers })).json()) as { total: number };
}

function anEvent(overrides: { readonly id?: string; readonly type?: 'entityDeleted' } = {}) {
  return {
    type: 'entityCreated' as const,
    captureApplicationId: 'aabc1de2f3ghi4jklm5n67opq8',
    captureClientId: 'zfccfzzcf626t449wu5umbt6zhek2det',
    entityType: 'user',
    sub: crypto.randomUUID(),
    ...overrides,
  };
}

beforeAll(async () => {
  home = makeHome();
  [service, listener] = await Promise.all([startService(home, VARIABLES), startScriptedListener()]);
  operator = new OperatorClient({ baseUrl: service.url, token: home.operatorToken });
});

afterAll(async () => {
  await service?.stop();
  await listener?.close();
  home?.remove();
});

describe('the journey', () => {
  it('the operator makes a customer and gives it a client', async () => {
    const { id: cid } = await operator.call('createCustomer', { body: { name: 'Acme' } });
    const { clientId, clientSecret } = await operator.call('createClient', {
      cid,
      body: { name: 'backend' },
    });
    customer = new WebhooksClient({
      baseUrl: service.url,
      customerId: cid,
      clientId,
      clientSecret,
      fetch: async (request) => {
        const [, token] = /^Bearer (.*)$/.exec(request.headers.get('authorization') ?? '') ?? [];
        if (token !== undefined) secrets.set('the access token', token);
        return await fetch(request);
      },
    });
    expect((await customer.call('listSubscriptions')).total).toBe(0);
    expect(secrets.get('the access token')).toMatch(/./);
    secrets.set('the client secret', clientSecret);
    secrets.set('the operator token', home.operatorToken);
  });

  it('the customer subscribes a listener and finds the subscription by its links', async () => {
    const id = await subscribe('steady');
    const found = await firstSubscription();
    expect(found).toMatchObject({ id, title: 'steady', enabled: true });
    const itself = await follow(found._links.self.href);
    expect(itself).toMatchObject(found);
    expect(itself).toMatchObject({ health: { state: 'healthy', waiting: 0 } });
    expect((await follow(found._links.events.href)).total).toBe(0);
  });

  it('the listener gets a published event as a token that verifies against the published keys', async () => {
    const [id] = await customer.publish([anEvent()]);
    const [call] = await until(async () => {
      const all = await calls('steady');
      return all.length > 0 && all;
    }, 'the notification');
    const jwks = createRemoteJWKSet(new URL(`${service.url}/${customer.customerId}/login/jwk`));
    const { payload } = await jwtVerify(call?.body ?? '', jwks, {
      issuer: `${service.url}/${customer.customerId}/webhooks`,
      audience: hook('steady'),
      typ: 'secevent+jwt',
    });
    expect(payload['events']).toMatchObject({ entityCreated: { id } });
  });

  it('the event store shows the history of the event', async () => {
    const { id: sid } = await firstSubscription();
    const [event] = (await customer.call('listEvents', { sid }))._embedded.events;
    expect(event).toMatchObject({ state: 'success', attempts: 1, response: { statusCode: 200 } });
    const { history } = (await customer.call('getEventHistory', { sid, eid: event?.id ?? '' }))._embedded;
    expect(history.map(({ state }) => state)).toEqual(['awaiting-executing', 'executing', 'success']);
  });

  it('the service survives kill -9: waiting events are retried, delivered ones are not sent again', async () => {
    const sid = await subscribe('killed');
    await script('killed', { status: 503 }, { status: 503 }, { status: 503 }, {});
    const ids = newEventIds(Date.now(), 3, randomBytes(16));
    await customer.publish(ids.map((id) => anEvent({ id })));
    await until(async () => {
      const { _embedded } = await customer.call('listEvents', { sid, query: { state: 'awaiting-retry' } });
      return _embedded.events.length === 3;
    }, 'three deliveries that wait');
    const steadyBefore = (await calls('steady')).length;

    log += service.output();
    await service.kill();
    service = await startService(home, VARIABLES, Number(new URL(service.url).port));

    const events = await until(async () => {
      const all = (await customer.call('listEvents', { sid }))._embedded.events;
      return all.every(({ state }) => state === 'success') && all;
    }, 'three deliveries that succeed');
    expect(events.map(({ attempts }) => attempts)).toEqual([2, 2, 2]);
    expect(await calls('killed')).toHaveLength(6);
    expect(await calls('steady')).toHaveLength(steadyBefore);
    // Publish the same ids again: the event stores know them already.
    await customer.publish(ids.map((id) => anEvent({ id })));
    await customer.publish([anEvent({ type: 'entityDeleted' })]);
    await until(async () => (await calls('killed')).length === 7, 'the event after them');
    expect(await calls('steady')).toHaveLength(steadyBefore + 1);
  });

  it('the log and the stored files hold no secret', async () => {
    for (const line of readFileSync(join(home.directory, 'secrets.env'), 'utf8').trim().split('\n')) {
      const [name = '', value = ''] = line.split(/=(.*)/s);
      secrets.set(name, value);
    }
    expect(secrets.size).toBe(6);
    const written = log + service.output();
    const stored = readdirSync(join(home.directory, 'state'), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1'))
      .join('\n');
    // First make sure that these are the right log and the right files.
    expect(written).toContain(customer.customerId);
    expect(stored).toContain(customer.customerId);
    expect(stored).toMatch(/eyJ[\w-]+\.\.[\w-]+/); // sealed private keys: JWEs
    for (const [name, secret] of secrets) {
      expect(written.includes(secret), `${name} in the log`).toBe(false);
      expect(stored.includes(secret), `${name} in the stored files`).toBe(false);
    }
    // The log has no token and no payload. The stored files have no private part of a key (RFC 7518, 6.3.2).
    expect(written).not.toMatch(/eyJ[\w-]{10,}\.[\w-]+/);
    expect(written).not.toContain('aabc1de2f3ghi4jklm5n67opq8');
    expect(stored).not.toMatch(/"(dp|dq|qi)":"|BEGIN [A-Z ]*PRIVATE KEY/);
  });

  it('the operator erases the customer, and its keys, token and events are gone', async () => {
    const { customerId: cid } = customer;
    await operator.call('eraseCustomer', { cid });
    const kindOf = async (call: Promise<unknown>) =>
      await call.catch((error: unknown) => (error instanceof WebhooksError ? error.trouble.kind : error));
    expect(
      await customer.call('listSubscriptions').then(
        ({ total }) => total,
        () => 0,
      ),
    ).toBe(0);
    expect((await fetch(`${service.url}/${cid}/login/jwk`)).status).toBe(404);
    expect(await kindOf(operator.call('getCustomer', { cid }))).toBe('not-found');
  });
});
