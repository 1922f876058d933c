/** What the pictures show: customers with listeners that work, are slow and fail, and a history. */
import { type components, OperatorClient, WebhooksClient } from '@identity-webhooks/client';
import { makeDeadLetter } from '../harness/dead-letter.ts';
import { type Hook, startHooks } from '../harness/hooks.ts';
import {
  freePort,
  type Home,
  launchWorker,
  makeHome,
  pause,
  type RunningService,
  startService,
} from '../harness/service.ts';
import { type Course, writeHistory } from './history.ts';

/** A safety net, ms. */
const GIVE_UP_MS = 300_000;
const VARIABLES = { RETRY_DELAYS_SECONDS: '2,3,4,5,6' };

type EventType = components['schemas']['NewSubscription']['events'][number];

interface Cast {
  readonly title: string;
  readonly events: readonly EventType[];
  readonly course: Course;
  readonly set?: (hook: Hook) => void;
}

/** Shares of the ten classes, of a listener that is quick, steady or slow. */
const QUICK = [0.22, 0.51, 0.2, 0.06, 0.01, 0, 0, 0, 0, 0];
const STEADY = [0, 0.04, 0.31, 0.48, 0.14, 0.03, 0, 0, 0, 0];
const SLOW = [0, 0, 0, 0.04, 0.1, 0.22, 0.34, 0.3, 0, 0];

const CAST: readonly Cast[] = [
  {
    title: 'CRM',
    events: ['entityCreated', 'entityUpdated', 'entityDeleted'],
    course: { peak: 420, answers: QUICK },
  },
  {
    title: 'Data warehouse',
    events: ['entityCreated', 'entityUpdated'],
    course: { peak: 380, answers: STEADY, outage: { from: 53, until: 50, share: 0.4 } },
    set: (hook) => {
      hook.delayMs = 140;
    },
  },
  {
    title: 'Billing',
    events: ['entityCreated', 'entityDeleted'],
    course: { peak: 90, answers: STEADY, outage: { from: 2, until: 1, share: 0.6 } },
    set: (hook) => {
      hook.mood = 'refusing';
    },
  },
  {
    title: 'Loyalty programme',
    events: ['entityCreated'],
    course: { peak: 60, answers: SLOW },
    set: (hook) => {
      hook.delayMs = 2_600;
    },
  },
  {
    title: 'Fraud alerts',
    events: ['entityCreated', 'entityUpdated'],
    course: { peak: 210, answers: QUICK },
  },
  { title: 'Newsletter', events: ['entityCreated', 'entityDeleted'], course: { peak: 45, answers: QUICK } },
];

const FILTER = {
  properties: {
    entityUpdated: { properties: { attributes: { contains: { enum: ['email', 'givenName'] } } } },
  },
};

export interface Scene {
  readonly service: RunningService;
  readonly customer: WebhooksClient;
  readonly operator: OperatorClient;
  /** The subscription that fails, and one of its failed events. */
  readonly failing: { readonly sid: string; readonly eid: string };
  /** One that works, and one of its events. */
  readonly working: { readonly sid: string; readonly eid: string };
  readonly letter: string;
  close(): Promise<void>;
}

export async function setScene(): Promise<Scene> {
  const home = makeHome();
  const hooks = await startHooks(CAST.length);
  let service: RunningService | undefined;
  const close = async () => {
    await service?.stop();
    await hooks.close();
    home.remove();
  };
  try {
    service = await startService(home, VARIABLES);
    const { url } = service;
    const operator = new OperatorClient({ baseUrl: url, token: home.operatorToken });
    const customer = await newCustomer(operator, url, 'Harbour Bank', [
      'backend',
      'support tools',
      'reporting',
    ]);
    for (const name of ['Northfield Clinics', 'Riverside Retail', 'Lakeside University'])
      await newCustomer(operator, url, name, ['backend']);
    const sids = await subscribe(customer, hooks.all);
    await publish(customer, 9);
    const letter = await deadLetter(operator, home, customer.customerId);
    const [, warehouse = '', billing = ''] = sids;
    await untilFailed(customer, billing, 6);
    await service.stop();
    writeHistory(home.directory, new Map(sids.map((sid, index) => [sid, CAST[index]?.course as Course])));
    service = await startService(home, VARIABLES, Number(new URL(url).port));
    await publish(customer, 6);
    await publish(customer, 3);
    const eid = await untilFailed(customer, billing, 9);
    const [delivered] = (await customer.call('listEvents', { sid: warehouse, query: { state: 'success' } }))
      ._embedded.events;
    await publish(customer, 4);
    const working = { sid: warehouse, eid: delivered?.id ?? '' };
    return { service, customer, operator, failing: { sid: billing, eid }, working, letter, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function newCustomer(
  operator: OperatorClient,
  baseUrl: string,
  name: string,
  clients: readonly string[],
): Promise<WebhooksClient> {
  const { id: cid } = await operator.call('createCustomer', { body: { name } });
  const [first] = await Promise.all(
    clients.map((client) => operator.call('createClient', { cid, body: { name: client } })),
  );
  if (first === undefined) throw new Error('a customer needs a client');
  return new WebhooksClient({ baseUrl, customerId: cid, ...first });
}

async function subscribe(customer: WebhooksClient, hooks: readonly Hook[]): Promise<string[]> {
  const sids: string[] = [];
  for (const [index, { title, events, set }] of CAST.entries()) {
    const hook = hooks[index];
    if (hook === undefined) throw new Error('no hook');
    set?.(hook);
    const filter = title === 'Data warehouse' ? { filter: FILTER } : {};
    const body = { title, endpoint: hook.url, events: [...events], ...filter };
    sids.push((await customer.call('createSubscription', { body })).id);
  }
  return sids;
}

/** Events of all types, in turn. */
async function publish(customer: WebhooksClient, count: number): Promise<void> {
  await customer.publish(
    Array.from({ length: count }, (_, index) => {
      const event = {
        captureApplicationId: 'tep2dcqy4fwurwtpkaxg76twgf',
        captureClientId: 'zfccfzzcf626t449wu5umbt6zhek2det',
        entityType: 'user',
        sub: crypto.randomUUID(),
      };
      if (index % 3 === 0) return { ...event, type: 'entityCreated' as const };
      if (index % 3 === 1) return { ...event, type: 'entityDeleted' as const };
      return { ...event, type: 'entityUpdated' as const, attributes: ['email', 'primaryAddress.city'] };
    }),
  );
}

async function deadLetter(operator: OperatorClient, home: Home, customerId: string): Promise<string> {
  const producer = launchWorker(home, 'examples/producer/wrangler.toml', await freePort());
  try {
    await producer.ready();
    return await makeDeadLetter(operator, producer.url, customerId, 'entityRenamed');
  } finally {
    await producer.stop();
  }
}

/** @returns the newest of the failed events */
async function untilFailed(customer: WebhooksClient, sid: string, count: number): Promise<string> {
  for (const deadline = Date.now() + GIVE_UP_MS; Date.now() < deadline; await pause(500)) {
    const query = { state: 'failure' } as const;
    const { events } = (await customer.call('listEvents', { sid, query }))._embedded;
    const last = events.at(-1);
    if (last !== undefined && events.length >= count) return last.id;
  }
  throw new Error('too few events failed');
}
