/** The Worker. Wiring only: requests to the app, batches to their consumers, the cron to maintenance. */
import { runScheduled } from './cron/scheduled.ts';
import type { Env } from './env.ts';
import type { createFetch } from './http/app.ts';
import { createAddressCheck } from './outbound/address-check.ts';
import { consume } from './queue/consumer.ts';
import { createServices } from './services.ts';

export { EventStore } from './event-store/event-store.ts';
export { HostLimit } from './host-limit/host-limit.ts';
export { Publisher } from './publisher.ts';

const checkAddress = createAddressCheck();

type Fetch = ReturnType<typeof createFetch>;

/** Its routes and schemas are the most of what this Worker runs at a start, and consumers, alarms and the cron need none of them. */
let answer: Fetch | undefined;
let opening: Promise<Fetch> | undefined;

async function open(): Promise<Fetch> {
  opening ??= import('./http/app.ts').then(({ createFetch }) => createFetch(checkAddress));
  answer = await opening;
  return answer;
}

export default {
  fetch: async (request, env, ctx) => await (answer ?? (await open()))(request, env, ctx),
  queue: (batch, env, ctx) =>
    consume(
      batch,
      () => createServices(env, checkAddress),
      (work) => ctx.waitUntil(work),
    ),
  scheduled: (controller, env) =>
    runScheduled(() => createServices(env, checkAddress), controller.scheduledTime),
} satisfies ExportedHandler<Env>;
