/**
 * `npm run demo`: the product's story in under a minute. It starts the service and a real listener, with throw-away state
 * and on free ports, publishes one event of each type, and prints each step. The listener fails once, so that one event
 * is retried. The exit code is 0 if every step succeeded; otherwise it is 1, and the failed step is printed. Nothing is
 * left behind.
 */
import type { Server } from 'node:http';
import { type components, OperatorClient, WebhooksClient } from '@identity-webhooks/client';
import { decodeProtectedHeader, type JWTPayload } from 'jose';
import { createListener } from '../examples/listener/listener.ts';
import { freePort, launchService, makeHome, pause, type RunningService } from '../tools/harness/service.ts';

const TIME_LIMIT_MS = 55_000;
const ATTRIBUTES = ['givenName', 'primaryAddress.city'];

type EventType = components['schemas']['NewSubscription']['events'][number];
type HistoryEntry = components['schemas']['HistoryEntry'];

interface Received {
  readonly claims: JWTPayload;
  readonly token: string;
}

const home = makeHome();
let service: RunningService | undefined;
let listener: Server | undefined;
let step = 'start';

async function main(): Promise<void> {
  say('identity-webhooks, from an empty database to three verified notifications.\n');

  begin('Starting the service (the Worker, D1, three queues, event stores) as `npm start` does');
  const launched = launchService(home, { RETRY_DELAYS_SECONDS: '1,1,1,1,1' }, await freePort());
  service = launched;
  await withProgress(launched.ready());
  const { url } = launched;
  tell(`it answers on ${url}; retries wait 1 s here instead of 3 s to 24 h`);

  begin('The operator makes a customer; its three signing keys are made with it');
  const operator = new OperatorClient({ baseUrl: url, token: home.operatorToken });
  const { id: customerId } = await operator.call('createCustomer', { body: { name: 'Demo Inc.' } });
  tell(`POST /operator/customers → 201, customer ${customerId}`);

  begin('The operator gives the customer a client');
  const client = await operator.call('createClient', { cid: customerId, body: { name: 'demo' } });
  tell(`POST /operator/customers/…/clients → 201, client ${client.clientId}; the secret is shown this once`);

  begin('The client gets an access token and asks for the subscriptions of the customer');
  const customer = new WebhooksClient({ baseUrl: url, customerId, ...client });
  const { total } = await customer.call('listSubscriptions');
  tell(`POST /…/login/token → 200, GET /…/webhooks/subscriptions → 200, ${total} so far`);

  begin('A listener starts; it verifies every token against the published keys');
  const received: Received[] = [];
  const refused: string[] = [];
  let attemptsOfFlaky = 0;
  const port = await freePort();
  listener = createListener({
    jwksUrl: `${url}/${customerId}/login/jwk`,
    issuer: `${url}/${customerId}/webhooks`,
    endpoints: ['/hooks', '/flaky'].map((path) => `http://127.0.0.1:${port}${path}`),
    onEvent: (claims, token) => received.push({ claims, token }),
    onRefused: (reason) => refused.push(reason),
    // The first request to /flaky is answered 503, as a listener that is being restarted would.
    interfere: (path) => (path === '/flaky' && attemptsOfFlaky++ === 0 ? 503 : undefined),
  });
  await new Promise<void>((resolve) => listener?.listen(port, '127.0.0.1', resolve));
  tell(`it listens on http://127.0.0.1:${port}`);

  begin('The customer subscribes it: creations and updates to /hooks, deletions to /flaky');
  const subscribe = async (title: string, path: string, events: EventType[]) => {
    const endpoint = `http://127.0.0.1:${port}${path}`;
    const created = await customer.call('createSubscription', { body: { title, endpoint, events } });
    tell(`POST /…/webhooks/subscriptions → 201, ${title}: ${endpoint}`);
    return created.id;
  };
  const steady = await subscribe('Profile sync', '/hooks', ['entityCreated', 'entityUpdated']);
  const flaky = await subscribe('Clean-up', '/flaky', ['entityDeleted']);

  begin('A producer publishes one event of each type');
  const event = {
    captureApplicationId: 'tep2dcqy4fwurwtpkaxg76twgf',
    captureClientId: 'zfccfzzcf626t449wu5umbt6zhek2det',
    entityType: 'user',
    sub: crypto.randomUUID(),
  };
  const published = await customer.call('publishEvents', {
    body: [
      { ...event, type: 'entityCreated' },
      { ...event, type: 'entityUpdated', attributes: ATTRIBUTES },
      { ...event, type: 'entityDeleted' },
    ],
  });
  const { events } = published._embedded;
  tell('POST /…/webhooks/events → 202, durably queued:');
  for (const { id, type } of events) tell(`  ${type.padEnd(13)} ${id}`);

  begin('The listener receives all three');
  await withProgress(until(() => received.length === 3, 15_000, 'three verified tokens'));
  check(refused.length === 0, `the listener refused a token: ${refused.join('; ')}`);
  for (const { claims, token } of received) {
    const type = Object.keys(claims['events'] as object)[0] ?? '';
    tell(`verified: ${type}${type === 'entityDeleted' ? ' (after a retry)' : ''}`);
    say(indent(`header  ${JSON.stringify(decodeProtectedHeader(token))}`));
    say(indent(`claims  ${JSON.stringify(claims, null, 2)}`));
  }
  check(attemptsOfFlaky === 2, `expected two requests to /flaky, saw ${attemptsOfFlaky}`);

  begin('The event stores keep the history of each event');
  for (const { id, type } of events) {
    const states = await untilSuccess(customer, type === 'entityDeleted' ? flaky : steady, id);
    tell(`${type}: ${states.map(describe).join(' → ')}`);
    const expected = type === 'entityDeleted' ? 5 : 3;
    check(states.length === expected, `expected ${expected} entries in the history of ${type}`);
    check(states.at(-1)?.state === 'success', `${type} did not end in success`);
  }
  const retried = await customer.call('getEventHistory', { sid: flaky, eid: events[2]?.id ?? '' });
  say(indent(JSON.stringify(retried._embedded.history, null, 2)));

  say(
    '\nThree events, three verified tokens, one of them after a retry. Try it yourself: README.md, "Quick start".',
  );
}

