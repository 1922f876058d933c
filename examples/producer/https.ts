/**
 * A producer on Node: publishes over HTTPS the events that it reads from its standard input, one JSON object on each line.
 *
 *     node examples/producer/https.ts < events.ndjson
 *
 * Settings come from the environment: WEBHOOKS_URL, CUSTOMER_ID, CLIENT_ID, CLIENT_SECRET. The client needs no scope but
 * `POST:webhooks/events`. It prints the id of each event that is durably queued. The exit code is 0 if all are; 1 if a part is not, and
 * then the reason is printed; 2 if a setting is missing.
 */
import { createInterface } from 'node:readline';
import { type components, WebhooksClient, WebhooksError } from '@identity-webhooks/client';
import { v7 } from 'uuid';

type PublishedEvent = components['schemas']['PublishedEvent'];

const SETTINGS = ['WEBHOOKS_URL', 'CUSTOMER_ID', 'CLIENT_ID', 'CLIENT_SECRET'] as const;
/** Events of one request. The service takes up to 500, and 240,000 bytes. */
const BATCH_MAX_EVENTS = 100;
const BATCH_MAX_BYTES = 200_000;
/** Waits before a request is repeated because no answer came, ms. */
const REPEAT_WAITS_MS = [1000, 5000, 30_000];

class InputFault extends Error {}

async function main(): Promise<void> {
  const missing = SETTINGS.filter((name) => !process.env[name]);
  if (missing.length > 0) {
    console.error(
      `set ${missing.join(', ')}\nusage: ${SETTINGS.map((name) => `${name}=…`).join(' ')} node https.ts < events.ndjson`,
    );
    process.exit(2);
  }
  const [baseUrl = '', customerId = '', clientId = '', clientSecret = ''] = SETTINGS.map(
    (name) => process.env[name],
  );
  const scope = 'POST:webhooks/events';
  const client = new WebhooksClient({ baseUrl, customerId, clientId, clientSecret, scope });
  for await (const batch of batches()) for (const id of await publish(client, batch)) console.log(id);
}

/** The lines of the standard input, as events. Each has an id before it is sent for the first time. */
async function* batches(): AsyncGenerator<PublishedEvent[]> {
  let batch: PublishedEvent[] = [];
  let bytes = 0;
  let line = 0;
  for await (const text of createInterface({ input: process.stdin })) {
    line++;
    if (text.trim() === '') continue;
    const size = Buffer.byteLength(text) + 100;
    if (batch.length === BATCH_MAX_EVENTS || (batch.length > 0 && bytes + size > BATCH_MAX_BYTES)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(eventOf(text, line));
    bytes += size;
  }
  if (batch.length > 0) yield batch;
}

function eventOf(text: string, line: number): PublishedEvent {
  try {
    const event = JSON.parse(text);
    if (typeof event === 'object' && event !== null && !Array.isArray(event))
      return { ...event, id: event.id ?? v7() };
  } catch {} // named below
  throw new InputFault(`line ${line} is not a JSON object`);
}

/** Repeats a request that got no answer: the ids are the same, so nothing is published twice. */
async function publish(client: WebhooksClient, batch: readonly PublishedEvent[]): Promise<readonly string[]> {
  for (const wait of REPEAT_WAITS_MS) {
    try {
      return await client.publish(batch);
    } catch (error) {
      if (!(error instanceof WebhooksError) || error.trouble.kind !== 'unreachable') throw error;
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }
  return await client.publish(batch);
}

try {
  await main();
} catch (error) {
  if (!(error instanceof WebhooksError || error instanceof InputFault)) throw error;
  console.error(error.message);
  process.exit(1);
}
