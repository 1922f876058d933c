/** The Worker. Wiring only: requests to the app, batches to their consumers, the cron to maintenance. */
import { runScheduled } from './cron/scheduled.ts';
import type { Env } from './env.ts';
import { createFetch } from './http/app.ts';
import { createAddressCheck } from './outbound/address-check.ts';
import { consume } from './queue/consumer.ts';
import { createServices } from './services.ts';

export { EventStore } from './event-store/event-store.ts';
export { HostLimit } from './host-limit/host-limit.ts';
export { Publisher } from './publisher.ts';

const checkAddress = createAddressCheck();
const answer = createFetch(checkAddress);

export default {
  fetch: (request, env, ctx) => answer(request, env, ctx),
  queue: (batch, env, ctx) =>
    consume(
      batch,
      () => createServices(env, checkAddress),
      (work) => ctx.waitUntil(work),
    ),
  scheduled: (controller, env) =>
    runScheduled(() => createServices(env, checkAddress), controller.scheduledTime),
} satisfies ExportedHandler<Env>;
