/** The service as a client sees it, with factories for customers, listeners, subscriptions, events and messages. */
import {
  createExecutionContext,
  createMessageBatch,
  getQueueResult,
  runDurableObjectAlarm,
} from 'cloudflare:test';
import { env, exports } from 'cloudflare:workers';
import { exportJWK, generateKeyPair, type JWK } from 'jose';
import { inject } from 'vitest';
import { readConfig } from '../../src/config.ts';
import type { AuditEvent } from '../../src/domain/audit.ts';
import type { EventType } from '../../src/domain/event.ts';
import type { SigningAlgorithm } from '../../src/domain/signing-algorithm.ts';
import worker from '../../src/index.ts';
import { newAuditRow } from '../../src/operations/audit-trail.ts';
import { QUEUES } from '../../src/outbound/queues.ts';
import { makeEdDsaKeys, sealSigningKey } from '../../src/signing/keys.ts';
import { hashSecret, randomAlphanumerics } from '../../src/signing/secrets.ts';
import { insertClient } from '../../src/storage/clients.ts';
import { insertCustomer } from '../../src/storage/customers.ts';
import { openDatabase } from '../../src/storage/database.ts';
import { eventStoreStub } from './event-store.ts';
import type { Answer, Call } from './listener-script.ts';

export const BASE_URL = 'http://webhooks.test';
export const OPERATOR_TOKEN = 'operator-token-of-the-tests';

export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into bodies and compare what they find
  readonly body: any;
}

/** Makes one request to the Worker. An object as `body` is sent as JSON. */
export async function call(method: string, path: string, options: CallOptions = {}): Promise<Reply> {
  const { token, body, headers = {} } = options;
  const isText = body === undefined || typeof body === 'string';
  const response = await exports.default.fetch(`${BASE_URL}${path}`, {
    method,
    redirect: 'manual',
    headers: {
      'cf-connecting-ip': newAddress(),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: isText ? (body as string) : JSON.stringify(body) }),
  });
  const text = await response.text();
  let parsed: unknown = text;
  try {
    parsed = JSON.parse(text);
  } catch {}
  return { status: response.status, headers: response.headers, body: parsed };
}

let addresses = 0;

/** An address of its own for each call, so that no limit on an address counts the calls of different tests together. */
export function newAddress(): string {
  const number = addresses++;
  return `10.${(number >> 16) & 255}.${(number >> 8) & 255}.${number & 255}`;
}

export interface CallOptions {
  readonly token?: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export const asOperator = (method: string, path: string, body?: unknown): Promise<Reply> =>
  call(method, `/operator${path}`, { token: OPERATOR_TOKEN, ...(body === undefined ? {} : { body }) });

export interface TestCustomer {
  readonly id: string;
  readonly clientId: string;
  readonly clientSecret: string;
  readonly token: string;
  call(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Reply>;
}

export async function getToken(
  customerId: string,
  clientId: string,
  clientSecret: string,
  scope = '*:webhooks/**',
): Promise<Reply> {
  return await call('POST', `/${customerId}/login/token`, {
    headers: {
      authorization: `Basic ${btoa(`${clientId}:${clientSecret}`)}`,
      'content-type': 'application/x-www-form-urlencoded',
    },
    body: new URLSearchParams({ grant_type: 'client_credentials', scope }).toString(),
  });
}

/**
 * A new customer with a client and an access token. It is written straight into D1, because making RSA keys takes
 * longer than most tests: all customers share one key pair, each under its own key ids. The operator API, which makes
 * real customers, has its own tests.
 * @param algorithm what signs for it, from now on
 */
export async function newCustomer(
  scope = '*:webhooks/**',
  algorithm: SigningAlgorithm = 'RS256',
): Promise<TestCustomer> {
  const { id, clientId, clientSecret } = await insertTestCustomer(scope, algorithm);
  const newToken = async () =>
    (await getToken(id, clientId, clientSecret, scope)).body.access_token as string;
  const token = await newToken();
  const current = { token, since: Date.now() };
  return {
    id,
    clientId,
    clientSecret,
    token,
    call: async (method, path, body, headers) => {
      // Takes a new token before the old one ends, as a client does, because a test may have moved the clock.
      if (Date.now() - current.since > 3_000_000) {
        current.token = await newToken();
        current.since = Date.now();
      }
      return await call(method, `/${id}/webhooks${path}`, {
        token: current.token,
        ...(body === undefined ? {} : { body }),
        ...(headers === undefined ? {} : { headers }),
      });
    },
  };
}

let sharedKey: Promise<JWK> | undefined;

async function insertTestCustomer(scope: string, algorithm: SigningAlgorithm) {
  const db = openDatabase(env.DB);
  const config = readConfig(env);
  const names = {
    id: crypto.randomUUID(),
    clientId: randomAlphanumerics(32),
    clientSecret: randomAlphanumerics(48),
  };
  const createdAt = Date.now();
  sharedKey ??= generateKeyPair('RS256', { extractable: true }).then(({ privateKey }) =>
    exportJWK(privateKey),
  );
  const privateJwk = await sharedKey;
  const keys = await Promise.all(
    (['current', 'next', 'reserve'] as const).map((role) => {
      const kid = `${crypto.randomUUID()}00000000`.replaceAll('-', '');
      return sealSigningKey(config, { customerId: names.id, kid, role, createdAt }, privateJwk);
    }),
  );
  if (algorithm === 'EdDSA')
    keys.push(...Object.values(await makeEdDsaKeys(config, names.id, createdAt, createdAt)));
  const audit = (event: AuditEvent) =>
    newAuditRow({ event, actor: 'operator', outcome: 'done', customerId: names.id }, createdAt);
  await insertCustomer(db, { id: names.id, name: 'Acme', createdAt }, keys, audit('customer-created'));
  const client = { customerId: names.id, clientId: names.clientId, name: 'main', scope, createdAt };
  const secretHash = await hashSecret(names.id, names.clientId, names.clientSecret);
  await insertClient(db, client, { id: crypto.randomUUID(), secretHash }, 100, audit('client-created'));
  return names;
}

/** A listener for one test, at an endpoint of its own. */
export class TestListener {
  readonly #name = crypto.randomUUID();
  readonly #base = inject('listenerUrl');
  readonly endpoint = `${this.#base}/hooks/${this.#name}`;

