/**
 * `npm run measure`: how fast one event store answers when it is full. It starts the service with throw-away state and
 * stores 100,000 events, or `--events N`, as failures of a disabled subscription, so that no listener takes part. Then it
 * prints how long a list, one event, the summary and an export take over HTTP, and how much memory a download needs. The
 * times include the development server in front of the Worker: compare runs, not machines.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { WebhooksClient } from '@identity-webhooks/client';
import { makeHome, pause, startService } from '../harness/service.ts';
import { newCustomer } from '../harness/tenant.ts';

const { values } = parseArgs({ options: { events: { type: 'string', default: '100000' } } });
const EVENTS = Number(values.events);
const PER_CALL = 500;
const ROUNDS = 15;
/** Longer than the ten idle seconds after which the runtime evicts an object. */
const SLEEP_SECONDS = 15;

if (!Number.isInteger(EVENTS) || EVENTS < PER_CALL || EVENTS > 1_000_000) {
  console.error(`--events must be a whole number from ${PER_CALL} to 1000000`);
  process.exit(2);
}

const home = makeHome();
console.log('starting the service …');
const service = await startService(home);
try {
  const customer = await newCustomer({ url: service.url, operatorToken: home.operatorToken });
  const id = await fill(customer);
  await measure(customer, id);
} finally {
  await service.stop();
  home.remove();
}

/** Publishes the events and waits until all are stored. */
async function fill(customer: WebhooksClient): Promise<string> {
  const { id } = await customer.call('createSubscription', {
    body: {
      title: 'Full',
      endpoint: 'http://127.0.0.1:9/never-called',
      events: ['entityCreated'],
      enabled: false,
    },
  });
  const event = {
    type: 'entityCreated' as const,
    captureApplicationId: 'application',
    captureClientId: 'client',
  };
  const started = Date.now();
  for (let sent = 0; sent < EVENTS; sent += PER_CALL) {
    const batch = Array.from({ length: Math.min(PER_CALL, EVENTS - sent) }, () => ({
      ...event,
      entityType: 'user',
      sub: crypto.randomUUID(),
    }));
    await customer.publish(batch);
    // Local queues are in memory: publish at most 20,000 events more than are stored.
    while (sent + PER_CALL - (await total(customer, id)) > 20_000) await pause(200);
    if (sent % 10_000 === 0) console.log(`… ${sent} of ${EVENTS} events, ${seconds(started)}`);
  }
  while ((await total(customer, id)) < EVENTS) await pause(200);
  console.log(`… ${EVENTS} events stored, ${seconds(started)}\n`);
  return id;
}

async function total(customer: WebhooksClient, sid: string): Promise<number> {
  return (await customer.call('listEvents', { sid, query: { limit: 1 } })).total;
}

async function measure(customer: WebhooksClient, sid: string): Promise<void> {
  const page = await customer.call('listEvents', { sid, query: { limit: 1000 } });
  const eid = page._embedded.events.at(-1)?.id ?? '';
  const firstPage = () => customer.call('listEvents', { sid, query: { limit: 100 } });
  const summary = () => customer.call('getSummary', { sid });
  console.log(`with ${page.total} events stored (median of ${ROUNDS}, ms)`);
  await time('a request that reads nothing', () => fetch(`${service.url}/healthz`));
  await time('list, first page of 100', firstPage);
  await time('list, page of 100 further on', () =>
    customer.call('listEvents', { sid, query: { limit: 100, after: eid } }),
  );
  await time('one event', () => customer.call('getEvent', { sid, eid }));
  await time('its history', () => customer.call('getEventHistory', { sid, eid }));
  await time('summary', summary);
  for (const [what, call] of [
    ['summary', summary],
    ['list, first page of 100', firstPage],
  ] as const) {
    console.log(`… ${SLEEP_SECONDS} s of rest, until the store has left memory`);
    await pause(SLEEP_SECONDS * 1000);
    await time(`${what}, after a rest`, call, 1);
  }
  await measureExport(customer, sid);
}

async function measureExport(customer: WebhooksClient, sid: string): Promise<void> {
  const started = Date.now();
  const { id: exportId } = await customer.call('startExport', { sid });
  while ((await customer.call('getExport', { sid, exportId })).state === 'processing') await pause(20);
  console.log(`${'export, start to completed'.padEnd(32)} ${seconds(started)}`);
  const downloading = Date.now();
  const before = workerMemory();
  let peak = before;
  let bytes = 0;
  const file = await customer.download(sid, exportId);
  for await (const chunk of file) {
    bytes += chunk.length;
    peak = Math.max(peak, workerMemory());
  }
  console.log(`${'download'.padEnd(32)} ${seconds(downloading)}, ${(bytes / 1e6).toFixed(1)} MB`);
  const megabytes = (kilobytes: number) => (kilobytes / 1024).toFixed(0);
  console.log(
    `${'memory of the runtime'.padEnd(32)} ${megabytes(before)} MB before, ${megabytes(peak)} MB at most`,
  );
}

async function time(what: string, call: () => Promise<unknown>, rounds = ROUNDS): Promise<void> {
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const started = performance.now();
    await call();
    times.push(performance.now() - started);
  }
  times.sort((a, b) => a - b);
  const [least, median, most] = [times[0], times[Math.floor(rounds / 2)], times.at(-1)];
  console.log(
    `${what.padEnd(32)} ${median?.toFixed(1).padStart(7)}   (${least?.toFixed(1)} to ${most?.toFixed(1)})`,
  );
}

function seconds(since: number): string {
  return `${((Date.now() - since) / 1000).toFixed(1)} s`;
}

/** Resident memory of the largest `workerd` on this machine, kB; 0 where there is no /proc. */
function workerMemory(): number {
  let largest = 0;
  try {
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      const [command, status] = ['cmdline', 'status'].map((file) => readOf(`/proc/${pid}/${file}`));
      if (!command?.includes('workerd') || !command.includes('serve')) continue;
      largest = Math.max(largest, Number(/VmRSS:\s+(\d+)/.exec(status ?? '')?.[1] ?? 0));
    }
  } catch {}
  return largest;
}

function readOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
