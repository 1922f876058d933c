/**
 * `npm run producer`: runs the service and the producer beside each other, each in its own session of `wrangler dev`, with throw-away
 * state. A customer is subscribed with a listener, which prints each event that arrives. Paste the printed commands into another
 * terminal. Ctrl-C ends everything, and so does the end of the program that started this one.
 */
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { OperatorClient, WebhooksClient } from '@identity-webhooks/client';
import { createReceiver, onNode } from '@identity-webhooks/listener';
import { whenAskedToEnd } from '../../tools/harness/processes.ts';
import {
  freePort,
  type LaunchedService,
  launchService,
  launchWorker,
  makeHome,
} from '../../tools/harness/service.ts';

const home = makeHome();
const launched: LaunchedService[] = [];
let listener: Server | undefined;

async function main(): Promise<void> {
  console.log('Starting the service and the producer; this takes about half a minute.');
  const service = launchService(home, {}, await freePort());
  launched.push(service);
  const config = join(import.meta.dirname, 'wrangler.toml');
  const producer = launchWorker(home, config, await freePort());
  launched.push(producer);
  await Promise.all([service.ready(), producer.ready()]);
  const { customerId, clientId, clientSecret } = await subscribe(service.url);
  const event = JSON.stringify({
    customerId,
    type: 'entityUpdated',
    captureApplicationId: 'tep2dcqy4fwurwtpkaxg76twgf',
    captureClientId: 'zfccfzzcf626t449wu5umbt6zhek2det',
    entityType: 'user',
    sub: '726087ec-35df-4041-aec8-c11ecc208efa',
    attributes: ['givenName'],
  });
  console.log(`
The service answers on ${service.url}, the producer on ${producer.url}.
Paste into another terminal, in the folder of the project. Each event that arrives at the listener is printed here.

Publish by RPC, which answers with the faults of an event:

  curl -sS '${producer.url}/?via=rpc' -d '${event}'

Publish by the queue binding:

  curl -sS ${producer.url} -d '${event}'

Publish over HTTPS, from Node:

  echo '${event}' |
    WEBHOOKS_URL=${service.url} CUSTOMER_ID=${customerId} CLIENT_ID=${clientId} CLIENT_SECRET=${clientSecret} \\
    node_modules/.bin/node examples/producer/https.ts

Ctrl-C ends everything.
`);
}

/** Makes a customer with a client and a subscription, and starts its listener. */
async function subscribe(url: string) {
  const operator = new OperatorClient({ baseUrl: url, token: home.operatorToken });
  const { id: customerId } = await operator.call('createCustomer', { body: { name: 'Acme' } });
  const { clientId, clientSecret } = await operator.call('createClient', {
    cid: customerId,
    body: { name: 'backend' },
  });
  const port = await freePort();
  const endpoint = `http://127.0.0.1:${port}/hooks`;
  const receive = createReceiver({
    jwksUrl: `${url}/${customerId}/login/jwk`,
    issuer: `${url}/${customerId}/webhooks`,
    audience: endpoint,
    onEvent: ({ events }) => console.log(`the listener got ${JSON.stringify(events)}`),
    onRefused: ({ message }) => console.log(`the listener refused a token: ${message}`),
  });
  const server = createServer(onNode(receive));
  listener = server;
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const customer = new WebhooksClient({ baseUrl: url, customerId, clientId, clientSecret });
  await customer.call('createSubscription', {
    body: { title: 'Listener', endpoint, events: ['entityCreated', 'entityUpdated', 'entityDeleted'] },
  });
  return { customerId, clientId, clientSecret };
}

async function end(code: number): Promise<never> {
  listener?.closeAllConnections();
  listener?.close();
  await Promise.all(launched.map((one) => one.stop()));
  home.remove();
  process.exit(code);
}

whenAskedToEnd((code) => void end(code));
try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  await end(1);
}