  async script(...answers: Answer[]): Promise<void> {
    await fetch(`${this.#base}/scripts/${this.#name}`, { method: 'PUT', body: JSON.stringify(answers) });
  }

  async calls(): Promise<Call[]> {
    return (await (await fetch(`${this.#base}/scripts/${this.#name}/calls`)).json()) as Call[];
  }

  async release(): Promise<void> {
    await fetch(`${this.#base}/scripts/${this.#name}/release`, { method: 'POST' });
  }
}

export interface TestSubscription {
  readonly id: string;
  readonly customer: TestCustomer;
  readonly listener: TestListener;
  // biome-ignore lint/suspicious/noExplicitAny: see Reply
  event(eventId: string): Promise<any>;
  // biome-ignore lint/suspicious/noExplicitAny: see Reply
  history(eventId: string): Promise<any[]>;
  // biome-ignore lint/suspicious/noExplicitAny: see Reply
  events(): Promise<any[]>;
  /** Rings the alarm of its event store. */
  ring(): Promise<boolean>;
}

export async function newSubscription(
  customer: TestCustomer,
  options: { events?: EventType[]; enabled?: boolean; title?: string; answers?: Answer[] } = {},
): Promise<TestSubscription> {
  const listener = new TestListener();
  if (options.answers !== undefined) await listener.script(...options.answers);
  const created = await customer.call('POST', '/subscriptions', {
    title: options.title ?? `subscription ${crypto.randomUUID()}`,
    endpoint: listener.endpoint,
    events: options.events ?? ['entityCreated', 'entityUpdated', 'entityDeleted'],
    enabled: options.enabled ?? true,
  });
  if (created.status !== 201) throw new Error(JSON.stringify(created.body));
  const id = created.body.id as string;
  const path = `/subscriptions/${id}/events`;
  return {
    id,
    customer,
    listener,
    event: async (eventId) => (await customer.call('GET', `${path}/${eventId}`)).body,
    history: async (eventId) =>
      (await customer.call('GET', `${path}/${eventId}/history`)).body._embedded.history,
    events: async () => (await customer.call('GET', path)).body._embedded.events,
    ring: () => runDurableObjectAlarm(eventStoreStub(id)),
  };
}

/** A valid event as a producer publishes it. */
export function anEvent(overrides: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    type: 'entityCreated',
    captureApplicationId: 'tep2dcqy4fwurwtpkaxg76twgf',
    captureClientId: 'zfccfzzcf626t449wu5umbt6zhek2det',
    entityType: 'user',
    sub: '726087ec-35df-4041-aec8-c11ecc208efa',
    ...overrides,
  };
}

/** What a consumer did with each message of a batch: acknowledged it, or returned it to the queue with a delay. */
export interface Consumed {
  readonly acked: string[];
  readonly retried: { readonly msgId: string; readonly delaySeconds: number | undefined }[];
}

export interface TestMessage {
  readonly id?: string;
  readonly body: unknown;
  readonly attempts?: number;
  readonly timestamp?: number;
}

/** Gives a batch to the consumer of a queue, as the platform does, and waits until it is done. */
export async function consumeBatch(
  queue: keyof typeof QUEUES,
  messages: readonly TestMessage[],
  environment: typeof env = env,
): Promise<Consumed> {
  return await consumeBatchOf(QUEUES[queue], messages, environment);
}

/** The same for a queue with any name. */
export async function consumeBatchOf(
  queue: string,
  messages: readonly TestMessage[],
  environment: typeof env = env,
): Promise<Consumed> {
  const batch = createMessageBatch(
    queue,
    messages.map((message) => ({
      id: message.id ?? crypto.randomUUID(),
      timestamp: new Date(message.timestamp ?? Date.now()),
      attempts: message.attempts ?? 1,
      body: message.body,
    })),
  );
  // The runtime's test result says which messages were returned to the queue, but not their delay.
  const delays = new Map<string, number>();
  for (const message of batch.messages) {
    const retry = message.retry.bind(message);
    Object.defineProperty(message, 'retry', {
      value: (options?: QueueRetryOptions) => {
        if (options?.delaySeconds !== undefined) delays.set(message.id, options.delaySeconds);
        retry(options);
      },
    });
  }
  const ctx = createExecutionContext();
  await worker.queue(batch, environment, ctx);
  const result = await getQueueResult(batch, ctx);
  const retried = result.retryMessages.map(({ msgId }) => ({ msgId, delaySeconds: delays.get(msgId) }));
  return { acked: result.explicitAcks, retried };
}

export function storeOf(subscription: { readonly id: string }) {
  return eventStoreStub(subscription.id);
}