/** @returns the history once it ends in success, or as it is after five seconds */
async function untilSuccess(
  customer: WebhooksClient,
  sid: string,
  eid: string,
): Promise<readonly HistoryEntry[]> {
  for (const deadline = Date.now() + 5000; ; await pause(50)) {
    const { history } = (await customer.call('getEventHistory', { sid, eid }))._embedded;
    if (history.at(-1)?.state === 'success' || Date.now() > deadline) return history;
  }
}

function describe({ state, reason }: HistoryEntry): string {
  return reason === undefined ? state : `${state} (${reason})`;
}

function check(condition: boolean, otherwise: string): asserts condition {
  if (!condition) throw new Error(otherwise);
}

async function until(condition: () => boolean, withinMs: number, what: string): Promise<void> {
  for (const deadline = Date.now() + withinMs; !condition(); await pause(20)) {
    check(Date.now() < deadline, `gave up waiting for ${what}`);
  }
}

let number = 0;
function begin(text: string): void {
  step = text;
  say(`\n${++number}. ${text}`);
}

function tell(text: string): void {
  say(`   ${text}`);
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function indent(text: string): string {
  return text.replaceAll(/^/gm, '     ');
}

/** Prints the time every two seconds while the work runs. */
async function withProgress<T>(work: Promise<T>): Promise<T> {
  const started = Date.now();
  const timer = setInterval(() => {
    process.stdout.write(`   … ${Math.round((Date.now() - started) / 1000)} s\n`);
  }, 2000);
  try {
    return await work;
  } finally {
    clearInterval(timer);
  }
}

async function cleanUp(): Promise<void> {
  listener?.closeAllConnections();
  listener?.close();
  await service?.stop();
  home.remove();
}

async function finish(code: number): Promise<never> {
  await cleanUp();
  process.exit(code);
}

const limit = setTimeout(() => {
  console.error(`\nNot finished after ${TIME_LIMIT_MS / 1000} s; the step was: ${step}`);
  void finish(1);
}, TIME_LIMIT_MS);
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => void finish(130));

try {
  await main();
  clearTimeout(limit);
  await finish(0);
} catch (error) {
  clearTimeout(limit);
  console.error(`\nFailed: ${step}\n  ${error instanceof Error ? error.message : String(error)}`);
  await finish(1);
}
